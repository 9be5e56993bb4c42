import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from cardigan.pixels import by_matrices, resized, to_float, to_uint8


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


SIZES = [((7, 9), (3, 4)), ((64, 48), (13, 31)), ((33, 20), (64, 64)), ((5, 4), (5, 4)), ((16, 16), (4, 12))]


@pytest.mark.parametrize(("before", "after"), SIZES, ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
def test_a_product_with_matrices_resizes_as_torch_and_pillow_do(before, after, mode):
    images = torch.rand(2, 3, *before) * 2 - 1
    found = by_matrices(images, after, mode=mode)
    torchs = F.interpolate(images, size=after, mode=mode, antialias=mode != "area")
    torch.testing.assert_close(found, torchs, rtol=0, atol=2e-6)
    assert torch.equal(resized(images, after, mode=mode), torchs)
    if mode == "area":
        return
    pillow = Image.Resampling.BILINEAR if mode == "bilinear" else Image.Resampling.BICUBIC
    plane = np.asarray(Image.fromarray(images[1, 2].numpy()).resize(after[::-1], pillow))
    np.testing.assert_allclose(found[1, 2].numpy(), plane, atol=2e-6)


def test_it_is_differentiated_as_torch_does_and_twice():
    images = torch.rand(2, 1, 6, 9, dtype=torch.float64, requires_grad=True)
    seeds = torch.rand(2, 1, 4, 5, dtype=torch.float64)
    ours = torch.autograd.grad((by_matrices(images, (4, 5), mode="bilinear") * seeds).sum(), images)[0]
    theirs = torch.autograd.grad((resized(images, (4, 5)) * seeds).sum(), images)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    assert torch.autograd.gradgradcheck(lambda each: by_matrices(each, (4, 5), mode="bicubic").square(), images)


def test_its_weights_are_neither_rounded_by_autocast_nor_lost_to_inference():
    images = torch.rand(1, 1, 11, 11)
    with torch.inference_mode():
        by_matrices(images, (5, 6), mode="bicubic")
    exact = by_matrices(images.requires_grad_(), (5, 6), mode="bicubic")
    exact.sum().backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(by_matrices(images, (5, 6), mode="bicubic"), exact)


def test_resizing_takes_the_matrices_on_an_apple_gpu_only(monkeypatch):
    """A stand-in for the device: torch's own resizing is not asked where images say that they lie on one."""

    class Apple(torch.Tensor):
        @property
        def device(self):
            return torch.device("mps")

    asked = []
    monkeypatch.setattr("cardigan.pixels.by_matrices", lambda images, size, mode: asked.append((size, mode)))
    resized(torch.rand(1, 1, 4, 4).as_subclass(Apple), (2, 2), mode="bicubic")
    assert asked == [((2, 2), "bicubic")]
    resized(torch.rand(1, 1, 4, 4), (2, 2))
    assert len(asked) == 1
