"""Precision and recall, density and coverage: fidelity and variety as two numbers each, by balls around images.

Around each image lies a ball that reaches to its k-th nearest neighbour of its own kind; together they are taken for
where such images lie. Precision is the share of generated images inside a ball of a real one: are they real enough?
Recall is the share of real images inside a ball of a generated one: is all covered that there is? Density counts, for
precision, in how many balls an image lies; coverage, for recall, which balls of real images hold any. These two mind
outliers less.

None of them has an absolute reading. They depend on k, on how many images there are and on the features; of two samples
of one distribution precision and recall are about 0.47 in 1,000 dimensions, not 1. Compare with the same numbers of
held-out images in the place of generated ones.

Source: *Improved Precision and Recall Metric for Assessing Generative Models*, Kynkäänniemi, Karras, Laine, Lehtinen
and Aila, 2019; *Reliable Fidelity and Diversity Metrics for Generative Models*, Naeem, Oh, Uh, Choi and Yoo, 2020.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import Heap, Values, alike, heap
from cardigan.metrics.pairs import Pairs, Places, Vectors, strips

SPARE = 3
"""Candidates for neighbours beyond k, so that the k-th is among them for sure of nearly all vectors."""


@dataclass(frozen=True)
class Manifold:
    """What the balls say. ``k`` belongs to every quotation of the other four, and so do both numbers of images.

    Attributes:
        precision: share of generated images in a ball of a real one, 0 to 1.
        recall: share of real images in a ball of a generated one, 0 to 1.
        density: in how many balls of real images a generated one lies, over k; from 0, and it may exceed 1.
        coverage: share of real images with a generated one in their ball, 0 to 1.
        k: which neighbour a ball reaches to.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int


def manifold(real: npt.ArrayLike, fake: npt.ArrayLike, *, k: int = 5, chunk: int = 1024) -> Manifold:
    """Improved precision and recall, density and coverage of generated images.

    An image at the very edge of a ball is outside, and none is its own neighbour. All comparisons come out as double
    precision decides them, whatever the order of images and the chunk.

    Args:
        real: features (N, F) of real images.
        fake: features (M, F) of generated ones. Best are as many, 10,000 or more; beside them it then uses about
            0.25 GiB at 2,048 features.
        k: which neighbour a ball reaches to. *More* makes larger balls, and precision and recall higher.
        chunk: vectors that are compared with as many others at once; it changes memory and time, not the numbers.

    Raises:
        CardiganError: if there are no more than k images of a kind, their lengths differ, a value is not finite, or k
            or chunk is less than 1.

    Example:
        >>> real = [[0.0], [1.0], [2.0], [3.0]]
        >>> manifold(real, [[0.5], [2.5], [9.0]], k=1)
        Manifold(precision=0.6666666666666666, recall=1.0, density=1.3333333333333333, coverage=1.0, k=1)
    """
    if k < 1 or chunk < 1:
        raise CardiganError(
            f"A ball reaches to the 1st neighbour or further, and 1 vector or more is compared at once; got k={k}, "
            f"chunk={chunk}. Usual are k=5, chunk=1024."
        )
    ours, theirs = heap("real", real), heap("generated", fake)
    alike(ours, theirs)
    for name, one in (("real", ours), ("generated", theirs)):
        if len(one) <= k:
            raise CardiganError(
                f"Each image has {k} neighbours of its own kind only among {k + 1} or more, and there are {len(one)} "
                f"{name} ones. Measure more images, or choose a smaller k."
            )
    around_real, around_fake = radii(ours, k, chunk), radii(theirs, k, chunk)
    real_enough, reached, covered = np.zeros(len(theirs), bool), np.zeros(len(ours), bool), np.zeros(len(ours), bool)
    balls = 0
    pairs = Pairs(ours, theirs)
    for rows in strips(len(ours), chunk):
        for columns in strips(len(theirs), chunk):
            bounds = pairs.bounds(rows, columns)
            within_real = pairs.closer(rows, columns, around_real[rows, None], bounds)
            reached[rows] |= pairs.closer(rows, columns, around_fake[columns], bounds).any(axis=1)
            real_enough[columns] |= within_real.any(axis=0)
            covered[rows] |= within_real.any(axis=1)
            balls += int(np.count_nonzero(within_real))
    return Manifold(
        precision=float(real_enough.mean()),
        recall=float(reached.mean()),
        density=balls / (k * len(theirs)),
        coverage=float(covered.mean()),
        k=k,
    )


def radii(vectors: Heap, k: int, chunk: int) -> Values:
    """Squared distances to the k-th nearest other vector of a heap, (N,), as double precision finds them.

    Every pair is looked at once, for both of its vectors. Those nearest by the lower bound are measured exactly; what
    has not been kept has larger bounds, and so cannot be nearer than a k-th that lies below all of them.

    Args:
        vectors: (N, F), more than k.
        k: 1 or more.
        chunk: vectors that are compared with as many others at once.

    Example:
        >>> radii(np.array([[0.0], [1.0], [3.0]]), 1, 1024).tolist()
        [1.0, 1.0, 4.0]
    """
    pairs, count = Pairs(vectors, vectors), len(vectors)
    kept = min(k + SPARE, count - 1)
    lows, places = np.full((count, kept), np.inf, np.float32), np.zeros((count, kept), np.intp)
    for rows in strips(count, chunk):
        for columns in strips(count, chunk):
            if columns.start < rows.start:
                continue
            low, _ = pairs.bounds(rows, columns)
            if columns == rows:
                np.fill_diagonal(low, np.inf)
            else:
                _keep(lows[columns], places[columns], low.T, rows.start)
            _keep(lows[rows], places[rows], low, columns.start)
    everyone = np.arange(count)
    exact = np.stack([pairs.exact(everyone, column) for column in places.T], axis=1)
    found = np.partition(exact, k - 1, axis=1)[:, k - 1]
    sure = (found * pairs.scale <= lows.max(axis=1)) | (found == 0) | (kept == count - 1)
    for rows in np.array_split(everyone[~sure], max(1, (~sure).sum() * count // chunk**2)):
        found[rows] = _again(pairs, rows, found[rows], k)
    return found


def _keep(lows: Vectors, places: Places, low: Vectors, start: int) -> None:
    """Put those of a tile, whose first column is ``start``, into the smallest bounds so far, in place."""
    kept = lows.shape[1]
    here = np.broadcast_to(np.arange(start, start + low.shape[1]), low.shape)
    if low.shape[1] > kept:
        best = np.argpartition(low, kept - 1, axis=1)[:, :kept]
        low, here = np.take_along_axis(low, best, 1), best + start
    low, here = np.hstack([lows, low]), np.hstack([places, here])
    best = np.argpartition(low, kept - 1, axis=1)[:, :kept]
    lows[:], places[:] = np.take_along_axis(low, best, 1), np.take_along_axis(here, best, 1)


def _again(pairs: Pairs, rows: Places, limits: Values, k: int) -> Values:
    """The k-th smallest squared distances of some vectors, among all that may lie within limits above them."""
    low, _ = pairs.bounds(rows, slice(None))
    low[np.arange(len(rows)), rows] = np.inf
    mine, other = np.nonzero(low <= limits[:, None] * pairs.scale)
    exact = np.full(low.shape, np.inf)
    exact[mine, other] = pairs.exact(rows[mine], other)
    return np.partition(exact, k - 1, axis=1)[:, k - 1]
