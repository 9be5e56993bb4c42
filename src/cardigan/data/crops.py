"""One large image, cut into crops when a size is asked for."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cardigan.data.decode import BadImage, Pixels, Size, decode
from cardigan.data.items import Item, Source
from cardigan.data.options import DataSettings
from cardigan.data.words import counted, printable
from cardigan.errors import CardiganError

SMALLEST = 16
"""Side of the smallest crops that networks of convolutions are made for."""
CROPS = 2000
"""Crops that are cut from one large image."""


def large_image(path: Path) -> Source:
    """One large image; its crops are cut when a size is asked for."""

    def crops(size: Size | None, settings: DataSettings) -> Source:
        name = printable(str(path))
        try:
            content = path.read_bytes()
            pixels = decode(content, settings, any_shape=True).pixels
        except (BadImage, OSError) as problem:
            raise CardiganError(
                f"{name} cannot be used: {problem}. Expected one whole image to cut crops from."
            ) from None
        high, wide = pixels.shape[:2]
        height, width = size or (min(256, 1 << (min(high, wide) // 2).bit_length() - 1),) * 2
        if high < 2 * height or wide < 2 * width:
            largest = 1 << max(min(high, wide) // 2, 1).bit_length() - 1
            raise CardiganError(
                f"{name} is {high}x{wide}; crops of {height}x{width} need an image of at least {2 * height}x"
                f"{2 * width}. "
                + (f"Type a smaller size: --size {largest}, or give" if largest >= SMALLEST else "Give")
                + " a folder of images."
            )
        across = wide - width + 1
        places = (high - height + 1) * across
        chosen = np.random.default_rng(0).choice(places, size=min(CROPS, places), replace=False)
        items = tuple(
            Item(f"{name} at ({top}, {left})", partial(_crop, pixels, top, left, height, width))
            for top, left in ((int(place) // across, int(place) % across) for place in chosen)
        )
        return replace(
            source,
            description=f"one image of {high}x{wide}, cut into {counted(len(items), 'crop')} of {height}x{width}",
            items=items,
            key=f"{hashlib.sha256(content).hexdigest()} crops {height}x{width} {len(items)}",
            remarks=()
            if settings.fit == "cut"
            else ("The crops overlap: none of them can be held out to test for copying.",),
            crops=None,
        )

    source = Source(str(path), "one large image, cut into crops", (), key="", crops=crops)
    return source


def _crop(pixels: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    return pixels[top : top + height, left : left + width]
