"""Authenticity against its golden value, a brute-force loop, and what its docstring warns of."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cardigan.errors import CardiganError
from cardigan.metrics.authenticity import authenticity


def slow(samples, training):
    apart, among = cdist(samples, training), cdist(training, training)
    np.fill_diagonal(among, np.inf)
    return np.mean([row.min() > among[row.argmin()].min() for row in apart])


def test_portable_heaps(portable):
    real, fake = portable
    assert authenticity(fake, real) == 40 / 48
    assert round(100 * authenticity(fake, real), 4) == 83.3333
    assert authenticity(real, fake) != authenticity(fake, real)


@pytest.mark.parametrize("chunk", [1, 13, 1024])
def test_a_loop_agrees_for_any_chunk(chunk):
    rng = np.random.default_rng(0)
    samples, training = rng.normal(size=(70, 5)).astype("f4"), rng.normal(size=(90, 5)).astype("f4")
    assert authenticity(samples, training, chunk=chunk) == slow(samples, training)
    order = rng.permutation(90)
    assert authenticity(samples[::-1], training[order], chunk=chunk) == slow(samples, training)


def test_as_far_as_the_nearest_fellow_is_not_authentic():
    assert authenticity([[-1.0]], [[0.0], [1.0], [9.0]]) == 0.0
    assert authenticity([[-1.01]], [[0.0], [1.0], [9.0]]) == 1.0


def test_1_is_not_the_healthy_value():
    """New samples of the very distribution are far from all authentic, copies are not at all, and noise is all."""
    rng = np.random.default_rng(1)
    training, new = rng.normal(size=(2, 500, 6))
    assert 0.3 < authenticity(new, training) < 0.8
    assert authenticity(training + 1e-3, training) == 0.0
    assert authenticity(10 * new, training) > 0.97


FINE = np.ones((4, 3))


@pytest.mark.parametrize(
    ("samples", "training", "expected"),
    [
        (FINE, FINE[:1], "lie from each other, so it takes at least 2, got 1. Give all of them"),
        (FINE[:, :2], FINE, "training images have 3 values, where 2 are compared"),
        (FINE[:0], FINE, r"those of samples have \(0, 3\)"),
        (FINE, FINE * np.inf, "4 of 4 training images have descriptors that are not finite"),
    ],
)
def test_what_cannot_be_measured_is_said(samples, training, expected):
    with pytest.raises(CardiganError, match=expected):
        authenticity(samples, training)
