"""Neighbours: the nearest vectors of a heap, exactly and in bounded memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Vectors = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

SPARE = 3
"""Candidates beyond those asked for whose distances are computed exactly, in case rounding has swapped neighbours."""


def nearest(queries: npt.ArrayLike, references: npt.ArrayLike, *, chunk: int = 1024) -> tuple[Numbers, Places]:
    """The nearest reference of each query, by Euclidean distance.

    Products of a chunk of queries with a chunk of references find the candidates; the distances of those are computed
    by subtraction, so that they are exact where products would cancel.

    Args:
        queries: vectors (N, D).
        references: vectors (M, D); at 10,000 each of 2,048 features, about 0.1 GiB is used beside them.
        chunk: vectors of each that are compared at once; it changes memory and time, not what is found.

    Returns:
        Distances (N,) and places among the references (N,).

    Raises:
        CardiganError: if there is nothing to compare, shapes do not fit, or a value is not finite.

    Example:
        >>> distances, places = nearest([[0.0, 1.0], [5.0, 5.0]], [[4.0, 5.0], [0.0, 1.0]])
        >>> distances.tolist(), places.tolist()
        ([0.0, 1.0], [1, 0])
    """
    ours, theirs = vectors("queries", queries), vectors("references", references)
    fit("references", theirs, ours)
    distances, places = neighbours(ours, [theirs], 1, chunk)
    return distances[:, 0], places[:, 0]


def neighbours(
    queries: Vectors, variants: Sequence[Vectors], count: int, chunk: int, *, own: Places | None = None
) -> tuple[Numbers, Places]:
    """The ``count`` nearest references of each query, nearest first: distances and places, (N, count) each.

    A reference is as near as the nearest of its ``variants``. Where queries are references themselves, ``own`` gives
    the place (N,) of each, and none is its own neighbour.
    """
    if chunk < 1:
        raise CardiganError(f"At least 1 vector is compared at once, got chunk={chunk}. Usual is chunk=1024.")
    total = len(variants[0])
    kept = min(count + SPARE, total - (own is not None))
    # Around the middle of the references, products are of the size of distances, and cancel less.
    middle = variants[0].mean(axis=0)
    found = []
    for top in range(0, len(queries), chunk):
        block = queries[top : top + chunk]
        squares, places = np.empty((len(block), 0), np.float32), np.empty((len(block), 0), np.int64)
        for left in range(0, total, chunk):
            parts = (_squares(block - middle, variant[left : left + chunk] - middle) for variant in variants)
            these = np.minimum.reduce(list(parts))
            if own is not None:
                mine = own[top : top + chunk] - left
                rows = np.flatnonzero((mine >= 0) & (mine < these.shape[1]))
                these[rows, mine[rows]] = np.inf
            here = np.broadcast_to(np.arange(left, left + these.shape[1]), these.shape)
            # First the few of this tile, then those among the few of all tiles: most of a tile is never copied.
            these, here = _least(these, here, kept)
            squares, places = _least(np.hstack([squares, these]), np.hstack([places, here]), kept)
        exact = np.stack([_exact(block, variants, column) for column in places.T], axis=1)
        order = np.lexsort((places, exact), axis=1)[:, :count]
        found.append((np.take_along_axis(exact, order, 1), np.take_along_axis(places, order, 1)))
    return np.concatenate([near for near, _ in found]), np.concatenate([places for _, places in found])


def _least(squares: Vectors, places: Places, kept: int) -> tuple[Vectors, Places]:
    """The ``kept`` smallest of each row, in any order, with their places; all where there are no more."""
    if squares.shape[1] <= kept:
        return squares, places
    best = np.argpartition(squares, kept - 1, axis=1)[:, :kept]
    return np.take_along_axis(squares, best, 1), np.take_along_axis(places, best, 1)


def _squares(ours: Vectors, theirs: Vectors) -> Vectors:
    """Squared distances, roughly."""
    lengths = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)
    return np.maximum(lengths - 2 * (ours @ theirs.T), 0)


def _exact(queries: Vectors, variants: Sequence[Vectors], places: Places) -> Numbers:
    """The distance of each query to the reference at its place, (N,)."""
    apart = (np.subtract(queries, variant[places], dtype=np.float64) for variant in variants)
    return np.minimum.reduce([np.linalg.norm(differences, axis=1) for differences in apart])


def vectors(name: str, values: npt.ArrayLike) -> Vectors:
    """Descriptors as they are compared, float32 (N, D), once they are known to be any."""
    found = np.asarray(values, dtype=np.float32)
    if found.ndim != 2 or not found.size:
        raise CardiganError(f"Descriptors have the shape (N, D), at least 1 by 1; those of {name} have {found.shape}.")
    if not np.isfinite(found).all():
        broken = int(np.count_nonzero(~np.isfinite(found).all(axis=1)))
        raise CardiganError(
            f"{broken} of {len(found)} {name} have descriptors that are not finite. Look at those images: the "
            f"generator may have diverged."
        )
    return found


def fit(name: str, theirs: Vectors, ours: Vectors) -> None:
    """Refuse descriptors of another length."""
    if theirs.shape[1] != ours.shape[1]:
        raise CardiganError(
            f"The descriptors of {name} have {theirs.shape[1]} values, where {ours.shape[1]} are compared. Describe "
            f"all images with the same function, at one size."
        )
