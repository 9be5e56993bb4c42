"""Images laid out as one image, and written as PNG or WebP.

Nothing here changes the value of a pixel: what a grid shows is what the generator drew. uint8 in, uint8 out.
"""

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cardigan.errors import CardiganError

Pixels = NDArray[np.uint8]

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def grid(
    images: Pixels, *, columns: int | None = None, padding: int = 2, background: int | Sequence[int] | None = 255
) -> Pixels:
    """Lay images out in rows, left to right and top to bottom.

    Args:
        images: uint8, shape (N, H, W, C), C from 1 to 4.
        columns: images in a row; None picks a tidy, nearly square layout.
        padding: pixels between neighbours. There is none around the outside.
        background: the value of the gaps and of cells left empty: one for all channels, or one per channel.
            None leaves them transparent, and gives images without alpha an opaque one: a page then shows through.

    Returns:
        uint8, shape (rows * (H + padding) - padding, columns * (W + padding) - padding, C);
        one channel more where a background of None adds it.

    Raises:
        TypeError: if the images are not uint8.
        CardiganError: if there are no images, or the shape or the number of columns cannot work.

    Example:
        >>> grid(np.zeros((6, 4, 4, 3), dtype=np.uint8), padding=1).shape
        (9, 14, 3)
    """
    _check(images, rank=4)
    if background is None and images.shape[-1] in (1, 3):
        images = np.concatenate([images, np.full_like(images[..., :1], 255)], axis=-1)
    count, height, width, channels = images.shape
    columns = tidy_columns(count) if columns is None else columns
    if columns < 1 or padding < 0:
        raise CardiganError(f"A grid needs columns of 1 or more and padding of 0 or more, got {columns} and {padding}.")
    rows = math.ceil(count / columns)
    cells = np.empty((rows, height + padding, columns, width + padding, channels), dtype=np.uint8)
    cells[:] = 0 if background is None else background
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        cells[row, :height, column, :width] = image
    sheet = cells.reshape(rows * (height + padding), columns * (width + padding), channels)
    return np.ascontiguousarray(sheet[: sheet.shape[0] - padding, : sheet.shape[1] - padding])


def tidy_columns(count: int) -> int:
    """How many columns suit ``count`` images: nearly square, and without a ragged last row where that is possible.

    Example:
        >>> [tidy_columns(count) for count in (1, 6, 7, 10, 32, 64)]
        [1, 3, 3, 5, 8, 8]
    """
    square = max(1, math.ceil(math.sqrt(count)))
    return next((columns for columns in range(square, 2 * square) if count % columns == 0), square)


def enlarge(image: Pixels, factor: int, *, method: Literal["nearest", "smooth"] = "nearest") -> Pixels:
    """Enlarge an image by a whole number, so that 16-pixel digits can be seen on a phone.

    Args:
        image: uint8, shape (H, W, C).
        factor: how many times larger each side becomes; 1 changes nothing.
        method: ``"nearest"`` repeats pixels and keeps their values; ``"smooth"`` interpolates (bicubic).

    Returns:
        uint8, shape (H * factor, W * factor, C).

    Raises:
        TypeError: if the image is not uint8.
        CardiganError: if the factor is below 1, or the shape cannot be an image.

    Example:
        >>> enlarge(np.array([[[0], [9]]], dtype=np.uint8), 2)[..., 0].tolist()
        [[0, 0, 9, 9], [0, 0, 9, 9]]
    """
    _check(image, rank=3)
    if factor < 1:
        raise CardiganError(f"An image is enlarged by a whole number of 1 or more, got {factor}.")
    if method == "nearest":
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width, channels = image.shape
    larger = to_pillow(image).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    return np.asarray(larger, dtype=np.uint8).reshape(height * factor, width * factor, channels)


def reduce(image: Pixels, *, side: int) -> Pixels:
    """An image, uint8 (H, W, C), made so small that neither side exceeds ``side``; a smaller one stays as it is.

    Example:
        >>> reduce(np.zeros((40, 80, 3), dtype=np.uint8), side=20).shape
        (10, 20, 3)
    """
    height, width, channels = image.shape
    if max(height, width) <= side:
        return image
    share = side / max(height, width)
    small = to_pillow(image).resize((max(1, round(width * share)), max(1, round(height * share))), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8).reshape(small.height, small.width, channels)


def encode_png(image: Pixels, *, scale: int = 1) -> bytes:
    """The bytes of a PNG file: grey, grey with alpha, RGB or RGBA after the number of channels.

    Args:
        image: uint8, shape (H, W, C), C from 1 to 4.
        scale: enlarge by this whole number first, repeating pixels.

    Example:
        >>> encode_png(np.zeros((4, 4, 1), dtype=np.uint8))[1:4]
        b'PNG'
    """
    buffer = io.BytesIO()
    to_pillow(enlarge(image, scale)).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def encode_webp(image: Pixels, *, quality: int | None = None) -> bytes:
    """The bytes of a WebP file: RGB, or RGBA where the image has alpha. Grey is stored as RGB.

    Args:
        image: uint8, shape (H, W, C), C from 1 to 4.
        quality: 0 to 100, larger is sharper; None keeps every pixel exactly.

    Example:
        >>> encode_webp(np.zeros((4, 4, 1), dtype=np.uint8))[8:12]
        b'WEBP'
    """
    buffer = io.BytesIO()
    picture = to_pillow(image).convert("RGBA" if image.shape[-1] in (2, 4) else "RGB")
    if quality is None:
        picture.save(buffer, format="WEBP", lossless=True, exact=True, quality=70, method=4)
    else:
        picture.save(buffer, format="WEBP", quality=quality, method=4)
    return buffer.getvalue()


def save_png(image: Pixels, path: str | Path, *, scale: int = 1) -> Path:
    """Write an image, uint8 of shape (H, W, C), as PNG; the file appears whole or not at all. Returns its path."""
    return write_bytes(encode_png(image, scale=scale), path)


def to_pillow(image: Pixels) -> Image.Image:
    """A Pillow image from uint8 pixels of shape (H, W, C), C from 1 to 4.

    Example:
        >>> picture = to_pillow(np.zeros((2, 3, 4), dtype=np.uint8))
        >>> picture.mode, picture.size
        ('RGBA', (3, 2))
    """
    _check(image, rank=3)
    height, width, channels = image.shape
    return Image.frombytes(MODES[channels], (width, height), np.ascontiguousarray(image).tobytes())


def write_bytes(payload: bytes, path: str | Path) -> Path:
    """Write a file at once: readers see the old file or the new one, never a part. Folders are made as needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(payload)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _check(images: Pixels, *, rank: Literal[3, 4]) -> None:
    if images.dtype != np.uint8:
        raise TypeError(f"Images in a report are uint8, got {images.dtype}.")
    wanted = "(N, H, W, C)" if rank == 4 else "(H, W, C)"
    if images.ndim != rank or images.shape[-1] not in MODES or 0 in images.shape:
        raise CardiganError(f"Expected images of shape {wanted} with 1 to 4 channels, none empty; got {images.shape}.")
