"""Restoring whole pictures: in tiles without seams, in any channels."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from cardigan import models
from cardigan.data.degrade import parse
from cardigan.errors import CardiganError
from cardigan.models import unet
from cardigan.out_of_memory import TooLittleMemoryError
from cardigan.restoring import restore

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


class StandIn(nn.Module):
    """A network of our own: it notes what it is given, and darkens it by a number of grey levels."""

    latent, classes, reach, stride = 0, 0, 0, 1

    def __init__(self, channels=3, levels=1.0):
        super().__init__()
        self.shape, self.levels, self.given = (channels, 16, 16), nn.Parameter(torch.tensor(levels)), []

    def forward(self, images, labels=None):
        assert images.shape[1] == self.shape[0]
        self.given.append(tuple(images.shape))
        return images - self.levels / 127.5


class Neighbours(nn.Module):
    """Adds up what lies around each pixel on a grid of ``stride``; the zeros outside the picture count."""

    latent, classes = 0, 0

    def __init__(self, reach=6, stride=4):
        super().__init__()
        self.shape, self.reach, self.stride, self.sizes = (1, 16, 16), reach, stride, []
        self.weight = nn.Parameter(torch.randn(1, 1, 3, 3, generator=torch.Generator().manual_seed(0)) / 4)

    def forward(self, images, labels=None):
        height, width = images.shape[2:]
        assert height % self.stride == width % self.stride == 0
        self.sizes.append((height, width))
        # A convolution of means reaches a mean's width and a neighbour's further.
        means = nn.functional.avg_pool2d(images, self.stride)
        around = nn.functional.conv2d(means, self.weight, padding=1)
        return (images + nn.functional.interpolate(around, scale_factor=self.stride)) / 2


def trained_like(**settings):
    """A U-Net whose corrections are not small and reach far, as if it were trained."""
    torch.manual_seed(1)
    network = unet.Generator(size=32, width=4, **settings).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * weight.std().nan_to_num(0.05).clamp(min=0.05) * torch.randn_like(weight))
        network.end.weight.mul_(10)
    return network


# --- tiles ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(200, 150), (131, 77), (40, 300)])
def test_tiles_leave_no_seams(size):
    network, picture = trained_like(levels=1, blocks=1), pixels(*size, 3)
    whole, tiled = restore(network, picture), restore(network, picture, tile=24)
    assert np.abs(whole.astype(int) - picture).mean() > 5, "the network must do something"
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert (whole != tiled).mean() < 0.01


def test_tiles_leave_no_seams_in_the_standard_network():
    network, picture = trained_like(), pixels(400, 280, 3)
    whole, tiled = restore(network, picture), restore(network, picture, tile=40)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_without_enough_surroundings_there_would_be_seams():
    """The test above can fail."""
    network, picture = trained_like(levels=1, blocks=1), pixels(200, 150, 3)
    whole = restore(network, picture)
    network.reach = 4
    assert np.abs(whole.astype(int) - restore(network, picture, tile=24)).max() > 2


def test_a_picture_is_padded_by_reflection_to_a_multiple_of_the_stride_once():
    network, picture = Neighbours(), pixels(37, 61, 1)
    padded = np.pad(picture, ((0, 3), (0, 3), (0, 0)), mode="reflect")
    with torch.no_grad():
        expected = network(torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1)
    expected = ((expected[0, 0, :37, :61] + 1) * 127.5).round().clamp(0, 255).numpy()
    assert np.abs(restore(network, picture)[:, :, 0] - expected).max() <= 1
    network.sizes.clear()
    assert np.abs(restore(network, picture, tile=8)[:, :, 0] - expected).max() <= 1
    assert len(network.sizes) == 5 * 8
    assert max(network.sizes) == (8 + 2 * 8, 8 + 2 * 8), "a margin of 6 is rounded up to 8"


def test_a_picture_that_two_tiles_would_save_nothing_on_goes_in_one():
    network = Neighbours()
    restore(network, pixels(40, 24, 1), tile=24)
    assert network.sizes == [(40, 24)]
    network.sizes.clear()
    restore(network, pixels(41, 24, 1), tile=24)
    assert network.sizes == [(32, 24), (28, 24)]


def test_each_tile_is_announced():
    told = []
    restore(Neighbours(), pixels(64, 64, 1), tile=8, on_tile=lambda done, total: told.append((done, total)))
    assert told == [(done, 64) for done in range(1, 65)]


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 3), (7, 9), (8, 8), (3, 700)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_works(size, channels):
    network = trained_like(levels=1, blocks=1)
    picture = pixels(*size, channels)
    for tile in (16, 1, 512):
        assert restore(network, picture, tile=tile).shape == picture.shape
    assert restore(network, picture, degradation=parse("downscale2")).shape == (2 * size[0], 2 * size[1], channels)


def test_the_picture_itself_stays_as_it_is():
    picture = pixels(20, 20, 3)
    before = picture.copy()
    restore(StandIn(), picture, degradation=parse("grey"))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("text", ["downscale3", "downscale4", "downscale2+grey"])
def test_pictures_that_are_enlarged_tile_by_tile_show_no_seams(text):
    picture, degradation = pixels(70, 53, 3), parse(text)
    whole = degradation.prepare(picture)
    for tile in (24, 1000):
        tiled = restore(StandIn(levels=0.0), picture, degradation=degradation, tile=tile)
        assert np.abs(tiled.astype(int) - whole).max() <= 1
    network = trained_like(levels=1, blocks=1)
    apart = np.abs(restore(network, picture, degradation=degradation, tile=24).astype(int) - restore(network, whole))
    assert apart.max() <= 2, "one level before the network, and one after it"


def test_a_picture_is_enlarged_tile_by_tile():
    picture = pixels(300, 300, 3)
    restore(StandIn(), picture[:8, :8], degradation=parse("downscale4"))
    tracemalloc.start()
    try:
        result = restore(StandIn(), picture, degradation=parse("downscale4"), tile=96)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.2 * result.nbytes


MEMORY = """
from cardigan.tuning import tune_process
tune_process()  # as the command line does
from pathlib import Path
import numpy as np, torch
from cardigan.data.degrade import parse
from cardigan.models.unet import Generator
from cardigan.out_of_memory import TooLittleMemoryError
from cardigan.restoring import restore
torch.set_num_threads(1)
small = np.random.default_rng(0).integers(0, 256, (500, 750, 3), dtype=np.uint8)
print(restore(Generator(size=96).eval(), small, degradation=parse("downscale4")).shape)
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(lines["VmHWM"].split()[0]) / 2**20)  # getrusage's number begins with the peak of the tests
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of one process")
def test_six_megapixels_stay_well_within_two_gibibytes():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=280, check=True)
    shape, peak = done.stdout.splitlines()
    assert shape == "(2000, 3000, 3)"
    assert float(peak) < 1.25


