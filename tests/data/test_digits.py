from pathlib import Path

import numpy as np
import pytest

from cardigan.data import digits, open_source


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    original = datasets.load_digits()
    with np.load(Path(digits.__file__).with_name("digits.npz")) as file:
        np.testing.assert_array_equal(file["images"], original.images)
        np.testing.assert_array_equal(file["labels"], original.target)
    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    assert [item.label for item in source] == original.target.tolist()
    drawn = source.items[0].read()
    assert (drawn.shape, drawn.dtype) == ((16, 16), np.uint8)
    means = drawn.reshape(8, 2, 8, 2).mean((1, 3))
    np.testing.assert_allclose(means, original.images[0] / 16 * 255, atol=40)
    assert np.corrcoef(means.ravel(), original.images[0].ravel())[0, 1] > 0.99
