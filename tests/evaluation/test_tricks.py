"""Each trick: found where it is, not found where it is not, and told with its numbers."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from cardigan.evaluation import tricks
from cardigan.evaluation.tricks import _at_most, _repeating

RNG = np.random.default_rng(0)


def points(count, width=16, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=(count, width))).astype(np.float32)


def as_jpeg(images, quality):
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality)
        with Image.open(file) as opened:
            found.append(np.asarray(opened).reshape(image.shape))
    return np.stack(found)


# --- numbers of images ---------------------------------------------------------------------------------------------


def test_few_samples():
    assert tricks.few_samples(1000) is None
    found = tricks.few_samples(999)
    assert found.alarm
    assert found.text == "Only 999 samples: rough numbers. Take 1,000 or more."


def test_few_real_images():
    assert tricks.few_real(500, "held-out") is None
    few = tricks.few_real(499, "held-out")
    assert (few.name, few.alarm) == ("few real images", False)
    assert few.text == "Only 499 real images: others would move every number by more than the spread."
    none = tricks.few_real(5000, "training")
    assert (none.name, none.alarm) == ("no floor", False)
    assert none.text.endswith("measured against the 5,000 training images, where copies score best.")


# --- repeats -------------------------------------------------------------------------------------------------------


def test_different_samples_do_not_repeat():
    found = tricks.repeats(points(300), points(300, seed=1))
    assert not found.alarm
    assert found.text.startswith("No two of 300 samples are duplicates: the generator probably makes more than ")


def test_where_copies_are_made_or_cannot_be_sought_different_images_are_not_estimated():
    """Blurred copies of nine images differ by more than duplicates do, and are no million images."""
    told = "How many different images there are is not estimated: only where a test finds no copies."
    found = tricks.repeats(points(300), points(300, seed=1), estimated=False)
    assert found.text == f"No two of 300 samples are duplicates. {told}"
    pairs = tricks.repeats(np.concatenate([points(300), points(1)]), points(300, seed=1), estimated=False)
    assert pairs.text == f"1 of 301 samples (0.3%) repeats another one. {told}"


def test_samples_of_a_few_images_repeat():
    samples = points(40)[RNG.integers(0, 40, 300)] + points(300, seed=2, scale=0.001)
    found = tricks.repeats(samples, points(300, seed=1))
    assert found.alarm
    assert found.text.startswith("260 of 300 samples (86.7%) repeat another one. Among 300 samples ")
    assert "Of as many real images, " in found.text


def test_a_few_pairs_are_told_and_no_alarm():
    samples = np.concatenate([points(300), points(3)])
    found = tricks.repeats(samples, points(300, seed=1))
    assert not found.alarm
    assert found.text.startswith("3 of 303 samples (1.0%) repeat another one. Among 303 samples 3 pairs are duplicates")


def test_real_images_that_repeat_as_often_excuse_it():
    kinds = points(1000)
    samples, real = (kinds[np.random.default_rng(seed).integers(0, 1000, 300)] for seed in (1, 2))
    assert tricks.repeats(samples, points(300, seed=1)).alarm
    assert not tricks.repeats(samples, real).alarm


def test_few_real_images_are_weighed_by_their_number():
    """Of 1,000 kinds, 600 draws repeat often and 60 hardly; the few say nothing against the many."""
    kinds = points(1000)
    samples, real = (kinds[np.random.default_rng(5 + count).integers(0, 1000, count)] for count in (600, 60))
    assert len(samples) - len(np.unique(samples, axis=0)) > 120
    assert len(real) - len(np.unique(real, axis=0)) <= 3
    assert not tricks.repeats(samples, real).alarm


@pytest.mark.parametrize(("count", "kinds"), [(2, 7), (50, 30), (300, 1000), (10, 1)])
def test_the_expected_share_of_repeats_is_that_of_drawn_ones(count, kinds):
    draws = np.random.default_rng(0).integers(0, kinds, (4000, count))
    shares = [1 - len(np.unique(row)) / count for row in draws]
    error = np.std(shares) / math.sqrt(len(shares)) + 1e-12
    assert abs(_repeating(count, kinds) - np.mean(shares)) < 4 * error


# --- copies --------------------------------------------------------------------------------------------------------


def test_copies_are_found_with_held_out_images():
    training, held = points(200), points(60, seed=1)
    found = tricks.copies(training[:150] + 0.01, training, held)
    assert found.alarm
    assert found.text.startswith("The generator copies: 150 of 150 samples (100.0%) are twins of one training image")


def test_held_out_images_are_no_copies():
    found = tricks.copies(points(100, seed=2), points(200), points(60, seed=1))
    assert not found.alarm
    assert found.text.startswith("No evidence of copying: ")


def test_mirrored_copies_are_copies():
    training, mirrored = points(200), points(200, seed=3)
    assert not tricks.copies(mirrored[:100], training, points(60, seed=1)).alarm
    assert tricks.copies(mirrored[:100], training, points(60, seed=1), mirrored=mirrored).alarm


def test_copies_are_found_without_held_out_images():
    training = points(60)
    found = tricks.copies(training[:50] + 0.001, training, training[:0])
    assert found.alarm
    assert found.text == (
        "100.0% of 50 samples are all but the same picture as a training image; of training images, 0.0% are the same "
        "as another one."
    )
    new = tricks.copies(points(50, seed=1), training, training[:0])
    assert not new.alarm
    assert new.text.startswith("Whether the generator copies cannot be tested without at least 5 held-out images.")


def test_training_images_that_are_the_same_excuse_samples_that_are():
    training = np.tile(points(10), (6, 1)) + points(60, scale=0.001)
    assert not tricks.copies(training[:50] + 0.001, training, training[:0]).alarm


def test_copies_to_the_pixel_are_an_alarm_whatever_else():
    few, many = (tricks.copies(points(100, seed=2), points(200), points(60, seed=1), exact=count) for count in (1, 2))
    assert few.text.startswith("1 of 100 samples is a training image to the pixel. No evidence of copying: ")
    assert (few.alarm, many.alarm) == (False, True)


def test_exact_copies_are_counted_over_all_parts():
    images = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    near = images[:5].copy()
    near[:, 0, 0, 0] ^= 1
    known = set(map(tricks.digest, images))
    assert tricks.exact_copies([images[:3], images[:2], near], known) == 5
    assert tricks.exact_copies([near], known) == 0
    assert tricks.exact_copies([np.asfortranarray(images)], known) == 20


# --- classes -------------------------------------------------------------------------------------------------------

REAL = np.repeat(np.arange(10), 100)
NAMES = list("abcdefghij")


def test_classes_that_are_left_out_are_named():
    found = tricks.missing(np.repeat(np.arange(5), 200), REAL, NAMES)
    assert found.alarm
    assert found.text == "5 of 10 classes are left out: f, g, h, i, j."


def test_a_class_with_less_than_a_tenth_of_its_due_is_left_out():
    def found(count):
        return tricks.missing(np.concatenate([np.repeat(np.arange(9), 100), np.full(count, 9)]), REAL, NAMES)

    assert found(8).text == "1 of 10 classes is left out: j."
    assert not found(11).alarm
    assert found(11).text == "None of the 10 classes is left out."


def test_chance_leaves_out_no_class():
    assert not tricks.missing(np.arange(5), REAL, NAMES).alarm  # five of a hundred would be nothing unusual
    rare = np.concatenate([np.zeros(997, int), [1, 1, 1]])
    assert not tricks.missing(np.zeros(1000, int), rare, NAMES).alarm


def test_classes_that_real_images_lack_are_not_missed():
    found = tricks.missing(np.zeros(500, int), np.zeros(500, int), NAMES, what="classes of x.safetensors")
    assert found.text == "The data has 1 class, and it is there."


def test_many_missing_classes_are_cut_short():
    names = [str(place) for place in range(20)]
    found = tricks.missing(np.zeros(5000, int), np.repeat(np.arange(20), 50), names)
    assert found.text == "19 of 20 classes are left out: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 9 more."


@pytest.mark.parametrize(("found", "count", "share"), [(0, 50, 0.1), (3, 20, 0.3), (20, 20, 0.5)])
def test_the_chance_of_so_few(found, count, share):
    expected = sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(found + 1))
    assert _at_most(found, count, share) == pytest.approx(expected, rel=1e-9)
    assert _at_most(found, count, 0.0) == _at_most(found, count, 1.0) == 1.0


# --- variety -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("covered", "precise", "alarm"),
    [(0.5, 0.9, True), (0.74, 0.82, True), (0.76, 0.9, False), (0.5, 0.8, False), (0.05, 0.1, False)],
)
def test_narrow_samples_look_right_and_cover_little(covered, precise, alarm):
    found = tricks.narrow(covered, precise, 1.0, 0.9)
    assert (found is not None) == alarm
    if found:
        assert found.alarm
        assert found.text.endswith(f"cover {covered:.0%} of the real images, where as many training images cover 100%.")


# --- compression ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (28, 1), (64, 4)])
@pytest.mark.parametrize("quality", [75, 90])
def test_jpeg_is_seen_in_samples(pictures, size, channels, quality):
    real, samples = (pictures(200, size=size, seed=seed)[0][..., :channels] for seed in (0, 1))
    if channels == 4:
        real, samples = (np.concatenate([each, np.full_like(each[..., :1], 255)], axis=3) for each in (real, samples))
    pressed = samples.copy()
    pressed[..., :3] = as_jpeg(samples[..., :3], quality)
    assert tricks.compressed([samples[:100], samples[100:]], real) is None
    found = tricks.compressed([pressed[:100], pressed[100:]], real)
    assert found.alarm
    assert found.text.startswith("The samples bear the marks of JPEG, and the real images do not (")
    assert found.text.endswith("save and measure PNG files.")
    assert tricks.compressed([pressed], pressed[::-1]) is None
    reverse = tricks.compressed([samples], pressed)
    assert not reverse.alarm
    assert reverse.text.startswith("The real images bear the marks of JPEG, and the samples do not (")


def test_blank_borders_are_no_jpeg():
    """Digits in the middle of black: blocks at the border vanish on one grid and not on another."""
    real, samples = np.zeros((2, 200, 28, 28, 1), np.uint8)
    real[:, 4:24, 4:24] = RNG.integers(0, 256, (200, 20, 20, 1))
    samples[:, 8:16, 8:16] = RNG.integers(0, 256, (200, 8, 8, 1))
    assert tricks.compressed([samples], real) is None


@pytest.mark.parametrize("swapped", [False, True])
def test_a_side_below_zero_does_not_accuse_the_other(swapped):
    """Flat squares in step with the shifted grids give much less than 0; noise that never was JPEG gives about 0."""
    noise = RNG.integers(0, 256, (200, 36, 36, 1), dtype=np.uint8)
    squares = np.kron(RNG.integers(0, 256, (200, 6, 6, 1), dtype=np.uint8), np.ones((1, 8, 8, 1), np.uint8))
    squares = squares[:, 4:40, 4:40]
    below, about = (tricks._grid(each, 200).mean() for each in (squares, noise))
    assert below < -tricks.COMPRESSED < about < tricks.COMPRESSED
    samples, real = (squares, noise) if swapped else (noise, squares)
    assert tricks.compressed([samples], real) is None


def test_what_is_too_small_or_too_few_is_not_looked_at_for_jpeg():
    images = RNG.integers(0, 256, (50, 23, 40, 3), dtype=np.uint8)
    assert tricks.compressed([images], images) is None
    large = RNG.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    assert tricks.compressed([large], large) is None
    assert tricks.compressed([np.zeros((50, 32, 32, 3), np.uint8)], np.zeros((50, 32, 32, 3), np.uint8)) is None
