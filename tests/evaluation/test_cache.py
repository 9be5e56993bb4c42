"""What was seen once is kept by content, digest and preprocessing, and nothing else is taken for it."""

import dataclasses
import os

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.evaluation import cache
from cardigan.evaluation.cache import clear, seen
from cardigan.evaluation.extractors_contract import Extractor, Seen


class Counted:
    """An extractor's way of looking, and how many images it was asked for."""

    def __init__(self, classes=0):
        self.classes, self.images = classes, 0

    def __call__(self, images):
        self.images += len(images)
        means = images.reshape(len(images), -1).mean(axis=1, dtype=np.float32)
        chances = np.stack([means / 255, 1 - means / 255], axis=1) if self.classes else None
        return Seen(np.stack([means, means + 1, means + 2], axis=1), chances)


@pytest.fixture
def look():
    return Counted(classes=2)


@pytest.fixture
def extractor(look):
    return Extractor("means", "a" * 64, "as they are", 3, look=look, classes=2, chunk=4)


IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 6, 3), np.uint8)


def equal(one, other):
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_the_second_time_nothing_is_looked_at(extractor, look, tmp_path):
    first = seen(extractor, IMAGES, cache=tmp_path)
    assert (look.images, first.features.shape, first.probabilities.shape) == (10, (10, 3), (10, 2))
    again = seen(extractor, IMAGES.copy(), cache=tmp_path)
    assert look.images == 10
    assert equal(first, again)
    assert again.features.dtype == again.probabilities.dtype == np.float32
    assert equal(first, extractor.see(IMAGES))


def test_without_probabilities_none_are_kept(tmp_path):
    look = Counted()
    extractor = Extractor("means", "a" * 64, "as they are", 3, look=look)
    for _ in range(2):
        assert seen(extractor, IMAGES, cache=tmp_path).probabilities is None
    assert look.images == 10


def test_what_was_seen_on_another_device_is_looked_at_again(extractor, look, tmp_path):
    for device, images in (("cpu", 10), ("cuda", 20), ("cpu", 20), ("cuda", 20)):
        seen(extractor, IMAGES, device=device, cache=tmp_path)
        assert look.images == images


def changed(images):
    images = images.copy()
    images[7, 2, 3, 1] ^= 1
    return images


OTHERS = {
    "a pixel": lambda extractor: (extractor, changed(IMAGES)),
    "the shape": lambda extractor: (extractor, IMAGES.reshape(10, 6, 4, 3)),
    "the order": lambda extractor: (extractor, IMAGES[::-1]),
    "the count": lambda extractor: (extractor, IMAGES[:9]),
    "the digest": lambda extractor: (dataclasses.replace(extractor, digest="b" * 64), IMAGES),
    "the preprocessing": lambda extractor: (dataclasses.replace(extractor, preprocessing="at 8x8"), IMAGES),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_question_has_another_answer(extractor, look, tmp_path, other):
    seen(extractor, IMAGES, cache=tmp_path)
    asked, images = OTHERS[other](extractor)
    found = seen(asked, images, cache=tmp_path)
    assert look.images == 10 + len(images)
    assert equal(found, asked.see(images))


def the_file(folder):
    (path,) = (folder / "features").iterdir()
    return path


def flipped(blob, at):
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


DAMAGES = {
    "empty": lambda blob: b"",
    "cut short": lambda blob: blob[:-30],
    "only begun": lambda blob: blob[:40],
    "a bit of the features": lambda blob: flipped(blob, 200),
    "text": lambda blob: b"no features at all",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_made_again(extractor, look, tmp_path, damage):
    first = seen(extractor, IMAGES, cache=tmp_path)
    path = the_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert equal(seen(extractor, IMAGES, cache=tmp_path), first)
    assert look.images == 20
    assert equal(seen(extractor, IMAGES, cache=tmp_path), first)
    assert look.images == 20
    assert the_file(tmp_path) == path


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": np.zeros((10, 3), np.float64), "probabilities": np.zeros((10, 2), np.float32)},
        {"features": np.zeros((9, 3), np.float32), "probabilities": np.zeros((10, 2), np.float32)},
        {"features": np.zeros((10, 3), np.float32), "probabilities": np.zeros((10, 1), np.float32)},
        {"features": np.zeros((10, 3), np.float32)},
    ],
)
def test_a_file_of_other_arrays_is_made_again(extractor, look, tmp_path, wrong):
    first = seen(extractor, IMAGES, cache=tmp_path)
    np.savez(the_file(tmp_path), **wrong)
    assert equal(seen(extractor, IMAGES, cache=tmp_path), first)
    assert look.images == 20


def test_where_nothing_can_be_written_the_answer_is_the_same(extractor, look, tmp_path):
    (tmp_path / "taken").write_text("a file where the folder would be")
    for _ in range(2):
        assert equal(seen(extractor, IMAGES, cache=tmp_path / "taken"), extractor.see(IMAGES))
    assert look.images == 40


def test_it_lies_where_prepared_images_lie(extractor, tmp_path, monkeypatch):
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path))
    seen(extractor, IMAGES)
    assert the_file(tmp_path).suffix == ".npz"
    assert clear() > 300
    assert list((tmp_path / "features").iterdir()) == []
    assert clear() == 0


def test_clearing_leaves_no_half_written_file_and_touches_nothing_else(extractor, tmp_path):
    seen(extractor, IMAGES, cache=tmp_path)
    (tmp_path / "features" / f".{the_file(tmp_path).name}.partial-0a1b2c3d").write_bytes(b"half")
    (tmp_path / "features" / "notes.txt").write_text("mine")
    clear(tmp_path)
    assert [path.name for path in (tmp_path / "features").iterdir()] == ["notes.txt"]


def test_those_unused_for_longest_give_way(extractor, look, tmp_path, monkeypatch):
    heaps = [np.full((10, 4, 6, 3), value, np.uint8) for value in range(3)]
    for age, heap in zip((30, 20), heaps, strict=False):
        before = set((tmp_path / "features").glob("*")) if age != 30 else set()
        seen(extractor, heap, cache=tmp_path)
        (path,) = set((tmp_path / "features").iterdir()) - before
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
        size = path.stat().st_size
    seen(extractor, heaps[0], cache=tmp_path)  # used just now, so that the second is the older
    monkeypatch.setattr(cache, "MOST", 2 * size)
    seen(extractor, heaps[2], cache=tmp_path)
    assert len(list((tmp_path / "features").iterdir())) == 2
    asked = look.images
    seen(extractor, heaps[0], cache=tmp_path)
    seen(extractor, heaps[2], cache=tmp_path)
    assert look.images == asked
    seen(extractor, heaps[1], cache=tmp_path)
    assert look.images == asked + 10
    monkeypatch.setattr(cache, "MOST", 0)
    seen(extractor, IMAGES, cache=tmp_path)
    assert len(list((tmp_path / "features").iterdir())) == 1, "the newest stays"


def test_what_are_no_images_is_refused_before_the_cache_is_asked(extractor, tmp_path):
    seen(extractor, IMAGES, cache=tmp_path)
    with pytest.raises(TypeError, match="uint8, got int8"):
        seen(extractor, IMAGES.view(np.int8), cache=tmp_path)
    with pytest.raises(CardiganError, match=r"shape \(0, 4, 6, 3\) cannot be judged"):
        seen(extractor, IMAGES[:0], cache=tmp_path)
