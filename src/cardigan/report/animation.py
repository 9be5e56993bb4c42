"""Frames played one after the other: an animated WebP or GIF, without a video library."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.report.grids import Pixels, enlarge, to_pillow, write_bytes

FORMATS = {".webp": "WEBP", ".gif": "GIF"}

Item = TypeVar("Item")

LOSSLESS_PIXELS = 256 * 256
"""Frames up to this many pixels are kept exactly: digits compress well, and blur shows most on them."""


def write(
    frames: Sequence[Pixels], path: str | Path, *, milliseconds: int = 150, hold_last: int = 2000, quality: int = 90
) -> Path:
    """Write an animation that loops for ever; WebP or GIF after the suffix. The file appears whole or not at all.

    WebP is the better one: a tenth of the size, and all colours. GIF is for places that know nothing else. Neighbours
    that are equal, or in a lossy WebP nearly so, may be stored as one longer frame: the timing stays as asked.

    Args:
        frames: uint8, each of the same shape (H, W, C), C from 1 to 4.
        path: ends in ``.webp`` or ``.gif``.
        milliseconds: how long each frame is shown.
        hold_last: how long the last one is shown, in milliseconds.
        quality: of WebP frames of more than 256 x 256 pixels, 0 to 100; larger is sharper. Smaller ones are lossless.

    Returns:
        The path.

    Raises:
        TypeError: if a frame is not uint8.
        CardiganError: if there are no frames, their shapes differ, or the suffix is another.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise CardiganError(f"An animation is a .webp or a .gif file, got {path.name!r}.")
    if len(frames) == 0:
        raise CardiganError("An animation needs at least one frame, got none.")
    if len(shapes := {frame.shape for frame in frames}) > 1:
        raise CardiganError(f"The frames of an animation share one shape, got {sorted(shapes)}.")
    pictures = [_prepare(frame, kind) for frame in frames]
    durations = [milliseconds] * (len(frames) - 1) + [hold_last]
    options: dict[str, Any] = {"duration": durations, "loop": 0}
    if kind == "WEBP":
        small = pictures[0].width * pictures[0].height <= LOSSLESS_PIXELS
        options |= {"lossless": small, "quality": 80 if small else quality, "method": 4}
    else:
        options |= {"disposal": 2} if pictures[0].mode == "RGBA" else {}
    buffer = io.BytesIO()
    pictures[0].save(buffer, format=kind, save_all=True, append_images=pictures[1:], **options)
    return write_bytes(buffer.getvalue(), path)


def thin(items: Sequence[Item], most: int) -> list[Item]:
    """At most ``most`` of the items, evenly spread, with the first and the last among them.

    Example:
        >>> thin(range(100), 4)
        [0, 33, 66, 99]
    """
    return [items[int(place)] for place in np.linspace(0, len(items) - 1, min(most, len(items))).round()]


def match(frames: Sequence[Pixels], *, side: int = 480) -> list[Pixels]:
    """Frames of one size, for a run whose images grew: pixels are repeated, never blended.

    Args:
        frames: uint8, each (H, W, C), with one number of channels.
        side: frames narrower than this are enlarged by a whole number, as far as fits.

    Returns:
        uint8, of one shape.
    """
    height, width = max((frame.shape[0], frame.shape[1]) for frame in frames)
    factor = max(1, side // width)
    matched = []
    for frame in frames:
        picture = to_pillow(frame).resize((width, height), Image.Resampling.NEAREST)
        matched.append(enlarge(np.asarray(picture, dtype=np.uint8).reshape(height, width, -1), factor))
    return matched


def _prepare(frame: Pixels, kind: str) -> Image.Image:
    picture = to_pillow(frame)
    if kind == "GIF" and picture.mode in ("L", "RGB"):
        return picture
    return picture.convert("RGBA" if picture.mode in ("LA", "RGBA") else "RGB")
