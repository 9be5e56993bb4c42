"""Residual networks, as in spectrally normalised GANs.

Source: *Spectral Normalization for Generative Adversarial Networks*, Miyato et al., 2018, and *cGANs with Projection
Discriminator*, Miyato and Koyama, 2018 (class-conditional batch normalisation, projection).

The papers' blocks come in two layouts. A *pyramid*, the default, is ours: maps grow wider as they grow smaller, and the
discriminator halves down to the generator's first map. The *paper* layout is the papers' for 32 pixels: all maps are
equally wide, and the discriminator halves twice and ends with two blocks that keep the size. See :func:`layout`.
"""

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.errors import CardiganError
from cardigan.layers import (
    MinibatchStandardDeviation,
    Projection,
    Size,
    channels_last,
    check_labels,
    checked_sizes,
    doublings,
    height_and_width,
    through,
)

WIDEST = 4
"""No layer of a pyramid is wider than this many times ``width``."""

Layout = Literal["pyramid", "paper"]


def layout(kind: Layout, *, size: Size, width: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments that give both networks a layout: the generator's, and the discriminator's.

    Args:
        kind: ``"pyramid"`` or ``"paper"``.
        size: side of the images in pixels, or (height, width).
        width: channels of a pyramid's largest map. In the papers' layout the generator is 8 and the discriminator 4
            times as wide, so 32 is the papers' own: 256 and 128, 4.28 and 1.05 million weights at 32 pixels.

    Example:
        >>> mine, theirs = layout("paper", size=32, width=32)
        >>> [sum(weight.numel() for weight in network.parameters())
        ...  for network in (Generator(size=32, **mine), Discriminator(size=32, **theirs))]
        [4276739, 1053825]
    """
    if kind == "pyramid":
        return {"width": width}, {"width": width}
    count, _ = doublings(size)
    return {"width": 8 * width, "widest": 1}, {"width": 4 * width, "widest": 1, "halvings": count - 1, "flat": 2}


def widths(count: int, width: int, widest: int = WIDEST) -> list[int]:
    """Channels of the maps from the largest to the smallest, growing by half octaves of two levels.

    Example:
        >>> widths(5, 64)
        [64, 64, 128, 128, 256]
    """
    return [width * min(2 ** (level // 2), widest) for level in range(count)]


class ClassNorm(nn.Module):
    """Batch normalisation whose gain and shift belong to the class; plain batch normalisation without classes."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(features, affine=not classes)
        # Parameters and not embeddings: spectral norm is for linear maps, and would divide these by themselves.
        self.gain = nn.Parameter(torch.ones(classes, features)) if classes else None
        self.shift = nn.Parameter(torch.zeros(classes, features)) if classes else None

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, C, H, W) and labels (B,) in, maps of the same shape out."""
        maps = self.norm(maps)
        if self.gain is None or self.shift is None:
            return maps
        return maps * self.gain[labels, :, None, None] + self.shift[labels, :, None, None]


class UpBlock(nn.Module):
    """Twice the sides: normalise, ReLU, double, convolve, normalise, ReLU, convolve; plus the doubled input."""

    def __init__(self, before: int, after: int, classes: int) -> None:
        super().__init__()
        self.first_norm, self.second_norm = ClassNorm(before, classes), ClassNorm(after, classes)
        self.first, self.second = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, C, H, W) in, (B, C', 2H, 2W) out."""
        straight = F.interpolate(F.relu(self.first_norm(maps, labels)), scale_factor=2)
        straight = self.second(F.relu(self.second_norm(self.first(straight), labels)))
        # A 1x1 convolution and nearest doubling commute; this order costs a quarter.
        return straight + F.interpolate(self.shortcut(maps), scale_factor=2)


