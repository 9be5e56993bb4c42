import numpy as np
import pytest
from PIL import Image

from cardigan.data import open_source
from cardigan.errors import CardiganError


def big_image(path, size=(70, 50)):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def test_one_large_image_is_cut_into_crops(tmp_path):
    path = big_image(tmp_path / "big.png")
    source = open_source(path)
    crops = source.sized((16, 24))
    whole = np.asarray(Image.open(path))
    assert len(source) == 0
    assert len(crops) == (50 - 16 + 1) * (70 - 24 + 1)  # fewer places than crops: each place once
    assert crops.description == "one image of 50x70, cut into 1,645 crops of 16x24"
    assert len({item.name for item in crops}) == len(crops)
    item = crops.items[5]
    top, left = map(int, item.name.rpartition("(")[2].rstrip(")").split(","))
    np.testing.assert_array_equal(item.read(), whole[top : top + 16, left : left + 24])
    assert [item.name for item in open_source(path).sized((16, 24))] == [item.name for item in crops]
    assert source.sized(None).items[0].read().shape == (16, 16, 3)
    assert crops.key != source.sized(None).key
    assert crops.sized((8, 8)) is crops


def test_a_large_image_must_be_large(tmp_path):
    source = open_source(big_image(tmp_path / "big.png"))
    with pytest.raises(
        CardiganError, match=r"big.png is 50x70; crops of 32x32 need an image of at least 64x64.*--size 16, or give"
    ):
        source.sized((32, 32))
    (tmp_path / "big.png").write_bytes(b"<html>")
    with pytest.raises(CardiganError, match=r"big.png cannot be used: looks like HTML.*Expected one whole image"):
        source.sized((8, 8))
