"""Blocks that two models or more are made of."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan.checks import check_count
from cardigan.errors import CardiganError
from cardigan.share import drawn, gathered, own

Size = int | tuple[int, int]
"""The side of a square image in pixels, or (height, width)."""


def height_and_width(size: Size) -> tuple[int, int]:
    """Both sides of an image.

    Example:
        >>> height_and_width(64), height_and_width((64, 96))
        ((64, 64), (64, 96))
    """
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def checked_sizes(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a network, if its counts can be built.

    Raises:
        CardiganError: if ``latent`` or ``width`` is not a whole number above 0, ``classes`` not one from 0 up, or
            ``channels`` not one from 1 to 4.

    Example:
        >>> checked_sizes({"size": 32, "channels": 3, "width": 64})
        {'size': 32, 'channels': 3, 'width': 64}
    """
    for name, least, instead in (("latent", 1, 128), ("width", 1, 64), ("classes", 0, 0), ("channels", 1, 3)):
        if name in arguments:
            check_count(name, arguments[name], of="A network", least=least, instead=instead)
    if arguments.get("channels", 1) > 4:
        raise CardiganError(f"A network: channels is {arguments['channels']}, expected 1 to 4. Type channels=3.")
    return arguments


def doublings(size: Size, *, smallest: int = 16, largest: int = 256) -> tuple[int, tuple[int, int]]:
    """How often a small map is doubled to reach an image, and the map's own sides.

    The map's shorter side lies between 4 and 7, so both sides must be multiples of the same power of two.

    Returns:
        The number of doublings, and the sides of the map they start from.

    Raises:
        CardiganError: if no such map exists; the message names the nearest sizes that work.

    Example:
        >>> doublings(28), doublings((64, 96))
        ((2, (7, 7)), (4, (4, 6)))
    """
    height, width = height_and_width(size)
    step = _step(min(height, width))
    count = step.bit_length() - 1
    if height % step or width % step or not smallest <= min(height, width) <= max(height, width) <= largest:
        if height == width:
            fit = [side for side in range(smallest, largest + 1) if side % 2 ** ((side // 4).bit_length() - 1) == 0]
            near = sorted(sorted(fit, key=lambda side: abs(side - height))[:3])
            mend = f"{near[0]}, {near[1]} or {near[2]}"
        else:
            close = [
                nearest((height, width), smallest=smallest, largest=largest, within=part) for part in (False, True)
            ]
            mend = " or ".join(f"{high}x{wide}" for high, wide in dict.fromkeys(close))
        raise CardiganError(
            f"Images of {height}x{width} pixels cannot be built by doubling: each side must lie between {smallest} and "
            f"{largest} and be a multiple of the same power of two, the shorter one 4 to 7 times. Try --size {mend}."
        )
    return count, (height // step, width // step)


def nearest(size: tuple[int, int], *, smallest: int = 16, largest: int = 256, within: bool = False) -> tuple[int, int]:
    """The sides nearest to a size that can be reached by :func:`doublings`, in height and width.

    Args:
        size: that is wanted.
        smallest: of the sides that can be reached.
        largest: of them.
        within: neither side is larger than wanted, where that can be reached.

    Example:
        >>> nearest((45, 80)), nearest((61, 47)), nearest((90, 160), within=True)
        ((48, 80), (64, 48), (80, 160))
    """
    height, width = size
    sides = range(smallest, largest + 1)
    pairs = [(high, wide) for high in sides for wide in sides if not (high | wide) % _step(min(high, wide))]
    smaller = [pair for pair in pairs if pair[0] <= height and pair[1] <= width]
    return min(
        smaller if within and smaller else pairs,
        key=lambda pair: abs(math.log(pair[0] / height)) + abs(math.log(pair[1] / width)),
    )


def _step(shorter: int) -> int:
    """What both sides are a multiple of, so that the shorter one is 4 to 7 times as long."""
    return 2 ** max((shorter // 4).bit_length() - 1, 0)


def check_labels(labels: Tensor | None, classes: int) -> None:
    """Refuse to ignore labels silently, or to go without those that a model needs.

    Raises:
        CardiganError: if a model with classes gets no labels, or one without gets some.
    """
    if classes and labels is None:
        raise CardiganError(
            f"This model draws {classes} classes and needs labels, got none: pass labels of shape (B,)."
        )
    if not classes and labels is not None:
        raise CardiganError(
            "This model has no classes but got labels: build it with classes=N, or use batches(..., labels=False)."
        )


class Dropout(nn.Module):
    """Sets values to zero by chance in training, each image's the same on any number of processes.

    Made of uniform numbers, which PyTorch draws three times as quickly on a CPU as the coin tosses of its own layer.

    Source: *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, Srivastava et al., 2014.

    Args:
        share: of the values that is dropped; the others are scaled up to make up for it.

    Example:
        >>> Dropout(0.5)(torch.ones(2, 8)).unique().tolist()
        [0.0, 2.0]
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0.0 <= share < 1.0:
            raise CardiganError(f"dropout is the share of values to drop, at least 0 and below 1, got {share}.")
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Values (B, ...) in and out."""
        if not self.training or not self.share:
            return values
        chance = drawn(lambda count: torch.rand(count, *values.shape[1:], device=values.device), len(values))
        kept = chance.ge_(self.share).div_(1.0 - self.share)
        return values * kept.to(values.dtype)

    def extra_repr(self) -> str:
        """The share, for whoever prints the network."""
        return f"share={self.share}"


class Labelled(nn.Module):
    """Vectors joined with a learned embedding of the class; the vectors alone when there are no classes.

    Args:
        width: length of the vectors.
        classes: number of classes, 0 for none.
        embedding: length of a class's vector.

    Example:
        >>> Labelled(width=8, classes=10, embedding=4)(torch.zeros(2, 8), torch.tensor([0, 9])).shape
        torch.Size([2, 12])
    """

    def __init__(self, *, width: int, classes: int, embedding: int) -> None:
        super().__init__()
        self.classes = classes
        self.features = width + (embedding if classes else 0)
        self.embedding = nn.Embedding(classes, embedding) if classes else None

    def forward(self, vectors: Tensor, labels: Tensor | None) -> Tensor:
        """Vectors (B, width) and labels (B,) in, (B, features) out."""
        check_labels(labels, self.classes)
        if self.embedding is None:
            return vectors
        return torch.cat([vectors, self.embedding(labels)], dim=-1)


class Projection(nn.Module):
    """The class's part of a logit: the inner product of image features with the class's vector.

    Source: *cGANs with Projection Discriminator*, Miyato and Koyama, 2018.

    Example:
        >>> Projection(classes=10, features=4)(torch.ones(2, 4), torch.tensor([0, 9])).shape
        torch.Size([2, 1])
    """

    def __init__(self, *, classes: int, features: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, features)
        # PyTorch's unit normals would drown the unconditional part of the logit at the start.
        nn.init.normal_(self.embedding.weight, std=features**-0.5)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Features (B, F) and labels (B,) in, (B, 1) out."""
        return (self.embedding(labels) * features).sum(dim=1, keepdim=True)


class MinibatchStandardDeviation(nn.Module):
    """One more feature map that says how much the images of a group differ: a collapsed batch gives itself away.

    Real and fake images must be shown in separate batches.

    Source: *Progressive Growing of GANs*, Karras et al., 2018.

    Args:
        group: images compared with each other; a batch that it does not divide is one group.

    Example:
        >>> MinibatchStandardDeviation()(torch.zeros(8, 3, 4, 4)).shape
        torch.Size([8, 4, 4, 4])
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, (B, C + 1, H, W) out."""
        everyone, (height, width) = gathered(maps), maps.shape[2:]
        batch = len(everyone)
        group = self.group if batch % self.group == 0 else batch
        spread = everyone.reshape(group, batch // group, -1).var(dim=0, correction=0).add(1e-8).sqrt().mean(dim=1)
        feature = own(spread.repeat(group)).reshape(-1, 1, 1, 1).expand(-1, 1, height, width)
        return torch.cat([maps, feature], dim=1)


class MinibatchDiscrimination(nn.Module):
    """Features that say how near each image is to the others of its batch.

    Real and fake images must be shown in separate batches.

    Source: *Improved Techniques for Training GANs*, Salimans et al., 2016.

    Args:
        features: features of one image.
        kernels: similarities added to each image.
        dimensions: length of the vectors that are compared. Memory grows with batch x batch x kernels x dimensions.

    Example:
        >>> MinibatchDiscrimination(features=8, kernels=5)(torch.zeros(4, 8)).shape
        torch.Size([4, 13])
    """

    def __init__(self, *, features: int, kernels: int, dimensions: int = 5) -> None:
        super().__init__()
        self.kernels = kernels
        # A unit-variance start saturates exp(-distance) at 0, and with it every gradient.
        self.weight = nn.Parameter(0.05 * torch.randn(features, kernels * dimensions))

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, F) in, (B, F + kernels) out."""
        vectors = (features @ self.weight).unflatten(1, (self.kernels, -1))
        distances = (vectors[:, None] - gathered(vectors)[None]).abs().sum(dim=3)
        # An image's nearness to itself is the constant 1 and says nothing.
        return torch.cat([features, torch.exp(-distances).sum(dim=1) - 1.0], dim=1)


class FromPoint(nn.ConvTranspose2d):
    """A transposed convolution of a single pixel, computed as the matrix product that it is, which is quicker.

    Example:
        >>> layer = FromPoint(8, 16, (4, 6), bias=False)
        >>> layer(torch.ones(2, 8, 1, 1)).shape
        torch.Size([2, 16, 4, 6])
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Maps (B, C, 1, 1) in, (B, C', H, W) out, of the kernel's own size."""
        weight = self.weight  # read once: under spectral norm each reading is a power iteration
        maps = (input.flatten(1) @ weight.flatten(1)).unflatten(1, weight.shape[1:])
        return maps if self.bias is None else maps + self.bias[:, None, None]


class ToPoint(nn.Conv2d):
    """A convolution whose kernel covers the whole map, computed as the matrix product that it is, which is quicker.

    Example:
        >>> ToPoint(8, 1, (4, 6))(torch.ones(2, 8, 4, 6)).shape
        torch.Size([2, 1, 1, 1])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (B, C, H, W) of the kernel's own size in, (B, C', 1, 1) out."""
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class _Layout:
    """How maps lie in memory, in all networks of this process."""

    last = True


def channels_last(maps: Tensor) -> Tensor:
    """The same maps (B, C, H, W), with the channels of a place side by side in memory.

    Example:
        >>> channels_last(torch.zeros(2, 8, 4, 4)).stride()
        (128, 1, 32, 8)
    """
    return maps.contiguous(memory_format=torch.channels_last) if _Layout.last else maps


@contextmanager
def channels_first() -> Iterator[None]:
    """While the block runs, networks leave maps as they are, in the usual order: for devices that get the other wrong.

    Example:
        >>> with channels_first():
        ...     channels_last(torch.zeros(2, 8, 4, 4)).stride()
        (128, 16, 4, 1)
    """
    before, _Layout.last = _Layout.last, False
    try:
        yield
    finally:
        _Layout.last = before


def through(layers: nn.Sequential, maps: Tensor) -> Tensor:
    """Maps through the layers, with the channels of a place side by side in memory, which convolutions keep up.

    Most stacks are quicker so on a CPU, FastGAN's are not (docs/log.md). Weights stay as they are, so that what is
    saved of them opens anywhere.

    Example:
        >>> layers = nn.Sequential(nn.Conv2d(1, 8, 4, stride=2, padding=1))
        >>> through(layers, torch.zeros(2, 1, 16, 16)).stride()
        (512, 1, 64, 8)
    """
    first, *others = layers
    # Again after the first layer: maps of one channel or one pixel do not tell how they lie.
    maps = channels_last(first(channels_last(maps)))
    for layer in others:
        maps = layer(maps)
    return maps


def normal_init(network: nn.Module, *, deviation: float = 0.02) -> None:
    """The DCGAN start, in place: convolutions N(0, deviation), batch normalisation gains N(1, deviation), no biases.

    Source: *Unsupervised Representation Learning with Deep Convolutional GANs*, Radford et al., 2016.

    Example:
        >>> layer = nn.Conv2d(64, 64, 4)
        >>> normal_init(layer)
        >>> bool((layer.weight.std() - 0.02).abs() < 0.001)
        True
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, deviation)
            nn.init.zeros_(module.bias)
