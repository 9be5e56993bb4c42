"""Batches: a function of (seed, images seen), every image once in each pass."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cardigan.data import Store
from cardigan.data import batches as module
from cardigan.data.batches import StoredBatches, batches, copied
from cardigan.errors import CardiganError


def numbered(count, *, channels=1, classes=0):
    """Image number i is full of the value i, but for its left column, which is 255 - i."""
    images = np.empty((count, 4, 6, channels), dtype=np.uint8)
    images[:] = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images[:, :, 0] = 255 - np.arange(count, dtype=np.uint8)[:, None, None]
    labels = np.arange(count) % classes if classes else None
    return Store.from_arrays(images, labels)


def numbers(batch):
    """Which images these are, read from their pixels (last column, or first where mirrored)."""
    return ((batch.real + 1) * 127.5).round().to(torch.int64)[:, 0, 0, 2].tolist()


@settings(deadline=None, max_examples=60)
@given(count=st.integers(2, 23), size=st.integers(1, 23), seed=st.integers(0, 3), passes=st.integers(1, 3))
def test_every_image_comes_once_in_each_pass_even_where_batches_straddle_passes(count, size, seed, passes):
    drawn = batches(numbered(count), batch_size=min(size, count), seed=seed)
    total = passes * count
    seen = []
    while len(seen) < total:
        seen += numbers(drawn.at(len(seen)))
    for start in range(0, total, count):
        assert sorted(seen[start : start + count]) == list(range(count))


def test_a_batch_larger_than_what_is_left_goes_on_in_the_next_pass():
    drawn = batches(numbered(10), batch_size=4, seed=1)
    first = [number for clock in (0, 4, 8) for number in numbers(drawn.at(clock))]
    assert sorted(first[:10]) == list(range(10))
    assert first[10:] == numbers(drawn.at(10))[:2]


def test_the_clock_alone_decides():
    """Asking in any order, repeatedly, or from a fresh object gives the same batch."""
    store = numbered(10, classes=3)
    asked = [0, 4, 36, 8, 400_000, 8, 4, 0, 12]
    one = batches(store, batch_size=4, seed=7, flip=True)
    for clock in asked:
        mine, fresh = one.at(clock), batches(store, batch_size=4, seed=7, flip=True).at(clock)
        assert torch.equal(mine.real, fresh.real)
        assert torch.equal(mine.labels, fresh.labels)
        assert torch.equal(mine.indices, fresh.indices)


def test_the_order_does_not_touch_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    batches(numbered(10), batch_size=4, flip=True).at(4)
    assert torch.equal(torch.rand(3), expected)


def test_seeds_and_passes_differ():
    store = numbered(200)
    drawn = batches(store, batch_size=200, seed=0)
    orders = [numbers(drawn.at(0)), numbers(drawn.at(200)), numbers(batches(store, batch_size=200, seed=1).at(0))]
    for one in range(3):
        assert orders[one] != sorted(orders[one])
        for other in range(one):
            agreeing = sum(a == b for a, b in zip(orders[one], orders[other], strict=True))
            assert agreeing < 10  # 1 is expected of two random orders


def test_pixels_labels_and_indices_belong_together():
    store = numbered(10, channels=3, classes=3)
    batch = batches(store, batch_size=10, seed=2).at(0)
    assert batch.real.shape == (10, 3, 4, 6)
    assert batch.real.dtype == torch.float32
    for place, index in enumerate(batch.indices.tolist()):
        pixels = torch.from_numpy(store.images[index].astype(np.float32) / 127.5 - 1).permute(2, 0, 1)
        torch.testing.assert_close(batch.real[place], pixels, rtol=0, atol=1e-6)
        assert batch.labels[place] == store.labels[index]


def test_labels_are_left_out_on_request_and_where_there_are_none():
    assert batches(numbered(4, classes=2), batch_size=2, labels=False).at(0).labels is None
    assert batches(numbered(4), batch_size=2).at(0).labels is None
    assert batches(numbered(4, classes=2), batch_size=2).at(0).labels.dtype == torch.int64


def test_flips_mirror_half_of_the_images_and_nothing_else():
    store = numbered(100)
    plain, flipped = batches(store, batch_size=100, seed=3), batches(store, batch_size=100, seed=3, flip=True)
    mirrored = 0
    for clock in range(0, 2000, 100):
        one, other = plain.at(clock), flipped.at(clock)
        assert torch.equal(one.indices, other.indices)
        same = (one.real == other.real).flatten(1).all(dim=1)
        turned = (one.real.flip(3) == other.real).flatten(1).all(dim=1)
        assert (same ^ turned).all()
        mirrored += int(turned.sum())
    assert 1000 - 5 * 22 < mirrored < 1000 + 5 * 22  # 22 is one standard deviation


def test_pixels_that_do_not_fit_are_read_where_they_lie(monkeypatch, tmp_path):
    arrays = numbered(10, channels=3, classes=3)
    path = tmp_path / "images.u8"
    arrays.images.tofile(path)
    mapped = np.memmap(path, np.uint8, "r", shape=arrays.images.shape)
    store = Store(mapped, arrays.labels, arrays.classes, arrays.fingerprint)
    resident = StoredBatches(store, batch_size=4, seed=1, flip=True)
    asked = StoredBatches(store, batch_size=4, seed=1, flip=True, resident=False)
    assert asked._resident is None
    monkeypatch.setattr(module, "free_memory", lambda device: 8 * store.images.nbytes - 1)
    streamed = StoredBatches(store, batch_size=4, seed=1, flip=True)
    assert resident._resident is not None
    assert streamed._resident is None
    for clock in (0, 4, 8, 1000):
        one, other = resident.at(clock), streamed.at(clock)
        assert torch.equal(one.real, other.real)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.indices, other.indices)


@pytest.mark.parametrize("block", [1, 500, 2**26])
def test_pixels_are_copied_block_by_block(monkeypatch, block):
    monkeypatch.setattr("cardigan.data.batches.BLOCK", block)
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    assert np.array_equal(copied(images, torch.device("cpu")).numpy(), images)


@pytest.mark.parametrize(("count", "size"), [(3, 4), (0, 1), (5, 0), (5, -1)])
def test_fewer_images_than_a_batch_is_said_before_any_loop(count, size):
    store = Store.from_arrays(np.zeros((count, 4, 4, 1), dtype=np.uint8))
    with pytest.raises(CardiganError):
        batches(store, batch_size=size)


def test_the_message_names_both_numbers_and_what_to_type():
    message = (
        "There are 5 images to train on, fewer than one batch of 64. Use --set batch_size=5 or less, or add images."
    )
    with pytest.raises(CardiganError, match=re.escape(message)):
        batches(numbered(5), batch_size=64)


def test_a_batch_of_all_images_is_a_pass():
    assert sorted(numbers(batches(numbered(7), batch_size=7).at(0))) == list(range(7))


def test_a_batch_of_nothing_is_refused():
    store = Store.from_arrays(np.zeros((4, 8, 8, 1), dtype=np.uint8))
    with pytest.raises(CardiganError, match="batch_size is 0, expected at least 1"):
        batches(store, batch_size=0)


@settings(deadline=None, max_examples=40)
@given(count=st.integers(4, 23), size=st.integers(1, 23), seed=st.integers(0, 3), data=st.data())
def test_chosen_places_and_no_others_come_once_in_each_pass(count, size, seed, data):
    chosen = data.draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True))
    store = numbered(count, classes=3)
    drawn = batches(store, batch_size=min(size, len(chosen)), seed=seed, places=np.array(chosen))
    total = 3 * len(chosen)
    seen = []
    while len(seen) < total:
        batch = drawn.at(len(seen))
        assert numbers(batch) == batch.indices.tolist()
        assert batch.labels.tolist() == [number % 3 for number in numbers(batch)]
        seen += numbers(batch)
    for start in range(0, total, len(chosen)):
        assert sorted(seen[start : start + len(chosen)]) == sorted(chosen)


def test_all_places_are_no_choice_and_chosen_ones_are_shuffled():
    store, chosen = numbered(200), np.arange(0, 200, 2)
    one, other = batches(store, batch_size=50), batches(store, batch_size=50, places=np.arange(200))
    assert all(torch.equal(one.at(clock).indices, other.at(clock).indices) for clock in (0, 50, 150, 900))
    drawn = batches(store, batch_size=100, places=chosen)
    passes = [drawn.at(clock).indices.tolist() for clock in (0, 100)]
    for order in passes:
        assert sum(a == b for a, b in zip(order, chosen.tolist(), strict=True)) < 10  # 1 is expected of chance
    assert sum(a == b for a, b in zip(*passes, strict=True)) < 10


def test_chosen_places_are_found_where_pixels_are_streamed(monkeypatch):
    store, chosen = numbered(10), np.array([1, 8, 4])
    resident = StoredBatches(store, batch_size=2, places=chosen)
    monkeypatch.setattr(module, "free_memory", lambda device: 0)
    streamed = StoredBatches(store, batch_size=2, places=chosen)
    assert streamed._resident is None
    for clock in (0, 2, 4, 60):
        assert torch.equal(resident.at(clock).real, streamed.at(clock).real)


def test_fewer_chosen_places_than_a_batch_is_said():
    message = (
        "There are 5 images to train on, fewer than one batch of 8. Use --set batch_size=5 or less, or add images."
    )
    with pytest.raises(CardiganError, match=re.escape(message)):
        batches(numbered(50), batch_size=8, places=np.arange(5))
