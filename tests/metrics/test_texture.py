"""The sliced Wasserstein distance against closed forms and a loop over patches."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d, gaussian_filter

from cardigan.errors import CardiganError
from cardigan.metrics.texture import FILTER, pyramid, sliced_wasserstein

RNG = np.random.default_rng(0)


def textured(count, side=64, channels=3):
    """Pictures with details at all scales."""
    shape = (count, side, side, channels)
    layers = [gaussian_filter(RNG.normal(0, 40 * s, shape), (0, s, s, 0)) for s in (0.1, 1.5, 5)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def blurred(images, sigma):
    return gaussian_filter(images.astype(float), (0, sigma, sigma, 0)).round().astype(np.uint8)


def test_one_number_a_level_down_to_16_pixels():
    for side, levels in ((7, 1), (16, 1), (31, 1), (32, 2), (64, 3), (96, 3), (128, 4)):
        images = textured(2, side)
        assert len(sliced_wasserstein(images, images)) == levels, side
    assert len(sliced_wasserstein(np.zeros((1, 64, 33, 3)), np.zeros((1, 64, 33, 3)))) == 2


def test_identical_sets_are_at_distance_zero():
    images = textured(4)
    assert sliced_wasserstein(images, images.copy()) == [0.0, 0.0, 0.0]


def test_the_order_of_the_pictures_hardly_counts():
    images = textured(16)
    assert max(sliced_wasserstein(images[::-1], images)) < 0.25
    assert max(sliced_wasserstein(images[::-1], images, patches=512)) < 0.1


def test_softer_is_further_than_other_content():
    images, other = textured(16), textured(16)
    soft, softer = (sliced_wasserstein(blurred(images, sigma), images)[0] for sigma in (0.7, 1.5))
    sharp = sliced_wasserstein(other, images)[0]
    assert softer > soft > 2 * sharp


def test_a_blur_counts_at_the_finest_level_and_a_wrong_lightness_at_the_coarsest():
    images = textured(16)
    fine, _, coarse = sliced_wasserstein(blurred(images, 0.7), images)
    assert fine > 10 * coarse
    fine, _, coarse = sliced_wasserstein(images // 2 + 100, images)
    assert coarse > fine


def test_half_the_strength_is_half_the_mean_distance_of_a_normal():
    """Details at half strength: along each direction the ranks differ by half of what they are."""
    noise = RNG.normal(0, 1, (16, 24, 24, 1))
    (distance,) = sliced_wasserstein(noise / 2, noise)
    assert distance == pytest.approx(0.5 * np.sqrt(2 / np.pi), rel=0.03)


def test_a_shift_of_noise_is_the_mean_of_its_projections():
    noise = RNG.normal(0, 1, (16, 24, 24, 1))
    (distance,) = sliced_wasserstein(noise + 0.3, noise, directions=4096)
    # A shift of 0.3 in all 49 values moves a projection by 0.3 * sum(direction), which is nearly normal.
    assert distance == pytest.approx(0.3 / noise.std() * np.sqrt(2 / np.pi), rel=0.05)


def test_one_level_as_a_loop_computes_it():
    ours, theirs = textured(3, 20).astype(float), textured(3, 20).astype(float)
    rng = np.random.default_rng(5)
    tops, lefts = rng.integers(0, 14, 3 * 10), rng.integers(0, 14, 3 * 10)
    across = rng.standard_normal((147, 8), dtype=np.float32).astype(float)

    def heap(images):
        patches = []
        for place, (top, left) in enumerate(zip(tops, lefts, strict=True)):
            patches.append(images[place // 10, top : top + 7, left : left + 7])
        return np.array(patches)

    mine, other = heap(ours), heap(theirs)
    mean, spread = other.mean(axis=(0, 1, 2)), other.std(axis=(0, 1, 2))
    total = 0.0
    for column in across.T:
        line = column.reshape(3, 7, 7).transpose(1, 2, 0) / np.linalg.norm(column)
        a, b = (sorted((((p - mean) / spread) * line).sum() for p in heap_) for heap_ in (mine, other))
        total += np.mean([abs(x - y) for x, y in zip(a, b, strict=True)])
    (distance,) = sliced_wasserstein(ours, theirs, patches=10, directions=8, seed=5)
    assert distance == pytest.approx(total / 8, rel=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (65, 47), (33, 100)])
def test_the_pyramid_is_scipys(size):
    images = RNG.normal(0, 1, (2, *size, 3)).astype(np.float32)

    def filtered(values):
        return convolve1d(convolve1d(values, FILTER, axis=1, mode="mirror"), FILTER, axis=2, mode="mirror")

    for level in pyramid(images):
        if min(images.shape[1:3]) < 32:
            np.testing.assert_allclose(level, images, atol=1e-5)
            continue
        smaller = filtered(images)[:, ::2, ::2]
        spread = np.zeros_like(images)
        spread[:, ::2, ::2] = smaller
        np.testing.assert_allclose(level, images - 4 * filtered(spread), atol=1e-5)
        images = smaller


def test_the_pyramid_of_a_flat_picture_has_no_details():
    *details, rest = pyramid(np.full((1, 64, 64, 1), 7.0, np.float32))
    assert all(np.abs(level).max() < 1e-5 for level in details)
    np.testing.assert_allclose(rest, 7.0, rtol=1e-6)


def test_the_range_does_not_count_and_tensors_are_taken():
    ours, theirs = textured(4), textured(4)
    floats = [torch.from_numpy(images).float() / 127.5 - 1 for images in (ours, theirs)]
    np.testing.assert_allclose(sliced_wasserstein(*floats), sliced_wasserstein(ours, theirs), rtol=1e-3)


def test_a_channel_without_details_divides_by_nothing():
    images = np.concatenate([textured(2), np.full((2, 64, 64, 1), 255, np.uint8)], axis=3)
    assert np.isfinite(sliced_wasserstein(blurred(images, 1), images)).all()


def test_it_is_a_function_of_the_seed():
    ours, theirs = textured(4), textured(4)
    assert sliced_wasserstein(ours, theirs, seed=1) == sliced_wasserstein(ours, theirs, seed=1)
    assert sliced_wasserstein(ours, theirs, seed=1) != sliced_wasserstein(ours, theirs, seed=2)


def test_sets_that_do_not_match_are_told():
    with pytest.raises(CardiganError) as caught:
        sliced_wasserstein(np.zeros((2, 16, 16, 3)), np.zeros((3, 16, 16, 3)))
    assert str(caught.value) == (
        "Two sets of equally many pictures of one shape (N, H, W, C) can be compared, got (2, 16, 16, 3) and "
        "(3, 16, 16, 3). Leave some out, or resize them."
    )
    for shape in ((0, 16, 16, 3), (16, 16, 3)):
        with pytest.raises(CardiganError, match="Two sets of equally many pictures"):
            sliced_wasserstein(np.zeros(shape), np.zeros(shape))


def test_pictures_smaller_than_a_patch_are_told():
    with pytest.raises(CardiganError) as caught:
        sliced_wasserstein(np.zeros((2, 6, 9, 3)), np.zeros((2, 6, 9, 3)))
    assert str(caught.value) == (
        "Pictures of 6x9 pixels are smaller than the 7x7 patches they are compared by. Compare larger ones."
    )