class DownBlock(nn.Module):
    """Half the sides: (ReLU,) convolve, ReLU, convolve, average; plus the averaged input. Or the same without average.

    Where neither sides nor channels change, the input is added as it is.
    """

    def __init__(self, before: int, after: int, *, first: bool, halves: bool = True) -> None:
        super().__init__()
        self.is_first, self.halves = first, halves
        self.first, self.second = nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if halves or before != after else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, (B, C', H/2, W/2) out, or (B, C', H, W)."""
        straight = maps if self.is_first else F.relu(maps)
        straight = self.second(F.relu(self.first(straight)))
        if not self.halves:
            return straight + self.shortcut(maps)
        return F.avg_pool2d(straight, 2) + self.shortcut(F.avg_pool2d(maps, 2))


class Generator(GeneratorNetwork):
    """Latents to images through residual blocks with batch normalisation.

    Args:
        size: side of the images in pixels, or (height, width): 16 to 256, each 4 to 7 times the same power of two for
            the shorter side.
        channels: 1 to 4.
        latent: length of the latents.
        classes: number of classes, 0 for an unconditional model; a class sets the gain and shift of each norm.
        width: channels of the largest map.
        widest: no map is wider than this many times ``width``; 1 makes all equally wide.

    Raises:
        CardiganError: if no such map exists for ``size``.

    Example:
        >>> import torch
        >>> Generator(size=32, classes=10, width=8)(torch.randn(2, 128), torch.tensor([0, 9])).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        latent: int = 128,
        classes: int = 0,
        width: int = 64,
        widest: int = WIDEST,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "latent": latent,
                "classes": classes,
                "width": width,
                "widest": widest,
            }
        )
        self.latent, self.classes = latent, classes
        self.shape = (channels, *height_and_width(size))
        count, self.start = doublings(size)
        maps = widths(count + 1, width, widest)[::-1]
        self.input = nn.Linear(latent, maps[0] * self.start[0] * self.start[1])
        self.blocks = nn.ModuleList(UpBlock(before, after, classes) for before, after in pairwise(maps))
        self.norm = nn.BatchNorm2d(width)
        self.output = nn.Conv2d(width, channels, 3, padding=1)
        xavier_init(self)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent) in, images (B, C, H, W) in [-1, 1] out."""
        check_labels(labels, self.classes)
        maps = channels_last(self.input(latents).unflatten(1, (-1, *self.start)))
        for block in self.blocks:
            maps = block(maps, labels)
        return self.output(F.relu(self.norm(maps))).tanh()


class Discriminator(DiscriminatorNetwork):
    """Images to one logit through residual blocks, without normalisation; made for spectral norm or penalties.

    Args:
        size: as in the generator.
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model; classes enter by projection.
        width: channels of the largest map.
        compare: a minibatch standard deviation map before the last layer, against collapse.
        widest: no map is wider than this many times ``width``; 1 makes all equally wide.
        halvings: blocks that halve the sides; None: down to a shorter side of 4 to 7.
        flat: blocks after them that keep the sides.

    Raises:
        CardiganError: if ``size`` cannot be halved down to a small map, or not so often.

    Example:
        >>> import torch
        >>> Discriminator(size=32, classes=10, width=8)(torch.zeros(2, 3, 32, 32), torch.tensor([0, 9])).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        classes: int = 0,
        width: int = 64,
        compare: bool = False,
        widest: int = WIDEST,
        halvings: int | None = None,
        flat: int = 0,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "classes": classes,
                "width": width,
                "compare": compare,
                "widest": widest,
                "halvings": halvings,
                "flat": flat,
            }
        )
        self.classes = classes
        self.independent = not compare
        most, _ = doublings(size)
        count = most if halvings is None else halvings
        if not 1 <= count <= most:
            raise CardiganError(f"halvings is {halvings}, expected 1 to {most} for this size. Type halvings={most}.")
        maps = [channels, *widths(count, width, widest)]
        maps += flat * [maps[-1]]
        blocks: list[nn.Module] = [
            DownBlock(before, after, first=level == 0, halves=level < count)
            for level, (before, after) in enumerate(pairwise(maps))
        ]
        if compare:
            blocks.append(MinibatchStandardDeviation())
        features = maps[-1] + compare
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(features, 1)
        self.projection = Projection(classes=classes, features=features) if classes else None
        xavier_init(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, 1) out."""
        return self.examine(images, labels)[0]

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits (B, 1), and the map (B, F, h, w) that is summed for them; it judges one scale only."""
        check_labels(labels, self.classes)
        maps = F.relu(through(self.blocks, images))
        features = maps.sum(dim=(2, 3))
        logits = self.head(features)
        if self.projection is not None and labels is not None:
            logits = logits + self.projection(features, labels)
        return logits, [maps]


def xavier_init(network: nn.Module) -> None:
    """The papers' start, in place: uniform Xavier, with a gain of sqrt 2 inside the residual branches; no biases."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            inside = name.rpartition(".")[2] in ("first", "second")
            nn.init.xavier_uniform_(module.weight, gain=2**0.5 if inside else 1.0)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
