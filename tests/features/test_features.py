"""The wrapper and the loader: what is measured, what channels become, and what each wrong text is told."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardigan import features
from cardigan.errors import CardiganError
from cardigan.features import Features, load, pooled, with_channels
from cardigan.features.classifier import Classifier


def told(text):
    with pytest.raises(CardiganError) as caught:
        load(text)
    return str(caught.value)


# --- the wrapper -----------------------------------------------------------------------------------------------------


class AlexLike(nn.Module):
    """Unpadded layers, whose maps are smaller than the image divided by the stride."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 11, stride=4, padding=2), nn.Conv2d(4, 6, 3, stride=2)

    def forward(self, images):
        first = self.first(images)
        second = self.second(first)
        return (first, second, second.mean(dim=(2, 3), keepdim=True))


def test_strides_are_exact_where_borders_are_not_padded_and_0_for_the_whole_image():
    measured = Features(AlexLike(), name="unpadded")
    assert (measured.widths, measured.strides) == ((4, 6, 6), (4, 8, 0))


def test_a_network_without_weights_or_in_double_precision_is_wrapped_too():
    blur = Features(nn.AvgPool2d(2), name="blur")
    assert (blur.widths, blur.strides) == ((3,), (2,))
    images = torch.rand(1, 3, 8, 8)
    assert torch.equal(blur(images)[0], F.avg_pool2d(images, 2))
    assert Features(nn.Conv2d(3, 2, 1).double(), name="double")(images.double())[0].dtype == torch.float64


def test_the_digest_covers_names_kinds_and_shapes_beside_the_bytes():
    def digest(**buffers):
        network = nn.AvgPool2d(2)
        for name, tensor in buffers.items():
            network.register_buffer(name, tensor)
        return Features(network, name="blur").digest

    zeros = torch.zeros(4)
    others = [{"a": zeros.int()}, {"b": zeros}, {"a": zeros.reshape(2, 2)}, {"a": zeros + 1}, {"a": zeros, "b": zeros}]
    assert len({digest(a=zeros), *(digest(**other) for other in others)}) == 6
    assert digest(a=zeros) == digest(a=zeros.clone())


def test_pooled_is_the_mean_of_the_deepest_map():
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)]

    class Fixed(nn.Module):
        def forward(self, images):
            return [F.interpolate(each, scale_factor=1.0) for each in maps]

    found = pooled(Features(Fixed(), name="fixed"), torch.zeros(2, 3, 8, 8))
    expected = [[float(maps[1][image, channel].sum()) / 4 for channel in range(5)] for image in range(2)]
    torch.testing.assert_close(found, torch.tensor(expected))


def gives(result):
    class Giving(nn.Module):
        def forward(self, images):
            return result(images)

    with pytest.raises(CardiganError) as caught:
        Features(Giving(), name="mine")
    return str(caught.value)


def test_what_is_no_map_is_refused():
    assert gives(lambda images: images.mean(dim=(2, 3))) == (
        "The network mine gives (2, 3) for two images, expected a map of shape (2, F, h, w) or a list of them."
    )
    assert gives(lambda images: []).startswith("The network mine gives nothing for two images, expected")
    assert gives(lambda images: {"map": images}).startswith("The network mine gives str for two images")
    assert gives(lambda images: images[:1]).startswith("The network mine gives (1, 3, 64, 64) for two images")
    assert gives(lambda images: [F.avg_pool2d(images, 2), images]) == (
        "The network mine gives maps (2, 3, 32, 32), (2, 3, 64, 64), expected the finest first."
    )


def test_a_network_that_takes_other_images_is_refused_with_its_own_words():
    with pytest.raises(CardiganError) as caught:
        Features(nn.Conv2d(4, 8, 3), name="mine")
    said = str(caught.value)
    assert said.startswith(
        "The network mine fails on images of shape (2, 3, 64, 64) or (2, 3, 128, 128) (RuntimeError: Given groups=1"
    )
    assert said.endswith("Expected one that takes images of any size from 64x64 on, in [-1, 1].")


def test_images_too_small_for_it_are_refused_in_words():
    deep = Features(nn.Conv2d(3, 2, 40), name="wide")
    deep.check_size(40, 48)
    with pytest.raises(CardiganError) as caught:
        deep.check_size(48, 39)
    said = str(caught.value)
    assert said.startswith("The feature extractor wide fails on images of 48x39 pixels (RuntimeError: ")
    assert said.endswith("Use larger images, such as --size 64, or another extractor.")


