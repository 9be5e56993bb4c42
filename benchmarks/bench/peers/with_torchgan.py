"""torchgan's DCGAN at the face tutorial's numbers, by its own trainer, on images in memory."""

import os
import tempfile

import talk
import torch
from torch import nn

os.environ.update(CONSOLE_LOGGING="0", TENSORBOARD_LOGGING="0", VISDOM_LOGGING="0")


class Torchgan:
    def __init__(self, arguments, images):
        import torchgan
        from torchgan.losses import MinimaxDiscriminatorLoss, MinimaxGeneratorLoss
        from torchgan.models import DCGANDiscriminator, DCGANGenerator
        from torchgan.trainer import Trainer

        self.version, self.batch, self.images, self.place = torchgan.__version__.lstrip("v"), arguments.batch, images, 0
        size, channels = images.shape[-1], images.shape[1]
        adam = {"name": torch.optim.Adam, "args": {"lr": 2e-4, "betas": (0.5, 0.999)}}
        models = {
            "generator": {
                "name": DCGANGenerator,
                "args": {
                    "encoding_dims": 100,
                    "out_size": size,
                    "out_channels": channels,
                    "step_channels": 64,
                    "nonlinearity": nn.ReLU(),
                },
                "optimizer": adam,
            },
            "discriminator": {
                "name": DCGANDiscriminator,
                "args": {"in_size": size, "in_channels": channels, "step_channels": 64},
                "optimizer": adam,
            },
        }
        folder = tempfile.mkdtemp()
        self.trainer = Trainer(
            models,
            [MinimaxGeneratorLoss(), MinimaxDiscriminatorLoss()],
            device=torch.device("cpu"),
            checkpoints=f"{folder}/gan",
            recon=f"{folder}/images",
        )
        self.trainer.batch_size = self.batch
        for name in self.trainer.optimizer_names:
            getattr(self.trainer, name).zero_grad()

    def train(self, steps):
        """What its ``train`` does with each batch. The end of its epochs, which saves and draws grids, is left out."""
        trainer = self.trainer
        for _ in range(steps):
            places = torch.arange(self.place, self.place + self.batch) % len(self.images)
            self.place += self.batch
            trainer.real_inputs, trainer.labels = self.images[places], torch.zeros(self.batch)
            lgen, ldis, gen_iter, dis_iter = trainer.train_iter()
            trainer.loss_information["generator_losses"] += lgen
            trainer.loss_information["discriminator_losses"] += ldis
            trainer.loss_information["generator_iters"] += gen_iter
            trainer.loss_information["discriminator_iters"] += dis_iter
            trainer.logger.run_mid_epoch(trainer)
        return steps * self.batch

    def sample(self, count):
        with torch.no_grad():
            drawn = [self.trainer.generator(torch.randn(64, 100)) for _ in range(-(-count // 64))]
        return torch.cat(drawn)[:count]


talk.main(Torchgan)
