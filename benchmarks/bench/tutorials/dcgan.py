"""The DCGAN on faces (docs/seeds/dcgan.md).

Mended: the pasted line numbers; torchvision and matplotlib, which only draw grids here, are left out, so the pictures
of the fixed noise are kept as they are. Deterministic algorithms are asked for as printed, while this loop runs. Labels
are of the default type, single precision as printed, so that losses can also be compared in double.
"""

import torch
from torch import nn, optim

from bench.tutorials import Tutorial

nc, nz, ngf, ndf = 3, 100, 64, 64
lr, beta1 = 0.0002, 0.5


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf * 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(ngf * 8),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 8, ngf * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 4),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 4, ngf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ngf),
            nn.ReLU(True),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(nc, ndf, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 2, ndf * 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 4),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 4, ndf * 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(ndf * 8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(ndf * 8, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input)


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


def networks():
    return Generator().apply(weights_init), Discriminator().apply(weights_init)


def loop(dataloader, netG, netD, num_epochs=10**9, device="cpu"):  # noqa: N803
    criterion = nn.BCELoss()
    fixed_noise = torch.randn(64, nz, 1, 1, device=device)
    real_label, fake_label = 1.0, 0.0
    optimizerD = optim.Adam(netD.parameters(), lr=lr, betas=(beta1, 0.999))  # noqa: N806
    optimizerG = optim.Adam(netG.parameters(), lr=lr, betas=(beta1, 0.999))  # noqa: N806

    def iterations():
        img_list, G_losses, D_losses, iters = [], [], [], 0  # noqa: N806
        for epoch in range(num_epochs):
            for i, data in enumerate(dataloader, 0):
                netD.zero_grad()
                real_cpu = data[0].to(device)
                b_size = real_cpu.size(0)
                label = torch.full((b_size,), real_label, device=device)
                output = netD(real_cpu).view(-1)
                errD_real = criterion(output, label)  # noqa: N806
                errD_real.backward()
                D_x = output.mean().item()  # noqa: N806

                noise = torch.randn(b_size, nz, 1, 1, device=device)
                fake = netG(noise)
                label.fill_(fake_label)
                output = netD(fake.detach()).view(-1)
                errD_fake = criterion(output, label)  # noqa: N806
                errD_fake.backward()
                D_G_z1 = output.mean().item()  # noqa: N806
                errD = errD_real + errD_fake  # noqa: N806
                optimizerD.step()

                netG.zero_grad()
                label.fill_(real_label)
                output = netD(fake).view(-1)
                errG = criterion(output, label)  # noqa: N806
                errG.backward()
                D_G_z2 = output.mean().item()  # noqa: N806
                optimizerG.step()

                if i % 50 == 0:
                    print(
                        "[%d/%d][%d/%d]\tLoss_D: %.4f\tLoss_G: %.4f\tD(x): %.4f\tD(G(z)): %.4f / %.4f"  # noqa: UP031
                        % (epoch, num_epochs, i, len(dataloader), errD.item(), errG.item(), D_x, D_G_z1, D_G_z2)
                    )
                G_losses.append(errG.item())
                D_losses.append(errD.item())
                if (iters % 500 == 0) or ((epoch == num_epochs - 1) and (i == len(dataloader) - 1)):
                    with torch.no_grad():
                        fake = netG(fixed_noise).detach().cpu()
                    img_list.append(fake)
                iters += 1
                yield errG.detach(), errD.detach()

    return iterations()


def noise(count):
    return torch.randn(count, nz, 1, 1).flatten(1), None


TUTORIAL = Tutorial(
    title="DCGAN, 64 px, batch 128",
    page="dcgan.md",
    size=64,
    channels=3,
    classes=0,
    batch=128,
    networks=networks,
    loop=loop,
    noise=noise,
    recipe="dcgan-as-printed",
    corrected="dcgan",
    deterministic=True,
    maps=True,
    double=True,
)
