"""The nearest vectors against SciPy's tree, where products cancel, and in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from cardigan.errors import CardiganError
from cardigan.metrics.neighbours import nearest, neighbours

RNG = np.random.default_rng(0)


def vectors(*shape, middle=0.0):
    return RNG.normal(middle, 1.0, shape).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 7, 40, 1024])
def test_a_tree_finds_the_same(chunk):
    queries, references = vectors(50, 6), vectors(90, 6)
    distances, places = nearest(queries, references, chunk=chunk)
    expected, where = cKDTree(references.astype(np.float64)).query(queries.astype(np.float64))
    assert distances == pytest.approx(expected, rel=1e-12)
    assert places.tolist() == where.tolist()
    near, several = neighbours(queries, [references], 5, chunk)
    expected, where = cKDTree(references.astype(np.float64)).query(queries.astype(np.float64), k=5)
    assert near == pytest.approx(expected, rel=1e-12)
    assert several.tolist() == where.tolist()


@pytest.mark.parametrize("chunk", [8, 1024])
def test_nearest_in_either_variant(chunk):
    queries, references, mirrored = vectors(30, 5), vectors(40, 5), vectors(40, 5)
    near, places = neighbours(queries, [references, mirrored], 4, chunk)
    every = np.minimum(cdist(queries, references), cdist(queries, mirrored))
    assert near == pytest.approx(np.sort(every, axis=1)[:, :4], rel=1e-6)
    assert places.tolist() == every.argsort(axis=1)[:, :4].tolist()


@pytest.mark.parametrize("chunk", [3, 10, 1024])
def test_nobody_is_their_own_neighbour(chunk):
    heap, mirrored = vectors(20, 4), vectors(20, 4)
    mirrored[:10] = heap[:10]  # pictures that look the same mirrored, which makes them no neighbours of themselves
    near, places = neighbours(heap, [heap, mirrored], 5, chunk, own=np.arange(len(heap)))
    every = np.minimum(cdist(heap, heap), cdist(heap, mirrored)) + np.diag(np.full(20, np.inf))
    assert near == pytest.approx(np.sort(every, axis=1)[:, :5], rel=1e-6)
    assert (places != np.arange(20)[:, None]).all()
    assert neighbours(heap[:6], [heap[:6]], 5, chunk, own=np.arange(6))[0].shape == (6, 5)


def test_differences_far_below_the_size_of_the_vectors_are_exact():
    """Single precision holds no difference of 0.5 in squares of 1e10; around their middle it does."""
    references = vectors(200, 64, middle=10000.0)
    queries = references + np.float32(0.0625)
    distances, places = nearest(queries, references)
    assert places.tolist() == list(range(200))
    assert distances == pytest.approx(np.linalg.norm(queries.astype(float) - references, axis=1), rel=1e-12)
    assert nearest(references, references)[0].max() == 0.0


def test_neighbours_that_rounding_swaps_are_put_right():
    """One far off spoils the middle, so that four lie within rounding of each other; subtraction tells them apart."""
    references = np.array([[3e4, 0], [0.04, 1], [0.03, 1], [0.02, 1], [0.01, 1]], np.float32)
    distances, places = nearest(np.array([[0, 1]], np.float32), references)
    assert places.tolist() == [4]
    assert distances.tolist() == pytest.approx([0.01])


def test_of_equally_near_ones_the_first_is_named():
    assert nearest([[0.0]], [[2.0], [1.0], [-1.0], [1.0]])[1].tolist() == [1]


def test_memory_does_not_grow_with_pairs():
    """3,000 x 3,000 distances alone would be 34 MiB."""
    queries, references = vectors(3000, 16), vectors(3000, 16)
    tracemalloc.start()
    nearest(queries, references, chunk=256)
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


FINE = np.ones((3, 2))


@pytest.mark.parametrize(
    ("queries", "references", "options", "expected"),
    [
        (np.ones((0, 2)), FINE, {}, r"\(N, D\), at least 1 by 1; those of queries have \(0, 2\)"),
        (FINE, np.ones(2), {}, r"those of references have \(2,\)"),
        (
            FINE,
            np.ones((3, 4)),
            {},
            "references have 4 values, where 2 are compared. Describe all images with the same",
        ),
        (
            FINE,
            [[1.0, np.nan], [np.inf, 0.0], [1.0, 2.0]],
            {},
            "2 of 3 references have descriptors that are not finite",
        ),
        (FINE, FINE, {"chunk": 0}, "At least 1 vector is compared at once, got chunk=0. Usual is chunk=1024"),
    ],
)
def test_what_cannot_be_compared_is_said(queries, references, options, expected):
    with pytest.raises(CardiganError, match=expected):
        nearest(queries, references, **options)
