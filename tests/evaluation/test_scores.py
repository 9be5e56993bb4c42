"""Scores: each is its metric, taken of as many images on either side of a comparison."""

import numpy as np
import pytest

from cardigan.evaluation import scores
from cardigan.evaluation.extractors_contract import Seen
from cardigan.evaluation.scores import Looks
from cardigan.metrics.authenticity import authenticity
from cardigan.metrics.frechet import frechet_distance, infinite
from cardigan.metrics.inception_score import inception_score
from cardigan.metrics.kernel import kernel_distance
from cardigan.metrics.manifold import manifold

WIDTH = 6
SINGLE = (scores.kernel, scores.frechet, scores.extrapolated, scores.authentic)


def heap(count, seed, shift=0.0, classes=0):
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(count, WIDTH)) + shift).astype(np.float32)
    chances = rng.dirichlet(np.full(classes, 0.3), count).astype(np.float32) if classes else None
    return Seen(values, chances)


def looks(mine=(200, 200, 200), theirs=150, learnt=120, held_out=True, shift=0.5, classes=0):
    parts = [heap(count, place, shift, classes) for place, count in enumerate(mine)]
    return Looks(parts, heap(theirs, 10, classes=classes), heap(learnt, 11, classes=classes), held_out)


def evenly(values, count):
    return values[[round(place * (len(values) - 1) / (count - 1)) for place in range(count)]]


def test_the_mean_and_the_spread_are_those_of_the_parts():
    given = looks()
    theirs, learnt = given.theirs.features, given.learnt.features
    found = scores.authentic(given)
    values = [authenticity(part.features, learnt) for part in given.mine]
    assert found.value == pytest.approx(np.mean(values))
    assert found.spread == pytest.approx(np.sqrt(np.var(values) * 3 / 2))
    assert found.floor == authenticity(theirs, learnt)
    assert found.better == "near"


def test_one_part_has_no_spread():
    given = looks(mine=(50,))
    every = [score(given) for score in SINGLE] + scores.manifolds(given)[0]
    assert [score.spread for score in every] == [None] * 8
    assert None not in [score.value for score in every]


def test_the_floor_is_of_as_many_images():
    given = looks()
    theirs, learnt = given.theirs.features, given.learnt.features
    few = [evenly(part.features, 120) for part in given.mine]
    assert given.compared == 120
    frechet = scores.frechet(given)
    assert frechet.value == pytest.approx(np.mean([frechet_distance(theirs, part) for part in few]))
    assert frechet.floor == pytest.approx(frechet_distance(theirs, learnt))
    assert "of 150 real and 120 generated images: it depends on both" in frechet.note
    found, (parts, floor) = scores.manifolds(given)
    assert parts == [manifold(theirs, part, k=5) for part in few]
    assert floor == manifold(theirs, learnt, k=5)
    assert [score.metric for score in found] == ["precision", "recall", "density", "coverage"]
    for score in found:
        assert score.value == pytest.approx(np.mean([getattr(part, score.metric) for part in parts]))
        assert score.floor == getattr(floor, score.metric)


def test_more_training_images_than_samples_are_thinned():
    given = looks(mine=(50, 50), learnt=400)
    assert given.compared == 50
    assert np.array_equal(given.floor, evenly(given.learnt.features, 50))
    assert scores.frechet(given).floor == frechet_distance(given.theirs.features, evenly(given.learnt.features, 50))


def test_samples_of_the_very_distribution_stand_where_the_floor_is():
    """However many they are: were the floor of other numbers, both would differ by far more than that."""
    theirs, found, unequal = heap(200, 99), [], []
    for seed in range(0, 120, 4):
        given = Looks([heap(800, seed)], theirs, heap(50, seed + 1), held_out=True)
        distance, coverage = scores.frechet(given), scores.manifolds(given)[0][3]
        found.append((distance.value, distance.floor, coverage.value, coverage.floor))
        whole = given.mine[0].features
        unequal.append((frechet_distance(theirs.features, whole), manifold(theirs.features, whole, k=5).coverage))
    distance, floor, coverage, least = np.mean(found, axis=0)
    assert abs(distance - floor) < 0.15 * floor
    assert abs(coverage - least) < 0.03
    assert np.mean(unequal, axis=0)[0] < 0.5 * floor
    assert np.mean(unequal, axis=0)[1] > least + 0.1


def test_the_kernel_distance_is_of_every_sample():
    given = looks(mine=(150, 150), shift=0.3)
    found = scores.kernel(given)
    rng = np.random.default_rng(0)
    values = [kernel_distance(given.theirs.features, part.features, rng=rng)[0] for part in given.mine]
    assert found.value == pytest.approx(np.mean(values))
    assert scores.kernel(given) == found
    assert "near that of real images nothing is told apart" in found.note
    assert "around 0 nothing is told apart" in scores.kernel(looks(held_out=False)).note


def test_without_held_out_images_there_is_no_floor():
    given = looks(held_out=False, theirs=120)
    every = [score(given) for score in SINGLE] + scores.manifolds(given)[0]
    assert [score.floor for score in every] == [None] * 8
    assert given.compared == 200


@pytest.mark.parametrize(("mine", "theirs", "learnt"), [(6, 100, 100), (100, 6, 100), (100, 100, 6)])
def test_a_frechet_distance_of_no_more_images_than_features_is_not_given(mine, theirs, learnt):
    found = scores.frechet(looks(mine=(mine,), theirs=theirs, learnt=learnt))
    assert (found.value, found.spread, found.floor) == (None, None, None)
    assert found.note == (
        "not given: the covariance of 6 features takes more than 6 images, real and generated, and there are 6; read "
        "the kernel distance"
    )
    assert scores.frechet(looks(mine=(7,), theirs=7, learnt=7)).value is not None


