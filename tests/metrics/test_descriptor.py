"""Descriptors against Pillow's area filter, a loop that spells histograms out, and what they should see and not see."""

import math

import numpy as np
import pytest
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.metrics import descriptor
from cardigan.metrics.descriptor import gradients, pixels

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 32), (96, 40), (33, 100), (8, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_average_areas_as_pillow_does(height, width, channels):
    images = RNG.integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    ours = pixels(images)
    assert ours.dtype == np.float32
    assert ours.shape == (3, 32 * 32 * channels)
    for mine, image in zip(ours.reshape(3, 32, 32, channels), images, strict=True):
        for channel in range(channels):
            # The nearest larger multiple of 32, by repeating pixels, is averaged in whole blocks.
            grown = image[:, :, channel].repeat(32, axis=0).repeat(32, axis=1).astype(np.float64)
            blocks = grown.reshape(32, height, 32, width).mean(axis=(1, 3)) / 255
            assert mine[:, :, channel] == pytest.approx(blocks, abs=1e-5)
    if height % 32 == width % 32 == 0:
        for mine, image in zip(ours.reshape(3, 32, 32, channels), images, strict=True):
            layer = Image.fromarray(image[:, :, 0].astype(np.float32))
            assert mine[:, :, 0] * 255 == pytest.approx(
                np.asarray(layer.resize((32, 32), Image.Resampling.BOX)), abs=1e-3
            )


def test_pixels_reach_from_0_to_1():
    black_and_white = np.stack([np.zeros((50, 70, 4), np.uint8), np.full((50, 70, 4), 255, np.uint8)])
    found = pixels(black_and_white)
    assert found[0].max() == 0.0
    assert found[1] == pytest.approx(1.0, abs=1e-6)
    assert found.max() <= 1.0
    assert np.linalg.norm(found[0] - found[1]) == pytest.approx(math.sqrt(32 * 32 * 4), rel=1e-6)


def slow_forms(image):
    """The histograms of one picture of 32x32 pixels, pixel by pixel."""
    grey = (image.astype(np.float64) / 255).mean(axis=2)
    found = np.zeros((7, 7, 8))
    for y in range(32):
        for x in range(32):
            across = grey[y, min(x + 1, 31)] - grey[y, max(x - 1, 0)]
            down = grey[min(y + 1, 31), x] - grey[max(y - 1, 0), x]
            place = math.atan2(down, across) % math.pi / math.pi * 8
            low, share = int(place) % 8, place - int(place)
            for top in {y // 4 - 1, y // 4} & set(range(7)):
                for left in {x // 4 - 1, x // 4} & set(range(7)):
                    found[top, left, low] += math.hypot(across, down) * (1 - share)
                    found[top, left, (low + 1) % 8] += math.hypot(across, down) * share
    return np.sqrt(found / found.sum()).ravel() / math.sqrt(2)


def test_gradients_are_the_histograms_that_a_loop_counts():
    image = RNG.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    found = gradients(image)[0]
    assert found[:392] == pytest.approx(slow_forms(image[0]), abs=2e-4)
    patches = image[0].astype(np.float64).reshape(4, 8, 4, 8, 3).mean(axis=(1, 3)).ravel() / 255 - 0.5
    assert found[392:] == pytest.approx(patches / np.linalg.norm(patches) / math.sqrt(2), abs=1e-5)


@pytest.mark.parametrize(("turn", "expected"), [(False, 4), (True, 0)])
def test_stripes_fall_into_their_direction(turn, expected):
    stripes = np.zeros((1, 64, 64, 1), np.uint8)
    stripes[:, ::16] = stripes[:, 1::16] = 200
    found = gradients(stripes.swapaxes(1, 2) if turn else stripes)[0, :392].reshape(49, 8)
    assert found.sum(axis=0).argmax() == expected
    assert np.delete(found, expected, axis=1).max() < 1e-3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_gradients_are_of_length_1_in_the_stated_range(channels):
    found = gradients(RNG.integers(0, 256, (5, 40, 48, channels), dtype=np.uint8))
    assert found.dtype == np.float32
    assert found.shape == (5, 392 + 16 * channels)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert found[:, :392].min() >= 0
    assert np.abs(found).max() <= 0.71


def test_pictures_without_edges_or_colours_are_described():
    flat = np.full((1, 64, 64, 3), 200, np.uint8)
    found = gradients(flat)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found[0, 392:]) == pytest.approx(math.sqrt(0.5), abs=1e-5)


def test_alpha_has_no_edges(scenes):
    images = scenes(1)
    noise = RNG.integers(0, 256, (1, 64, 64, 1), dtype=np.uint8)
    with_alpha = gradients(np.concatenate([images, noise], axis=3))
    assert np.array_equal(with_alpha[:, :392], gradients(images)[:, :392])


@pytest.mark.parametrize("change", ["blurred", "as JPEG", "shifted"])
@pytest.mark.parametrize("describe", [pixels, gradients])
def test_slight_changes_are_small_beside_another_picture(describe, change, scenes, changed):
    images = scenes(40)
    described = describe(images)
    own = np.linalg.norm(described - describe(changed(images, change)), axis=1)
    between = np.linalg.norm(described[:, None] - described[None], axis=2) + np.diag(np.full(40, np.inf))
    assert (own < 0.5 * between.min(axis=1)).mean() > 0.9


def test_gradients_hardly_see_exposure(scenes):
    images = scenes(40)
    described, dimmed = gradients(images), gradients((images * 0.7 + 38).astype(np.uint8))
    between = np.linalg.norm(described[:, None] - described[None], axis=2) + np.diag(np.full(40, np.inf))
    assert (np.linalg.norm(described - dimmed, axis=1) < 0.1 * between.min(axis=1)).all()


@pytest.mark.parametrize("describe", [pixels, gradients])
def test_batches_change_nothing(describe, scenes, monkeypatch):
    images = scenes(7)
    whole = describe(images)
    monkeypatch.setattr(descriptor, "BATCH", 3)
    assert describe(images) == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize("describe", [pixels, gradients])
def test_what_cannot_be_described_is_said(describe):
    for shape in [(64, 64, 3), (0, 64, 64, 3), (1, 64, 64, 5)]:
        with pytest.raises(CardiganError, match=r"1 to 4 channels.*got the shape \(\d.*channels last"):
            describe(np.zeros(shape, np.uint8))
    with pytest.raises(TypeError, match="as uint8, got float32"):
        describe(np.zeros((1, 8, 8, 3), np.float32))