# --- channels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_network", [1, 2, 3, 4])
@pytest.mark.parametrize("of_picture", [1, 2, 3, 4])
def test_channels_come_back_as_they_were(of_network, of_picture):
    network, picture = StandIn(of_network, levels=3.0), RNG.integers(3, 256, (9, 11, of_picture), dtype=np.uint8)
    restored = restore(network, picture)
    expected = picture - np.uint8(3)
    if of_picture in (2, 4) and of_network in (1, 3):
        expected[:, :, -1] = picture[:, :, -1]  # alpha that the network does not know is kept
    assert np.array_equal(restored, expected)
    assert len(network.given) == (3 if of_picture >= 3 and of_network <= 2 else 1)


def test_alpha_is_opaque_for_a_network_that_knows_it():
    class Alpha(StandIn):
        def forward(self, images, labels=None):
            assert (images[:, -1] == 1).all()
            return images

    restore(Alpha(4), pixels(8, 8, 3))
    restore(Alpha(2), pixels(8, 8, 1))


def test_a_grey_picture_without_an_axis_for_channels():
    assert restore(StandIn(), pixels(8, 9)).shape == (8, 9, 1)


def test_colours_are_brought_back_to_grey_pictures():
    class Painter(StandIn):
        def forward(self, images, labels=None):
            assert torch.equal(images[:, 0], images[:, 2])
            return images * torch.tensor([1.0, -1.0, 1.0])[:, None, None]

    grey = pixels(8, 9, 1)
    painted = restore(Painter(), grey, degradation=parse("grey"))
    assert painted.shape == (8, 9, 3)
    assert np.array_equal(painted, np.concatenate([grey, 255 - grey, grey], axis=2))
    with_alpha = np.concatenate([grey, pixels(8, 9, 1)], axis=2)
    painted = restore(Painter(), with_alpha, degradation=parse("grey"))
    assert painted.shape == (8, 9, 4)
    assert np.array_equal(painted[:, :, 3], with_alpha[:, :, 1])
    assert restore(Painter(), pixels(8, 9, 3), degradation=parse("grey")).shape == (8, 9, 3)
    assert restore(Painter(), grey).shape == (8, 9, 1), "a network that does not paint leaves grey grey"