def test_a_known_distance_is_extrapolated_to():
    """Of samples moved by 0.5 along six features, 6 x 0.5²; against so many real images only samples have a bias."""
    plain, found = [], []
    theirs, learnt = heap(20_000, 998), heap(50, 997)
    for seed in range(0, 120, 3):
        given = Looks([heap(50, seed + place, 0.5) for place in range(3)], theirs, learnt, held_out=True)
        plain.append(scores.frechet(given))
        found.append(scores.extrapolated(given))
    assert {score.metric for score in found} == {"fd-infinity"}
    assert np.mean([score.value for score in found]) == pytest.approx(1.5, abs=0.1)
    assert np.mean([score.value for score in plain]) > 1.5 + 0.25
    assert found[0].note == (
        "extrapolated to infinitely many generated images; the number of real ones, 20,000, still counts, so compare "
        "no others; it may be negative"
    )


def test_an_extrapolated_distance_is_of_each_part_and_its_floor_of_as_many():
    given = looks()
    theirs = given.theirs.features
    found = scores.extrapolated(given)
    values = [infinite(theirs, evenly(part.features, 120), rng=np.random.default_rng(0)) for part in given.mine]
    # Other halves: they differ by less than the floor is away.
    assert found.value == pytest.approx(np.mean(values), rel=0.05)
    assert found.spread == pytest.approx(np.std(values, ddof=1), rel=0.5)
    assert found.floor == pytest.approx(infinite(theirs, given.floor, rng=np.random.default_rng(0)), abs=0.1)
    assert abs(found.floor) < 0.2 * found.value
    assert found == scores.extrapolated(given)


@pytest.mark.parametrize(("mine", "theirs", "learnt"), [(13, 100, 100), (100, 6, 100), (100, 100, 13), (13, 6, 100)])
def test_an_extrapolated_distance_takes_more_images_than_features_in_either_half(mine, theirs, learnt):
    found = scores.extrapolated(looks(mine=(mine,), theirs=theirs, learnt=learnt))
    assert (found.metric, found.value, found.spread, found.floor) == ("fd-infinity", None, None, None)
    assert found.note == (
        f"not given: of 6 features it takes 7 real and 14 generated images or more, and there are {theirs} and "
        f"{min(mine, learnt)}; read the kernel distance"
    )
    assert scores.extrapolated(looks(mine=(14,), theirs=7, learnt=14)).value is not None


@pytest.mark.parametrize(("count", "told"), [(9_999, True), (10_000, False)])
def test_a_frechet_distance_of_few_images_is_said_to_be_biased(count, told):
    found = scores.frechet(looks(mine=(10_000,), theirs=count, learnt=10_000))
    assert ("biased with so few, so read the kernel distance first" in found.note) == told


def test_inception_scores_are_of_as_many_images():
    given = looks(mine=(100, 100), theirs=150, learnt=80, classes=4)
    (found,) = scores.inception(given, "own classifier")
    parts = [inception_score(evenly(part.probabilities, 80), splits=1)[0] for part in given.mine]
    assert found.value == pytest.approx(np.mean(parts))
    assert found.floor == pytest.approx(inception_score(evenly(given.theirs.probabilities, 80), splits=1)[0])
    assert found.note == (
        "of 80 samples, and higher with more; looks at no real image; by the classes of own classifier, so "
        "comparable with itself only"
    )
    (few,) = scores.inception(looks(theirs=60, learnt=90, classes=4), "inception")
    learnt = looks(theirs=60, learnt=90, classes=4).learnt.probabilities
    assert few.floor == pytest.approx(inception_score(learnt, splits=1)[0])
    assert few.note == (
        "of 90 samples, and higher with more; looks at no real image; old papers take 50,000 samples in 10 parts"
    )
    assert scores.inception(looks(mine=(300,), theirs=100, learnt=100, held_out=False, classes=4), "x")[0].floor is None
    assert scores.inception(looks(), "pixels") == []


def test_classes_are_measured_against_training_images_of_their_own():
    given = looks(mine=(60, 60), learnt=100)
    real, drawn = np.arange(100) % 3, [np.arange(60) % 3, (np.arange(60) + 1) % 3]
    given.mine[0].features[drawn[0] == 2] += 3.0
    given.mine[1].features[drawn[1] == 2] += 3.0
    found = scores.classes(given, drawn, real, ["a", "b", "c", "d"])
    assert list(found) == ["a", "b", "c", "d"]
    assert found["d"] is None
    assert found["c"] > 10 * max(found["a"], found["b"], 0.01)
    mine = np.concatenate([part.features for part in given.mine])[np.concatenate(drawn) == 2]
    rng = np.random.default_rng(0)
    expected = kernel_distance(given.learnt.features[real == 2], mine, subsets=10, rng=rng)[0]
    assert found["c"] == pytest.approx(expected, rel=0.1)


def test_classes_of_few_images_are_not_measured():
    given = looks(mine=(60,), learnt=100)
    real = np.repeat([0, 1], [91, 9])
    found = scores.classes(given, [np.arange(60) % 2], real, ["a", "b"])
    assert found["a"] is not None
    assert found["b"] is None
    assert scores.classes(given, [np.arange(60) % 20], np.arange(100) % 20, ["a", "b"]) == {"a": None, "b": None}
