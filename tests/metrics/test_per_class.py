"""Measures by class, and why a class has none."""

import functools

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.metrics.frechet import frechet_distance
from cardigan.metrics.manifold import manifold
from cardigan.metrics.per_class import per_class

RNG = np.random.default_rng(0)


def test_each_class_is_measured_by_itself():
    real, fake = RNG.normal(size=(60, 3)), RNG.normal(1, 2, size=(45, 3))
    mine, other = np.arange(60) % 3, np.arange(45) % 3
    values, reasons = per_class(frechet_distance, real, fake, real_labels=mine, fake_labels=other)
    assert values == {label: frechet_distance(real[label::3], fake[label::3]) for label in (0, 1, 2)}
    assert reasons == {}


def test_classes_that_one_side_lacks_have_a_reason_and_no_value():
    real, fake = RNG.normal(size=(40, 3)), RNG.normal(size=(38, 3))
    mine, other = np.array([4] * 20 + [9] * 20), np.array([7] * 10 + [9] * 28)
    values, reasons = per_class(frechet_distance, real, fake, real_labels=mine, fake_labels=other)
    assert list(values) == [9]
    assert reasons == {
        4: "there are 20 real and 0 generated images",
        7: "there are 0 real and 10 generated images",
    }
    assert all(type(label) is int for label in (*values, *reasons))


def test_classes_with_too_few_images_say_what_the_measure_says():
    real, fake = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 3))
    labels = np.array([0] * 4 + [1] * 16)
    measure = functools.partial(manifold, k=5)
    values, reasons = per_class(measure, real, fake, real_labels=labels, fake_labels=labels)
    assert values == {1: manifold(real[4:], fake[4:], k=5)}
    assert reasons[0].startswith(
        "Each image has 5 neighbours of its own kind only among 6 or more, and there are 4 real"
    )


def test_faults_of_the_measure_itself_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        per_class(lambda some, others: 1 / 0, [[1.0]], [[1.0]], real_labels=[0], fake_labels=[0])


@pytest.mark.parametrize(
    ("real_labels", "fake_labels", "expected"),
    [
        ([0, 1], [0, 0, 0], r"an integer, for each of 3 real images; got int64 of the shape \(2,\)"),
        ([0, 1, 1], [0.0, 1.0, 1.0], r"for each of 3 generated images; got float64 of the shape \(3,\)"),
        ([0, 0, 0], [1, 1, 1], "None of 2 classes can be measured. Class 0: there are 3 real and 0 generated images"),
        ([0, 1, 2], [0, 1, 2], "None of 3 classes can be measured. Class 0: This takes at least 2 real images"),
    ],
)
def test_what_cannot_be_measured_is_said(real_labels, fake_labels, expected):
    heap = np.ones((3, 2))
    with pytest.raises(CardiganError, match=expected):
        per_class(frechet_distance, heap, heap, real_labels=real_labels, fake_labels=fake_labels)


def test_without_any_images_there_are_no_classes():
    with pytest.raises(CardiganError, match=r"None of 0 classes can be measured\.$"):
        per_class(frechet_distance, np.ones((0, 2)), np.ones((0, 2)), real_labels=[], fake_labels=[])
