"""The Wasserstein GAN of fastai's page (docs/seeds/fastai.md), as a plain loop.

The document calls ``GANLearner.wgan`` and prints no loop. This is what that call does to networks and weights: its
basic networks, every weight of the critic clipped before each batch, five batches for the critic and one for the
generator, who does not play is frozen, one RMSprop over both. fastai itself is a peer: ``--peer fastai=PYTHON``.
"""

import torch
from torch import nn

from bench.tutorials import Tutorial

SIZE, FEATURES, CLIP = 64, 64, 0.01


def conv_layer(before, after, kernel, stride, padding, *, transpose=False, norm=True, slope=0.0):
    kind = nn.ConvTranspose2d if transpose else nn.Conv2d
    layer = kind(before, after, kernel, stride, padding, bias=not norm)
    nn.init.kaiming_uniform_(layer.weight)
    layers: list[nn.Module] = [layer]
    if norm:
        norm_layer = nn.BatchNorm2d(after)
        nn.init.constant_(norm_layer.bias, 1e-3)
        layers.append(norm_layer)
    if layer.bias is not None:
        nn.init.normal_(layer.bias, std=0.01)
    return [*layers, nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)]


class Generator(nn.Sequential):
    def __init__(self):
        widths = [FEATURES * 2**level for level in (3, 2, 1, 0)]
        layers = conv_layer(100, widths[0], 4, 1, 0, transpose=True)
        for before in widths[:-1]:
            layers += conv_layer(before, before // 2, 4, 2, 1, transpose=True)
        layers += conv_layer(FEATURES, FEATURES, 3, 1, 1, transpose=True)
        super().__init__(*layers, nn.ConvTranspose2d(FEATURES, 3, 4, 2, 1, bias=False), nn.Tanh())


class Critic(nn.Sequential):
    def __init__(self):
        layers = conv_layer(3, FEATURES, 4, 2, 1, norm=False, slope=0.2)
        layers += conv_layer(FEATURES, FEATURES, 3, 1, 1, slope=0.2)
        for before in (FEATURES, FEATURES * 2, FEATURES * 4):
            layers += conv_layer(before, before * 2, 4, 2, 1, slope=0.2)
        last = nn.Conv2d(FEATURES * 8, 1, 4)
        nn.init.kaiming_normal_(last.weight)
        nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
        super().__init__(*layers, last, nn.Flatten())


def networks():
    return Generator(), Critic()


def loop(dataloader, generator, critic):
    optimizer = torch.optim.RMSprop([*generator.parameters(), *critic.parameters()], lr=2e-4)

    def iterations():
        turn, losses = 0, [torch.zeros(()), torch.zeros(())]
        while True:
            for imgs, _ in dataloader:
                playing = generator if turn % 6 == 5 else critic
                for network in (generator, critic):
                    network.requires_grad_(network is playing)
                for weight in critic.parameters():
                    weight.data.clamp_(-CLIP, CLIP)
                z = torch.randn(imgs.size(0), 100, 1, 1)
                fake = generator(z)
                # Low on real images: fastai's page has the signs this way round.
                loss = critic(fake).mean() if playing is generator else critic(imgs).mean() - critic(fake).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses[playing is critic] = loss.detach()
                turn += 1
                yield losses[0], losses[1]

    return iterations()


def noise(count):
    return torch.randn(count, 100, 1, 1).flatten(1), None


TUTORIAL = Tutorial(
    title="fastai's Wasserstein GAN as a plain loop, 64 px, batch 128",
    page="fastai.md",
    size=SIZE,
    channels=3,
    classes=0,
    batch=128,
    networks=networks,
    loop=loop,
    noise=noise,
    recipe="basic",
    corrected="basic",
    checked=7,
    mirrored=True,
    cycle=6,
    maps=True,
    double=True,
)
