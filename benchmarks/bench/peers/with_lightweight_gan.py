"""lightweight-gan by its own trainer, on images in memory. It is written for CUDA; here ``cuda`` means the CPU."""

import tempfile
import types

import talk
import torch
from torch import nn


def on_the_cpu():
    """The library, told that its CUDA is the CPU."""
    known, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    try:
        from lightweight_gan import lightweight_gan
    finally:
        torch.cuda.is_available = known
    torch.Tensor.cuda = lambda self, *_, **__: self
    nn.Module.cuda = lambda self, *_, **__: self
    stand_in = types.ModuleType("torch")
    stand_in.__dict__.update(torch.__dict__, device=lambda _: torch.device("cpu"))
    lightweight_gan.torch = stand_in
    return lightweight_gan


class LightweightGan:
    def __init__(self, arguments, images):
        library = on_the_cpu()
        self.version, self.batch, self.images, self.place = library.__version__, arguments.batch, images, 0
        self.trainer = library.Trainer(
            base_dir=tempfile.mkdtemp(),
            image_size=images.shape[-1],
            batch_size=self.batch,
            use_aim=False,
            aug_prob=0.3,
            save_every=10**9,
            evaluate_every=10**9,
        )
        self.trainer.loader = self.batches()
        self.trainer.steps = 1  # a checkpoint and a picture fall on step 0

    def batches(self):
        while True:
            places = torch.arange(self.place, self.place + self.batch) % len(self.images)
            self.place += self.batch
            yield (self.images[places] + 1) / 2

    def train(self, steps):
        """Steps of its trainer; every 100th would also draw a grid, and is stepped over."""
        for _ in range(steps):
            if self.trainer.steps % 100 == 0:
                self.trainer.steps += 4  # every fourth has a gradient penalty
            self.trainer.train()
        return steps * self.batch

    def sample(self, count):
        network, latent = self.trainer.GAN.G, self.trainer.GAN.latent_dim
        with torch.no_grad():
            drawn = [network(torch.randn(64, latent)) for _ in range(-(-count // 64))]
        return torch.cat(drawn)[:count].clamp(0, 1) * 2 - 1


talk.main(LightweightGan)
