"""Differentiable augmentation: what real and fake images alike pass through on the way to the discriminator.

A discriminator that sees each image changed a little each time cannot learn the few images it has by heart, and since
the fakes are changed in the same way and gradients flow through, the generator does not learn the changes.

Source: *Differentiable Augmentation for Data-Efficient GAN Training*, Zhao et al., 2020.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cardigan.discovery import suggestion
from cardigan.errors import CardiganError


def _each(images: Tensor, low: float, high: float) -> Tensor:
    """One uniform number per image, shaped to be broadcast over it."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)


def color(images: Tensor) -> Tensor:
    """Brightness, saturation and contrast. Alpha (the last of 2 or 4 channels) is left alone."""
    colors = 1 if images.shape[1] <= 2 else 3
    changed = images[:, :colors] + _each(images, -0.5, 0.5)
    if colors == 3:
        grey = changed.mean(dim=1, keepdim=True)
        changed = grey + (changed - grey) * _each(images, 0.0, 2.0)
    mean = changed.mean(dim=(1, 2, 3), keepdim=True)
    changed = mean + (changed - mean) * _each(images, 0.5, 1.5)
    return torch.cat([changed, images[:, colors:]], dim=1)


def translation(images: Tensor) -> Tensor:
    """Shift by up to an eighth of each side; what comes in from outside is 0, the middle of the range."""
    batch, _, height, width = images.shape
    rows = _shifted(batch, height, images.device)
    columns = _shifted(batch, width, images.device)
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    picture = torch.arange(batch, device=images.device)[:, None, None]
    return padded.movedim(1, 3)[picture, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def _shifted(batch: int, side: int, device: torch.device) -> Tensor:
    """For each image, the places along one side of the image padded by one that a shift reads, (B, side)."""
    most = max(side // 8, 1)
    shift = torch.randint(-most, most + 1, (batch, 1), device=device)
    return (torch.arange(side, device=device)[None] + shift + 1).clamp(0, side + 1)


def cutout(images: Tensor) -> Tensor:
    """Blank a square of half the sides, anywhere, also partly outside."""
    batch, _, height, width = images.shape
    rows = _around_one(batch, height, images.device)
    columns = _around_one(batch, width, images.device)
    inside = rows[:, :, None] & columns[:, None, :]
    return images * (~inside)[:, None].to(images.dtype)


def _around_one(batch: int, side: int, device: torch.device) -> Tensor:
    """For each image, which places along one side lie within a quarter of it around a place of its own, (B, side)."""
    away = torch.arange(side, device=device)[None] - torch.randint(0, side + 1, (batch, 1), device=device)
    # Half open: closed or open at both ends would blank one more or one less than half of an even side.
    return (away >= -side / 4) & (away < side / 4)


def flip(images: Tensor) -> Tensor:
    """Mirror left and right, half of the time."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(3), images)


POLICIES: dict[str, Callable[[Tensor], Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
    "flip": flip,
}


@dataclass(frozen=True)
class DiffAugment:
    """Policies applied one after the other, to every image independently.

    Args:
        policies: names, in the order of their action.
    """

    policies: tuple[str, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in, images of the same shape out."""
        for name in self.policies:
            images = POLICIES[name](images)
        return images


def diffaugment(*policies: str) -> DiffAugment:
    """An augmentation from the names of its policies: color, translation, cutout, flip.

    Raises:
        CardiganError: if a name is unknown.

    Example:
        >>> diffaugment("color", "translation")(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 3, 16, 16])
    """
    for name in policies:
        if name not in POLICIES:
            raise CardiganError(
                f"There is no augmentation {name!r}.{suggestion(name, list(POLICIES))} Known: {', '.join(POLICIES)}."
            )
    return DiffAugment(policies)
