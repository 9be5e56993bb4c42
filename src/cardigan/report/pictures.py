"""Pictures as a page embeds them."""

import base64
from dataclasses import dataclass

from cardigan.report.grids import Pixels, encode_webp, grid

PIXELATED_BELOW = 64


@dataclass(frozen=True)
class Picture:
    """An image as the page embeds it: a data URI, its size in pixels, and the width it should not exceed."""

    uri: str
    width: int
    height: int
    widest: int
    pixelated: bool
    label: str = ""


def embed(sheet: Pixels, *, widest: int, pixelated: bool, quality: int | None = None, label: str = "") -> Picture:
    """A sheet, uint8 (H, W, C), as a data URI.

    Args:
        sheet: the image.
        widest: the width in CSS pixels that it should not exceed.
        pixelated: shown in squares where it is enlarged, instead of smoothly.
        quality: 0 to 100; None keeps every pixel exactly.
        label: what it shows.

    Example:
        >>> import numpy as np
        >>> embed(np.zeros((4, 6, 3), dtype=np.uint8), widest=60, pixelated=True).width
        6
    """
    uri = "data:image/webp;base64," + base64.b64encode(encode_webp(sheet, quality=quality)).decode()
    return Picture(uri, sheet.shape[1], sheet.shape[0], widest, pixelated, label)


def lay_out(images: Pixels, columns: int) -> Pixels:
    """A grid with transparent gaps, which the page's own background shows through, dark or light.

    Example:
        >>> import numpy as np
        >>> lay_out(np.zeros((4, 24, 24, 3), dtype=np.uint8), 2).shape
        (49, 49, 4)
    """
    return grid(images, columns=columns, background=None, padding=max(1, images.shape[2] // 24))
