"""fastai's Wasserstein GAN, as its page has it, on images in memory."""

from functools import partial

import talk
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Fastai:
    def __init__(self, arguments, images):
        from fastai.vision.all import DataLoaders, RMSProp
        from fastai.vision.gan import GANLearner, basic_critic, basic_generator

        import fastai

        self.version, self.batch, self.loaders = fastai.__version__, arguments.batch, DataLoaders
        self.images, self.place = images, 0
        size, channels = images.shape[-1], images.shape[1]
        self.generator = basic_generator(size, n_channels=channels, n_extra_layers=1)
        critic = basic_critic(
            size, n_channels=channels, n_extra_layers=1, act_cls=partial(nn.LeakyReLU, negative_slope=0.2)
        )
        self.learn = GANLearner.wgan(self.batches(6), self.generator, critic, opt_func=RMSProp)

    def batches(self, steps):
        """The next images, each with noise of its own."""
        count = steps * self.batch
        places = torch.arange(self.place, self.place + count) % len(self.images)
        self.place += count
        data = TensorDataset(torch.randn(count, 100), self.images[places])
        return self.loaders(DataLoader(data, self.batch), [])

    def train(self, steps):
        """A fit of so many batches; five for the critic and one for the generator, and so on."""
        self.learn.dls = self.batches(steps)
        with self.learn.no_bar(), self.learn.no_logging():
            self.learn.fit(1, 2e-4, wd=0.0)
        return steps * self.batch

    def sample(self, count):
        with torch.no_grad():
            return torch.cat([self.generator(torch.randn(64, 100)) for _ in range(-(-count // 64))])[:count]


talk.main(Fastai)
