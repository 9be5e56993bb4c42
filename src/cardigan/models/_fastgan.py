"""What FastGAN's two networks are made of.

A *level* says how often the generator's first map was doubled: a map of level l has 4 * 2**l pixels a side, or 5 to 7
times 2**l if the image's side is no power of two.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from cardigan.errors import CardiganError
from cardigan.layers import Projection, ToPoint, normal_init
from cardigan.pixels import resized
from cardigan.share import drawn

LARGEST = 1024
"""Sides of the largest image, in pixels."""
NARROWEST = 4
"""No map has fewer channels, however small ``width`` is: a single one would be all that spectral norm leaves of it."""


def channels_of(times: float, width: int) -> int:
    """Channels of a map: a multiple of the width.

    Example:
        >>> channels_of(0.25, 64), channels_of(0.25, 8)
        (16, 4)
    """
    return max(int(times * width), NARROWEST)


def second_scale(count: int) -> int:
    """The level of the smaller image that is judged beside the full one: 128 pixels, or half the side if that is less.

    Example:
        >>> [4 * 2 ** second_scale(count) for count in (8, 6, 5, 4)]
        [128, 128, 64, 32]
    """
    return min(count - 1, 5)


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a text that names none of the choices.

    Raises:
        CardiganError: saying which there are.
    """
    if value not in known:
        raise CardiganError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}.")


def prepared(network: nn.Module, *, spectral: bool) -> None:
    """The published start, in place: normal weights; every convolution divided by its largest singular value.

    So are the vectors of classes that logits are multiplied with, of which the published networks have none.
    """
    normal_init(network)
    for module in list(network.modules()) if spectral else []:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            parametrizations.spectral_norm(module)
        elif isinstance(module, Projection):
            parametrizations.spectral_norm(module.embedding)


class DoublingConv(nn.Conv2d):
    """Nearest-neighbour doubling and a 3x3 convolution in one: the 4x4 transposed convolution that they amount to.

    Less than half the multiplications, as four pixels that are equal need not be multiplied one by one.

    Example:
        >>> layer, maps = DoublingConv(3, 5), torch.randn(1, 3, 4, 6)
        >>> two_steps = F.conv2d(F.interpolate(maps, scale_factor=2), layer.weight, padding=1)
        >>> torch.allclose(layer(maps), two_steps, atol=1e-5)
        True
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, (B, C', 2H, 2W) out."""
        # Each value of the 4x4 kernel is a sum over 2x2 of the 3x3 one, which is 0 outside.
        kernel = F.avg_pool2d(self.weight.flip(2, 3), 2, stride=1, padding=1, divisor_override=1)
        return F.conv_transpose2d(input, kernel.transpose(0, 1), stride=2, padding=1)


class Noise(nn.Module):
    """Adds noise of a learned strength, 0 at the start, the same to all channels of a map.

    In training the noise is fresh (from PyTorch's default generator). In evaluation it is one fixed draw that belongs
    to the model, so that an image is a function of its latents alone and still has the grain that the discriminator
    was shown; to leave the noise out would smooth the images.
    """

    fixed: Tensor

    def __init__(self, sides: tuple[int, int]) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))
        self.register_buffer("fixed", torch.randn(1, 1, *sides))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, maps of the same shape out."""
        if not self.training:
            return maps + self.strength * self.fixed
        return maps + self.strength * drawn(
            lambda count: maps.new_empty(count, 1, *maps.shape[2:]).normal_(), len(maps)
        )


class Excitation(nn.Module):
    """Skip-layer excitation: a number in (0, 1) for each channel of one map, from another map of any other size.

    Example:
        >>> Excitation(8, 5)(torch.randn(2, 8, 4, 6)).shape
        torch.Size([2, 5, 1, 1])
    """

    def __init__(self, source: int, target: int, *, leaky: bool = False) -> None:
        super().__init__()
        self.squeeze, self.choose = ToPoint(source, target, 4, bias=False), ToPoint(target, target, 1, bias=False)
        self.activation = nn.LeakyReLU(0.2) if leaky else nn.SiLU()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, shares (B, C', 1, 1) out."""
        return self.choose(self.activation(self.squeeze(resized(maps, (4, 4), mode="area")))).sigmoid()


def doubling(before: int, after: int, noisy: tuple[int, int] | None = None) -> nn.Sequential:
    """Twice the sides, and a gated linear unit; with the sides after it, noise and a second convolution too."""
    grain = [] if noisy is None else [Noise(noisy)]
    layers = [DoublingConv(before, 2 * after), *grain, nn.BatchNorm2d(2 * after), nn.GLU(dim=1)]
    if noisy is not None:
        second = nn.Conv2d(after, 2 * after, 3, padding=1, bias=False)
        layers += [second, Noise(noisy), nn.BatchNorm2d(2 * after), nn.GLU(dim=1)]
    return nn.Sequential(*layers)


