"""Policies put together, by their names."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cardigan.augment.policies import POLICIES, Policy, chosen
from cardigan.checks import check
from cardigan.discovery import suggestion
from cardigan.errors import CardiganError


@dataclass(frozen=True)
class DiffAugment:
    """Policies applied one after the other, to every image independently.

    Args:
        policies: names, in the order of their action.

    Raises:
        CardiganError: if a name is unknown.
    """

    policies: tuple[str, ...]

    def __post_init__(self) -> None:
        known(self.policies)

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in, images of the same shape out."""
        for name in self.policies:
            images = POLICIES[name](images)
        return images


def diffaugment(*policies: str) -> DiffAugment:
    """An augmentation from the names of its policies: color, translation, cutout, flip, rotation, scaling.

    Raises:
        CardiganError: if a name is unknown.

    Example:
        >>> diffaugment("color", "translation")(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 3, 16, 16])
    """
    return DiffAugment(policies)


def known(policies: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if all are policies.

    Raises:
        CardiganError: if one is not; the message names the nearest and lists all.
    """
    for name in policies:
        if name not in POLICIES:
            raise CardiganError(
                f"There is no augmentation {name!r}.{suggestion(name, list(POLICIES))} Known: {', '.join(POLICIES)}."
            )
    return policies


def sometimes(policy: Policy, images: Tensor, probability: Tensor | float) -> Tensor:
    """The policy applied to each image with a probability, by a draw of its own; the other images are left alone.

    Args:
        policy: what to apply.
        images: (B, C, H, W).
        probability: from 0 to 1; a tensor () stays on its device.

    Raises:
        CardiganError: if a number is not a probability. A tensor is not looked at: that would stall a GPU.

    Example:
        >>> sometimes(POLICIES["color"], torch.zeros(2, 1, 1, 1), 0.0).flatten()
        tensor([0., 0.])
    """
    if not isinstance(probability, Tensor):
        check("probability", probability, lambda value: 0 <= value <= 1, "a number from 0 to 1", "0.5")
    return torch.where(chosen(images, probability), policy(images), images)
