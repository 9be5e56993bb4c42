"""Pairs: which vectors of two heaps lie closer than a limit, at the speed of single precision, as double decides it.

Products in single precision are quick and off by little. How little at most is known, so distances come as bounds, a
tile of pairs at a time; the few pairs with a limit between their bounds are subtracted in double precision.

Source: the bound on a product of vectors, whatever the order of its sum: *Accuracy and Stability of Numerical
Algorithms*, Higham, 2nd edition, 2002, section 3.1.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.metrics.heaps import Heap, Values, blocks

Vectors = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]
Truths = npt.NDArray[np.bool_]
Some = slice | Places

ROUNDINGS = 32
"""How many more single roundings than the product's there are: of the vectors, their lengths, bounds and limits."""


class Pairs:
    """All pairs of a vector of ``ours`` with one of ``theirs``.

    Args:
        ours: (N, F), finite.
        theirs: (M, F), finite. The same heap twice is held once.

    Attributes:
        scale: what squared distances are multiplied by in ``bounds``.
    """

    def __init__(self, ours: Heap, theirs: Heap) -> None:
        self.ours, self.theirs = ours, theirs
        # In units of about the largest value, no square overflows, and none that counts vanishes.
        reach = max(float(np.abs(part).max()) for heap in (ours, theirs) for part in blocks(heap))
        unit = math.ldexp(1.0, -max(-100, min(500, math.frexp(reach)[1])))
        self.scale = unit**2
        # Around the middle, products are of the size of distances, and cancel less.
        middle = (ours.mean(axis=0, dtype=np.float64) + theirs.mean(axis=0, dtype=np.float64)) / 2
        self._ours = _rough(ours, middle, unit)
        self._theirs = self._ours if theirs is ours else _rough(theirs, middle, unit)
        roundings = (ours.shape[1] + ROUNDINGS) * 2.0**-24
        self._share = np.float32(roundings / (1 - roundings))
        self._least = np.float32(ours.shape[1] + ROUNDINGS) * np.finfo(np.float32).tiny

    def bounds(self, rows: Some, columns: Some) -> tuple[Vectors, Vectors]:
        """Between what the scaled squared distances of a tile lie, (R, C) each; the lower may be negative."""
        (ours, lengths), (theirs, others) = self._ours, self._theirs
        squares = ours[rows] @ theirs[columns].T
        squares *= -2
        sums = lengths[rows][:, None] + others[columns]
        squares += sums
        sums *= self._share
        sums += self._least
        return squares - sums, squares + sums

    def exact(self, rows: Places, columns: Places) -> Values:
        """The squared distances of single pairs, (P,), not scaled."""
        found = np.empty(len(rows))
        step = max(1, 2**19 // self.ours.shape[1])
        for start in range(0, len(rows), step):
            these = slice(start, start + step)
            apart = np.subtract(self.ours[rows[these]], self.theirs[columns[these]], dtype=np.float64)
            found[these] = (apart**2).sum(axis=1)
        return found

    def closer(
        self, rows: slice, columns: slice, limits: Values, bounds: tuple[Vectors, Vectors] | None = None
    ) -> Truths:
        """Which pairs of a tile are closer than their limit, (R, C).

        Args:
            rows: of ours.
            columns: of theirs.
            limits: squared distances, not scaled, that broadcast to the tile.
            bounds: those of the tile, where they are known.
        """
        low, high = bounds or self.bounds(rows, columns)
        scaled = np.minimum(limits * self.scale, np.finfo(np.float32).max).astype(np.float32)
        found: Truths = high < scaled
        mine, other = np.nonzero((low < scaled) & ~found)
        if len(mine):
            limit = np.broadcast_to(limits, found.shape)[mine, other]
            found[mine, other] = self.exact(mine + rows.start, other + columns.start) < limit
        return found


def strips(count: int, chunk: int) -> list[slice]:
    """Slices of ``chunk`` rows, the last of what is left.

    Example:
        >>> strips(5, 2)
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + chunk, count)) for start in range(0, count, chunk)]


def _rough(heap: Heap, middle: Values, unit: float) -> tuple[Vectors, npt.NDArray[Any]]:
    """Vectors around the middle, in units, and their squared lengths."""
    vectors = np.empty(heap.shape, np.float32)
    lengths = np.empty(len(heap), np.float32)
    top = 0
    for block in blocks(heap):
        rows = slice(top, top + len(block))
        vectors[rows] = (block - middle) * unit
        lengths[rows] = (vectors[rows].astype(np.float64) ** 2).sum(axis=1)
        top += len(block)
    return vectors, lengths
