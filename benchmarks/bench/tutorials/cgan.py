"""The conditional GAN with least squares (docs/seeds/cgan-lsgan.md).

Mended: the document prints networks and a loss but no loop, so this is the basic tutorial's with ``MSELoss``. What its
generator prints in every pass is printed.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from bench.tutorials import Tutorial

IMAGE_SIZE = [1, 28, 28]


class CGenerator(nn.Module):
    def __init__(self, latent_dim, image_size, cls_num, label_emb_dim):
        super().__init__()
        self.image_size = image_size
        self.embedding = nn.Embedding(cls_num, label_emb_dim)
        out_dim = int(np.prod(image_size))
        layers = []
        for before, after in pairwise((latent_dim + label_emb_dim, 64, 128, 256, 512, 1024, out_dim)):
            layers += [torch.nn.utils.spectral_norm(nn.Linear(before, after)), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1], nn.Tanh())

    def forward(self, z, labels):
        label_emb = self.embedding(labels)
        print(label_emb.shape)
        z = torch.cat([z, label_emb], dim=-1)
        output = self.model(z)
        return output.reshape([z.shape[0], *self.image_size])


class CDiscriminator(nn.Module):
    def __init__(self, image_size, cls_num, label_emb_dim):
        super().__init__()
        self.image_size = image_size
        self.embedding = nn.Embedding(cls_num, label_emb_dim)
        in_dim = int(np.prod(image_size))
        layers = []
        for before, after in pairwise((in_dim + label_emb_dim, 1024, 512, 256, 128, 64, 1)):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*layers[:-1], nn.Sigmoid())

    def forward(self, images, labels):
        labels_emb = self.embedding(labels)
        inputx = torch.cat([images.reshape(images.shape[0], -1), labels_emb], dim=-1)
        return self.model(inputx)


def networks():
    return CGenerator(64, IMAGE_SIZE, 10, 32), CDiscriminator(IMAGE_SIZE, 10, 32)


def loop(dataloader, generator, discriminator, num_epochs=10**9):
    loss_fn = torch.nn.MSELoss()
    optimizer_g = torch.optim.Adam(generator.parameters(), lr=0.0002, betas=(0.5, 0.999))
    optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=0.0002, betas=(0.5, 0.999))

    def iterations():
        for _epoch in range(num_epochs):
            for _i, (imgs, real_labels) in enumerate(dataloader):
                valid, fake = torch.ones(imgs.size(0), 1), torch.zeros(imgs.size(0), 1)

                optimizer_g.zero_grad()
                z, labels = noise(imgs.size(0))
                gen_imgs = generator(z, labels)
                g_loss = loss_fn(discriminator(gen_imgs, labels), valid)
                g_loss.backward()
                optimizer_g.step()

                optimizer_d.zero_grad()
                real_loss = loss_fn(discriminator(imgs, real_labels), valid)
                fake_loss = loss_fn(discriminator(gen_imgs.detach(), labels), fake)
                d_loss = (real_loss + fake_loss) / 2
                d_loss.backward()
                optimizer_d.step()
                yield g_loss.detach(), d_loss.detach()

    return iterations()


def noise(count):
    return torch.randn([count, 64]), torch.randint(0, 9, [count])


TUTORIAL = Tutorial(
    title="conditional GAN with least squares, 28 px, batch 64",
    page="cgan-lsgan.md",
    size=28,
    channels=1,
    classes=10,
    batch=64,
    networks=networks,
    loop=loop,
    noise=noise,
    recipe="cgan-as-printed",
    corrected="cgan",
)
