import numpy as np
import pytest
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.report import encode_png, enlarge, grid, save_png
from cardigan.report.grids import encode_webp, reduce, write_bytes


def images(count, channels=3, height=4, width=5):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_image_lies_unchanged_in_its_cell(channels):
    shown = images(5, channels)
    sheet = grid(shown, columns=3, padding=2, background=7)
    assert sheet.shape == (4 + 2 + 4, 3 * 5 + 2 * 2, channels)
    for index, image in enumerate(shown):
        top, left = index // 3 * 6, index % 3 * 7
        np.testing.assert_array_equal(sheet[top : top + 4, left : left + 5], image)
    assert (sheet[4:6] == 7).all()
    assert (sheet[6:, 14:] == 7).all(), "the cell without an image is background"


def test_background_per_channel_and_transparent():
    assert grid(images(2), columns=2, background=(1, 2, 3))[0, 5].tolist() == [1, 2, 3]
    clear = grid(images(2), columns=2, background=None)
    assert clear.shape[-1] == 4
    assert clear[0, 5, 3] == 0
    assert clear[0, 0, 3] == 255
    assert grid(images(2, channels=4), background=None).shape[-1] == 4


def test_no_padding_is_a_plain_mosaic():
    assert grid(images(4), columns=2, padding=0).shape == (8, 10, 3)


@pytest.mark.parametrize("wrong", [images(0), images(2)[0], images(2, channels=5)])
def test_what_cannot_be_a_grid_is_refused(wrong):
    with pytest.raises(CardiganError, match="shape"):
        grid(wrong)


def test_floats_and_impossible_columns_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        grid(np.zeros((1, 2, 2, 3)))
    with pytest.raises(CardiganError, match="columns"):
        grid(images(2), columns=0)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_png_and_lossless_webp_give_the_pixels_back(channels, mode, tmp_path):
    image = images(1, channels)[0]
    path = save_png(image, tmp_path / "new" / "image.png", scale=3)
    with Image.open(path) as read:
        assert read.mode == mode
        back = np.asarray(read).reshape(12, 15, channels)
    np.testing.assert_array_equal(back[::3, ::3], image)
    (tmp_path / "image.webp").write_bytes(encode_webp(image))
    with Image.open(tmp_path / "image.webp") as read:
        np.testing.assert_array_equal(np.asarray(read.convert(mode)).reshape(image.shape), image)
    assert [each.name for each in path.parent.iterdir()] == ["image.png"], "no partial file is left"


def test_enlarge_nearest_repeats_and_smooth_blends():
    image = np.array([[[0], [200]]], dtype=np.uint8)
    assert set(np.unique(enlarge(image, 4))) == {0, 200}
    smooth = enlarge(image, 4, method="smooth")
    assert smooth.shape == (4, 8, 1)
    assert len(np.unique(smooth)) > 2
    with pytest.raises(CardiganError, match="whole number"):
        enlarge(image, 0)


def test_reduce_leaves_small_images_alone():
    image = images(1)[0]
    assert reduce(image, side=5) is image
    assert encode_png(reduce(image, side=2))


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = write_bytes(b"old", tmp_path / "file")
    with pytest.raises(TypeError):
        write_bytes("not bytes", path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
