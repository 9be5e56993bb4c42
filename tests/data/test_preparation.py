import numpy as np
import pytest
from PIL import Image

from cardigan.data import DataSettings, open_source, prepare
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
        ([noise(0), noise(1, (16, 20, 3))], None, "2 different sizes: 16x16 (1), 20x16 (1). Expected one; choose one"),
        ([noise(0), noise(1)], (0, 8), "The size is 8x0; expected at least 1 pixel a side. Type --size 64."),
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
