"""Extractors without a network: principal components beside scikit-learn's, and descriptors as they are."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from cardigan.errors import CardiganError
from cardigan.evaluation import extractors_arithmetic as room
from cardigan.evaluation.extractors_arithmetic import gradients, pixels
from cardigan.evaluation.resize import RESIZER, resized
from cardigan.metrics import descriptor


def blobs(count, channels=3, side=24, seed=0):
    """Pictures of a few coarse patches each, so that some directions matter more than others."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 3, 4, channels), np.uint8)
    return coarse.repeat(side // 3, axis=1).repeat(side // 4, axis=2)


@pytest.mark.parametrize(("count", "channels", "width"), [(200, 3, 64), (30, 3, 29), (100, 1, 64)])
def test_they_are_the_principal_components_of_small_pictures(count, channels, width):
    real, fake = blobs(count, channels), blobs(7, channels, seed=1)
    found = pixels(real)
    reference = PCA(n_components=width, svd_solver="full").fit(resized(real, 16).reshape(count, -1).astype(np.float64))
    expected = reference.transform(resized(fake, 16).reshape(7, -1))
    seen = found.describe(fake)
    assert seen.shape == (7, width) == (7, found.width)
    matter = reference.explained_variance_ > 1e-3  # beyond, any direction is as good as another
    assert matter.sum() >= 12 * channels or count == 30
    np.testing.assert_allclose(np.abs(seen)[:, matter], np.abs(expected)[:, matter], rtol=1e-3, atol=1e-3)
    assert (found.name, found.classes, found.learned_from) == ("pixels (PCA)", 0, "these images")
    assert found.preprocessing.startswith(f"16x16, {RESIZER}; ")
    assert found.preprocessing.endswith(f"; [-1, 1]; {width} principal components of real images")


def test_distances_of_real_images_are_those_of_their_small_pictures():
    real = blobs(300, channels=1)  # 12 patches: fewer directions than are kept
    flat, seen = resized(real, 16).reshape(300, -1), pixels(real).describe(real)
    np.testing.assert_allclose(
        np.linalg.norm(seen[:50, None] - seen[:50], axis=2),
        np.linalg.norm(flat[:50, None] - flat[:50], axis=2),
        rtol=1e-4,
        atol=1e-3,
    )


def test_the_digest_is_that_of_what_was_found():
    real = blobs(100)
    assert pixels(real).digest == pixels(real.copy()).digest
    changed = real.copy()
    changed[3] = 255 - changed[3]
    assert pixels(changed).digest != pixels(real).digest
    assert pixels(blobs(100, channels=1)).digest != pixels(real).digest


def test_components_are_found_in_images_spread_over_all_that_are_given(monkeypatch):
    monkeypatch.setattr(room, "FITTED", 50)
    real = blobs(99)
    assert pixels(real).digest == pixels(real[::2]).digest


def test_one_image_is_not_enough():
    with pytest.raises(CardiganError) as caught:
        pixels(blobs(1))
    assert str(caught.value) == ("1 image is not enough to find what images differ by, expected at least 2 real ones.")
    with pytest.raises(CardiganError, match=r"shape \(0, 24, 24, 3\) cannot be judged"):
        pixels(blobs(0))


def test_gradients_are_the_descriptors_of_three_channels():
    colours, grey = blobs(5), blobs(5, channels=1)
    np.testing.assert_array_equal(gradients().describe(colours), descriptor.gradients(colours))
    np.testing.assert_array_equal(gradients().describe(grey), descriptor.gradients(grey.repeat(3, axis=3)))
    assert (gradients().learned_from, gradients().name) == ("nothing", "gradients")
    assert gradients().preprocessing.startswith("32x32, mean of areas; grey repeated")
    assert gradients().digest == gradients().digest != pixels(colours).digest


def test_another_definition_has_another_digest(monkeypatch):
    before = gradients().digest
    monkeypatch.setattr(descriptor, "CELL", 8)
    assert gradients().digest != before
