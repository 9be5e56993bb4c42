"""How like the true image the generator's is: terms for generators whose answer is known, as in restoration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from cardigan.contracts import GAN, Player, Step
from cardigan.errors import CardiganError
from cardigan.regularizers._term import WeightedTerm
from cardigan.share import mean


def pixels_and_slopes(mine: Tensor, true: Tensor, *, scales: int = 3) -> Tensor:
    """How far apart two images are in their pixels and in the slopes between neighbours, fine and coarse.

    The mean absolute difference of pixels, plus that of both slopes, averaged over ``scales`` scales, each half as
    large as the one before. Slopes are edges: pixels alone would be content with blur.

    Source: the gradient difference is from *Deep Multi-Scale Video Prediction beyond Mean Square Error*, Mathieu,
    Couprie and LeCun, 2016.

    Args:
        mine: (B, C, H, W) in [-1, 1]; along a side of one pixel there is no slope, and none counts.
        true: likewise.
        scales: how many, fewer on images that cannot be halved so often.

    Returns:
        One value per image, (B,), between 0 and 10.

    Example:
        >>> pixels_and_slopes(torch.zeros(2, 3, 8, 8), torch.ones(2, 3, 8, 8))
        tensor([1., 1.])
    """
    difference, distances = mine - true, []
    for _ in range(scales):
        rows, columns = difference.diff(dim=2), difference.diff(dim=3)
        parts = [part for part in (difference, rows, columns) if 0 not in part.shape[2:]]  # one pixel has no slope
        distances.append(torch.stack([part.abs().mean(dim=(1, 2, 3)) for part in parts]).sum(dim=0))
        if min(difference.shape[2:]) < 4:
            break
        difference = F.avg_pool2d(difference, 2)
    return torch.stack(distances).mean(dim=0)


@dataclass(frozen=True)
class Content(WeightedTerm):
    """The mean absolute difference between what the generator made of its source and the true image.

    For generators that start from an image whose answer is known: restoration, colouring.

    Source: *Image-to-Image Translation with Conditional Adversarial Networks*, Isola et al., 2017.

    Args:
        weight: of the difference, which lies between 0 and 2.
    """

    weight: float = 1.0
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="content", kw_only=True, repr=False)
    player: Player = field(default="generator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        return self.weight * (step.fake - step.real).abs().flatten(1).mean(dim=1)


Features = Callable[[Tensor], Tensor | Sequence[Tensor]]
"""Images (B, C, H, W) in [-1, 1] to maps (B, F, h, w), or to a sequence of them from several depths."""


def perceptual(features: Features) -> Callable[[Tensor, Tensor], Tensor]:
    """A distance of images, as another network sees them, place by place: one value per image, (B,), from 0 to 4.

    At each place and depth the features are brought to unit length; their squared difference is averaged over places,
    then over depths. No gradient flows into the second image.

    Source: *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, Zhang et al., 2018, without its
    fitted weights.

    Example:
        >>> distance = perceptual(torch.nn.Conv2d(3, 8, 3))
        >>> images = torch.rand(2, 3, 8, 8)
        >>> distance(images, images).tolist()
        [0.0, 0.0]
    """
    return _Distance(features)


@dataclass(frozen=True)
class _Distance:
    """A function that tells records which network it looks through."""

    features: Features

    def __call__(self, mine: Tensor, true: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.features(true)
        depths = [[maps] if isinstance(maps, Tensor) else maps for maps in (self.features(mine), wanted)]
        distances = [
            (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square().sum(dim=1).flatten(1).mean(dim=1)
            for one, other in zip(*depths, strict=True)
        ]
        return torch.stack(distances).mean(dim=0)

    def __repr__(self) -> str:
        return f"perceptual({self.features!r})"


@dataclass(frozen=True)
class Perceptual(WeightedTerm):
    """How far apart the generator's image and the true one are for another network: see :func:`perceptual`.

    Args:
        features: is neither trained nor moved: put it on the device that trains, in evaluation mode.
        weight: of the distance.

    Raises:
        CardiganError: if ``features`` cannot be called.

    Example:
        >>> Perceptual(torch.nn.Conv2d(3, 8, 3), weight=0.5).name
        'perceptual'
    """

    features: Features
    weight: float = 1.0
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="perceptual", kw_only=True, repr=False)
    player: Player = field(default="generator", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.features):
            raise CardiganError(
                f"Perceptual: features is {self.features!r}, expected a network, images (B, C, H, W) to maps. Type "
                f"Perceptual(features.load(NAME))."
            )

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        return self.weight * perceptual(self.features)(step.fake, step.real)


@dataclass(frozen=True)
class Matching(WeightedTerm):
    """How far apart the generator's image and the true one are for the discriminator itself, at each of its levels.

    A perceptual loss that needs no other network: what the discriminator looks at, the generator is told to get right
    in place. Each level counts alike, whatever the scale of its maps. The discriminator must have
    ``features(images) -> list of maps``.

    Source: *High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs*, Wang et al., 2018; first
    in *Autoencoding beyond pixels using a learned similarity metric*, Larsen et al., 2016.

    Args:
        weight: of the mean absolute difference, measured in the mean size of the true image's features.

    Raises:
        CardiganError: when a GAN is made with it, if the discriminator has no ``features``.
    """

    weight: float = 0.1
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="matching", kw_only=True, repr=False)
    player: Player = field(default="generator", init=False, repr=False)

    def check_gan(self, gan: GAN) -> None:
        """Refuse a discriminator without ``features``."""
        if not callable(getattr(gan.discriminator, "features", None)):
            kind = f"{type(gan.discriminator).__module__}.{type(gan.discriminator).__name__}"
            raise CardiganError(
                f"Matching compares features of the discriminator, and {kind} has no features(images). Take "
                f"models.unet.Discriminator, or leave the term out."
            )

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        features: Callable[[Tensor], list[Tensor]] = step.gan.discriminator.features  # pyright: ignore
        with torch.no_grad():
            true = features(step.real)
        distances = [
            (mine - theirs).abs().flatten(1).mean(dim=1) / mean(theirs.abs().mean()).clamp(min=1e-6)
            for mine, theirs in zip(features(step.fake), true, strict=True)
        ]
        return self.weight * torch.stack(distances).mean(dim=0)
