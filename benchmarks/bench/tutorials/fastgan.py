"""The "FastGAN" that is a plain convolutional GAN with a second head (docs/seeds/fastgan.md).

Mended: ``.cuda()`` is gone, and images come from memory in place of CIFAR-10, enlarged to 64 pixels.
"""

import torch
from torch import nn, optim

from bench.tutorials import Tutorial

latent_dim, lr, b1, b2 = 100, 0.0002, 0.5, 0.999


class Generator(nn.Module):
    def __init__(self, latent_dim, img_channels):
        super().__init__()
        self.init_size = 64 // 4
        self.l1 = nn.Sequential(nn.Linear(latent_dim, 128 * self.init_size**2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(128),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 128, 3, stride=1, padding=1),
            nn.BatchNorm2d(128, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(128, 64, 3, stride=1, padding=1),
            nn.BatchNorm2d(64, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, img_channels, 3, stride=1, padding=1),
            nn.Tanh(),
        )

    def forward(self, z):
        out = self.l1(z)
        out = out.view(out.shape[0], 128, self.init_size, self.init_size)
        return self.conv_blocks(out)


class Discriminator(nn.Module):
    def __init__(self, img_channels):
        super().__init__()

        def discriminator_block(in_filters, out_filters, bn=True):
            block = [nn.Conv2d(in_filters, out_filters, 3, 2, 1), nn.LeakyReLU(0.2, inplace=True), nn.Dropout2d(0.25)]
            if bn:
                block.append(nn.BatchNorm2d(out_filters, 0.8))
            return block

        self.model = nn.Sequential(
            *discriminator_block(img_channels, 16, bn=False),
            *discriminator_block(16, 32),
            *discriminator_block(32, 64),
            *discriminator_block(64, 128),
        )
        self.adv_layer = nn.Sequential(nn.Linear(128 * (64 // 2**4) ** 2, 1), nn.Sigmoid())
        self.aux_layer = nn.Sequential(nn.Linear(128 * (64 // 2**4) ** 2, 4), nn.Softmax(dim=1))

    def forward(self, img):
        out = self.model(img)
        out = out.view(out.shape[0], -1)
        return self.adv_layer(out), self.aux_layer(out)


def networks():
    return Generator(latent_dim, 3), Discriminator(3)


def loop(dataloader, generator, discriminator, epochs=10**9):
    optimizer_g = optim.Adam(generator.parameters(), lr=lr, betas=(b1, b2))
    optimizer_d = optim.Adam(discriminator.parameters(), lr=lr, betas=(b1, b2))
    adversarial_loss = nn.BCELoss()
    auxiliary_loss = nn.CrossEntropyLoss()

    def iterations():
        for epoch in range(epochs):
            for i, (imgs, _) in enumerate(dataloader):
                optimizer_g.zero_grad()
                z = torch.randn(imgs.size(0), latent_dim)
                gen_imgs = generator(z)
                validity, _ = discriminator(gen_imgs)
                g_loss = adversarial_loss(validity, torch.ones_like(validity))
                g_loss.backward()
                optimizer_g.step()

                optimizer_d.zero_grad()
                real_validity, real_label = discriminator(imgs)
                d_real_loss = adversarial_loss(real_validity, torch.ones_like(real_validity))
                fake_validity, _fake_label = discriminator(gen_imgs.detach())
                d_fake_loss = adversarial_loss(fake_validity, torch.zeros_like(fake_validity))
                real_aux_loss = auxiliary_loss(real_label, torch.randint(0, 4, (imgs.size(0),)))
                d_loss = (d_real_loss + d_fake_loss + real_aux_loss) / 3
                d_loss.backward()
                optimizer_d.step()
                print(
                    f"[Epoch {epoch}/{epochs}] [Batch {i}/{len(dataloader)}] "
                    f"[D loss: {d_loss.item()}] [G loss: {g_loss.item()}]"
                )
                yield g_loss.detach(), d_loss.detach()

    return iterations()


def noise(count):
    return torch.randn(count, latent_dim), None


TUTORIAL = Tutorial(
    title='the "FastGAN" tutorial, 64 px, batch 64',
    page="fastgan.md",
    size=64,
    channels=3,
    classes=0,
    batch=64,
    networks=networks,
    loop=loop,
    noise=noise,
    recipe="fastgan-tutorial-as-printed",
    corrected="fastgan-lite",
)
