"""Bounds that hold, and comparisons as double precision decides them, near ties and far from 1."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cardigan.metrics.pairs import Pairs, strips

RNG = np.random.default_rng(0)
WHOLE = slice(None)


@pytest.mark.parametrize("features", [1, 3, 64, 2048])
@pytest.mark.parametrize("middle", [0.0, 100.0])
def test_bounds_hold_and_are_narrow(features, middle):
    ours = RNG.normal(middle, 1, size=(60, features))
    theirs = np.concatenate([RNG.normal(middle, 3, size=(60, features)), ours[:20], ours[:20] * (1 + 1e-6)])
    pairs = Pairs(ours, theirs)
    low, high = pairs.bounds(WHOLE, WHOLE)
    assert low.dtype == high.dtype == np.float32
    true = cdist(ours, theirs, "sqeuclidean") * pairs.scale
    assert (low.astype(float) <= true).all()
    assert (high.astype(float) >= true).all()
    assert (high - low).max() < (features + 40) * 2e-7 * true.max()


def test_bounds_are_needed():
    """What single precision says without them lies on the wrong side of some limits."""
    ours = RNG.normal(size=(200, 512))
    pairs = Pairs(ours, ours[::-1].copy())
    low, high = pairs.bounds(WHOLE, WHOLE)
    true = cdist(ours, ours[::-1], "sqeuclidean") * pairs.scale
    assert ((low + high) / 2 != true.astype(np.float32)).mean() > 0.1


def test_exact_distances_are_those_of_single_pairs(monkeypatch):
    ours, theirs = RNG.normal(size=(30, 7)).astype(np.float32), RNG.normal(size=(40, 7))
    mine, other = RNG.integers(0, 30, 200), RNG.integers(0, 40, 200)
    found = Pairs(ours, theirs).exact(mine, other)
    expected = ((ours.astype(float)[mine] - theirs[other]) ** 2).sum(axis=1)
    assert found.tolist() == expected.tolist()
    wide = np.repeat(ours.astype(float), 2**17, axis=1)[:5]  # more than one step of few pairs
    few = np.array([0, 1, 2, 3, 4]), np.array([1, 2, 3, 4, 4])
    assert Pairs(wide, wide).exact(*few) == pytest.approx(2**17 * ((ours[few[0]] - ours[few[1]]) ** 2.0).sum(axis=1))


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e100])
def test_ties_and_near_ties_are_decided_exactly(size):
    """On a lattice many distances are equal to the limit; beside it are some that differ in the 9th digit."""
    rng = np.random.default_rng(1)
    ours = rng.integers(-3, 4, size=(40, 5)).astype(float)
    theirs = rng.integers(-3, 4, size=(60, 5)).astype(float)
    theirs[20:40] *= 1 + 1e-9
    theirs[40:] *= 1 - 1e-9
    limits = rng.integers(5, 60, size=(40, 1)).astype(float)
    squares = ((ours[:, None] - theirs) ** 2).sum(axis=2)
    expected = squares < limits
    assert (squares == limits).any()
    assert (np.abs(squares / limits - 1)[squares != limits] < 1e-7).any()
    assert (expected != (squares <= limits)).any()
    assert (expected != (squares.astype(np.float32) < limits.astype(np.float32))).any()
    unit = 2.0 ** round(np.log2(size))  # a power of two, so that ties stay ties
    found = Pairs(ours * unit, theirs * unit).closer(slice(0, 40), slice(0, 60), limits * unit**2)
    if size == 1e-200:  # squares vanish in double precision too
        assert not found.any()
    else:
        assert (found == expected).all()
        tile = Pairs(ours * unit, theirs * unit).closer(slice(10, 25), slice(30, 60), limits[10:25] * unit**2)
        assert (tile == expected[10:25, 30:60]).all()


def test_limits_beyond_single_precision():
    ours = RNG.normal(size=(4, 3))
    pairs = Pairs(ours, ours)
    assert pairs.closer(slice(0, 4), slice(0, 4), np.array(1e200)).all()
    assert not pairs.closer(slice(0, 4), slice(0, 4), np.array(0.0)).any()
    assert pairs.closer(slice(0, 4), slice(0, 4), np.array(1e-300)).tolist() == np.eye(4, dtype=bool).tolist()


def test_an_outlier_spoils_nothing():
    ours = np.concatenate([RNG.normal(size=(50, 8)), np.full((1, 8), 1e12)])
    limits = np.sort(cdist(ours, ours, "sqeuclidean"), axis=1)[:, 3:4] * (1 + 1e-12)
    found = Pairs(ours, ours).closer(slice(0, 51), slice(0, 51), limits)
    assert (found == (((ours[:, None] - ours) ** 2).sum(axis=2) < limits)).all()


def test_strips_are_all_rows():
    assert [list(range(10))[strip] for strip in strips(10, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert strips(3, 100) == [slice(0, 3)]
