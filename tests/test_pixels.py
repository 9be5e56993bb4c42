import numpy as np
import pytest
import torch

from cardigan.pixels import to_float, to_uint8


def test_every_value_comes_back():
    stored = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(to_uint8(to_float(stored)), stored)


def test_values_lie_evenly_from_minus_one_to_one():
    floats = to_float(torch.arange(256, dtype=torch.uint8).reshape(1, 1, 256, 1)).flatten()
    expected = np.arange(256) / 127.5 - 1
    np.testing.assert_allclose(floats.numpy(), expected, atol=1e-6)
    assert floats.dtype == torch.float32


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_channels_move_first_and_back(channels):
    stored = torch.randint(0, 256, (2, 3, 5, channels), dtype=torch.uint8)
    floats = to_float(stored)
    assert floats.shape == (2, channels, 3, 5)
    assert floats.is_contiguous()
    for channel in range(channels):
        assert float(floats[1, channel, 2, 4]) == pytest.approx(int(stored[1, 2, 4, channel]) / 127.5 - 1, abs=1e-6)
    assert torch.equal(to_uint8(floats), stored)
    assert to_uint8(floats).is_contiguous()


def test_drawn_pixels_are_rounded_to_the_nearest_and_clipped():
    drawn = torch.tensor([-9.0, -1.0, 100.4 / 127.5 - 1, 100.6 / 127.5 - 1, 1.0, 9.0]).reshape(1, 1, 1, 6)
    assert to_uint8(drawn).flatten().tolist() == [0, 0, 100, 101, 255, 255]


def test_half_precision_and_graphs_are_taken():
    drawn = torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16, requires_grad=True)
    assert to_uint8(drawn).unique().tolist() == [128]


def test_the_stored_pixels_are_not_changed():
    stored = torch.full((1, 2, 2, 1), 7, dtype=torch.uint8)
    to_float(stored).zero_()
    assert (stored == 7).all()
    drawn = torch.zeros(1, 1, 2, 2)
    to_uint8(drawn)
    assert not drawn.any()


def test_the_wrong_type_is_refused():
    with pytest.raises(TypeError, match=r"to_float takes uint8 pixels, got torch\.float32"):
        to_float(torch.zeros(1, 2, 2, 1))
    with pytest.raises(TypeError, match=r"to_uint8 takes floating point images, got torch\.uint8"):
        to_uint8(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
