import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from cardigan.data import Store, open_source, prepare
from cardigan.errors import CardiganError


def noise(seed, shape=(16, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_fingerprint_is_of_the_content(made):
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


def test_from_arrays():
    store = Store.from_arrays(np.zeros((3, 8, 9), np.uint8), [0, 2, 1])
    assert (len(store), store.shape, store.classes, store.scan) == (3, (8, 9, 1), ("0", "1", "2"), {})
    assert repr(store) == "Store('arrays', 3 images of 8x9x1, 3 classes)"
    with pytest.raises(ValueError, match="read-only"):
        store.images[0] = 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((np.full((3, 8, 8), np.nan),), r"images holds nan at \[0, 0, 0\]; expected finite numbers"),
        ((np.zeros((3, 8), np.uint8),), r"images is uint8 \[3, 8\]; expected \[N, H, W\]"),
        ((np.zeros((3, 8, 8), np.uint8), [0, 1]), r"labels is int64 \[2\]; expected one label for each of 3 images"),
        ((np.zeros((2, 8, 8), np.uint8), [0, -1]), "1 label is below 0: -1 at 1. Expected classes counted from 0"),
        (
            (np.zeros((2, 8, 8), np.uint8), [0, 2], ("a", "b")),
            "1 label has no class: 2 at 1. 2 names were given",
        ),
    ],
)
def test_wrong_arrays_say_what_was_expected(arguments, expected):
    with pytest.raises(CardiganError, match=expected):
        Store.from_arrays(*arguments)


def test_arrays_as_networks_want_them_are_read():
    bytes_ = np.arange(2 * 8 * 8 * 3).reshape(2, 8, 8, 3) % 256
    store = Store.from_arrays((bytes_ / 127.5 - 1).transpose(0, 3, 1, 2), np.array(["no", "yes"]))
    np.testing.assert_array_equal(store.images, bytes_)
    assert (store.classes, store.labels.tolist()) == (("no", "yes"), [0, 1])


def test_torch_is_not_imported():
    code = "import sys, cardigan.data.store; print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout.strip() == "False"


def test_all_offending_labels_are_counted_and_the_first_listed():
    with pytest.raises(CardiganError, match="7 labels have no class: 3 at 3, 4 at 4, 5 at 5, 6 at 6, 7 at 7 and 2"):
        Store.from_arrays(np.zeros((10, 8, 8), np.uint8), np.arange(10), ("a", "b", "c"))


def test_names_follow_the_images(made):
    images = [noise(0), noise(1), noise(0), noise(2)]
    store = prepare(made(images), size=None)
    assert store.names(range(3)) == ["0", "1", "3"]  # the copy is left out, and its name with it
    assert store.names(np.array([2, 0, 2])) == ["3", "0", "3"]
    assert store.names([]) == []
    again = prepare(made(images), size=None)
    assert again.names([2]) == ["3"]
    assert again.fingerprint == Store.from_arrays(store.images).fingerprint


def test_names_are_files_and_safe_to_print(tmp_path):
    for index, name in enumerate(("b.png", "a\n\u202e\u2028\x85gnp.png", "K\u00e4se \u732b.png")):
        Image.fromarray(noise(index)).save(tmp_path / name)
    store = prepare(open_source(tmp_path), size=None)
    assert store.names(range(3)) == ["K\u00e4se \u732b.png", "a\\n\\u202e\\u2028\\x85gnp.png", "b.png"]


def test_images_without_files_are_counted():
    assert prepare(open_source("digits"), size=None).names([17]) == ["image 17"]
    assert Store.from_arrays(np.zeros((3, 8, 8), np.uint8)).names([2, 0]) == ["image 2", "image 0"]


def test_names_outlive_the_cache(made):
    store = prepare(made(3), size=None)
    store.names_file.unlink()
    assert store.names([1]) == ["image 1"]


@pytest.mark.parametrize("place", [-1, 3])
def test_names_of_no_image(place):
    store = Store.from_arrays(np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(IndexError, match=f"There is no image {place} in a store of 3 images, 0 to 2"):
        store.names([0, place])


def test_one_is_one():
    store = Store.from_arrays(np.zeros((1, 8, 8), np.uint8), [0])
    assert repr(store) == "Store('arrays', 1 image of 8x8x1, 1 class)"
