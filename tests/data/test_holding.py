"""Held-out images: whole photos, so that no piece of one is trained on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardigan.data import Store
from cardigan.data.holding import FEWEST_PHOTOS, hold_out


def cut(counts):
    """A store whose photos gave so many pieces each, and the photo of every piece."""
    photos = [photo for photo, count in enumerate(counts) for _ in range(count)]
    store = Store.from_arrays(np.zeros((len(photos), 8, 8, 1), np.uint8))
    return replace(store, pieces=tuple(counts)), np.array(photos)


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=40), seed=st.integers(0, 3), share=st.floats(0.01, 0.6))
def test_whole_photos_are_held_out(counts, seed, share):
    store, photos = cut(counts)
    training, held = hold_out(store, share=share, seed=seed)
    assert sorted([*training, *held]) == list(range(len(photos)))
    for places in (training, held):
        assert places.dtype == np.int64
        assert list(places) == sorted(places)
    assert not set(photos[training]) & set(photos[held])
    filled = sum(count > 0 for count in counts)
    expected = max(1, round(share * filled)) if filled >= 10 else 0
    assert len(set(photos[held])) == expected


def test_none_is_held_out_below_ten_photos():
    assert FEWEST_PHOTOS == 10
    for counts, expected in (([5] * 9, 0), ([5] * 10, 5), ([5] * 9 + [0] * 5, 0), ([1] * 100, 10)):
        store, _ = cut(counts)
        training, held = hold_out(store)
        assert (len(training), len(held)) == (sum(counts) - expected, expected)


@pytest.mark.parametrize(("count", "expected"), [(9, 0), (10, 1), (96, 10), (200, 20)])
def test_images_that_stand_alone_are_photos(count, expected):
    training, held = hold_out(Store.from_arrays(np.zeros((count, 8, 8, 1), np.uint8)))
    assert (len(training), len(held)) == (count - expected, expected)


def test_the_choice_is_the_seeds_and_touches_no_global_one():
    store, photos = cut([3] * 50)
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    first = hold_out(store)
    again = hold_out(store)
    assert np.random.random() == expected
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    chosen = {tuple(hold_out(store, seed=seed)[1]) for seed in range(10)}
    assert len(chosen) == 10
    spread = np.concatenate([photos[hold_out(store, seed=seed)[1]] for seed in range(100)])
    assert len(set(spread)) == 50  # every photo has its chance
