"""Fidelity against closed forms, loops that spell the definition out, and SciPy's Gaussian."""

import math

import numpy as np
import pytest
from scipy.ndimage import correlate1d

from cardigan.errors import CardiganError
from cardigan.metrics.fidelity import luma, psnr, ssim

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def smooth(height, width, channels=3):
    down, across = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(down / (5 + place)) * np.cos(across / (7 - place)) for place in range(channels)]
    return np.stack(waves, axis=2).astype(np.uint8)


def noisy(images, level):
    return np.clip(images + RNG.normal(0, level, images.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((0, 0, 0), 16.0),
        ((255, 255, 255), 235.0),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
    ],
)
def test_luma_of_pure_colours(colour, expected):
    assert luma(np.array(colour, dtype=np.uint8)) == pytest.approx(expected, abs=1e-12)


def test_luma_keeps_leading_axes():
    images = pixels(2, 3, 4, 3)
    assert luma(images).shape == (2, 3, 4)
    assert luma(images)[1, 2, 3] == pytest.approx(luma(images[1, 2, 3]))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shift", [1, 5, 100])
def test_psnr_of_a_constant_shift(channels, shift):
    true = RNG.integers(0, 156, (9, 7, channels), dtype=np.uint8)
    assert psnr(true + np.uint8(shift), true) == pytest.approx(20 * math.log10(255 / shift))


def test_psnr_of_the_worst_and_of_the_best():
    black, white = np.zeros((4, 4, 1), np.uint8), np.full((4, 4, 1), 255, np.uint8)
    assert psnr(black, white) == 0.0
    assert psnr(white, black) == 0.0
    assert psnr(black, black) == math.inf


def test_psnr_does_not_wrap_around_and_averages_over_channels():
    true = np.zeros((2, 2, 2), np.uint8)
    restored = true.copy()
    restored[0, 0, 0], restored[1, 1, 1] = 200, 100
    assert psnr(restored, true) == pytest.approx(10 * math.log10(255**2 / ((200**2 + 100**2) / 8)))


def test_psnr_on_luma_is_of_the_luma():
    restored, true = pixels(12, 10, 3), pixels(12, 10, 3)
    total = 0.0
    for ours, theirs in zip(restored.reshape(-1, 3).tolist(), true.reshape(-1, 3).tolist(), strict=True):
        red, green, blue = (mine - other for mine, other in zip(ours, theirs, strict=True))
        total += ((65.481 * red + 128.553 * green + 24.966 * blue) / 255) ** 2
    assert psnr(restored, true, on="luma") == pytest.approx(10 * math.log10(255**2 / (total / 120)))
    grey = true[:, :, :1]
    assert psnr(restored[:, :, :1], grey, on="luma") == psnr(restored[:, :, :1], grey)
    alpha = np.concatenate([true, pixels(12, 10, 1)], axis=2)
    other = np.concatenate([restored, pixels(12, 10, 1)], axis=2)
    assert psnr(other, alpha, on="luma") == psnr(restored, true, on="luma")


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_what_lies_in_the_border_does_not_count(measure):
    true = smooth(24, 30)
    restored = noisy(true, 10)
    inner = measure(restored[3:-3, 3:-3], true[3:-3, 3:-3])
    spoilt = restored.copy()
    spoilt[:3] = spoilt[-3:] = 0
    spoilt[:, :3] = spoilt[:, -3:] = 255
    assert measure(spoilt, true, border=3) == inner
    assert measure(spoilt, true, border=2) < inner


def naive_ssim(ours, theirs):
    """Each window on its own, from the definition."""
    places = np.arange(11) - 5
    window = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(ours.shape[0] - 10):
        for left in range(ours.shape[1] - 10):
            x, y = (each[top : top + 11, left : left + 11].astype(float) for each in (ours, theirs))
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            both = (window * (x - mx) * (y - my)).sum()
            top_half = (2 * mx * my + 2.55**2) * (2 * both + 7.65**2)
            values.append(top_half / ((mx**2 + my**2 + 2.55**2) * (vx + vy + 7.65**2)))
    return np.mean(values)


@pytest.mark.parametrize("level", [0, 3, 40])
def test_ssim_is_what_its_definition_says(level):
    true = smooth(17, 23, 1)
    restored = noisy(true, level)
    assert ssim(restored, true) == pytest.approx(naive_ssim(restored[..., 0], true[..., 0]), abs=1e-9)


def test_ssim_of_colours_is_that_of_the_luma_through_scipys_filter():
    true = smooth(40, 32)
    restored = noisy(true, 15)
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    weights /= weights.sum()

    def blurred(values):
        both = correlate1d(correlate1d(values, weights, axis=0), weights, axis=1)
        return both[5:-5, 5:-5]

    x, y = luma(restored), luma(true)
    mx, my = blurred(x), blurred(y)
    vx, vy, both = blurred(x * x) - mx**2, blurred(y * y) - my**2, blurred(x * y) - mx * my
    table = (2 * mx * my + 2.55**2) * (2 * both + 7.65**2) / ((mx**2 + my**2 + 2.55**2) * (vx + vy + 7.65**2))
    assert ssim(restored, true) == pytest.approx(table.mean(), abs=1e-12)


def test_ssim_of_flat_pictures_is_their_lightness():
    dark, light = np.full((11, 11, 1), 50, np.uint8), np.full((11, 11, 1), 100, np.uint8)
    assert ssim(dark, light) == pytest.approx((2 * 50 * 100 + 2.55**2) / (50**2 + 100**2 + 2.55**2))
    assert ssim(dark, dark) == pytest.approx(1.0)


def test_a_size_that_differs_is_told():
    with pytest.raises(CardiganError) as caught:
        psnr(pixels(8, 8, 3), pixels(8, 9, 3))
    assert str(caught.value) == (
        "Two pictures of one shape (H, W, C) can be compared, got (8, 8, 3) and (8, 9, 3). Crop or resize one of them "
        "first."
    )
    with pytest.raises(CardiganError, match="Two pictures of one shape"):
        ssim(pixels(16, 16), pixels(16, 16))


@pytest.mark.parametrize(
    ("measure", "size", "border", "told"),
    [
        (psnr, (8, 9), 4, "8x9 pixels cannot be measured without a border of 4: at least 1x1 must be left. Choose a "
                          "border from 0 to 3, or a larger picture."),
        (psnr, (8, 8), -1, "cannot be measured without a border of -1"),
        (ssim, (10, 40), 0, "10x40 pixels cannot be measured without a border of 0: at least 11x11 must be left"),
        (ssim, (20, 20), 5, "Choose a border from 0 to 4"),
    ],
)  # fmt: skip
def test_a_border_that_leaves_too_little_is_told(measure, size, border, told):
    with pytest.raises(CardiganError) as caught:
        measure(pixels(*size, 3), pixels(*size, 3), border=border)
    assert told in str(caught.value)


def test_other_pixels_than_uint8_are_a_programmers_mistake():
    with pytest.raises(TypeError, match="Pictures are measured as uint8, got float64 and uint8"):
        psnr(np.zeros((4, 4, 3)), pixels(4, 4, 3))
