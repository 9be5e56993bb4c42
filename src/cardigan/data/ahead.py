"""Pixels on a disk that are wanted soon."""

import mmap
from contextlib import suppress

import numpy as np
import numpy.typing as npt


def read_ahead(images: npt.NDArray[np.uint8], places: npt.NDArray[np.int64]) -> None:
    """Ask the system to fetch images that will be read next, while something else is done.

    Nothing happens where they do not lie in a file, or where the system takes no such advice.

    Args:
        images: (N, H, W, C), a view of a file.
        places: of the images that are wanted, (B,).

    Example:
        >>> read_ahead(np.zeros((2, 4, 4, 1), np.uint8), np.array([1]))
    """
    if not isinstance(images, np.memmap) or not hasattr(mmap, "MADV_WILLNEED"):
        return
    pages = images.base
    if not isinstance(pages, mmap.mmap):  # a part of a view, which does not tell where it begins
        return
    size, start = images[0].nbytes, images.offset % mmap.ALLOCATIONGRANULARITY
    with suppress(OSError):  # of a system that is short of memory, or does not know the advice
        for place in np.sort(places):
            first = start + int(place) * size
            page = first - first % mmap.PAGESIZE
            pages.madvise(mmap.MADV_WILLNEED, page, first + size - page)
