"""Fitting: one image brought to another size, or cut into pieces of it."""

import numpy as np
from PIL import Image

from cardigan.data.decode import Pixels, Size
from cardigan.data.options import DEFAULTS, DataSettings


def fitted(pixels: Pixels, size: Size, settings: DataSettings = DEFAULTS) -> Pixels:
    """One image at another size; the very same pixels if it has that size.

    Args:
        pixels: uint8 (h, w, C).
        size: (height, width) that is wanted.
        settings: ``fit`` and ``background`` are read.

    Returns:
        uint8 (height, width, C), filtered with Lanczos over all pixels that fall together.

    Example:
        >>> fitted(np.zeros((8, 12, 3), np.uint8), (4, 4)).shape
        (4, 4, 3)
    """
    high, wide, channels = pixels.shape
    height, width = size
    if settings.fit == "crop":
        scale = min(high / height, wide / width)
        high, wide = min(high, max(1, round(height * scale))), min(wide, max(1, round(width * scale)))
        top, left = (pixels.shape[0] - high) // 2, (pixels.shape[1] - wide) // 2
        pixels = pixels[top : top + high, left : left + wide]
    elif settings.fit == "pad" and high * width != wide * height:
        scale = min(height / high, width / wide)
        inner = max(1, round(high * scale)), max(1, round(wide * scale))
        grey = round(float(np.dot(settings.colour, (0.299, 0.587, 0.114))))
        fill = {1: (grey,), 2: (grey, 0), 3: settings.colour, 4: (*settings.colour, 0)}[channels]
        canvas = np.full((height, width, channels), fill, np.uint8)
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        canvas[top : top + inner[0], left : left + inner[1]] = _resized(pixels, inner)
        return canvas
    return _resized(pixels, size)


def pieces(pixels: Pixels, size: Size, *, most: int) -> Pixels:
    """One image cut into overlapping pieces at its own resolution, evenly spread, each half over its neighbours.

    Args:
        pixels: uint8 (h, w, C).
        size: (height, width) of a piece.
        most: where there would be more, so many are chosen among them.

    Returns:
        uint8 (K, height, width, C); no piece at all if the image is smaller than one.

    Example:
        >>> pieces(np.zeros((64, 100, 3), np.uint8), (64, 64), most=10).shape
        (3, 64, 64, 3)
    """
    (high, wide), (height, width) = pixels.shape[:2], size
    if high < height or wide < width:
        return np.zeros((0, height, width, pixels.shape[2]), np.uint8)
    places = [(top, left) for top in _spread(high, height) for left in _spread(wide, width)]
    if len(places) > most:
        chosen = np.random.default_rng(0).choice(len(places), size=most, replace=False)
        places = [places[place] for place in np.sort(chosen)]
    return np.stack([pixels[top : top + height, left : left + width] for top, left in places])


def _spread(whole: int, part: int) -> list[int]:
    """Where parts begin that cover the whole, each half over the next."""
    count = 1 + -(-(whole - part) // max(part // 2, 1))
    return [round(place * (whole - part) / max(count - 1, 1)) for place in range(count)]


def _resized(pixels: Pixels, size: Size) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    # Pillow's filters widen with the scale, so nothing aliases, and weigh colours by their alpha.
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))
    return resized.reshape(*size, -1)