def test_a_coloured_result_is_made_grey_by_its_luma():
    class Red(StandIn):
        def forward(self, images, labels=None):
            return torch.stack([images[:, 0] * 0 + 1, images[:, 1] * 0 - 1, images[:, 2] * 0 - 1], dim=1)

    assert restore(Red(), pixels(2, 2, 1)).flatten().tolist() == [76] * 4


def test_the_degradation_prepares_the_picture_and_its_alpha():
    picture, degradation = pixels(6, 5, 4), parse("downscale4")
    enlarged = degradation.prepare(picture)
    assert np.array_equal(restore(StandIn(levels=0.0), picture, degradation=degradation), enlarged)


# --- what cannot be ------------------------------------------------------------------------------------------------


def message(action):
    with pytest.raises(CardiganError) as caught:
        action()
    return str(caught.value)


def test_a_generator_of_latents_is_told():
    network = models.mlp.Generator(size=8, latent=4, hidden=(16,)).eval()
    assert message(lambda: restore(network, pixels(8, 8, 1))) == (
        "This generator draws from latents of length 4 and restores no pictures. Train one that does: cardigan train "
        "PHOTOS --recipe restore"
    )


@pytest.mark.parametrize("shape", [(8,), (2, 8, 8, 3), (8, 8, 5), (0, 8, 3), (8, 0)])
def test_what_is_no_picture_is_told(shape):
    assert message(lambda: restore(StandIn(), pixels(*shape))) == (
        f"A picture to restore has shape (H, W) or (H, W, C) with 1 to 4 channels, got {shape}. Restore several one by "
        f"one."
    )


def test_other_pixels_than_uint8_are_a_programmers_mistake():
    with pytest.raises(TypeError, match="A picture to restore is uint8, got float64"):
        restore(StandIn(), np.zeros((8, 8, 3)))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB)"),
    ],
)
def test_too_little_memory_is_told_with_the_size(error):
    class Full(StandIn):
        def forward(self, images, labels=None):
            raise error

    with pytest.raises(TooLittleMemoryError) as caught:
        restore(Full(), pixels(9, 12, 3), degradation=parse("downscale2"))
    assert str(caught.value).replace(" (2.00 GiB more were asked for)", "") == (
        "A picture of 9x12 pixels, 18x24 when restored, does not fit into the memory that is free. Cut it into parts "
        "that do, close other programs, or use another --device."
    )
    assert isinstance(caught.value, CardiganError)
    assert isinstance(caught.value, MemoryError), "for those who go on with the next picture"


def test_other_failures_of_a_network_are_not_taken_for_too_little_memory():
    class Broken(StandIn):
        def forward(self, images, labels=None):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        restore(Broken(), pixels(9, 12, 3))
