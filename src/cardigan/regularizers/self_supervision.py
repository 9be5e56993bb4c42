"""What a discriminator learns about images beside real or fake, so that few of them teach it more."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from cardigan.contracts import Player, Step
from cardigan.regularizers.likeness import pixels_and_slopes

Box = tuple[float, float, float, float]
"""Top, left, height and width of a part of an image, as shares of its sides."""


@dataclass(frozen=True)
class Reconstruction:
    """The discriminator must be able to draw again, from its own maps, the real images it was shown.

    Maps that hold the whole image cannot fasten on a few telling details, which is how a discriminator learns a hundred
    images by heart. The discriminator must have ``decode(maps, quadrant)``, a list of pictures with the box that each
    shows, and tell its maps in ``examine``; FastGAN's does.

    Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021.

    Args:
        weight: of the distances, summed over the pictures.
        distance: ``(pictures, targets) -> (B,)``, both (B, C, h, w) in [-1, 1].
        targets: how the real image is brought to a picture's size: ``"antialias"``, or ``"nearest"`` as in the
            published code, where it tells the decoders of stripes that are not there.

    Example:
        >>> Reconstruction(weight=1.0).player
        'discriminator'
    """

    weight: float = 1.0
    distance: Callable[[Tensor, Tensor], Tensor] = pixels_and_slopes
    targets: Literal["antialias", "nearest"] = "antialias"
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="reconstruction", init=False, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        assert step.shown is not None
        decode: Any = step.gan.discriminator.decode
        # Drawn on the host, whatever the default device, and once for the batch: all parts of it decode the same.
        quadrant = int(torch.randint(4, (), device="cpu"))
        pictures: list[tuple[Tensor, Box]] = decode(step.maps, quadrant)
        shown = step.shown.detach()
        distances = [self.distance(picture, self._target(shown, box, picture)) for picture, box in pictures]
        return self.weight * torch.stack(distances).sum(dim=0)

    def _target(self, images: Tensor, box: Box, picture: Tensor) -> Tensor:
        """What the picture should have shown, at its size."""
        rows, columns = images.shape[2:]
        top, left, height, width = box
        part = images[:, :, round(top * rows) : round((top + height) * rows)]
        part = part[:, :, :, round(left * columns) : round((left + width) * columns)]
        size = (picture.shape[2], picture.shape[3])
        if self.targets == "nearest":
            return F.interpolate(part, size=size)
        return F.interpolate(part, size=size, mode="bilinear", antialias=True)
