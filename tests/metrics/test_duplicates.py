"""Duplicates against SciPy's graph of close pairs, and the number of different images where it is known."""

import functools
import math
import tracemalloc

import numpy as np
import pytest
from scipy import sparse, stats
from scipy.spatial.distance import pdist, squareform

from cardigan.errors import CardiganError
from cardigan.metrics.duplicates import Duplicates, _at_most, _join, duplicates, support


def slow(features, threshold):
    """All distances, and SciPy's connected components."""
    close = np.triu(squareform(pdist(features)) <= threshold, 1)
    _, names = sparse.csgraph.connected_components(sparse.csr_array(close), directed=False)
    groups = (tuple(np.flatnonzero(names == name).tolist()) for name in np.unique(names))
    groups = sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group))
    return Duplicates(tuple(groups), int(close.sum()), len(features))


def colliding(drawn):
    counts = np.bincount(drawn)
    return int((counts * (counts - 1) // 2).sum())


@pytest.mark.parametrize("chunk", [1, 16, 1024])
@pytest.mark.parametrize("threshold", [0.05, 0.15, 0.3, 5.0])
def test_scipy_finds_the_same(chunk, threshold):
    features = np.random.default_rng(0).normal(size=(120, 2))
    found = duplicates(features, threshold=threshold, chunk=chunk)
    assert found == slow(features, threshold)


def test_thresholds_above_tell_groups_of_several_sizes_apart():
    """So that the test before compares more than nothing with nothing."""
    found = slow(np.random.default_rng(0).normal(size=(120, 2)), 0.15)
    assert len(found.groups) > 5
    assert len({len(group) for group in found.groups}) > 2


def test_a_long_chain_is_one_group():
    order = np.random.default_rng(1).permutation(500)
    found = duplicates(order[:, None].astype(float), threshold=1.0, chunk=64)
    assert found == Duplicates((tuple(range(500)),), 499, 500)


def test_those_joined_before_follow_their_group_all_the_way():
    """5 belongs to 4 already, and no pair of now names it: it has to follow along a chain."""
    names = np.array([0, 1, 2, 3, 4, 4])
    _join(names, np.array([3, 2, 1, 0]), np.array([4, 3, 2, 1]))
    assert names.tolist() == [0] * 6


def test_just_at_the_threshold_is_a_duplicate_and_beyond_is_none():
    assert duplicates([[0.0], [0.5]], threshold=0.5).collisions == 1
    assert duplicates([[0.0], [0.5]], threshold=np.nextafter(0.5, 0)).collisions == 0
    assert duplicates([[1e3, 0.0], [1e3, 1e-9]], threshold=1e-9).collisions == 1
    assert duplicates([[1e3, 0.0], [1e3, 1.001e-9]], threshold=1e-9).collisions == 0


def test_one_image_only_is_found_without_a_list_of_pairs():
    """Two million pairs, as a generator makes them that has collapsed."""
    features = np.random.default_rng(2).normal(size=(1, 8)).repeat(2000, axis=0).astype(np.float32)
    tracemalloc.start()
    found = duplicates(features, threshold=1e-3, chunk=128)
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    tracemalloc.stop()
    assert (len(found.groups), len(found.groups[0]), found.collisions) == (1, 2000, 1999000)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("collisions", [0, 1, 2, 17, 400, 4000])
def test_the_interval_is_garwoods(collisions, confidence):
    """By chi-squared quantiles, which is the usual way to write it down."""
    pairs, tail = 1000 * 999 / 2, (1 - confidence) / 2
    found = support(1000, collisions, confidence=confidence)
    assert found.low == pytest.approx(pairs / (stats.chi2.isf(tail, 2 * collisions + 2) / 2), rel=1e-9)
    if collisions:
        assert found.high == pytest.approx(pairs / (stats.chi2.ppf(tail, 2 * collisions) / 2), rel=1e-9)
        assert found.estimate == pytest.approx(pairs / collisions)
    else:
        assert (found.estimate, found.high) == (None, None)
        assert found.low == pytest.approx(pairs / -math.log(tail), rel=1e-9)


@pytest.mark.parametrize(
    ("count", "mean"), [(0, 0.0), (0, 3.5), (7, 0.01), (7, 7.0), (7, 300.0), (10**6, 10**6), (5 * 10**7, 5.0003e7)]
)
def test_chances_are_poissons(count, mean):
    assert _at_most(count, mean) == pytest.approx(stats.poisson.cdf(count, mean), rel=1e-5, abs=1e-300)


def test_birthdays():
    """Of 23 people; the mean of pairs of 365 days is 253/365."""
    assert support(23, 1).estimate == 253
    assert stats.poisson.pmf(0, 253 / 365) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(("images", "samples"), [(500, 40), (500, 200), (500, 500), (5000, 200)])
def test_a_known_number_of_images_lies_within_as_often_as_is_said(images, samples):
    """95 % of 2,000 times, less at most two standard errors."""
    rng = np.random.default_rng(images + samples)
    found = functools.cache(support)
    right = 0
    for _ in range(2000):
        one = found(samples, colliding(rng.integers(0, images, samples)))
        right += one.low <= images and (one.high is None or images <= one.high)
    assert right > 2000 * (0.95 - 2 * math.sqrt(0.95 * 0.05 / 2000))


def test_duplicates_are_what_is_counted():
    """Samples of 500 images, each with a little noise of its own."""
    drawn = np.random.default_rng(4).integers(0, 500, 200)
    features = drawn[:, None] + 0.01 * np.random.default_rng(5).uniform(size=(200, 1))
    found = duplicates(features, threshold=0.5)
    assert found.collisions == colliding(drawn) > 20
    known = support(found.count, found.collisions)
    assert known.low < 500 < known.high


def test_unequal_images_are_more_than_is_said():
    """Half of all samples show one of 100 images, half one of 100,000."""
    rng = np.random.default_rng(3)
    drawn = np.where(rng.random(1000) < 0.5, rng.integers(0, 100, 1000), rng.integers(100, 100_100, 1000))
    found = support(1000, colliding(drawn))
    assert found.high < 1000 < 100_100


def test_a_generator_of_one_image():
    found = support(100, 4950)
    assert (found.estimate, found.low) == (1.0, 1.0)
    assert found.high == pytest.approx(1, abs=0.05)


def test_sentences():
    assert support(1000, 0).sentence == (
        "No two of 1,000 samples are duplicates: the generator probably makes more than 135,000 different images."
    )
    assert support(3, 3).sentence.startswith(
        "Among 3 samples 3 pairs are duplicates, as if the generator made about 1 image (1 to "
    )
    assert support(1000, 1).sentence == (
        "Among 1,000 samples 1 pair is a duplicate, as if the generator made about 500,000 different images (89,700 to "
        "19,700,000 at 95% confidence)."
    )
    assert support(1000, 1234, confidence=0.9).sentence == (
        "Among 1,000 samples 1,234 pairs are duplicates, as if the generator made about 405 different images (386 to "
        "424 at 90% confidence)."
    )


FINE = np.ones((4, 3))


@pytest.mark.parametrize(
    ("features", "options", "expected"),
    [
        (
            FINE,
            {"threshold": 0.0},
            "got threshold=0, chunk=1024. For identical features give a tiny threshold",
        ),
        (
            FINE,
            {"threshold": -1.0},
            "distance above 0, and 1 vector or more is compared at once; got threshold=-1",
        ),
        (FINE, {"threshold": math.nan}, "got threshold=nan"),
        (FINE, {"threshold": math.inf}, "got threshold=inf"),
        (FINE, {"threshold": 1.0, "chunk": 0}, "got threshold=1, chunk=0"),
        (FINE[:1], {"threshold": 1.0}, "at least 2 generated images, and there are 1"),
        (FINE * np.nan, {"threshold": 1.0}, "4 of 4 generated images are not finite"),
    ],
)
def test_what_cannot_be_compared_is_said(features, options, expected):
    with pytest.raises(CardiganError, match=expected):
        duplicates(features, **options)


@pytest.mark.parametrize(
    ("samples", "collisions", "options", "expected"),
    [
        (1, 0, {}, "got 0 of 0 pairs of 1 samples"),
        (5, 11, {}, "no more than there are; got 11 of 10 pairs of 5 samples"),
        (5, -1, {}, "got -1 of 10 pairs"),
        (5, 1, {"confidence": 1.0}, "Confidence lies between 0 and 1, got 1. Usual is confidence=0.95"),
        (5, 1, {"confidence": 95}, "got 95"),
    ],
)
def test_what_tells_no_number_is_said(samples, collisions, options, expected):
    with pytest.raises(CardiganError, match=expected):
        support(samples, collisions, **options)
