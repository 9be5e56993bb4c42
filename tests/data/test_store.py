import errno
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cardigan.data import store as store_module
from cardigan.data.decode import DataSettings
from cardigan.data.sources import Item, Source, open_source
from cardigan.data.store import Store, fitted, prepare
from cardigan.errors import CardiganError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def noise(seed, shape=(16, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def made(images, labels=None, classes=(), key="key"):
    items = tuple(
        Item(str(index), lambda image=image: image, labels[index] if labels else None)
        for index, image in enumerate(images)
    )
    return Source("made", "made up", items, key, tuple(classes))


def photos(root, count=6):
    for index in range(count):
        folder = root / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(index, (20, 30, 3))).save(folder / f"{index}.png")
    return root


def message(*args, **kwargs):
    with pytest.raises(CardiganError) as caught:
        prepare(*args, **kwargs)
    return str(caught.value)


def test_images_of_the_right_size_are_kept_byte_for_byte():
    images = [noise(index) for index in range(5)]
    for size in ((16, 16), None):
        store = prepare(made(images), size=size)
        assert isinstance(store.images, np.memmap)
        assert not store.images.flags.writeable
        assert (len(store), store.shape, store.labels, store.classes) == (5, (16, 16, 3), None, ())
        np.testing.assert_array_equal(store.images, images)
        assert store.scan["count"] == 5
        assert store.source == "made"


def test_grey_images_give_one_channel_and_a_mixture_three():
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


def test_the_fingerprint_is_of_the_content():
    images = np.stack([noise(index) for index in range(4)])
    prepared = prepare(made(images, [0, 1, 0, 1], ("a", "b")), size=None)
    same = Store.from_arrays(images, [0, 1, 0, 1], ("a", "b"))
    assert prepared.fingerprint == same.fingerprint
    others = [
        Store.from_arrays(images[::-1], [0, 1, 0, 1], ("a", "b")),
        Store.from_arrays(images, [1, 1, 0, 1], ("a", "b")),
        Store.from_arrays(images, [0, 1, 0, 1], ("a", "c")),
        Store.from_arrays(images),
        Store.from_arrays(images.reshape(4, 8, 32, 3)),
    ]
    assert len({same.fingerprint, *(other.fingerprint for other in others)}) == 6


def test_copies_are_dropped_unless_asked_for():
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
    said = message(open_source(root), size=(8, 8), settings=DataSettings(on_bad="stop"))
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
def test_what_cannot_be_trained_on_is_refused(images, size, expected, cache):
    assert expected in message(made(images), size=size)
    assert not cache.exists() or not list(cache.iterdir())


def test_lonely_classes_are_refused():
    source = made([noise(index) for index in range(3)], [0, 0, 1], ("cat", "dog"))
    assert "1 classes in made have fewer than 2 images: dog (1)." in message(source, size=None)
    assert len(prepare(source, size=None, settings=DataSettings(labels=False))) == 3


def test_one_large_image_gives_crops(tmp_path):
    Image.fromarray(noise(0, (64, 64, 3))).save(tmp_path / "big.png")
    store = prepare(open_source(tmp_path / "big.png"), size=(16, 16))
    assert store.images.shape == (2000, 16, 16, 3)


def test_crop_takes_the_middle():
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 5:15] = noise(0, (10, 10, 3))
    np.testing.assert_array_equal(fitted(image, (10, 10)), image[:, 5:15])
    assert fitted(image, (5, 5)).shape == (5, 5, 3)


def test_resizing_averages_over_what_falls_together():
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    small = fitted(checks.astype(np.uint8)[..., None], (8, 8))
    np.testing.assert_allclose(small, 127.5, atol=3)


def test_stretch_and_pad():
    image = np.full((10, 20, 1), 100, np.uint8)
    assert fitted(image, (8, 8), DataSettings(fit="stretch")).shape == (8, 8, 1)
    padded = fitted(image, (8, 8), DataSettings(fit="pad", background="black"))
    assert padded[:, 4, 0].tolist() == [0, 0, 100, 100, 100, 100, 0, 0]
    clear = fitted(np.full((10, 20, 4), 100, np.uint8), (8, 8), DataSettings(fit="pad"))
    assert clear[0, 0].tolist() == [255, 255, 255, 0]
    np.testing.assert_array_equal(fitted(image[:, :10], (10, 10), DataSettings(fit="pad")), image[:, :10])


