"""What features must be, and what is said when they are not."""

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import alike, blocks, heap


def test_single_precision_is_kept_and_all_else_is_doubled():
    for given, kept in (("f4", "f4"), ("f2", "f8"), ("f8", "f8"), ("i8", "f8"), ("u1", "f8")):
        assert heap("real", np.ones((3, 2), given)).dtype == np.dtype(kept)
    values = np.ones((3, 2))
    assert heap("real", values) is values


def test_blocks_are_all_rows_in_order():
    values = np.random.default_rng(0).normal(size=(37, 3))
    assert np.array_equal(np.concatenate(blocks(values)), values)
    wide = np.broadcast_to(np.float32(0), (5, 3 * 2**21))
    assert [len(block) for block in blocks(wide)] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("values", "least", "expected"),
    [
        (np.ones(3), 1, r"Features have the shape \(N, F\), one row an image; new ones have \(3,\)\.$"),
        (np.ones((3, 0)), 1, r"new ones have \(3, 0\)\.$"),
        (np.ones((2, 2, 2)), 1, r"new ones have \(2, 2, 2\)\.$"),
        (np.ones((1, 3)), 2, r"^This takes at least 2 new images, and there are 1\. Add some\.$"),
        (np.ones((0, 3)), 1, r"at least 1 new images, and there are 0"),
        (
            [[1.0, np.nan], [np.inf, 1.0], [0.0, 0.0]],
            1,
            r"^Features of 2 of 3 new images are not finite\. If the images look right, the network that made the "
            r"features overflowed; if not, the generator diverged\.$",
        ),
    ],
)
def test_what_is_no_heap_is_said(values, least, expected):
    with pytest.raises(CardiganError, match=expected):
        heap("new", values, least=least)


def test_other_lengths_are_said():
    with pytest.raises(CardiganError) as caught:
        alike(np.ones((3, 5)), np.ones((9, 4)))
    assert str(caught.value) == (
        "There are 5 features of a real image and 4 of a generated one. Use one extractor for both."
    )
