"""What can be done to an image: pure functions of images (B, C, H, W) in [-1, 1], of 1 to 4 channels.

Each draws for every image anew from torch's default generators, and can be differentiated twice, as penalties on
gradients must. Alpha, the last of 2 or 4 channels, moves and is blanked with the picture; only :func:`color` leaves it
alone.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cardigan.share import drawn


def _each(images: Tensor, low: float, high: float) -> Tensor:
    """One uniform number per image, shaped to be broadcast over it."""
    numbers = drawn(lambda count: torch.empty(count, 1, 1, 1, device=images.device).uniform_(low, high), len(images))
    return numbers.to(images.dtype)


def chosen(images: Tensor, probability: Tensor | float) -> Tensor:
    """For each image, whether it is drawn, (B, 1, 1, 1)."""
    return drawn(lambda count: torch.rand(count, 1, 1, 1, device=images.device), len(images)) < probability


def color(images: Tensor) -> Tensor:
    """Brightness, saturation and contrast. Alpha (the last of 2 or 4 channels) is left alone."""
    colors = 1 if images.shape[1] <= 2 else 3
    changed = images[:, :colors] + _each(images, -0.5, 0.5)
    if colors == 3:
        grey = changed.mean(dim=1, keepdim=True)
        changed = torch.lerp(grey, changed, _each(images, 0.0, 2.0))
    mean = changed.mean(dim=(1, 2, 3), keepdim=True)
    changed = torch.lerp(mean, changed, _each(images, 0.5, 1.5))
    return torch.cat([changed, images[:, colors:]], dim=1)


def translation(images: Tensor) -> Tensor:
    """Shift by up to an eighth of each side; what comes in from outside is 0, the middle of the range.

    By whole pixels below sides of 64, from there on by multiples of 2, from 128 on of 4, and so on: the shifts of an
    image are those of its half, doubled. See :func:`_shifted`.

    Example:
        >>> shrunk = torch.nn.functional.avg_pool2d(translation(torch.ones(100, 1, 64, 64)), 2)
        >>> shrunk.unique().tolist()
        [0.0, 1.0]
    """
    batch, _, height, width = images.shape
    rows = _shifted(batch, height, images.device)
    columns = _shifted(batch, width, images.device)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    picture = torch.arange(batch, device=images.device)[:, None, None]
    return padded.movedim(1, 3)[picture, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def _shifted(batch: int, side: int, device: torch.device) -> Tensor:
    """For each image, the places along one side of the image padded by one that a shift reads, (B, side)."""
    # A discriminator that judges two scales sees real images shrunk after their shift, and a generator's own small ones
    # shifted as they are. A shift by half a small pixel would leave a border at half its value on real images only,
    # which no generator can imitate. So the unit grows with the side: both are shifted alike, and by whole pixels.
    unit = _unit(side)
    most = max(side // 8 // unit, 1)
    shift = unit * drawn(lambda count: torch.randint(-most, most + 1, (count, 1), device=device), batch)
    return (torch.arange(1, side + 1, device=device)[None] + shift).clamp(0, side + 1)


def _unit(side: int) -> int:
    """The steps, in pixels, in which borders move along a side."""
    return 2 ** max((side // 32).bit_length() - 1, 0)


def cutout(images: Tensor) -> Tensor:
    """Blank a square of half the sides, anywhere, also partly outside; in the steps of :func:`translation`.

    Example:
        >>> torch.nn.functional.avg_pool2d(cutout(torch.ones(100, 1, 64, 64)), 2).unique().tolist()
        [0.0, 1.0]
    """
    batch, _, height, width = images.shape
    rows = _around_one(batch, height, images.device)
    columns = _around_one(batch, width, images.device)
    inside = rows[:, :, None] & columns[:, None, :]
    return images * (~inside)[:, None].to(images.dtype)


def _around_one(batch: int, side: int, device: torch.device) -> Tensor:
    """For each image, which places along one side lie within a quarter of it around a place of its own, (B, side)."""
    unit = _unit(side)
    middles = unit * drawn(lambda count: torch.randint(0, side // unit + 1, (count, 1), device=device), batch)
    away = torch.arange(side, device=device)[None] - middles
    # Half open: closed or open at both ends would blank one more or one less than half of an even side.
    return (away >= -side / 4) & (away < side / 4)


def flip(images: Tensor) -> Tensor:
    """Mirror left and right, half of the time."""
    return torch.where(chosen(images, 0.5), images.flip(3), images)


def rotation(images: Tensor) -> Tensor:
    """Turn by 0, 90, 180 or 270 degrees, each a quarter of the time; images that are not square by 0 or 180.

    A generator whose images are all turned cannot learn which way is up: for pictures without an up, or under
    :func:`adaptive`, which leaves more of them upright.
    """
    images = torch.where(chosen(images, 0.5), images.flip((2, 3)), images)
    if images.shape[2] != images.shape[3]:
        return images
    return torch.where(chosen(images, 0.5), images.rot90(1, (2, 3)), images)


def scaling(images: Tensor) -> Tensor:
    """Zoom about the middle by a factor of 0.8 to 1.25, as often in as out; what comes in from outside is 0.

    Bilinear, without smoothing. Its borders fall between pixels, so a discriminator that judges two scales of what a
    generator draws could tell real images by them: leave it out there.
    """
    return _zoomed(images, _each(images, -math.log(1.25), math.log(1.25)).float().exp())


def _zoomed(images: Tensor, factor: Tensor) -> Tensor:
    """Images zoomed by a factor each, (B, 1, 1, 1).

    As products with one matrix for each side and not by ``grid_sample``, which before torch 2.13 cannot be
    differentiated twice, as penalties on gradients must.
    """
    rows, columns = (_interpolation(side, factor).to(images.dtype) for side in images.shape[2:])
    return rows @ images @ columns.mT


def _interpolation(side: int, factor: Tensor) -> Tensor:
    """The weights, (B, 1, side, side), with which each new place along a side reads the old ones."""
    places = torch.arange(side, device=factor.device, dtype=factor.dtype)
    middle = (side - 1) / 2
    read = (places[:, None] - middle) / factor + middle
    return (1 - (read - places).abs()).clamp(min=0)


Policy = Callable[[Tensor], Tensor]
"""Images (B, C, H, W) in, images of the same shape out."""

POLICIES: dict[str, Policy] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
    "flip": flip,
    "rotation": rotation,
    "scaling": scaling,
}
