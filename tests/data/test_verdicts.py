import numpy as np
import pytest
from PIL import Image

from cardigan.data import DataSettings, open_source, scan
from cardigan.data.verdicts import copying


def test_one_image_is_refused(made):
    assert (
        scan(made(1)).refusals[0].startswith("Only 1 image in made can be used; expected at least 2, better hundreds.")
    )


def test_few_images_are_warned_of_by_how_few_they_are(made):
    """C2: copying is likely below a hundred, and cannot be tested; below a thousand it can."""
    assert scan(made(99)).warnings == (
        "Only 99 images: the model will very likely copy them. To test for that, keep some back: --set hold_out=0.1.",
    )
    assert scan(made(100)).warnings == (
        "Only 100 images: the model may copy them. 10 of them are held out to test for that.",
    )
    assert "Only 999 images" in scan(made(999)).warnings[0]
    assert scan(made(1000)).warnings == ()


@pytest.mark.parametrize(
    ("count", "held", "share", "told"),
    [
        (60, 6, 0.1, "likely copy them. 6 of them are held out to test for that."),
        (5, 1, 0.1, "1 of them is held out to test for that."),
        (60, 0, 0, "likely copy them. None is held out to test for that, as hold_out=0 asks."),
        (348, 0, 0, "Only 348 images: the model may copy them. None is held out to test for that, as hold_out=0 asks."),
        (348, 0, None, "Only 348 images: the model may copy them. None can be held out to test for that."),
        (70_000, 0, 0, "Whether the model copies images cannot be told. None is held out to test for that, as hold_"),
        (2_000, 0, None, "Whether the model copies images cannot be told. None can be held out to test for that."),
    ],
)
def test_what_is_said_of_copying(count, held, share, told):
    (found,) = copying(count, held, share)
    assert told in found


@pytest.mark.parametrize(("count", "held"), [(1, 0), (0, 0), (1000, 100), (70_000, 1000)])
def test_nothing_is_said_of_copying_where_it_can_be_tested(count, held):
    assert list(copying(count, held)) == []


def test_a_scan_says_what_would_be_held_out(made):
    assert scan(made(250)).held_out == 25
    assert "held out  25 of 250 would never be trained on, to test on" in str(scan(made(250)))
    assert scan(made(99)).held_out == 0
    assert "  held out " not in str(scan(made(99)))
    asked = scan(made(99), settings=DataSettings(hold_out=0.2))
    assert asked.held_out == 20
    assert "20 of them are held out" in asked.warnings[0]
    assert scan(made(250), settings=DataSettings(hold_out=0)).held_out == 0


def test_of_photos_that_are_cut_a_tenth_is_held_out_from_ten_on(made):
    cut = DataSettings(fit="cut")
    assert [scan(made(count), settings=cut).held_out for count in (9, 10, 99)] == [0, 1, 10]
    assert scan(made(99), settings=cut).warnings == ()


def test_of_one_large_image_nothing_can_be_held_out(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "large.png")
    found = scan(open_source(tmp_path / "large.png"), size=(16, 16))
    assert found.kept == 2000
    assert found.held_out == 0
    assert found.warnings[0] == "The crops overlap: none of them can be held out to test for copying."
    assert found.warnings[1].startswith("Whether the model copies images cannot be told. None can be held out")


def test_identical_images_are_refused(made):
    found = scan(made(512, pixels=lambda index: np.zeros((8, 8), np.uint8)))
    assert found.refusals[0].startswith("All 512 images have the same hash. Expected different images in made")


def test_no_usable_image_is_refused(made):
    found = scan(made(2, pixels=lambda index: np.zeros((2, 2), np.uint8)))
    assert found.refusals[0].startswith("No image in made can be used: 0, 1 (2x2 is too small")
    assert "can be used" in found.render()


def test_classes_are_counted_and_lonely_ones_refused(made):
    source = made(5, [0, 0, 1, 2, 2], classes=("cat", "Cat", "dog", "empty"))
    found = scan(source)
    assert found.classes == {"cat": 2, "Cat": 1, "dog": 2, "empty": 0}
    assert found.refusals == (
        "2 classes in made have fewer than 2 images: Cat (1), empty (0). Add images to them or remove them, or train "
        "without classes: --set labels=false",
    )
    assert (
        "Classes whose names differ only by case: cat, Cat. They are read as 2 classes; if they are one, merge their "
        "folders."
    ) in found.warnings
    without = scan(source, settings=DataSettings(labels=False))
    assert (without.classes, without.refusals) == ({}, ())


