"""The game of FastGAN's recipes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from cardigan import features as extractors
from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import fastgan
from cardigan.recipes._augmentation import Kind, augment_of

POLICIES = ("color", "translation")
HORIZON = 50_000
"""Images in which an adaptive probability may go from 0 to 1: a tenth of the paper's, for few images are soon known."""


def game(
    shape: dict[str, Any],
    *,
    latent: int,
    excitation: bool,
    reconstruction: float,
    features: str,
    augmentation: Kind,
    texture: bool = False,
    spectral: bool = True,
) -> GAN:
    """Both networks at two scales, hinge, and decoders on real images.

    Args:
        shape: of both networks: size, channels, classes and width.
        latent: length of the latents.
        excitation: whether maps choose the channels of other maps.
        reconstruction: weight of the decoders' loss; 0 leaves them out.
        features: names a network by which the decoders are judged, as :func:`cardigan.features.load` reads it; pixels
            and slopes if empty.
        augmentation: its kind.
        texture: a third head for small patches.
        spectral: spectral norm on both networks.
    """
    terms = (regularizers.Reconstruction(reconstruction, distance(features)),) if reconstruction else ()
    common: dict[str, Any] = {**shape, "excitation": excitation, "spectral": spectral}
    return GAN(
        generator=fastgan.Generator(**common, latent=latent, two_scales=True),
        discriminator=fastgan.Discriminator(**common, decoders=bool(terms), texture=texture),
        objective=objectives.hinge(),
        terms=terms,
        augment=augment_of(augmentation, *POLICIES, horizon=HORIZON),
    )


def distance(features: str) -> Callable[[Tensor, Tensor], Tensor]:
    """How far a decoded picture is from the image: as a network sees it, or by pixels and slopes."""
    return regularizers.perceptual(extractors.load(features)) if features else regularizers.pixels_and_slopes
