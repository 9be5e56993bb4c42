"""Images that are all but the same: copies that were resized or saved again, shots of one burst.

Two images are alike if their thumbnails nearly agree. Only brightness on a coarse grid is compared, so a scene from
another angle is another image. All is counted in whole numbers: the same content is judged alike on every machine.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cardigan.data.decode import Pixels

SIDE = 8
"""Rows and columns of a thumbnail."""
NEAR = 4
"""Grey levels that the thumbnails of two images that are alike differ by, root mean square. Different photos, drawings
and digits are rarely nearer than 10; a copy that was resized or saved again is nearer than 2."""
NEAR_SHARE = 10
"""They must also differ by no more than one part in so many of what images of this data usually differ by."""
MOST_ALIKE = 64
"""More images than that, each like another of them, are no burst but data that looks alike on the whole."""

Places = npt.NDArray[np.int64]


def thumbnails(images: Pixels) -> npt.NDArray[np.uint8]:
    """The mean brightness of images on a grid.

    Args:
        images: uint8 (N, H, W, C).

    Returns:
        uint8 (N, SIDE * SIDE), rounded down.

    Example:
        >>> halves = np.zeros((1, 16, 16, 3), np.uint8)
        >>> halves[:, 8:] = 100
        >>> thumbnails(halves).reshape(8, 8)[:, 0].tolist()
        [0, 0, 0, 0, 100, 100, 100, 100]
    """
    count, height, width, channels = images.shape
    rows, columns = _cells(height), _cells(width)
    # Sums of so few bytes are whole numbers that float32 holds.
    sums = rows @ images.reshape(count, height, width * channels).astype(np.float32)
    sums = (sums @ columns.repeat(channels, axis=1).T).astype(np.int64)
    areas = np.outer(rows.sum(axis=1), columns.sum(axis=1)).astype(np.int64) * channels
    return (sums // areas).astype(np.uint8).reshape(count, SIDE * SIDE)


def _cells(side: int) -> npt.NDArray[np.float32]:
    """Which pixels of a side lie in each cell of the grid, one at least: 0 or 1, (SIDE, side)."""
    edges, pixels = np.arange(SIDE + 1) * side // SIDE, np.arange(side)
    first, last = edges[:-1, None], np.maximum(edges[1:], edges[:-1] + 1)[:, None]
    return ((first <= pixels) & (pixels < last)).astype(np.float32)


class Alike:
    """Finds what is like an image among the thumbnails of all.

    Args:
        small: uint8 (N, SIDE * SIDE).

    Example:
        >>> shades = np.arange(0, 250, 10, dtype=np.uint8)[:, None].repeat(SIDE * SIDE, axis=1)
        >>> shades[7] = shades[3] + 1
        >>> [group.tolist() for group in Alike(shades).groups([3, 4])]
        [[3, 7], [4]]
    """

    def __init__(self, small: npt.NDArray[np.uint8]) -> None:
        self._values = small.astype(np.float32)  # float32 holds the whole numbers that sums of 64 products of bytes are
        self._squares = (self._values**2).sum(axis=1)
        self._limit = _limit(small)
        self._most = min(MOST_ALIKE, len(small) // 10)

    def groups(self, places: Sequence[int]) -> Iterator[Places]:
        """For each place, the places of all images that are like it, or like one that is, and so on, sorted.

        If they are more than ``MOST_ALIKE`` or a tenth of all, the place alone.
        """
        near = self._near(np.array(places, dtype=np.int64))
        for place, row in zip(places, near, strict=True):
            members, found = np.array([place]), np.flatnonzero(row)
            while len(members) < len(found) <= self._most:
                fresh = np.setdiff1d(found, members)
                members, found = found, np.union1d(found, np.flatnonzero(self._near(fresh).any(axis=0)))
            yield found if len(found) <= self._most else np.array([place])

    def _near(self, places: Places) -> npt.NDArray[np.bool_]:
        products = self._values[places] @ self._values.T
        return self._squares[places, None] + self._squares - 2 * products <= self._limit


def _limit(small: npt.NDArray[np.uint8]) -> int:
    """The largest squared distance of two thumbnails that are alike."""
    wide, count = small.astype(np.int64), len(small)
    variance = int((count * (wide**2).sum(axis=0) - wide.sum(axis=0) ** 2).sum()) // max(count, 1) ** 2
    return min(NEAR**2 * SIDE**2, variance // NEAR_SHARE**2)
