"""Images that are all but the same: found where they are, and not where images merely resemble each other."""

import numpy as np
import pytest
from PIL import Image

from cardigan.data import open_source, prepare
from cardigan.data.alike import MOST_ALIKE, NEAR, SIDE, Alike, thumbnails


def noise(count, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def smooth(count, side):
    """Pictures with light and dark places, as photos have them."""
    coarse = [Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC) for each in noise(count, 5, 5, 3)]
    return np.stack([np.asarray(each) for each in coarse])


def groups(images, places=None):
    found = Alike(thumbnails(images)).groups(range(len(images)) if places is None else places)
    return [group.tolist() for group in found]


@pytest.mark.parametrize(("height", "width", "channels"), [(8, 8, 1), (28, 28, 1), (64, 96, 3), (13, 9, 4), (5, 21, 2)])
def test_a_thumbnail_is_the_mean_of_every_cell(height, width, channels):
    images = noise(3, height, width, channels)
    found = thumbnails(images).reshape(3, SIDE, SIDE)
    for row in range(SIDE):
        top, bottom = row * height // SIDE, (row + 1) * height // SIDE
        for column in range(SIDE):
            left, right = column * width // SIDE, (column + 1) * width // SIDE
            cell = images[:, top : max(bottom, top + 1), left : max(right, left + 1)]
            np.testing.assert_array_equal(found[:, row, column], [each.astype(int).mean() // 1 for each in cell])


def test_bright_images_do_not_wrap_around():
    assert (thumbnails(np.full((1, 127, 127, 4), 255, np.uint8)) == 255).all()


def test_copies_that_were_resized_or_saved_again_are_alike():
    images = smooth(40, 64)
    resized = Image.fromarray(images[3]).resize((45, 45)).resize((64, 64))
    grainy = images[7].astype(int) + np.random.default_rng(1).integers(-9, 10, images[7].shape)
    images[20], images[30] = np.asarray(resized), grainy.clip(0, 255)
    wanted = {3: [3, 20], 20: [3, 20], 7: [7, 30], 30: [7, 30]}
    assert groups(images) == [wanted.get(place, [place]) for place in range(40)]


def test_the_limit_is_the_root_mean_square_of_the_thumbnails():
    base = noise(40, SIDE, SIDE, 1, seed=2)
    base[5] //= 2
    for step, alike in ((NEAR, True), (NEAR + 1, False)):
        images = base.copy()
        images[11] = images[5] + step
        assert groups(images, [5]) == [[5, 11] if alike else [5]]


def test_those_alike_in_a_chain_are_one_group():
    images = np.concatenate([noise(100, SIDE, SIDE, 1), np.zeros((4, SIDE, SIDE, 1), np.uint8)])
    images[100:, ..., 0] = (np.arange(4) * NEAR)[:, None, None]
    assert groups(images, [100, 102, 103, 0]) == [[100, 101, 102, 103]] * 3 + [[0]]


@pytest.mark.parametrize(("chain", "others"), [(5, 45), (6, 44), (MOST_ALIKE, 900), (MOST_ALIKE + 1, 900)])
def test_more_than_a_burst_is_data_that_looks_alike(chain, others):
    images = np.concatenate([np.zeros((chain, SIDE, SIDE, 1), np.uint8), noise(others, SIDE, SIDE, 1)])
    images[:chain, ..., 0] = np.arange(chain)[:, None, None]
    is_burst = chain <= min(MOST_ALIKE, (chain + others) // 10)
    assert groups(images, [0, chain - 1]) == ([[*range(chain)]] * 2 if is_burst else [[0], [chain - 1]])


def test_where_all_images_are_dim_alike_is_nearer():
    """Stars on black: every thumbnail is within four grey levels of every other."""
    images = np.zeros((60, 32, 32, 1), np.uint8)
    places = np.random.default_rng(0).integers(0, 32, (60, 12, 2))
    places[30, :10] = places[5, :10]  # most of the stars, yet not the same picture
    for image, stars in zip(images, places, strict=True):
        image[stars[:, 0], stars[:, 1]] = 255
    images[50] = images[10]
    assert [group for group in groups(images) if len(group) > 1] == [[10, 50], [10, 50]]


@pytest.mark.parametrize("name", ["fruit-348.zip", "bees-ants-256.zip"])
def test_different_photos_are_not_taken_for_one(shared, name):
    images = prepare(open_source(shared(name)), size=(64, 64)).images
    assert max(map(len, groups(images))) == 1
