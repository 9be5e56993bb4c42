import numpy as np

from cardigan.data import DataSettings, scan


def test_grey_only_if_all_are_grey(made):
    assert scan(made(3)).channels == 1
    assert scan(made(3, pixels=lambda index: np.full((8, 8, 3), (index, 0, 9), np.uint8))).channels == 3
    assert scan(made(3, pixels=lambda index: np.full((8, 8, 4), (index, 0, 9, 0), np.uint8))).channels == 1
    assert scan(made(3, pixels=lambda index: np.full((8, 8, 4), (index, 0, 9, 99), np.uint8))).channels == 3
    assert scan(made(3), settings=DataSettings(channels=4)).channels == 4


def test_sizes_are_summed_up(made):
    found = scan(made(5, pixels=lambda index: np.full((8 + index // 2, 20 - index), index, np.uint8)))
    assert found.sizes == {"smallest": (8, 19), "median": (9, 18), "largest": (9, 18), "most common": (8, 20)}
