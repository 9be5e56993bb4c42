import numpy as np

from cardigan.data import DataSettings
from cardigan.data.fitting import fitted


def noise(seed, shape=(16, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_crop_takes_the_middle():
    image = np.zeros((10, 20, 3), np.uint8)
    image[:, 5:15] = noise(0, (10, 10, 3))
    np.testing.assert_array_equal(fitted(image, (10, 10)), image[:, 5:15])
    assert fitted(image, (5, 5)).shape == (5, 5, 3)


def test_resizing_averages_over_what_falls_together():
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    small = fitted(checks.astype(np.uint8)[..., None], (8, 8))
    np.testing.assert_allclose(small, 127.5, atol=3)


def test_stretch_and_pad():
    image = np.full((10, 20, 1), 100, np.uint8)
    assert fitted(image, (8, 8), DataSettings(fit="stretch")).shape == (8, 8, 1)
    padded = fitted(image, (8, 8), DataSettings(fit="pad", background="black"))
    assert padded[:, 4, 0].tolist() == [0, 0, 100, 100, 100, 100, 0, 0]
    clear = fitted(np.full((10, 20, 4), 100, np.uint8), (8, 8), DataSettings(fit="pad"))
    assert clear[0, 0].tolist() == [255, 255, 255, 0]
    np.testing.assert_array_equal(fitted(image[:, :10], (10, 10), DataSettings(fit="pad")), image[:, :10])