def halving(before: int, after: int, *, normalise: bool = True) -> nn.Sequential:
    """Half the sides by a 4x4 convolution."""
    norm = [nn.BatchNorm2d(after)] if normalise else []
    convolution = nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, *norm, nn.LeakyReLU(0.2, inplace=True))


class Unbounded(nn.Module):
    """Images as the last convolution gives them; cut off at [-1, 1] in evaluation, where they leave the package."""

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in and out."""
        return images if self.training else images.clamp(-1.0, 1.0)


class DownBlock(nn.Module):
    """Half the sides: the mean of a path that convolves twice and one that averages."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        end = nn.Sequential(nn.BatchNorm2d(after), nn.LeakyReLU(0.2, inplace=True))
        self.straight = nn.Sequential(*halving(before, after), second, *end)
        point = nn.Conv2d(before, after, 1, bias=False)
        self.averaged = nn.Sequential(nn.AvgPool2d(2), point, nn.BatchNorm2d(after), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, (B, C', H/2, W/2) out."""
        return (self.straight(maps) + self.averaged(maps)) / 2


def halvings(maps: list[int]) -> nn.Sequential:
    """Images through halvings of so many channels; the first is not normalised."""
    return nn.Sequential(
        *(halving(one, other, normalise=place > 0) for place, (one, other) in enumerate(pairwise(maps)))
    )


def stem(channels: int, wide: list[int]) -> tuple[nn.Sequential, int]:
    """The first layers of the discriminator, and the level of what they give: 256 pixels at most.

    Images up to 256 pixels keep their size; larger ones are halved.
    """
    count = len(wide) - 1
    if count <= 6:
        convolution = nn.Conv2d(channels, wide[count], 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.LeakyReLU(0.2, inplace=True)), count
    return halvings([channels, *wide[count - 1 : 5 : -1]]), 6


def small_path(channels: int, wide: list[int], level: int) -> nn.Sequential:
    """Images of a level to a map of level 1, each map half as wide as the full path's of that size."""
    if level == 1:
        convolution = nn.Conv2d(channels, wide[2], 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.LeakyReLU(0.2, inplace=True))
    return halvings([channels, *wide[level:1:-1]])


def head(before: int, hidden: int = 0) -> nn.Sequential:
    """A logit for each 4x4 patch of a map; with ``hidden`` features of each place before that."""
    layers: list[nn.Module] = []
    if hidden:
        norm = nn.BatchNorm2d(hidden)
        layers += [nn.Conv2d(before, hidden, 1, bias=False), norm, nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(hidden or before, 1, 4, bias=False))


def texture_head(before: int, hidden: int) -> nn.Sequential:
    """A logit for each place of a map, from 3x3 of them."""
    patches, judge = nn.Conv2d(before, hidden, 3, padding=1, bias=False), nn.Conv2d(hidden, 1, 1, bias=False)
    return nn.Sequential(patches, nn.BatchNorm2d(hidden), nn.LeakyReLU(0.2, inplace=True), judge)


def counting_alike(logits: list[Tensor]) -> Tensor:
    """Each head's logits (B, 1, h, w) as one (B, K), those of smaller maps repeated, so that no head outvotes another.

    Example:
        >>> counting_alike([torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 2, 2)]).tolist()
        [[0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]]
    """
    flat = [each.flatten(1) for each in logits]
    most = max(each.shape[1] for each in flat)
    return torch.cat([each.repeat(1, -(-most // each.shape[1]))[:, :most] for each in flat], dim=1)


def places_of(start: float, length: float, side: int) -> tuple[int, int]:
    """The first place, and how many, of a share of a map's side: one at least, and none beyond the end.

    Example:
        >>> places_of(0.5, 0.5, 16), places_of(0.95, 0.125, 16), places_of(0.3, 0.01, 4)
        ((8, 8), (14, 2), (1, 1))
    """
    many = max(round(length * side), 1)
    return min(round(start * side), side - many), many


def decoder(before: int, channels: int, *, width: int, doublings: int) -> nn.Sequential:
    """A small map back to the picture it shows, in [-1, 1], doubled up to four times."""
    maps = [before, *(channels_of(times, width) for times in (2.0, 1.0, 1.0, 0.5)[:doublings])]
    layers = [doubling(one, other) for one, other in pairwise(maps)]
    return nn.Sequential(*layers, nn.Conv2d(maps[-1], channels, 3, padding=1, bias=False), nn.Tanh())
