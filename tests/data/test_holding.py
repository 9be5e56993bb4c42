"""Held-out images: nothing of them is trained on in any guise, and they are the same in any order."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardigan.data import Store, open_source, prepare
from cardigan.data.holding import SHOWN, held_out_images, hold_out, keep, training_part


def noise(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *(shape or (8, 8, 1))), dtype=np.uint8)


def drawn(count, labels=None):
    return Store.from_arrays(noise(count), labels)


def cut(counts, seed=0):
    """A store whose photos gave so many pieces each, and the photo of every piece."""
    photos = [photo for photo, count in enumerate(counts) for _ in range(count)]
    store = Store.from_arrays(noise(len(photos), seed=seed))
    return replace(store, pieces=tuple(counts)), np.array(photos, dtype=int)


def sizes(split):
    return len(split.training), len(split.held)


def contents(store, places):
    return {store.images[place].tobytes() for place in places}


# --- how many -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "expected"), [(1, 0), (99, 0), (100, 10), (348, 35), (1000, 100), (9_990, 999), (10_020, 1000)]
)
def test_for_a_generator_that_draws_a_tenth_is_held_out_of_a_hundred_images_or_more(count, expected):
    assert sizes(hold_out(drawn(count))) == (count - expected, expected)


@pytest.mark.parametrize(("count", "expected"), [(9, 0), (10, 1), (96, 10), (200, 20)])
def test_for_restoration_images_that_stand_alone_are_photos(count, expected):
    assert sizes(hold_out(drawn(count), draws=False)) == (count - expected, expected)


@pytest.mark.parametrize("draws", [False, True])
def test_no_photo_is_held_out_below_ten(draws):
    for counts, expected in (([5] * 9, 0), ([5] * 10, 5), ([5] * 9 + [0] * 5, 0), ([1] * 100, 10), ([200], 0)):
        assert sizes(hold_out(cut(counts)[0], draws=draws)) == (sum(counts) - expected, expected)


@pytest.mark.parametrize(
    ("count", "share", "expected"),
    [(500, 0.0, 0), (40, 0.1, 4), (4, 0.1, 1), (1, 0.5, 0), (3, 0.5, 2), (4000, 0.3, 1200)],
)
@pytest.mark.parametrize("draws", [False, True])
def test_a_share_that_was_asked_for_is_met(count, share, expected, draws):
    assert sizes(hold_out(drawn(count), share=share, draws=draws)) == (count - expected, expected)


# --- which ----------------------------------------------------------------------------------------------------------


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    share=st.none() | st.floats(0.01, 0.5),
    draws=st.booleans(),
)
def test_whole_photos_are_held_out(counts, share, draws):
    store, photos = cut(counts)
    split = hold_out(store, share=share, draws=draws)
    assert sorted([*split.training, *split.held]) == list(range(len(photos)))
    for places in (split.training, split.held):
        assert places.dtype == np.int64
        assert list(places) == sorted(places)
    assert not set(photos[split.training]) & set(photos[split.held])
    filled = sum(count > 0 for count in counts)
    expected = round(0.1 * filled) * (filled >= 10) if share is None else min(max(1, round(share * filled)), filled - 1)
    assert len(set(photos[split.held])) == max(expected, 0)


@pytest.mark.parametrize("draws", [False, True])
def test_the_same_images_are_held_out_in_any_order(draws):
    labels = np.arange(300) % 3
    store = drawn(300, labels)
    split = hold_out(store, draws=draws)
    order = np.random.default_rng(5).permutation(300)
    other = Store.from_arrays(store.images[order], labels[order], ("x", "y", "z"))
    again = hold_out(other, draws=draws)
    assert contents(other, again.held) == contents(store, split.held)
    assert again.fingerprint == split.fingerprint
    assert other.fingerprint != store.fingerprint


def test_photos_are_held_out_in_any_order_too():
    store, photos = cut([3] * 40)
    split = hold_out(store, draws=False)
    turned = np.argsort(-photos, kind="stable")
    other = replace(Store.from_arrays(store.images[turned]), pieces=store.pieces)
    again = hold_out(other, draws=False)
    assert contents(other, again.held) == contents(store, split.held)
    assert again.fingerprint == split.fingerprint


def test_other_images_have_another_fingerprint_and_none_have_one_too():
    prints = [hold_out(drawn(count), share=share).fingerprint for count in (200, 300) for share in (0, 0.1, 0.2)]
    assert len(set(prints)) == 5
    assert prints[0] == prints[3]


def test_most_stay_held_out_where_images_are_added():
    more = drawn(440)
    before, now = hold_out(Store.from_arrays(more.images[:400])), hold_out(more)
    assert len(set(before.held) & set(now.held)) >= 35


def test_no_image_is_preferred():
    """Also none in whom much or little is dark: the held-out part is as good as drawn by lot."""
    store = Store.from_arrays(np.sort(noise(20_000, 2, 2, 1), axis=0) // 2 + noise(20_000, 2, 2, 1, seed=1) // 2)
    held = hold_out(store, share=0.25).held
    assert abs(held.mean() / len(store) - 0.5) < 4 * np.sqrt(1 / 12 / len(held))


def test_copies_and_those_alike_are_never_on_both_sides():
    images = noise(200, 16, 16, 3).astype(int)
    for first in range(0, 200, 2):  # pairs: the second a little grainy, or an exact copy
        grain = np.random.default_rng(first).integers(-3, 4, images[0].shape) * (first % 4 == 0)
        images[first + 1] = (images[first] + grain).clip(0, 255)
    split = hold_out(Store.from_arrays(images.astype(np.uint8)))
    assert sizes(split) == (180, 20)
    assert Counter(split.held // 2) == dict.fromkeys(split.held // 2, 2)


def test_many_copies_of_one_image_stay_together_where_all_look_alike():
    """80 of 120 images are one image; they would not fit into a tenth, so they are trained on."""
    images = np.concatenate([np.zeros((80, 8, 8, 1), np.uint8), noise(40)])
    split = hold_out(Store.from_arrays(images))
    assert sizes(split) == (108, 12)
    assert split.held.min() >= 80


def test_nothing_is_held_out_where_everything_is_a_copy_of_much():
    images = noise(5).repeat(40, axis=0)
    assert sizes(hold_out(Store.from_arrays(images))) == (200, 0)


# --- classes --------------------------------------------------------------------------------------------------------


def test_each_class_gives_its_share():
    labels = np.repeat([0, 1, 2, 3], [500, 250, 149, 101])
    split = hold_out(drawn(1000, labels))
    assert np.bincount(labels[split.held]).tolist() == [50, 25, 15, 10]


def test_each_class_keeps_two_images():
    labels = np.repeat([0, 1, 2], [92, 2, 6])
    for share in (0.1, 0.5):
        split = hold_out(drawn(100, labels), share=share)
        left = np.bincount(labels[split.training])
        assert left.min() >= 2
        assert left[1] == 2
        assert len(split.held) == (10 if share == 0.1 else 49)


@given(labels=st.lists(st.integers(0, 5), min_size=100, max_size=140), share=st.none() | st.floats(0.01, 0.5))
def test_no_class_ever_loses_more_than_its_share_and_one(labels, share):
    split = hold_out(drawn(len(labels), labels), share=share)
    held, all_ = Counter(np.array(labels)[split.held].tolist()), Counter(labels)
    wanted = max(1, round((share or 0.1) * len(labels)))
    for label, many in all_.items():
        assert held[label] <= wanted * many / len(labels) + 1
        assert many - held[label] >= min(many, 2)


def test_a_restoration_does_not_look_at_classes():
    labels = np.arange(100) // 2
    assert sizes(hold_out(drawn(100, labels))) == (100, 0)
    assert sizes(hold_out(drawn(100, labels), draws=False)) == (90, 10)


def test_the_digits_of_every_class():
    store = prepare(open_source("digits"), size=None)
    split = hold_out(store)
    assert sizes(split) == (1617, 180)
    assert set(np.bincount(store.labels[split.held]).tolist()) <= {17, 18, 19}


# --- found again ----------------------------------------------------------------------------------------------------


def test_what_is_held_out_is_kept_for_a_report(tmp_path):
    store = drawn(300)
    split = hold_out(store)
    keep(store, split, tmp_path)
    np.testing.assert_array_equal(held_out_images(tmp_path), store.images[split.held])
    assert held_out_images(tmp_path / "elsewhere") is None


def test_no_more_are_kept_than_a_report_needs_and_none_where_there_are_none(tmp_path):
    store = drawn(4000)
    split = hold_out(store, share=0.5)
    keep(store, split, tmp_path)
    found = held_out_images(tmp_path)
    assert len(found) == SHOWN == 1000
    assert contents(Store.from_arrays(found), range(1000)) <= contents(store, split.held)
    keep(store, hold_out(store, share=0), tmp_path)
    assert held_out_images(tmp_path).shape == (0, 8, 8, 1)


def test_the_images_that_were_trained_on_are_found_in_the_cache(made, tmp_path):
    store = prepare(made(120), size=None)
    split, name = hold_out(store), store.names_file.parent.name
    keep(store, split, tmp_path)
    found, places = training_part(tmp_path, name, store.fingerprint)
    np.testing.assert_array_equal(places, split.training)
    np.testing.assert_array_equal(found.images, store.images)
    assert training_part(tmp_path, name, "another") is None
    assert training_part(tmp_path, "", store.fingerprint) is None
    assert training_part(tmp_path, "gone", store.fingerprint) is None
    assert training_part(tmp_path / "elsewhere", name, store.fingerprint) is None
    np.save(tmp_path / "held-out-places.npy", np.array([120]))
    assert training_part(tmp_path, name, store.fingerprint) is None
