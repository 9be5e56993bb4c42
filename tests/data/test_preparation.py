import math

import numpy as np
import pytest
from PIL import Image

from cardigan.data import DataSettings, open_source, preparation, prepare
from cardigan.data.holding import hold_out
from cardigan.errors import CardiganError


def noise(seed, shape=(16, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def photos(root, count=6):
    for index in range(count):
        folder = root / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(index, (20, 30, 3))).save(folder / f"{index}.png")
    return root


def refusal(*args, **kwargs):
    with pytest.raises(CardiganError) as caught:
        prepare(*args, **kwargs)
    return str(caught.value)


def test_images_of_the_right_size_are_kept_byte_for_byte(made):
    images = [noise(index) for index in range(5)]
    for size in ((16, 16), None):
        store = prepare(made(images), size=size)
        assert isinstance(store.images, np.memmap)
        assert not store.images.flags.writeable
        assert (len(store), store.shape, store.labels, store.classes) == (5, (16, 16, 3), None, ())
        np.testing.assert_array_equal(store.images, images)
        assert store.scan["count"] == 5
        assert store.source == "made"


def test_grey_images_give_one_channel_and_a_mixture_three(made):
    grey = [noise(index, (16, 16)) for index in range(40)]
    store = prepare(made(grey), size=None)
    assert store.shape == (16, 16, 1)
    np.testing.assert_array_equal(store.images[..., 0], grey)
    mixed = prepare(made([*grey, noise(99)], key="other"), size=None)
    assert mixed.shape == (16, 16, 3)
    np.testing.assert_array_equal(mixed.images[0], np.repeat(grey[0][..., None], 3, axis=2))
    assert prepare(made(grey), size=None, settings=DataSettings(channels=4)).shape == (16, 16, 4)


def test_class_folders_become_labels(tmp_path):
    source = open_source(photos(tmp_path / "photos"))
    store = prepare(source, size=(10, 10))
    assert store.classes == ("cat", "dog")
    assert store.labels.dtype == np.int64
    assert store.labels.tolist() == [0, 0, 0, 1, 1, 1]
    without = prepare(source, size=(10, 10), settings=DataSettings(labels=False))
    assert (without.labels, without.classes) == (None, ())
    assert without.fingerprint != store.fingerprint


def test_a_store_is_made_once(tmp_path, cache):
    root = photos(tmp_path / "photos")
    calls = []
    first = prepare(open_source(root), size=(8, 8), on_progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)
    again = prepare(open_source(root), size=(8, 8), on_progress=lambda done, total: calls.append((done, total)))
    assert len(calls) == 6
    assert again.fingerprint == first.fingerprint
    assert again.scan == first.scan
    np.testing.assert_array_equal(again.images, first.images)
    assert len(list(cache.iterdir())) == 1
    Image.fromarray(noise(9, (20, 30, 3))).save(root / "cat" / "9.png")
    assert len(prepare(open_source(root), size=(8, 8))) == 7
    prepare(open_source(root), size=(8, 8), settings=DataSettings(fit="stretch"))
    assert len(list(cache.iterdir())) == 3


def test_copies_are_dropped_unless_asked_for(made):
    images = [noise(0), noise(1), noise(0), noise(2)]
    dropped = prepare(made(images), size=None)
    np.testing.assert_array_equal(dropped.images, [images[0], images[1], images[3]])
    assert len(prepare(made(images), size=None, settings=DataSettings(duplicates="keep"))) == 4


def test_bad_files_are_left_out(tmp_path):
    root = photos(tmp_path / "photos")
    (root / "cat" / "broken.png").write_bytes(b"")
    store = prepare(open_source(root), size=(8, 8))
    assert len(store) == 6
    assert store.scan["bad"] == [["cat/broken.png", "empty file (0 bytes)"]]
    said = refusal(open_source(root), size=(8, 8), settings=DataSettings(on_bad="stop"))
    assert "cannot be used: cat/broken.png (empty file (0 bytes)). on_bad=stop asks for none" in said


@pytest.mark.parametrize(
    ("images", "size", "expected"),
    [
        ([noise(0)], None, "Only 1 image in made can be used; expected at least 2"),
        ([noise(0)] * 3, None, "All 3 images have the same hash."),
        ([noise(0), noise(1)], (32, 32), "2 of 2 images in made are smaller than 32x32"),
        ([noise(0), noise(1, (16, 20, 3))], None, "2 different sizes: 16x16 (1), 16x20 (1). Expected one; choose one"),
        ([noise(0), noise(1)], (0, 8), "The size is 0x8; expected at least 1 pixel a side. Type --size 64."),
    ],
)
def test_what_cannot_be_trained_on_is_refused(made, images, size, expected, cache):
    assert expected in refusal(made(images), size=size)
    assert not cache.exists() or not list(cache.iterdir())


def test_lonely_classes_are_refused(made):
    source = made([noise(index) for index in range(3)], [0, 0, 1], ("cat", "dog"))
    assert "1 class in made has fewer than 2 images: dog (1)." in refusal(source, size=None)
    assert len(prepare(source, size=None, settings=DataSettings(labels=False))) == 3


def test_one_large_image_gives_crops(tmp_path):
    Image.fromarray(noise(0, (64, 64, 3))).save(tmp_path / "big.png")
    store = prepare(open_source(tmp_path / "big.png"), size=(16, 16))
    assert store.images.shape == (2000, 16, 16, 3)


def test_shared_photos_become_a_store(shared):
    store = prepare(open_source(shared("bees-ants-256.zip")), size=(64, 64))
    assert store.images.shape == (200, 64, 64, 3)
    assert np.bincount(store.labels).tolist() == [100, 100]


SHAPES = ((40, 16), (16, 16), (17, 50), (33, 24), (64, 64))
"""Height and width of photos that pieces of 16x16 can be cut from."""
CUT = DataSettings(fit="cut")


def expected_pieces(high, wide, side):
    """How many pieces half over each other cover a photo."""
    down, across = (1 + math.ceil((whole - side) / (side // 2)) for whole in (high, wide))
    return down * across


def album(root, shapes=SHAPES, channels=3):
    """Photos of these heights and widths, as files, and their pixels in the order of a source."""
    root.mkdir(parents=True, exist_ok=True)
    pixels = []
    for at, (high, wide) in enumerate(shapes):
        pixels.append(noise(at, (high, wide, channels)))
        Image.fromarray(pixels[-1] if channels > 1 else pixels[-1][:, :, 0]).save(root / f"{at:02}.png")
    return pixels


def windows(photo, side):
    """Every piece of a photo that there could be."""
    high, wide = photo.shape[:2]
    return {
        photo[top : top + side, left : left + side].tobytes(): (top, left)
        for top in range(high - side + 1)
        for left in range(wide - side + 1)
    }


def test_photos_of_any_size_are_cut_into_pieces(tmp_path):
    photos = album(tmp_path / "album")
    store = prepare(open_source(tmp_path / "album"), size=(16, 16), settings=CUT)
    counts = tuple(expected_pieces(high, wide, 16) for high, wide in SHAPES)
    assert counts == (4, 1, 12, 8, 49)
    assert store.pieces == counts
    assert (len(store), store.shape, store.labels) == (74, (16, 16, 3), None)
    assert store.names(range(len(store))) == [
        f"{at:02}.png, piece {piece}" for at, count in enumerate(counts) for piece in range(1, count + 1)
    ]
    place = 0
    for photo, count in zip(photos, counts, strict=True):
        seen, known = np.zeros(photo.shape[:2], bool), windows(photo, 16)
        for piece in store.images[place : place + count]:
            top, left = known[piece.tobytes()]  # the very pixels of the photo
            seen[top : top + 16, left : left + 16] = True
        assert seen.all()
        place += count
    assert store.scan["count"] == 5
    assert store.scan["warnings"] == []


def test_a_store_of_pieces_is_found_again(tmp_path, cache):
    album(tmp_path / "album")
    first = prepare(open_source(tmp_path / "album"), size=(16, 16), settings=CUT)
    calls = []
    again = prepare(
        open_source(tmp_path / "album"), size=(16, 16), settings=CUT, on_progress=lambda *done: calls.append(done)
    )
    assert not calls
    np.testing.assert_array_equal(again.images, first.images)
    assert (again.pieces, again.fingerprint, again.scan) == (first.pieces, first.fingerprint, first.scan)
    assert again.names(range(74)) == first.names(range(74))
    whole = prepare(open_source(tmp_path / "album"), size=(16, 16))
    assert (len(whole), whole.pieces) == (5, ())
    assert len(list(cache.iterdir())) == 2


def test_every_piece_has_its_photos_class(tmp_path):
    album(tmp_path / "album" / "b", SHAPES[:3])
    album(tmp_path / "album" / "a", (*SHAPES[3:], (16, 30)))
    source = open_source(tmp_path / "album")
    store = prepare(source, size=(16, 16), settings=CUT)
    assert store.classes == ("a", "b")
    assert store.pieces == (8, 49, 3, 4, 1, 12)
    assert store.labels.tolist() == [0] * 60 + [1] * 17
    assert store.names([0, 59, 60]) == ["a/00.png, piece 1", "a/02.png, piece 3", "b/00.png, piece 1"]
    assert prepare(source, size=(16, 16)).labels.tolist() == [0, 0, 0, 1, 1, 1]
    without = prepare(source, size=(16, 16), settings=DataSettings(fit="cut", labels=False))
    assert (without.labels, without.classes, len(without)) == (None, (), 77)


def test_pieces_of_grey_photos_are_grey_and_of_clear_ones_painted_over_or_kept(tmp_path):
    grey = album(tmp_path / "grey", channels=1)
    store = prepare(open_source(tmp_path / "grey"), size=(16, 16), settings=CUT)
    assert store.images.shape == (74, 16, 16, 1)
    np.testing.assert_array_equal(store.images[4], grey[1])
    assert windows(grey[4], 16).keys() >= {piece.tobytes() for piece in store.images[-49:]}
    album(tmp_path / "mixed", channels=1)
    Image.fromarray(noise(9, (20, 16, 3))).save(tmp_path / "mixed" / "zz.png")
    mixed = prepare(open_source(tmp_path / "mixed"), size=(16, 16), settings=CUT)
    assert mixed.images.shape == (76, 16, 16, 3)
    np.testing.assert_array_equal(mixed.images[:74], store.images.repeat(3, axis=3))

    clear = album(tmp_path / "clear", channels=4)
    kept = prepare(open_source(tmp_path / "clear"), size=(16, 16), settings=DataSettings(fit="cut", channels=4))
    np.testing.assert_array_equal(kept.images[4], clear[1])
    painted = prepare(
        open_source(tmp_path / "clear"), size=(16, 16), settings=DataSettings(fit="cut", background="black")
    )
    assert (len(kept), painted.shape) == (74, (16, 16, 3))
    alpha = clear[1][:, :, 3:] / 255
    assert np.abs(painted.images[4] - clear[1][:, :, :3] * alpha).max() <= 1


def test_copies_of_a_photo_are_cut_once_or_as_often_as_asked_for(made):
    images = [noise(0, (24, 16, 3)), noise(1), noise(0, (24, 16, 3))]
    store = prepare(made(images), size=(16, 16), settings=CUT)
    assert (store.pieces, store.names(range(3))) == ((2, 1), ["0, piece 1", "0, piece 2", "1, piece 1"])
    kept = prepare(made(images), size=(16, 16), settings=DataSettings(fit="cut", duplicates="keep"))
    assert kept.pieces == (2, 1, 2)


def test_photos_smaller_than_a_piece_are_left_out_with_a_warning(made):
    images = [noise(at, (24, 16, 3)) for at in range(8)]
    images[3] = noise(3, (15, 90, 3))
    store = prepare(made(images), size=(16, 16), settings=CUT)
    assert store.pieces == (2,) * 7
    assert (len(store), store.scan["count"], store.scan["kept"]) == (14, 8, 7)
    assert store.names([5, 6]) == ["2, piece 2", "4, piece 1"]
    np.testing.assert_array_equal(store.images[6], images[4][:16])
    assert store.scan["warnings"] == ["1 of 8 images is smaller than a piece and is left out."]
    assert prepare(made(images), size=(16, 16), settings=CUT).pieces == store.pieces


def test_a_class_whose_photos_give_too_few_pieces_is_no_class(made):
    images = [noise(at, (24 if at < 9 else 15, 16, 3)) for at in range(11)]
    source = made(images, [0] * 9 + [1] * 2, ("cat", "dog"))
    assert refusal(source, size=(16, 16), settings=CUT) == (
        "1 class in made has fewer than 2 images: dog (0). Add images to them or remove them, or train without "
        "classes: --set labels=false"
    )
    store = prepare(source, size=(15, 16), settings=CUT)
    assert (store.pieces, store.labels.tolist()) == ((3,) * 9 + (1,) * 2, [0] * 27 + [1] * 2)
    assert "classes" not in refusal(source, size=(25, 16), settings=CUT)  # more images would not help


def test_a_size_above_all_photos_is_refused(made, cache):
    images = [noise(at, (20, 16, 3)) for at in range(3)]
    for settings in (CUT, DataSettings(fit="cut", allow_upscale=True)):
        assert refusal(made(images), size=(32, 32), settings=settings) == (
            "3 of 3 images in made are smaller than 32x32, and no piece can be cut from them. Type a smaller size, "
            "such as --size 16"
        )
    assert list(cache.iterdir()) == []


def test_all_pieces_together_are_limited(made, monkeypatch):
    monkeypatch.setattr(preparation, "MOST_PIECES", 20)
    images = [noise(0, (64, 64, 3)), noise(1, (64, 64, 3)), noise(2, (17, 16, 3))]
    store = prepare(made(images), size=(16, 16), settings=CUT)
    assert store.pieces == (6, 6, 2)
    assert windows(images[0], 16).keys() >= {piece.tobytes() for piece in store.images[:6]}
    monkeypatch.setattr(preparation, "MOST_PIECES", 2)
    assert prepare(made(images, key="other"), size=(16, 16), settings=CUT).pieces == (1, 1, 1)


def test_pieces_need_not_be_square(made):
    photo = noise(0, (40, 50, 3))
    store = prepare(made([photo, noise(1, (24, 16, 3))]), size=(24, 16), settings=CUT)
    assert (store.shape, store.pieces) == ((24, 16, 3), (3 * 6, 1))
    np.testing.assert_array_equal(store.images[0], photo[:24, :16])
    np.testing.assert_array_equal(store.images[17], photo[-24:, -16:])


def test_without_a_size_nothing_is_cut(made):
    images = [noise(at, (20, 16, 3)) for at in range(3)]
    store = prepare(made(images), size=None, settings=CUT)
    np.testing.assert_array_equal(store.images, images)
    assert store.names([2]) == ["2"]
    assert "different sizes" in refusal(made([*images, noise(9)], key="other"), size=None, settings=CUT)


def test_one_large_image_gives_the_same_crops_where_photos_would_be_cut(tmp_path):
    Image.fromarray(noise(0, (64, 64, 3))).save(tmp_path / "big.png")
    crops = prepare(open_source(tmp_path / "big.png"), size=(16, 16))
    store = prepare(open_source(tmp_path / "big.png"), size=(16, 16), settings=CUT)
    np.testing.assert_array_equal(store.images, crops.images)
    assert store.pieces == crops.pieces == (2000,)  # they overlap: none can be held out
    assert len(hold_out(store).held) == 0


def test_what_is_held_out_changes_nothing_in_the_store(made):
    store = prepare(made(120), size=None)
    other = prepare(made(120), size=None, settings=DataSettings(hold_out=0.3))
    assert other.names_file == store.names_file
    assert other.scan["warnings"] == []
