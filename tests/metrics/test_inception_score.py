"""The inception score against closed forms and a plain loop."""

import math

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.metrics.inception_score import inception_score


def slow(rows):
    """As the definition says it, in plain floats."""
    whole = [math.fsum(row[place] for row in rows) / len(rows) for place in range(len(rows[0]))]
    total = math.fsum(p * math.log(p / q) for row in rows for p, q in zip(row, whole, strict=True) if p > 0)
    return math.exp(total / len(rows))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (np.eye(10), 10),
        (np.repeat(np.eye(10), 7, axis=0), 10),
        (np.full((30, 10), 0.1), 1),
        (np.repeat(np.eye(10)[:1], 5, axis=0), 1),
        ([[0.9, 0.1], [0.1, 0.9]], 1.444934811168),
    ],
)
def test_closed_forms(rows, expected):
    mean, spread = inception_score(rows, splits=1)
    assert mean == pytest.approx(expected, abs=1e-10)
    assert spread == 0.0


def test_a_loop_agrees_on_each_part():
    rows = softmax(3 * np.random.default_rng(0).normal(size=(53, 7)))
    parts = [slow(rows[start:end].tolist()) for start, end in ((0, 13), (13, 26), (26, 39), (39, 53))]
    mean, spread = inception_score(rows, splits=4)
    assert mean == pytest.approx(math.fsum(parts) / 4, rel=1e-12)
    assert spread == pytest.approx(np.std(parts), rel=1e-10)
    assert spread > 0


def test_ten_parts_are_the_default():
    rows = softmax(np.random.default_rng(1).normal(size=(50, 4)))
    assert inception_score(rows) == inception_score(rows, splits=10) != inception_score(rows, splits=5)


def test_an_image_a_part_scores_1():
    assert inception_score(np.eye(6), splits=6) == (1.0, 0.0)


def test_half_precision_is_put_right():
    rows = softmax(np.random.default_rng(2).normal(size=(64, 1000)))
    half = rows.astype(np.float16)
    assert np.abs(half.sum(axis=1, dtype=float) - 1).max() > 1e-6
    assert inception_score(half, splits=1)[0] == pytest.approx(inception_score(rows, splits=1)[0], rel=1e-3)
    assert inception_score(rows * 1.0005, splits=1)[0] == pytest.approx(inception_score(rows, splits=1)[0], rel=1e-12)


FINE = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        (
            [[0.5, 0.5], [2.0, -1.0], [3.0, 1.0]],
            {"splits": 1},
            "add up to 1; those of 2 of 3 images are not. Those of image 1 start at -1 and add up to 1. Apply softmax "
            "to a network's logits first",
        ),
        ([[0.5, 0.502]], {"splits": 1}, "Those of image 0 start at 0.5 and add up to 1.002"),
        (FINE, {}, "got splits=10 and 4 images. Usual are splits=10 and 50,000 images"),
        (FINE, {"splits": 0}, "1 part or more of at least 1 image, got splits=0 and 4 images"),
        (np.ones(3), {}, r"one row an image; classified ones have \(3,\)"),
        (FINE * np.nan, {}, "Features of 4 of 4 classified images are not finite"),
        (np.ones((0, 2)), {}, "at least 1 classified images, and there are 0"),
    ],
)
def test_what_has_no_score_is_said(rows, options, expected):
    with pytest.raises(CardiganError, match=expected):
        inception_score(rows, **options)
