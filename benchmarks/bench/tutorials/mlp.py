"""The basic GAN on MNIST (docs/seeds/basic-gan.md).

Mended: the indentation, which the document has lost; the imports of ``Variable``, ``Tensor`` and numpy; a number of
epochs. It names no data loader and no batch size: 64 is the habit.
"""

import numpy as np
import torch
from torch import nn
from torch.autograd import Variable

from bench.tutorials import Tutorial

Tensor = torch.FloatTensor


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(100, 256),
            nn.ReLU(),
            nn.Linear(256, 512),
            nn.ReLU(),
            nn.Linear(512, 1024),
            nn.ReLU(),
            nn.Linear(1024, 784),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.model(z)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(784, 1024),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(1024, 512),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.3),
            nn.Linear(256, 1),
            nn.Sigmoid(),
        )

    def forward(self, img):
        return self.model(img.view(img.size(0), -1))


def networks():
    return Generator(), Discriminator()


def loop(dataloader, generator, discriminator, num_epochs=10**9):
    adversarial_loss = torch.nn.BCELoss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))

    def iterations():
        for _epoch in range(num_epochs):
            for _i, (imgs, _) in enumerate(dataloader):
                real_imgs = Variable(imgs.type(Tensor))
                valid = Variable(Tensor(imgs.size(0), 1).fill_(1.0), requires_grad=False)
                fake = Variable(Tensor(imgs.size(0), 1).fill_(0.0), requires_grad=False)

                optimizer_g.zero_grad()
                z = Variable(Tensor(np.random.normal(0, 1, (imgs.shape[0], 100))))
                gen_imgs = generator(z)
                g_loss = adversarial_loss(discriminator(gen_imgs), valid)
                g_loss.backward()
                optimizer_g.step()

                optimizer_d.zero_grad()
                real_loss = adversarial_loss(discriminator(real_imgs), valid)
                fake_loss = adversarial_loss(discriminator(gen_imgs.detach()), fake)
                d_loss = (real_loss + fake_loss) / 2
                d_loss.backward()
                optimizer_d.step()
                yield g_loss.detach(), d_loss.detach()

    return iterations()


def noise(count):
    return Tensor(np.random.normal(0, 1, (count, 100))), None


TUTORIAL = Tutorial(
    title="fully connected GAN, 28 px, batch 64",
    page="basic-gan.md",
    size=28,
    channels=1,
    classes=0,
    batch=64,
    networks=networks,
    loop=loop,
    noise=noise,
    recipe="vanilla-as-printed",
    corrected="vanilla",
)
