"""Texture: how alike two sets of pictures look close up, at each scale, whatever they show. Low is alike.

Source: *Progressive Growing of GANs for Improved Quality, Stability, and Variation*, Karras, Aila, Laine and Lehtinen,
2018, section 5; the pyramid: *The Laplacian Pyramid as a Compact Image Code*, Burt and Adelson, 1983.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Values = npt.NDArray[np.float32]

PATCH = 7
"""Side of a patch, in pixels of its level."""
SMALLEST = 16
"""Side of the coarsest level, at least; only pictures that are smaller themselves have a smaller one."""
FILTER = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def sliced_wasserstein(
    restored: npt.ArrayLike, true: npt.ArrayLike, *, patches: int = 64, directions: int = 128, seed: int = 0
) -> list[float]:
    """The distance between two sets of pictures by their 7x7 patches, for each level of a Laplacian pyramid.

    Patches are compared as a heap: along many random directions, both heaps are sorted and the distance between equal
    ranks is averaged. Which picture a patch comes from does not count, so neither does what the pictures show.

    Patches are cut at the same places of both sets, so that identical sets are at distance 0. Unlike in the paper, both
    heaps are measured by the mean and the spread of the true one: otherwise a picture that is too soft, whose details
    have the right form and too little strength, would not be told from a sharp one.

    Args:
        restored: (N, H, W, C), uint8 or floating point in any range.
        true: of the same shape and range.
        patches: cut from each picture at each level. *More* is steadier, and slower.
        directions: random ones that patches are projected on. *More* is steadier, and slower.
        seed: of places and directions; only distances of one seed, shape and number of pictures compare well.

    Returns:
        One number a level, the finest first; sides of levels halve down to 16 pixels.

    Raises:
        CardiganError: if the shapes differ, or the pictures are smaller than a patch.

    Example:
        >>> true = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        >>> sliced_wasserstein(true, true)
        [0.0, 0.0]
        >>> finest, coarsest = sliced_wasserstein(true // 2, true)
        >>> 0.3 < finest < 0.5
        True
    """
    ours, theirs = (np.asarray(images).astype(np.float32) for images in (restored, true))
    _check(ours, theirs)
    rng = np.random.default_rng(seed)
    return [
        _distance(mine, other, patches, directions, rng)
        for mine, other in zip(pyramid(ours), pyramid(theirs), strict=True)
    ]


def pyramid(images: Values) -> Iterator[Values]:
    """The Laplacian pyramid of pictures (N, H, W, C), the finest level first; the last is what remains, a small copy.

    Example:
        >>> [level.shape for level in pyramid(np.zeros((1, 64, 40, 3), dtype=np.float32))]
        [(1, 64, 40, 3), (1, 32, 20, 3)]
    """
    while min(images.shape[1:3]) >= 2 * SMALLEST:
        smaller = _filtered(images)[:, ::2, ::2]
        spread = np.zeros_like(images)
        spread[:, ::2, ::2] = 4 * smaller
        yield images - _filtered(spread)
        images = smaller
    yield images


def _filtered(images: Values) -> Values:
    """Through the binomial filter, down and across, mirrored at the borders."""
    for axis in (1, 2):
        size = images.shape[axis]
        padded = np.pad(images, [(2, 2) if place == axis else (0, 0) for place in range(4)], mode="reflect")
        moved = (padded.take(range(start, start + size), axis) for start in range(len(FILTER)))
        images = np.add.reduce([weight * shifted for weight, shifted in zip(FILTER, moved, strict=True)])
    return images


def _distance(ours: Values, theirs: Values, patches: int, directions: int, rng: np.random.Generator) -> float:
    """The sliced Wasserstein distance of one level."""
    count, height, width, channels = theirs.shape
    pictures = np.arange(count).repeat(patches)
    tops = rng.integers(0, height - PATCH + 1, count * patches)
    lefts = rng.integers(0, width - PATCH + 1, count * patches)
    across = rng.standard_normal((channels * PATCH**2, directions), dtype=np.float32)
    across /= np.linalg.norm(across, axis=0)
    heaps = []
    for images in (ours, theirs):
        windows = np.lib.stride_tricks.sliding_window_view(images, (PATCH, PATCH), axis=(1, 2))
        heaps.append(windows[pictures, tops, lefts])
    mean = heaps[1].mean(axis=(0, 2, 3), keepdims=True)
    spread = heaps[1].std(axis=(0, 2, 3), keepdims=True)
    spread = np.where(spread > 0, spread, 1.0)  # a channel without any detail, such as an opaque alpha
    mine, other = (np.sort(across.T @ ((heap - mean) / spread).reshape(len(heap), -1).T, axis=1) for heap in heaps)
    return float(np.abs(mine - other).mean())


def _check(ours: Values, theirs: Values) -> None:
    if ours.shape != theirs.shape or theirs.ndim != 4 or not len(theirs):
        raise CardiganError(
            f"Two sets of equally many pictures of one shape (N, H, W, C) can be compared, got {ours.shape} and "
            f"{theirs.shape}. Leave some out, or resize them."
        )
    if min(theirs.shape[1:3]) < PATCH:
        raise CardiganError(
            f"Pictures of {theirs.shape[1]}x{theirs.shape[2]} pixels are smaller than the {PATCH}x{PATCH} patches they "
            f"are compared by. Compare larger ones."
        )
