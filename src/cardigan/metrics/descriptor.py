"""Descriptors: pictures as short vectors by fixed arithmetic, for measuring where no trained network is at hand.

``gradients`` tells pictures apart by forms and hardly sees exposure, slight blur, JPEG or a shift by a pixel; look
for copies with it. ``pixels`` is the plain picture, made small, for distances that anybody can follow. Neither knows
what a picture shows; a neural network's features do, and are better where there is one.

Source: for ``gradients`` *Histograms of Oriented Gradients for Human Detection*, Dalal and Triggs, 2005, and the square
root of histograms from *Three Things Everyone Should Know to Improve Object Retrieval*, Arandjelović and Zisserman,
2012.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Values = npt.NDArray[np.float32]

SIDE = 32
"""Pixels that pictures are made small to, across and down."""
ORIENTATIONS = 8
"""Bins of a histogram, over half a turn: an edge from light to dark counts as one from dark to light."""
CELL = 4
"""Side of the squares, in pixels of the small picture, that are put together in twos to windows which overlap."""
COLOURS = 4
"""Patches across and down whose mean colours are kept."""
BATCH = 64
"""Pictures that are worked on at once."""


def pixels(images: npt.NDArray[np.uint8]) -> Values:
    """Pictures made small by averaging areas, so that slight blur, noise and shifts of a pixel change little.

    Args:
        images: uint8 (N, H, W, C) of any size and 1 to 4 channels.

    Returns:
        float32 (N, 32 * 32 * C), values 0 to 1; two pictures are at most the square root of 32 * 32 * C apart.

    Raises:
        CardiganError: if the shape is not that of images.
        TypeError: if the images are not uint8.

    Example:
        >>> white = np.full((2, 64, 48, 3), 255, dtype=np.uint8)
        >>> pixels(white).shape, float(pixels(white).min())
        ((2, 3072), 1.0)
    """
    _check(images)
    small = [batch.reshape(len(batch), -1) for batch in _small(images)]
    return np.concatenate(small).clip(0.0, 1.0)


def gradients(images: npt.NDArray[np.uint8]) -> Values:
    """Where a picture has edges of which direction, and its coarse colours; each half normalised for each picture.

    Histograms of 8 directions in 7x7 overlapping windows, then the mean colours of 4x4 patches as they differ from
    middle grey.

    Args:
        images: uint8 (N, H, W, C) of any size and 1 to 4 channels; edges are those of the mean of all but alpha.

    Returns:
        float32 (N, 392 + 16 * C), the histograms 0 to 0.71 and the colours -0.71 to 0.71. A vector is at most 1 long,
        less only for pictures without any edge or colour, so two pictures are at most 1.74 apart.

    Raises:
        CardiganError: if the shape is not that of images.
        TypeError: if the images are not uint8.

    Example:
        >>> stripes = np.zeros((1, 64, 64, 1), dtype=np.uint8)
        >>> stripes[:, ::16] = stripes[:, 1::16] = 200
        >>> forms = gradients(stripes)
        >>> forms.shape, round(float(np.linalg.norm(forms)), 3)
        ((1, 408), 1.0)
    """
    _check(images)
    found = [np.concatenate([_forms(batch), _colours(batch)], axis=1) for batch in _small(images)]
    return np.concatenate(found) / np.float32(2**0.5)


def mirrored(descriptors: Values) -> Values:
    """What :func:`gradients` says of the pictures mirrored left to right, up to rounding, without looking at them.

    Args:
        descriptors: float32 (N, 392 + 16 * C).

    Example:
        >>> picture = np.random.default_rng(0).integers(0, 256, (1, 48, 32, 3), np.uint8)
        >>> straight, turned = gradients(picture), gradients(picture[:, :, ::-1])
        >>> bool(np.allclose(mirrored(straight), turned, atol=2e-3)), bool(np.allclose(straight, turned, atol=2e-3))
        (True, False)
    """
    windows = SIDE // CELL - 1
    forms = descriptors[:, : windows**2 * ORIENTATIONS].reshape(-1, windows, windows, ORIENTATIONS)
    colours = descriptors[:, windows**2 * ORIENTATIONS :].reshape(len(descriptors), COLOURS, COLOURS, -1)
    # A direction becomes its mirror image: the first bin, across, stays, and the others change places.
    forms = forms[:, :, ::-1, -np.arange(ORIENTATIONS)]
    return np.concatenate([part.reshape(len(descriptors), -1) for part in (forms, colours[:, :, ::-1])], axis=1)


def _small(images: npt.NDArray[np.uint8]) -> Iterator[Values]:
    """A few pictures at a time, float32 (N, 32, 32, C) from 0 to 1."""
    down, across = _areas(images.shape[1]), _areas(images.shape[2])
    for start in range(0, len(images), BATCH):
        # In float64: products of float32 round differently in another batch, and square roots of what is nearly 0
        # make of that what is seen.
        batch = images[start : start + BATCH] / np.float64(255)
        yield np.einsum("ih,nhwc,jw->nijc", down, batch, across, optimize=True).astype(np.float32)


def _areas(size: int) -> npt.NDArray[np.float64]:
    """(32, size): how much of each pixel lies below each of the 32 that a line becomes, each row adding up to 1."""
    edges = np.arange(SIDE + 1) * (size / SIDE)
    starts = np.arange(size)
    covered = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return covered.clip(0) * (SIDE / size)


def _forms(small: Values) -> Values:
    """Histograms of edge directions: (N, 392), each vector of length 1, or 0 where there is no edge."""
    visible = small[..., :-1] if small.shape[-1] in (2, 4) else small
    padded = np.pad(visible.mean(axis=-1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    across, down = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2], padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    strength = np.hypot(across, down)
    direction = np.arctan2(down, across) % np.pi * (ORIENTATIONS / np.pi)
    # A direction between two bins counts in both, so that a small turn changes little.
    bins = np.arange(ORIENTATIONS, dtype=np.float32)
    apart = np.abs(direction[..., None] - bins)
    near = np.maximum(0.0, 1.0 - np.minimum(apart, ORIENTATIONS - apart))
    cells = SIDE // CELL
    summed = (strength[..., None] * near).reshape(len(small), cells, CELL, cells, CELL, ORIENTATIONS).sum(axis=(2, 4))
    windows = summed[:, :-1, :-1] + summed[:, 1:, :-1] + summed[:, :-1, 1:] + summed[:, 1:, 1:]
    flat = windows.reshape(len(small), -1)
    return np.sqrt(flat / np.maximum(flat.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)).astype(np.float32)


def _colours(small: Values) -> Values:
    """Mean colours of patches: (N, 16 C), each vector of length 1, or 0 where all is middle grey."""
    count, side = len(small), SIDE // COLOURS
    patches = small.reshape(count, COLOURS, side, COLOURS, side, -1).mean(axis=(2, 4)).reshape(count, -1) - 0.5
    return patches / np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def _check(images: npt.NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8:
        raise TypeError(f"Pictures are described as uint8, got {images.dtype}.")
    if images.ndim != 4 or not images.size or images.shape[-1] > 4:
        raise CardiganError(
            f"Pictures (N, H, W, C) of 1 to 4 channels can be described, at least one of them; got the shape "
            f"{images.shape}. Stack pictures of one size, channels last."
        )