def test_copies_in_two_classes_are_named(made):
    source = made(6, [0, 0, 0, 1, 1, 1], classes=("a", "b"), pixels=lambda i: np.full((8, 8), i % 4, np.uint8))
    found = scan(source)
    assert found.classes == {"a": 3, "b": 1}
    assert "2 copies lie in another class than the image that was copied." in found.warnings
    kept = scan(source, settings=DataSettings(duplicates="keep"))
    assert kept.classes == {"a": 3, "b": 3}
    assert "2 of 6 images are exact copies of another and are kept, and count double." in kept.warnings


def test_small_images_are_counted_and_refused_above_a_fifth(made):
    def pixels(index):
        return np.full((16 if index < 8 else 12, 16), 25 * index, np.uint8)

    few = scan(made(10, pixels=pixels), size=(16, 16))
    assert few.refusals == ()
    assert "2 of 10 images are smaller than asked and are enlarged, which teaches blur." in few.warnings
    many = scan(made(10, pixels=pixels), size=(32, 32))
    assert many.refusals == (
        "10 of 10 images in made are smaller than 32x32; enlarged, they would teach blur. Type a smaller size, such as "
        "--size 16, or --set allow_upscale=true",
    )
    assert scan(made(10, pixels=pixels), size=(32, 32), settings=DataSettings(allow_upscale=True)).refusals == ()
    assert scan(made(10, pixels=pixels), size=(16, 16), settings=DataSettings(fit="pad")).warnings[1:] == ()


def test_one_is_one(made):
    def pixels(index):
        return np.full((8 if index else 2, 8), max(index, 2), np.uint8)

    found = scan(made(102, [0, *[index % 2 for index in range(101)]], "ab", pixels=pixels), size=(8, 8))
    assert found.refusals == ()
    assert [text.partition(":")[0] for text in found.warnings] == [
        "Only 100 images",
        "1 file cannot be used and is left out",
        "1 of 101 images is an exact copy of another and is left out.",
        "1 copy lies in another class than the image that was copied.",
    ]
    kept = scan(made(102, pixels=pixels), settings=DataSettings(duplicates="keep"))
    assert "1 of 101 images is an exact copy of another and is kept, and counts double." in kept.warnings
    assert str(found).count("exact copy") == 1
    lonely = scan(made(5, [0, 0, 0, 0, 1], "ab"))
    assert lonely.refusals[0].startswith("1 class in made has fewer than 2 images: b (1).")
    assert "1 of 1 file can be used, 1 is kept" in str(scan(made(1)))


def test_on_bad_stop_refuses(made):
    source = made(3, pixels=lambda index: np.full((8 if index else 2, 8), index, np.uint8))
    assert (
        scan(source, settings=DataSettings(on_bad="stop"))
        .refusals[0]
        .startswith("1 file in made cannot be used: 0 (2x8 is too small")
    )


def test_photos_that_give_no_piece_are_counted_and_refused_above_a_fifth(made):
    def pixels(index):
        return np.full((16 if index < 8 else 12, 24), 25 * index, np.uint8)

    cut = DataSettings(fit="cut")
    few = scan(made(10, pixels=pixels), size=(16, 16), settings=cut)
    assert few.refusals == ()
    assert few.warnings == ("2 of 10 images are smaller than a piece and are left out.",)
    many = scan(made(10, pixels=pixels), size=(20, 16), settings=cut)
    assert many.refusals == (
        "10 of 10 images in made are smaller than 20x16, and no piece can be cut from them. Type a smaller size, such "
        "as --size 16",
    )
    assert many.warnings == ()
    assert scan(made(10, pixels=pixels), size=(12, 24), settings=cut).warnings == ()
    assert scan(made(10, pixels=pixels), settings=cut).warnings == ()
    forced = DataSettings(fit="cut", allow_upscale=True)
    assert scan(made(10, pixels=pixels), size=(20, 16), settings=forced).refusals == many.refusals
    one = scan(made(9, pixels=pixels), size=(16, 16), settings=cut)
    assert one.warnings == ("1 of 9 images is smaller than a piece and is left out.",)
    lying = scan(
        made(3, pixels=lambda index: np.full((12 + 4 * (index > 0), 24), index, np.uint8)), size=(13, 8), settings=cut
    )
    assert lying.refusals[0].startswith(
        "1 of 3 images in made is smaller than 13x8, and no piece can be cut from them."
    )
