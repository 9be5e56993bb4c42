"""Heaps of features: what they must be before anything is measured, said in one voice."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Values = npt.NDArray[np.float64]
Heap = npt.NDArray[np.floating[Any]]


def heap(name: str, values: npt.ArrayLike, *, least: int = 1) -> Heap:
    """Features of ``name`` images, once they are known to be any.

    Args:
        name: what the images are, for messages.
        values: features (N, F).
        least: how many images it takes.

    Returns:
        float32 where they were, and float64 otherwise, (N, F), never copied without need.

    Raises:
        CardiganError: if the shape is another, there are fewer images, or a value is not finite.

    Example:
        >>> heap("real", [[1, 2], [3, 4]])
        array([[1., 2.],
               [3., 4.]])
        >>> heap("real", [[1.0, float("nan")]])
        Traceback (most recent call last):
        cardigan.errors.CardiganError: Features of 1 of 1 real images are not finite. If the images look right, the \
network that made the features overflowed; if not, the generator diverged.
    """
    found = np.asarray(values)
    if found.dtype != np.float32:
        found = found.astype(np.float64, copy=False)
    if found.ndim != 2 or not found.shape[1]:
        raise CardiganError(f"Features have the shape (N, F), one row an image; {name} ones have {found.shape}.")
    if len(found) < least:
        raise CardiganError(f"This takes at least {least} {name} images, and there are {len(found)}. Add some.")
    broken = sum(int(np.count_nonzero(~np.isfinite(part).all(axis=1))) for part in blocks(found))
    if broken:
        raise CardiganError(
            f"Features of {broken} of {len(found)} {name} images are not finite. If the images look right, the network "
            f"that made the features overflowed; if not, the generator diverged."
        )
    return found


def blocks(values: Heap) -> list[Heap]:
    """Views of some rows each, so that a copy of one in double precision stays below 32 MiB.

    Example:
        >>> [len(block) for block in blocks(np.zeros((5000, 2048), dtype=np.float32))]
        [2048, 2048, 904]
    """
    rows = max(1, 2**22 // values.shape[1])
    return [values[start : start + rows] for start in range(0, len(values), rows)]


def alike(ours: Values | Heap, theirs: Values | Heap) -> None:
    """Refuse to compare ``real`` features with ``generated`` ones of another length."""
    if ours.shape[-1] != theirs.shape[-1]:
        raise CardiganError(
            f"There are {ours.shape[-1]} features of a real image and {theirs.shape[-1]} of a generated one. Use one "
            f"extractor for both."
        )