def test_channels_in_closed_form():
    red, green, blue, alpha = (torch.full((1, 1, 1, 1), value) for value in (0.8, -0.4, 0.2, -0.5))
    grey, colours = red, torch.cat([red, green, blue], dim=1)
    luma, share = 0.299 * 0.8 - 0.587 * 0.4 + 0.114 * 0.2, 0.25
    given = {1: grey, 2: torch.cat([grey, alpha], 1), 3: colours, 4: torch.cat([colours, alpha], 1)}
    expected = {
        (1, 1): [0.8],
        (1, 2): [0.8, 1.0],
        (1, 3): [0.8, 0.8, 0.8],
        (1, 4): [0.8, 0.8, 0.8, 1.0],
        (2, 1): [0.8 * share],
        (2, 2): [0.8, -0.5],
        (2, 3): [0.8 * share] * 3,
        (2, 4): [0.8, 0.8, 0.8, -0.5],
        (3, 1): [luma],
        (3, 2): [luma, 1.0],
        (3, 3): [0.8, -0.4, 0.2],
        (3, 4): [0.8, -0.4, 0.2, 1.0],
        (4, 1): [luma * share],
        (4, 2): [luma, -0.5],
        (4, 3): [0.8 * share, -0.4 * share, 0.2 * share],
        (4, 4): [0.8, -0.4, 0.2, -0.5],
    }
    for (before, after), values in expected.items():
        found = with_channels(given[before], after).flatten()
        torch.testing.assert_close(found, torch.tensor(values), msg=f"{before} to {after}: {found}")


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 8, 8), (2, 0, 8, 8)])
def test_what_are_no_images_is_refused(shape):
    with pytest.raises(CardiganError) as caught:
        with_channels(torch.zeros(shape), 3)
    assert str(caught.value) == (
        f"Features are extracted from images of shape (B, C, H, W) with 1 to 4 channels, got {shape}."
    )


# --- the loader ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "resnet18", "timm:", "timm:=x.safetensors", "timm:a=", "a.pth", "a b:c", ":f", "a.b:"]
)
def test_any_other_text_is_told_the_forms(text):
    assert told(text) == f"There is no feature extractor {text!r}. Expected {features.FORMS}."


def test_a_classifiers_file_is_an_extractor(tmp_path):
    saved = Classifier(classes=3, channels=1, widths=(4, 8))
    path = tmp_path / "digits.safetensors"
    saved.save(path)
    loaded, images = load(str(path)), torch.rand(2, 1, 16, 16)
    assert loaded.name == str(path)
    for found, expected in zip(loaded(images), saved.eval().trunk(images), strict=True):
        torch.testing.assert_close(found, expected)


OWN = """
from torch import nn

def maps():
    return nn.Conv2d(3, 4, 2, stride=2)

def number():
    return 7

def needy(size):
    return size

def wrapped():
    from cardigan.features import Features
    return Features(maps(), name="as I call it")

value = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_networks").mkdir()
    (tmp_path / "own_networks" / "small.py").write_text(OWN)
    (tmp_path / "own_networks" / "broken.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_networks.small"
    for name in [name for name in sys.modules if name.startswith("own_networks")]:
        del sys.modules[name]


def test_ones_own_function_is_an_extractor_that_starts_the_same_every_time(own):
    first = load(f"{own}:maps")
    assert (first.name, first.widths, first.strides) == (f"{own}:maps", (4,), (2,))
    state = torch.random.get_rng_state()
    assert load(f"{own}:maps").digest == first.digest
    assert torch.equal(torch.random.get_rng_state(), state)
    assert load(f"{own}:wrapped").name == "as I call it"


def test_weights_are_there_although_networks_are_built_without(own):
    with torch.device("meta"):
        assert load(f"{own}:maps").network.weight.device.type == "cpu"


def test_what_is_wrong_with_ones_own_function_is_told(own):
    assert told(f"{own}:number") == f"{own}:number returned int, expected an nn.Module."
    assert told(f"{own}:needy").startswith(f"{own}:needy failed (TypeError: needy() missing 1 required")
    assert told(f"{own}:needy").endswith("called without arguments and returns an nn.Module.")
    missing = f"The module {own} has no function {{}}. Expected one that returns an nn.Module, as in "
    assert told(f"{own}:value") == missing.format("value") + "package.module:function."
    assert told(f"{own}:absent") == missing.format("absent") + "package.module:function."
    advice = "Expected one that Python finds: install it, or set PYTHONPATH to the folder that it lies in."
    assert told("own_networks.broken:f") == (
        f"The module own_networks.broken cannot be imported (ZeroDivisionError: division by zero). {advice}"
    )
    assert told("no_such_networks:f") == (
        "The module no_such_networks cannot be imported (ModuleNotFoundError: No module named 'no_such_networks'). "
        + advice
    )
