"""What a discriminator learns about images beside real or fake, so that few of them teach it more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan.checks import check_choice
from cardigan.contracts import GAN, Box, Player, Step
from cardigan.errors import CardiganError
from cardigan.pixels import resized
from cardigan.regularizers._term import WeightedTerm
from cardigan.regularizers.likeness import pixels_and_slopes

EIGHTH = 1 / 8
"""Of each side: the paper's part of a map."""


@dataclass(frozen=True)
class Reconstruction(WeightedTerm):
    """The discriminator must be able to draw again, from its own maps, the real images it was shown.

    Maps that hold the whole image cannot fasten on a few telling details, which is how a discriminator learns a hundred
    images by heart. The discriminator must have ``decode(maps, part)``, a list of pictures with the box that each
    shows, and tell its maps in ``examine``; FastGAN's does. One of the pictures may show no more than ``part``.

    Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021.

    Args:
        weight: of the distances, summed over the pictures.
        distance: ``(pictures, targets) -> (B,)``, both (B, C, h, w) in [-1, 1].
        targets: how the real image is brought to a picture's size: ``"antialias"``, or ``"nearest"`` as in the
            published code, where it tells the decoders of stripes that are not there.
        part: which part is asked for: a ``"quadrant"``, one of the four, as in the published code, or an ``"eighth"``
            of each side, anywhere, as in the paper.

    Raises:
        CardiganError: if ``targets`` or ``part`` is unknown; when a GAN is made with it, or when it is called, if the
            discriminator has no decoders.

    Example:
        >>> Reconstruction(weight=1.0)
        Reconstruction(weight=1.0, distance=pixels_and_slopes, targets='antialias', part='quadrant')
    """

    weight: float = 1.0
    distance: Callable[[Tensor, Tensor], Tensor] = pixels_and_slopes
    targets: Literal["antialias", "nearest"] = "antialias"
    part: Literal["quadrant", "eighth"] = "quadrant"
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="reconstruction", kw_only=True, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("targets", self.targets, ("antialias", "nearest"), of="Reconstruction")
        check_choice("part", self.part, ("quadrant", "eighth"), of="Reconstruction")
        if not callable(self.distance):
            raise CardiganError(
                f"Reconstruction: distance is {self.distance!r}, expected a function (pictures, targets) -> (B,). Type "
                f"distance=regularizers.pixels_and_slopes."
            )

    def check_gan(self, gan: GAN) -> None:
        """Refuse a discriminator without decoders."""
        decoding(gan.discriminator)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        assert step.shown is not None
        pictures = decoding(step.gan.discriminator)(step.maps, self._drawn())
        shown = step.shown.detach()
        distances = [self.distance(picture, self._target(shown, box, picture)) for picture, box in pictures]
        return self.weight * torch.stack(distances).sum(dim=0)

    def __repr__(self) -> str:
        distance = getattr(self.distance, "__name__", None) or repr(self.distance)  # a function's repr is an address
        return f"Reconstruction(weight={self.weight}, {distance=!s}, targets={self.targets!r}, part={self.part!r})"

    def _drawn(self) -> Box:
        """The part of a batch."""
        # Drawn on the host, whatever the default device, and once for the batch: all parts of it decode the same.
        if self.part == "quadrant":
            row, column = divmod(int(torch.randint(4, (), device="cpu")), 2)
            return row / 2, column / 2, 0.5, 0.5
        top, left = (torch.rand(2, device="cpu") * (1 - EIGHTH)).tolist()
        return top, left, EIGHTH, EIGHTH

    def _target(self, images: Tensor, box: Box, picture: Tensor) -> Tensor:
        """What the picture should have shown, at its size."""
        rows, columns = images.shape[2:]
        top, left, height, width = box
        part = images[:, :, round(top * rows) : round((top + height) * rows)]
        part = part[:, :, :, round(left * columns) : round((left + width) * columns)]
        size = (picture.shape[2], picture.shape[3])
        if self.targets == "nearest":
            return F.interpolate(part, size=size)
        return resized(part, size)


def decoding(discriminator: nn.Module) -> Callable[[Sequence[Tensor], Box], list[tuple[Tensor, Box]]]:
    """The discriminator's ``decode(maps, part)``.

    Raises:
        CardiganError: if it has none.
    """
    decode = getattr(discriminator, "decode", None)
    if decode is None:
        kind = f"{type(discriminator).__module__}.{type(discriminator).__name__}"
        raise CardiganError(
            f"Reconstruction has the discriminator draw images from its maps, and {kind} has no decode(). Take "
            f"models.fastgan.Discriminator(decoders=True), or leave the term out."
        )
    return decode
