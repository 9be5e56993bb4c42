"""The one way of resizing, beside the filter written out, and beside ways that are known to be wrong."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cardigan.evaluation.resize import CHANNELS, prepared, resized


def cubic(distance):
    """Keys' kernel with a = -1/2."""
    x = np.abs(distance)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def weights(before, after):
    """(after, before): the kernel, widened where the image becomes smaller, each row adding up to 1."""
    scale = before / after
    centres = (np.arange(after) + 0.5) * scale
    found = cubic((np.arange(before) + 0.5 - centres[:, None]) / max(scale, 1.0))
    return found / found.sum(axis=1, keepdims=True)


def pixels(found):
    return (found.astype(np.float64) + 1) * 127.5


STRIPES = np.zeros((1, 64, 64, 1), np.uint8)
STRIPES[:, :, ::8] = 255
BOARD = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, :, :, None]


def stripes_are_right(small):
    # The kernel reaches over two pixels of the small picture, so that a border of two feels the edge.
    return bool(np.abs(pixels(small)[0, 0, 2:-2, 2:-2] - 31.875).max() < 1e-3)


def board_is_right(small):
    found = pixels(small)
    return bool(found.min() >= 127.31 and found.max() <= 127.69)


def test_it_gives_the_golden_values():
    assert stripes_are_right(resized(STRIPES, 8))
    assert board_is_right(resized(BOARD, 8))


@pytest.mark.parametrize(
    ("mode", "images", "right", "gives"),
    [
        ("nearest", STRIPES, stripes_are_right, 255.0),
        ("nearest", BOARD, board_is_right, 0.0),
        ("bicubic", STRIPES, stripes_are_right, 0.0),
        ("bilinear", STRIPES, stripes_are_right, 0.0),
    ],
)
def test_ways_that_skip_pixels_fail_the_same_checks(mode, images, right, gives):
    planes = torch.from_numpy(images).movedim(3, 1).float() / 127.5 - 1
    wrong = F.interpolate(planes, size=(8, 8), mode=mode).numpy()
    assert not right(wrong)
    np.testing.assert_allclose(pixels(wrong), gives, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(8, 8), (7, 11), (40, 23), (40, 64)])
def test_it_is_the_widened_cubic_filter_without_rounding(size):
    images = np.random.default_rng(0).integers(0, 2, (2, 20, 32, 3), np.uint8) * 255
    down, across = weights(20, size[0]), weights(32, size[1])
    expected = np.einsum("ih,nhwc,jw->ncij", down, images / 127.5 - 1, across).clip(-1, 1)
    found = resized(images, size)
    assert (found.dtype, found.shape) == (np.float32, (2, 3, *size))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert np.abs(pixels(found) - pixels(found).round()).max() > 0.3
    if size == (40, 64):
        assert expected.max() == 1.0  # the filter overshoots here, and is clipped


def test_the_same_size_is_the_same_image():
    images = np.random.default_rng(0).integers(0, 256, (2, 9, 12, 4), np.uint8)
    np.testing.assert_array_equal(pixels(resized(images, (9, 12))).round(), np.moveaxis(images, 3, 1))


def test_what_is_transparent_does_not_bleed():
    image = np.zeros((1, 32, 32, 4), np.uint8)
    image[..., 0] = 255  # all red, but seen on the left only
    image[:, :, :16, 3] = 255
    half = np.zeros((1, 32, 32, 3), np.float64)
    half[:, :, :16] = (1, -1, -1)
    expected = np.einsum("ih,nhwc,jw->ncij", weights(32, 8), half, weights(32, 8)).clip(-1, 1)
    np.testing.assert_allclose(prepared(image, channels=3, size=8).numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", sorted(CHANNELS))
@pytest.mark.parametrize("given", [1, 2, 3, 4])
def test_images_come_in_as_many_channels_as_are_read(given, channels):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 5, given), np.uint8)
    assert prepared(images, channels=channels).shape == (2, channels, 6, 5)
    assert prepared(images, channels=channels, size=(4, 7)).shape == (2, channels, 4, 7)


def test_floats_are_refused():
    with pytest.raises(TypeError, match=r"uint8 pixels, got torch\.float32"):
        resized(np.zeros((1, 4, 4, 1), np.float32), 2)  # pyright: ignore[reportArgumentType]
