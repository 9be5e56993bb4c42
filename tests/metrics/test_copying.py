"""The search for copies on pictures that are copies, and on those that are not; its statistics against SciPy's."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cardigan.errors import CardiganError
from cardigan.metrics.copying import _excess_p_value, _smaller_p_value, copying
from cardigan.metrics.descriptor import gradients, pixels
from cardigan.metrics.descriptor import mirrored as turned

BOTH = pytest.mark.parametrize("describe", [pixels, gradients])


@pytest.fixture
def case(pictures, mirrored):
    """A split of the pictures into training, held-out and new ones, and a search in it."""
    count = len(pictures)
    learnt, held, new = np.split(pictures, [count // 2, count // 2 + count // 10])

    class Case:
        training, held_out = learnt, held

        @staticmethod
        def search(samples, describe):
            return copying(describe(samples), describe(learnt), describe(held), mirrored=describe(mirrored(learnt)))

    Case.new = new
    return Case


@BOTH
@pytest.mark.parametrize("change", ["blurred", "as JPEG", "shifted", "mirrored"])
def test_slightly_changed_copies_are_found(case, changed, describe, change):
    copies = case.training[: len(case.new)]
    found = case.search(changed(copies, change), describe)
    assert found.copies is True
    assert found.twins > (0.65 if describe is pixels and change == "shifted" else 0.95)
    twins = found.ratios < 0.5
    assert found.places[twins].tolist() == np.flatnonzero(twins).tolist()
    assert found.sentence.startswith("The generator copies: ")


@BOTH
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_share_of_copies_is_told(case, blurred, describe, share):
    samples = case.new.copy()
    copied = round(share * len(samples))
    samples[:copied] = blurred(case.training[:copied], 1)
    found = case.search(samples, describe)
    assert found.copies is True
    assert found.twins == pytest.approx(share, abs=0.03)
    # The pictures may hold a duplicate of their own.
    assert (found.order[:copied] < copied).mean() > 0.95 - 1 / copied


@BOTH
def test_one_image_again_and_again_is_copying(case, blurred, describe):
    found = case.search(np.repeat(blurred(case.training[:1], 1), 50, axis=0), describe)
    assert found.copies is True
    assert (found.places == 0).all()


@BOTH
@pytest.mark.parametrize("sort", ["new", "slightly blurred", "blurred", "averaged", "noise"])
def test_new_pictures_are_no_copies(case, blurred, describe, sort):
    new = case.new
    samples = {
        "new": lambda: new,
        "slightly blurred": lambda: blurred(new, 1),
        "blurred": lambda: blurred(new, 4),
        "averaged": lambda: new // 2 + np.roll(new, 1, axis=0) // 2,
        "noise": lambda: np.random.default_rng(0).integers(0, 256, new.shape, dtype=np.uint8),
    }[sort]()
    found = case.search(samples, describe)
    assert found.copies is False
    assert found.twins < 0.02
    assert found.sentence.startswith(("No evidence of copying", "Hardly any copying"))


def test_blur_fools_plain_distances_and_not_the_verdict(case, blurred):
    """Why the verdict reads ratios: the rank test on distances calls blurred new pictures copies."""
    found = case.search(blurred(case.new, 4), pixels)
    assert found.closer_p_value < 1e-3
    assert found.closer > 2 * found.closer_expected
    assert found.copies is False


@pytest.mark.parametrize(("describe", "splits"), [(gradients, 50), (pixels, 10)])
def test_false_alarms_are_rare(pictures, mirrored, describe, splits):
    """Among random splits without any copy, in which ten images are held out, at most one alarm."""
    described, reversed_ = describe(pictures), describe(mirrored(pictures))
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(splits):
        learnt, unseen, new = np.split(rng.permutation(len(pictures))[:200], [90, 100])
        alarms += copying(described[new], described[learnt], described[unseen], mirrored=reversed_[learnt]).copies
    assert alarms <= 1


def vectors(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_mirrored_copies_are_missed_without_mirrored_training_images(scenes, mirrored):
    learnt, held = np.split(scenes(150), [120])
    samples = gradients(mirrored(learnt))
    assert copying(samples, gradients(learnt), gradients(held)).copies is False
    assert copying(samples, gradients(learnt), gradients(held), mirrored=samples).copies is True


def test_ratio_and_place_are_those_of_plain_distances():
    samples, training, mirror = vectors(20, 4), vectors(30, 4, seed=1), vectors(30, 4, seed=2)
    found = copying(samples, training, mirrored=mirror)
    every = np.minimum(*(np.linalg.norm(samples[:, None] - those[None], axis=2) for those in (training, mirror)))
    assert found.distances == pytest.approx(every.min(axis=1), rel=1e-5)
    assert found.places.tolist() == every.argmin(axis=1).tolist()
    assert found.ratios == pytest.approx(every.min(axis=1) / np.sort(every, axis=1)[:, 4], rel=1e-5)
    assert found.twins == (found.ratios < 0.5).mean()
    assert found.order.tolist() == found.ratios.argsort(kind="stable").tolist()


def test_numbers_beside_the_verdict():
    """On a line, by hand: training at 0 to 90, held-out ones 1, 2, ... beyond."""
    training = np.arange(10.0)[:, None] * 10
    held_out = np.array([[91.0], [92.0], [93.0], [94.0], [96.0]])
    found = copying([[0.5], [89.0], [91.5], [80.0]], training, held_out)
    assert found.distances.tolist() == pytest.approx([0.5, 1.0, 1.5, 0.0])
    assert found.places.tolist() == [0, 9, 9, 8]
    assert (found.closer, found.closer_expected) == (0.5, pytest.approx(1 / 6))
    assert (found.nearer, found.nearer_expected) == (0.75, pytest.approx(10 / 15))
    # Ratios of held-out ones are 1/41 to 6/46, of training ones 10/50 at the ends to 10/30 in the middle: all twins.
    assert (found.twins, found.expected, found.p_value) == (1.0, 1.0, 1.0)
    assert found.copies is False


def test_duplicates_among_real_images_are_expected_of_samples():
    """Data of pairs: a new image is often the twin of a training image, and that is no copying."""
    heap = np.repeat(vectors(300, 32), 2, axis=0) + 0.01 * vectors(600, 32, seed=1)
    order = np.random.default_rng(2).permutation(600)
    learnt, unseen, new = heap[order[:300]], heap[order[300:350]], heap[order[350:]]
    found = copying(new, learnt, unseen)
    assert found.twins > 0.3
    assert found.expected == pytest.approx(found.twins, abs=0.15)
    assert found.copies is False
    assert copying(learnt + 0.01, learnt, unseen).copies is True


def test_the_larger_share_of_real_twins_counts():
    """Held-out images that are duplicates of training ones, which have none among themselves: a careless split."""
    learnt = vectors(400, 32)
    unseen = np.concatenate([learnt[:5] + 0.01, vectors(15, 32, seed=1)])
    found = copying(np.concatenate([learnt[:50] + 0.01, vectors(150, 32, seed=2)]), learnt, unseen)
    assert (found.twins, found.expected) == (0.25, 0.25)
    assert found.p_value < 1e-3
    assert found.copies is False
    assert found.sentence.startswith("Hardly any copying: 50 of 200 samples (25.0%)")


def test_four_versions_of_a_training_image_hide_no_copies():
    learnt = np.repeat(vectors(60, 32), 4, axis=0)
    assert copying(vectors(60, 32) + 0.01, learnt, vectors(20, 32, seed=3)).twins == 1.0


def test_five_versions_of_a_training_image_stand_out_no_more():
    assert copying(np.zeros((1, 3)), np.zeros((6, 3))).ratios.tolist() == [1.0]


@pytest.mark.parametrize("held_out", [None, vectors(4, 8, seed=5)])
def test_without_held_out_images_nothing_is_judged(held_out):
    training = vectors(50, 8)
    found = copying(training[:10], training, held_out)
    assert (found.copies, found.expected, found.p_value, found.detectable) == (None, None, None, None)
    assert (found.closer, found.closer_expected, found.closer_p_value) == (None, None, None)
    assert (found.nearer, found.nearer_expected) == (None, None)
    assert found.distances.max() == 0.0
    assert found.places.tolist() == list(range(10))
    assert found.sentence == (
        "Whether the generator copies cannot be tested without at least 5 held-out images. 10 of 10 samples (100.0%) "
        "are twins of one training image; how many real images would be is not known."
    )


def test_what_would_be_noticed_is_told():
    """Just as many copies as are said to be detectable are detected, and one less is not."""
    training, held_out, new = vectors(90, 24), vectors(10, 24, seed=1), vectors(200, 24, seed=2)
    found = copying(new, training, held_out)
    assert found.twins == found.expected == 0.0
    assert f"Copying of less than {found.detectable:.1%} of samples would not have been noticed" in found.sentence
    needed = round(found.detectable * 200)
    for copied, verdict in ((needed, True), (needed - 1, False)):
        some = copying(np.concatenate([training[:copied] + 0.001, new[copied:]]), training, held_out)
        assert some.twins == copied / 200
        assert some.copies is verdict
    assert some.sentence.startswith("Perhaps copying: ")
    assert some.sentence.endswith("too few to be sure. Draw more samples.")


def test_too_few_samples_notice_nothing():
    found = copying(vectors(1, 24, seed=2), vectors(90, 24), vectors(10, 24, seed=1))
    assert found.detectable is None
    assert found.sentence.endswith("Any copying would not have been noticed.")


def test_few_copies_among_many_samples_are_reported_and_no_verdict():
    training, held_out, new = vectors(3000, 24), vectors(100, 24, seed=1), vectors(3000, 24, seed=2)
    new[:14] = training[:14]
    found = copying(new, training, held_out)
    assert (found.twins, found.copies) == (pytest.approx(14 / 3000), False)
    assert found.p_value < 1e-3
    assert found.sentence.startswith("Hardly any copying: 14 of 3,000 samples (0.5%)")
    assert found.sentence.endswith("Look at those few.")


@pytest.fixture(scope="module")
def large():
    """Training images by the thousand, more than are calibrated by; held-out and new ones."""
    return vectors(6000, 16), vectors(300, 16, seed=1), vectors(5000, 16, seed=2)


def test_one_copy_in_a_hundred_is_named_wherever_in_the_set_its_image_lies(large):
    training, held_out, new = large
    places = np.random.default_rng(3).permutation(6000)[:50]
    samples = np.concatenate([training[places] + 0.001, new[50:]])
    found = copying(samples, training, held_out)
    assert found.places[:50].tolist() == places.tolist()
    assert found.copies is True
    assert found.sentence.startswith("The generator copies: 50 of 5,000 samples (1.0%) are twins of one training image")


def test_new_images_by_the_thousand_are_no_copies(large):
    training, held_out, new = large
    found = copying(new, training, held_out)
    assert found.copies is False
    assert found.detectable <= 0.01


def test_of_training_images_that_were_not_searched_copies_are_not_said_to_be_seen(large):
    """Where half of them are searched, twice as many copies have to be there."""
    training, held_out, new = large
    whole = copying(new, training, held_out)
    half = copying(new, training, held_out, searched=0.5)
    assert half.detectable == pytest.approx(2 * whole.detectable)
    assert f"Copying of less than {half.detectable:.1%} of samples would not" in half.sentence
    assert copying(new, training, held_out, searched=0.001).sentence.endswith(
        "Any copying would not have been noticed."
    )


def test_a_small_excess_is_no_copying_where_many_real_images_are_twins():
    """Data with twins: samples of its dense kinds alone have somewhat more of them, and copy nothing."""
    learnt = np.concatenate([vectors(2000, 16), vectors(2000, 16) + 0.001])
    heap = vectors(5000, 16, seed=2)
    for share, verdict in ((0.025, False), (0.045, True)):
        samples, unseen = heap.copy(), vectors(2000, 16, seed=3)
        unseen[:40] = learnt[2000:2040] + 0.05  # 2 % of them
        samples[: int(share * 5000)] = learnt[: int(share * 5000)] + 0.05
        rare = np.concatenate([learnt[:2000], vectors(2000, 16, seed=4)])
        found = copying(samples, rare, unseen)
        assert (found.expected, found.twins) == (pytest.approx(0.02), pytest.approx(share))
        assert found.copies is verdict


@pytest.mark.slow
def test_one_copied_digit_in_a_hundred_is_named_among_54000_and_held_out_digits_are_not():
    path = Path(__file__).parents[2].parent / "shared" / "data" / "mnist.npz"
    if not path.exists():
        pytest.skip("the shared data set mnist.npz is not here")
    with np.load(path, allow_pickle=False) as file:
        training, new = file["train_images"][..., None], file["test_images"][:5000, ..., None]
    order = np.random.default_rng(0).permutation(60_000)
    learnt, unseen, new = gradients(training[order[:54_000]]), gradients(training[order[54_000:]]), gradients(new)
    copied = np.concatenate([learnt[-50:], new[50:]])
    innocent, guilty = (copying(heap, learnt, unseen, mirrored=turned(learnt)) for heap in (new, copied))
    assert (innocent.copies, guilty.copies) == (False, True)
    assert innocent.twins < 0.006
    assert innocent.detectable < 0.01 <= guilty.twins


@pytest.mark.parametrize(
    ("found", "count", "among", "known"), [(20, 200, 0, 100), (3, 9, 2, 30), (0, 5, 1, 5), (5, 5, 5, 5)]
)
def test_exact_test_is_fishers(found, count, among, known):
    table = [[found, count - found], [among, known - among]]
    expected = stats.fisher_exact(table, alternative="greater").pvalue
    assert _excess_p_value(found, count, among, known) == pytest.approx(expected, rel=1e-9)


def test_exact_test_does_not_overflow():
    assert 0.0 <= _excess_p_value(10_000, 10_000, 0, 10_000) < 1e-300
    assert _excess_p_value(0, 10_000, 50, 10_000) == pytest.approx(1.0)


@pytest.mark.parametrize("values", [1000, 6])
def test_rank_test_is_mann_and_whitneys(values):
    rng = np.random.default_rng(4)
    ours, theirs = rng.integers(0, values, 40) / 7, rng.integers(values // 6, values, 25) / 7
    expected = stats.mannwhitneyu(ours, theirs, alternative="less", method="asymptotic").pvalue
    assert _smaller_p_value(ours, theirs) == pytest.approx(expected, rel=1e-9)
    assert _smaller_p_value(np.ones(3), np.ones(4)) == 1.0


@pytest.mark.parametrize(
    ("samples", "training", "options", "expected"),
    [
        (
            vectors(9, 4),
            vectors(5, 4),
            {},
            "at least 6 training images, got 5. With so few, look at samples and training",
        ),
        (vectors(9, 3), vectors(9, 4), {}, "training images have 4 values, where 3 are compared. Describe all images"),
        (vectors(9, 4), vectors(9, 4), {"held_out": vectors(9, 3)}, "held-out images have 3 values, where 4"),
        (
            vectors(9, 4),
            vectors(9, 4),
            {"mirrored": vectors(8, 4)},
            r"got \(8, 4\) beside \(9, 4\). Mirror and describe all",
        ),
        (np.full((2, 4), np.nan), vectors(9, 4), {}, "2 of 2 samples have descriptors that are not finite"),
        (vectors(0, 4), vectors(9, 4), {}, r"those of samples have \(0, 4\)"),
    ],
)
def test_what_cannot_be_searched_is_said(samples, training, options, expected):
    with pytest.raises(CardiganError, match=expected):
        copying(samples, training, **options)
