import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cardigan.data import DataSettings
from cardigan.data.fitting import fitted, pieces


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


def numbered(high, wide):
    """Every pixel says where it lies."""
    rows, columns = np.indices((high, wide))
    return np.stack([rows, columns, rows // 2 + columns // 2], axis=2).astype(np.uint8)


def corners(cut):
    """Where the pieces of a numbered picture began."""
    return [(int(top), int(left)) for top, left in cut[:, 0, 0, :2]]


@settings(deadline=None, max_examples=60)
@given(
    high=st.integers(1, 90),
    wide=st.integers(1, 90),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
    data=st.data(),
)
def test_pieces_cover_every_pixel_and_overlap_by_half(high, wide, height, width, data):
    picture = numbered(high, wide)
    cut = pieces(picture, (height, width), most=100_000)
    assert cut.dtype == np.uint8
    if high < height or wide < width:
        assert cut.shape == (0, height, width, 3)
        return
    # So few steps of at most half a piece that the last piece ends where the picture does.
    down, across = (
        1 + math.ceil((whole - part) / max(part // 2, 1)) for whole, part in ((high, height), (wide, width))
    )
    assert cut.shape == (down * across, height, width, 3)
    seen = np.zeros((high, wide), bool)
    for piece, (top, left) in zip(cut, corners(cut), strict=True):
        np.testing.assert_array_equal(piece, picture[top : top + height, left : left + width], strict=True)
        seen[top : top + height, left : left + width] = True
    assert seen.all()
    assert len(set(corners(cut))) == len(cut)
    for axis, (whole, part) in enumerate(((high, height), (wide, width))):
        starts = sorted({corner[axis] for corner in corners(cut)})
        assert (starts[0], starts[-1]) == (0, whole - part)
        steps = np.diff(starts)
        assert not len(steps) or (steps.max() <= max(part // 2, 1) and steps.max() - steps.min() <= 1)
    most = data.draw(st.integers(1, len(cut)))
    fewer = pieces(picture, (height, width), most=most)
    assert len(fewer) == most
    places = [corners(cut).index(corner) for corner in corners(fewer)]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(fewer, cut[places])


def test_a_picture_of_a_pieces_size_is_one_piece_and_a_smaller_one_none():
    picture = noise(3)
    np.testing.assert_array_equal(pieces(picture, (16, 16), most=5), picture[None], strict=True)
    assert pieces(picture, (17, 16), most=5).shape == (0, 17, 16, 3)
    assert pieces(picture, (16, 17), most=5).shape == (0, 16, 17, 3)
    assert pieces(picture[:, :, :1], (8, 8), most=99).shape == (9, 8, 8, 1)


def test_chosen_pieces_are_spread_over_the_picture_and_always_the_same():
    picture = numbered(240, 240)
    chosen = pieces(picture, (16, 16), most=60)
    np.testing.assert_array_equal(chosen, pieces(picture, (16, 16), most=60))
    quarters = {(top // 113, left // 113) for top, left in corners(chosen)}
    assert len({(down, across) for down, across in quarters if down < 2 and across < 2}) == 4
