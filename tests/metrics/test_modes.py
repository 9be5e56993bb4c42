"""Modes against closed forms and SciPy's entropy."""

import math

import numpy as np
import pytest
from scipy import stats

from cardigan.errors import CardiganError
from cardigan.metrics.modes import Modes, class_modes, point_modes

RING = np.stack([np.cos(np.arange(8) * math.pi / 4), np.sin(np.arange(8) * math.pi / 4)], axis=1)
GRID = np.stack(np.meshgrid(np.arange(-4.0, 5, 2), np.arange(-4.0, 5, 2)), axis=2).reshape(25, 2)


def test_all_classes_equally_often():
    assert class_modes(np.repeat(np.arange(1000), 3), 1000) == Modes(1000, 1000, 0.0)


def test_one_class_only():
    assert class_modes([7] * 50, 1000) == Modes(1, 1000, pytest.approx(math.log(1000), rel=1e-12))


def test_half_of_the_classes():
    assert class_modes(np.arange(500, dtype=np.uint16), 1000) == Modes(500, 1000, pytest.approx(math.log(2)))


def test_divergence_is_scipys_from_generated_to_uniform():
    labels = np.random.default_rng(0).geometric(0.2, 400) % 10
    shares = np.bincount(labels, minlength=12) / 400
    found = class_modes(labels, 12)
    assert found.found == 10
    assert found.divergence == pytest.approx(stats.entropy(shares, np.full(12, 1 / 12)), rel=1e-12)
    # The other way round is infinite as soon as one class is missing.
    assert math.isinf(stats.entropy(np.full(12, 1 / 12), shares))


def test_chance_alone_makes_a_divergence_of_total_over_2n():
    rng = np.random.default_rng(1)
    found = [class_modes(rng.integers(0, 100, 5000), 100).divergence for _ in range(30)]
    assert np.mean(found) == pytest.approx(100 / 10_000, rel=0.1)


@pytest.mark.parametrize("centres", [RING, GRID])
def test_samples_of_the_mixture_itself(centres):
    rng = np.random.default_rng(2)
    points = centres[rng.integers(0, len(centres), 20_000)] + 0.02 * rng.normal(size=(20_000, 2))
    found = point_modes(points, centres, deviation=0.02)
    assert (found.found, found.total) == (len(centres), len(centres))
    assert found.quality == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    assert found.divergence == pytest.approx(len(centres) / 40_000, abs=0.001)
    assert point_modes(points, centres, deviation=0.02, within=1.0).quality == pytest.approx(
        1 - math.exp(-0.5), abs=0.01
    )


def test_modes_without_a_good_sample_are_not_found():
    """At the centres of three modes, and just short of a fourth."""
    points = np.concatenate([RING[:3], RING[3:4] * 1.0301, RING[:1]])
    found = point_modes(points, RING, deviation=0.01)
    assert (found.found, found.quality) == (3, 0.8)
    shares = np.array([2, 1, 1, 1, 0, 0, 0, 0]) / 5
    assert found.divergence == pytest.approx(stats.entropy(shares, np.full(8, 1 / 8)), rel=1e-12)
    assert point_modes(points, RING, deviation=0.01, within=3.02).found == 4


def test_at_the_edge_is_good():
    assert point_modes([[3.0, 0.0]], [[0.0, 0.0]], deviation=1.0).quality == 1.0
    assert point_modes([[3.0001, 0.0]], [[0.0, 0.0]], deviation=1.0).quality == 0.0


def test_a_sample_between_two_counts_for_the_first():
    assert point_modes([[0.5]], [[0.0], [1.0]], deviation=0.5) == Modes(1, 2, pytest.approx(math.log(2)), 1.0)


@pytest.mark.parametrize(
    ("labels", "total", "expected"),
    [
        ([], 10, r"integers of the shape \(N,\), one a sample; got float64 of the shape \(0,\)"),
        ([0.0, 1.0], 10, "got float64"),
        ([[0, 1]], 10, r"of the shape \(1, 2\)"),
        ([0, 10], 10, "Labels of 10 classes are 0 to 9, got 0 to 10. Give the number of classes that there are, with"),
        ([-1, 3], 10, "got -1 to 3"),
    ],
)
def test_labels_that_are_none_are_said(labels, total, expected):
    with pytest.raises(CardiganError, match=expected):
        class_modes(labels, total)


@pytest.mark.parametrize(
    ("points", "centres", "options", "expected"),
    [
        (RING[:0], RING, {}, "at least 1 generated images, and there are 0"),
        (RING, RING[:0], {}, "at least 1 central images"),
        (RING, np.ones((4, 3)), {}, "Points have 2 coordinates and centres 3. Give centres in the space of the points"),
        (RING * np.nan, RING, {}, "8 of 8 generated images are not finite"),
        (
            RING,
            RING,
            {"deviation": 0.0},
            "A mode is finite and wider than a point, got deviation=0, within=3. Usual is",
        ),
        (RING, RING, {"within": -1.0}, "got deviation=0.1, within=-1"),
        (RING, RING, {"within": math.nan}, "within=nan"),
    ],
)
def test_what_has_no_modes_is_said(points, centres, options, expected):
    with pytest.raises(CardiganError, match=expected):
        point_modes(points, centres, **{"deviation": 0.1, **options})