def test_a_damaged_store_is_made_again(cache):
    images = [noise(index) for index in range(3)]
    prepare(made(images), size=None)
    (folder,) = cache.iterdir()
    with (folder / "images.u8").open("r+b") as file:
        file.truncate(100)
    store = prepare(made(images), size=None)
    np.testing.assert_array_equal(store.images, images)
    (folder / "store.json").write_text("{")
    np.testing.assert_array_equal(prepare(made(images), size=None).images, images)
    assert list(cache.iterdir()) == [folder]


def test_a_store_that_is_damaged_again_and_again_says_so(monkeypatch):
    monkeypatch.setattr(store_module, "_open", lambda folder: None)
    assert "are damaged again and again. Delete that folder" in message(made([noise(0), noise(1)]), size=None)


def test_abandoned_work_is_swept_away(cache):
    old, young = cache / ".x.partial-old", cache / ".x.partial-young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    prepare(made([noise(0), noise(1)]), size=None)
    assert (old.exists(), young.exists()) == (False, True)


def _prepare_slowly(cache, results):
    os.environ["CARDIGAN_CACHE"] = cache
    store = prepare(made([noise(index) for index in range(50)]), size=(8, 8), on_progress=lambda *_: time.sleep(0.002))
    results.put((store.fingerprint, len(store), int(store.images.sum())))


def test_processes_at_once_agree(cache):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_prepare_slowly, args=(str(cache), results)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(answers)) == 1
    assert len(list(cache.iterdir())) == 1


def test_an_interrupted_store_leaves_nothing(cache):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(made([noise(0), noise(1)]), size=None, on_progress=interrupt)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    said = message(made([noise(0), noise(1)]), size=None, cache=tmp_path / "file" / "cache")
    assert f"cannot be written to {tmp_path / 'file' / 'cache'}: Not a directory." in said
    assert "export CARDIGAN_CACHE=/path/to/folder" in said


def test_a_full_disk_says_how_much_is_free(monkeypatch, cache):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store_module, "_sync", full)
    said = message(made([noise(0), noise(1)]), size=None)
    assert "No space left on device." in said
    assert "GiB are free there" in said
    assert list(cache.iterdir()) == []


def test_a_complete_store_is_read_where_nothing_can_be_written(monkeypatch):
    images = [noise(0), noise(1)]
    prepare(made(images), size=None)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert len(prepare(made(images), size=None)) == 2
    assert "Permission denied" in message(made(images), size=(8, 8))


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("CARDIGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    prepare(made([noise(0), noise(1)]), size=None)
    (folder,) = (tmp_path / "xdg" / "cardigan").iterdir()
    facts = json.loads((folder / "store.json").read_text())
    assert facts["shape"] == [2, 16, 16, 3]


def test_from_arrays():
    store = Store.from_arrays(np.zeros((3, 8, 9), np.uint8), [0, 2, 1])
    assert (len(store), store.shape, store.classes, store.scan) == (3, (8, 9, 1), ("0", "1", "2"), {})
    assert repr(store) == "Store('arrays', 3 images of 8x9x1, 3 classes)"
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((np.zeros((3, 8, 8)),), r"The images are float64 \[3, 8, 8\]; expected uint8"),
        ((np.zeros((3, 8), np.uint8),), r"The images are uint8 \[3, 8\]; expected uint8"),
        (
            (np.zeros((3, 8, 8), np.uint8), [0, 1]),
            r"The labels are int64 \[2\]; expected one whole number from 0 for each",
        ),
        ((np.zeros((2, 8, 8), np.uint8), [0, -1]), r"The labels are int64 \[2\]; expected one whole number from 0"),
        ((np.zeros((2, 8, 8), np.uint8), [0, 2], ("a", "b")), "Label 2 has no class: there are 2 names"),
    ],
)
def test_wrong_arrays_say_what_was_expected(arguments, expected):
    with pytest.raises(CardiganError, match=expected):
        Store.from_arrays(*arguments)


def test_shared_faces_become_a_store():
    path = SHARED / "bees-ants-256.zip"
    if not path.exists():
        pytest.skip("the shared data set bees-ants-256.zip is not here")
    store = prepare(open_source(path), size=(64, 64))
    assert store.images.shape == (200, 64, 64, 3)
    assert np.bincount(store.labels).tolist() == [100, 100]


def test_torch_is_not_imported():
    code = "import sys, cardigan.data.store; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout.strip() == "False"
