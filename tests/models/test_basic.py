import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.models import basic

# fmt: off
# Parameters of fastai 2.8.12's own networks: for 1, 2 and 3 channels, each with 0, 1 and 2 extra layers.
COUNTS = {
    ("Discriminator", 32):
        (661_313, 698_305, 735_297, 662_337, 699_329, 736_321, 663_361, 700_353, 737_345),
    ("Discriminator", 64):
        (2_763_585, 2_800_577, 2_837_569, 2_764_609, 2_801_601, 2_838_593, 2_765_633, 2_802_625, 2_839_617),
    ("Discriminator", 128):
        (11_162_433, 11_199_425, 11_236_417, 11_163_457, 11_200_449, 11_237_441, 11_164_481, 11_201_473, 11_238_465),
    ("Generator", 32):
        (1_066_880, 1_103_872, 1_140_864, 1_067_904, 1_104_896, 1_141_888, 1_068_928, 1_105_920, 1_142_912),
    ("Generator", 64):
        (3_574_656, 3_611_648, 3_648_640, 3_575_680, 3_612_672, 3_649_664, 3_576_704, 3_613_696, 3_650_688),
    ("Generator", 128):
        (12_784_512, 12_821_504, 12_858_496, 12_785_536, 12_822_528, 12_859_520, 12_786_560, 12_823_552, 12_860_544),
}
# fmt: on


def count(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize(("kind", "size"), COUNTS)
def test_the_numbers_of_parameters_are_fastais(kind, size):
    with torch.device("meta"):
        found = tuple(
            count(getattr(basic, kind)(size=size, channels=channels, extra_layers=extra))
            for channels in (1, 2, 3)
            for extra in (0, 1, 2)
        )
    assert found == COUNTS[kind, size]


def test_a_discriminator_without_normalisation_has_biases_instead():
    with torch.device("meta"):
        assert count(basic.Discriminator(size=64, normalise=False)) == 2_764_737
    network = basic.Discriminator(size=16, width=4, normalise=False)
    assert all(module.bias is not None for module in network.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.parametrize("kind", [basic.Generator, basic.Discriminator])
def test_the_start_is_fastais(kind):
    network = kind(size=64, width=32, extra_layers=1)
    compared = 0
    for module in network.layers.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.shape[1] > 3:
            fan = module.weight[0].numel()
            weight = module.weight.detach()
            assert weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.03)
            assert weight.abs().max().item() == pytest.approx((6 / fan) ** 0.5, rel=0.03)
            compared += 1
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 1e-3).all()
    assert compared == (5 if kind is basic.Generator else 4)


def test_biases_and_the_last_layers_start_as_fastais():
    network = basic.Discriminator(size=64, width=256)
    assert network.layers[0][0].bias.std().item() == pytest.approx(0.01, rel=0.2)
    head = network.head.weight.detach()
    assert head.std().item() == pytest.approx((2 / head.numel()) ** 0.5, rel=0.05)
    assert head.abs().max() > 3 * head.std()  # normal
    assert network.head.bias.item() == 0
    last = basic.Generator(size=64, width=32).layers[-2].weight
    assert last.abs().max().item() <= (3 * 16) ** -0.5  # PyTorch's own


def test_the_slope_is_that_of_every_activation():
    for kind in (basic.Generator, basic.Discriminator):
        for slope, wanted in ((0.0, nn.ReLU), (0.2, nn.LeakyReLU)):
            network = kind(size=32, width=4, extra_layers=2, slope=slope)
            found = [module for module in network.modules() if isinstance(module, nn.ReLU | nn.LeakyReLU)]
            assert len(found) == 5
            assert all(type(module) is wanted for module in found)
            assert all(getattr(module, "negative_slope", 0.0) == slope for module in found)


@pytest.mark.parametrize("size", [8, 64, (28, 36), (128, 96), 256])
def test_the_smallest_map_has_four_to_seven_places(size):
    generator, discriminator = basic.Generator(size=size, width=2), basic.Discriminator(size=size, width=2)
    start = discriminator.head.kernel_size
    assert generator.layers[0][0].kernel_size == start
    assert 4 <= min(start) <= 7
    assert discriminator(generator(torch.randn(2, 100))).shape == (2, 1)


@pytest.mark.parametrize(
    ("size", "changes", "mixed"),
    [
        (16, {}, True),
        (16, {"normalise": False}, False),
        (8, {}, False),
        (8, {"extra_layers": 1}, True),
    ],
)
def test_only_batch_normalisation_mixes_the_images(size, changes, mixed):
    network = basic.Discriminator(size=size, channels=1, width=8, **changes)
    images = torch.randn(6, 1, size, size)
    changed = torch.cat([images[:1], 3 * torch.randn(5, 1, size, size)])
    difference = (network(images)[0] - network(changed)[0]).abs().item()
    assert (difference > 1e-4) is mixed
    assert network.independent is not mixed


def test_projection_adds_the_inner_product_with_the_class():
    network = basic.Discriminator(size=16, channels=1, width=4, classes=3).eval()
    images, labels = torch.randn(5, 1, 16, 16), torch.tensor([0, 1, 2, 2, 0])
    maps = network.layers(images)
    inner = (maps.mean(dim=(2, 3)) * network.projection.embedding.weight[labels]).sum(dim=1, keepdim=True)
    torch.testing.assert_close(network(images, labels), network.head(maps).flatten(1) + inner)
    assert inner.abs().max() > 0.01


@pytest.mark.parametrize("kind", [basic.Generator, basic.Discriminator])
@pytest.mark.parametrize("size", [4, 7, 18, 50, 260, (64, 100)])
def test_a_size_that_cannot_be_built_is_refused(kind, size):
    with pytest.raises(CardiganError, match="cannot be built by doubling") as caught:
        kind(size=size)
    assert "--size" in str(caught.value)
