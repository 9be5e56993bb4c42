"""The one way in which images are brought to a network's size before they are judged.

Resizing alone moves a Fréchet distance by more than most papers' progress, so there is a single path and it has a name:
Pillow's bicubic filter, which widens with the scale, on each channel in floating point, and never rounded to whole
pixels again.

Source: *On Aliased Resizing and Surprising Subtleties in GAN Evaluation*, Parmar, Zhang and Zhu, 2022.
"""

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from cardigan.features import with_channels
from cardigan.pixels import to_float

RESIZER = "Pillow bicubic (float, antialiased, clipped, not rounded; version 1)"
"""What is told of this path with every score. Raise the version when it would give other numbers."""
CHANNELS = {
    1: "colours as luma, transparent parts over middle grey",
    2: "colours as luma, alpha kept",
    3: "grey repeated for each colour, transparent parts over middle grey",
    4: "grey repeated for each colour, alpha kept",
}
"""What :func:`prepared` does to images whose channels are not the ones a network reads, by how many those are."""


def resized(images: npt.NDArray[np.uint8], size: int | tuple[int, int]) -> npt.NDArray[np.float32]:
    """Images at another size, in the range of networks.

    Args:
        images: uint8 (N, H, W, C).
        size: (height, width) in pixels, or the side of a square; the proportions are not kept.

    Returns:
        float32 (N, C, height, width) in [-1, 1]; what the filter overshoots is clipped.

    Raises:
        TypeError: if the images are not uint8.

    Example:
        >>> stripes = np.zeros((1, 64, 64, 1), np.uint8)
        >>> stripes[:, :, ::8] = 255
        >>> small = resized(stripes, 8)
        >>> small.shape, round(float(small[0, 0, 4, 4] + 1) * 127.5, 3)
        ((1, 1, 8, 8), 31.875)
    """
    return _filtered(to_float(torch.from_numpy(np.ascontiguousarray(images))), size).numpy()


def prepared(images: npt.NDArray[np.uint8], *, channels: int, size: int | tuple[int, int] | None = None) -> Tensor:
    """Images as a network reads them. Channels are changed first: what is transparent must not bleed while resizing.

    Args:
        images: uint8 (N, H, W, C) with 1 to 4 channels.
        channels: what the network reads, see :data:`CHANNELS`.
        size: as of :func:`resized`; None leaves the size as it is.

    Returns:
        float32 (N, channels, height, width) in [-1, 1], on the CPU.

    Example:
        >>> clear = np.array([255, 0], np.uint8).reshape(1, 1, 1, 2)
        >>> prepared(clear, channels=3).flatten().tolist()
        [0.0, 0.0, 0.0]
    """
    pixels = with_channels(to_float(torch.from_numpy(np.ascontiguousarray(images))), channels)
    return pixels if size is None else _filtered(pixels, size)


def _filtered(pixels: Tensor, size: int | tuple[int, int]) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    count, channels = pixels.shape[:2]
    found = np.empty((count * channels, height, width), np.float32)
    for place, plane in enumerate(pixels.reshape(-1, *pixels.shape[2:]).numpy()):
        found[place] = np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
    return torch.from_numpy(found.clip(-1.0, 1.0).reshape(count, channels, height, width))
