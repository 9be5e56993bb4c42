import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardigan.errors import CardiganError
from cardigan.models import resnet


def test_a_block_doubles_first_and_convolves_then_as_in_the_paper():
    block = resnet.UpBlock(6, 4, classes=0)
    nn.init.normal_(block.shortcut.bias)
    maps = torch.randn(3, 6, 5, 7)
    up = nn.Upsample(scale_factor=2)
    straight = block.first(up(block.first_norm.norm(maps).relu()))
    straight = block.second(block.second_norm.norm(straight).relu())
    expected = straight + block.shortcut(up(maps))
    torch.testing.assert_close(block(maps, None), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("first", [True, False])
def test_a_block_halves_as_in_the_paper(first):
    block = resnet.DownBlock(6, 4, first=first)
    nn.init.normal_(block.shortcut.bias)
    maps = torch.randn(3, 6, 8, 4)
    inside = maps if first else maps.relu()
    expected = F.avg_pool2d(block.second(block.first(inside).relu()), 2) + F.avg_pool2d(block.shortcut(maps), 2)
    torch.testing.assert_close(block(maps), expected, atol=1e-5, rtol=1e-4)


def test_a_class_sets_gain_and_shift():
    norm = resnet.ClassNorm(5, classes=3).eval()
    nn.init.normal_(norm.gain)
    nn.init.normal_(norm.shift)
    maps, labels = torch.randn(4, 5, 2, 3), torch.tensor([2, 0, 1, 2])
    out = norm(maps, labels)
    for row, label in enumerate(labels.tolist()):
        for channel in range(5):
            whitened = maps[row, channel] / (1 + norm.norm.eps) ** 0.5
            expected = whitened * norm.gain[label, channel] + norm.shift[label, channel]
            torch.testing.assert_close(out[row, channel], expected)
    fresh = resnet.ClassNorm(5, classes=3).eval()
    torch.testing.assert_close(fresh(maps, labels), fresh.norm(maps))


def test_the_discriminator_pools_by_sum_and_projects():
    network = resnet.Discriminator(size=16, channels=2, classes=3, width=4)
    images, labels = torch.randn(4, 2, 16, 16), torch.tensor([0, 1, 2, 2])
    features = network.blocks(images).clamp(min=0).sum(dim=(2, 3))
    weight, bias = network.head.weight[0], network.head.bias[0]
    vectors = network.projection.embedding.weight
    expected = torch.stack(
        [feature @ weight + bias + feature @ vectors[label] for feature, label in zip(features, labels, strict=True)]
    )
    torch.testing.assert_close(network(images, labels)[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_the_map_it_tells_is_the_one_that_is_summed():
    network = resnet.Discriminator(size=28, channels=1, width=4)
    images = torch.randn(3, 1, 28, 28)
    logits, (maps,) = network.examine(images)
    assert maps.shape == (3, 4, 7, 7)
    assert maps.min() >= 0
    assert torch.equal(logits, network(images))
    torch.testing.assert_close(network.head(maps.sum(dim=(2, 3))), logits)


def test_the_discriminator_looks_at_each_image_alone_unless_it_compares():
    images = torch.randn(4, 1, 16, 16)
    changed = torch.cat([images[:1], torch.randn(3, 1, 16, 16)])
    alone, comparing = (
        resnet.Discriminator(size=16, channels=1, width=4, compare=compare) for compare in (False, True)
    )
    torch.testing.assert_close(alone(images)[0], alone(changed)[0])
    assert (comparing(images)[0] - comparing(changed)[0]).abs() > 1e-6
    assert comparing.head.in_features == alone.head.in_features + 1


def test_the_start_is_xavier():
    network = resnet.Generator(size=32, width=32)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel() + module.weight[:, 0].numel()
            gain = 2**0.5 if name.endswith(("first", "second")) else 1.0
            bound = gain * (6 / fan) ** 0.5
            assert module.weight.abs().max().item() <= bound
            assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
            assert not module.bias.any()


def test_widths_grow_by_half_octaves_up_to_four():
    assert resnet.widths(8, 2) == [2, 2, 4, 4, 8, 8, 8, 8]
    with pytest.raises(CardiganError, match="cannot be built"):
        resnet.Generator(size=50)


def counted(network):
    return sum(weight.numel() for weight in network.parameters())


def test_the_papers_32_pixel_networks_have_the_papers_weights():
    """Table 4 of the paper, counted layer by layer: 3x3 and 1x1 convolutions with biases, gains and shifts."""
    mine, theirs = resnet.layout("paper", size=32, width=32)
    three, one = lambda a, b: 9 * a * b + b, lambda a, b: a * b + b
    up = 2 * three(256, 256) + one(256, 256) + 2 * 2 * 256
    assert counted(resnet.Generator(size=32, **mine)) == one(128, 4 * 4 * 256) + 3 * up + 2 * 256 + three(256, 3)
    first = three(3, 128) + three(128, 128) + one(3, 128)
    down, flat = 2 * three(128, 128) + one(128, 128), 2 * three(128, 128)
    discriminator = resnet.Discriminator(size=32, **theirs)
    assert counted(discriminator) == first + down + 2 * flat + one(128, 1) == 1_053_825
    _, (maps,) = discriminator.examine(torch.zeros(2, 3, 32, 32))
    assert maps.shape == (2, 128, 8, 8)


def test_what_is_ours_at_those_widths_is_another_network():
    pyramid = resnet.Generator(size=32, width=256), resnet.Discriminator(size=32, width=128)
    assert [round(counted(network) / 1e6, 2) for network in pyramid] == [9.20, 1.38]


@pytest.mark.parametrize("size", [16, 28, 32, (64, 96)])
def test_the_papers_layout_fits_every_size(size):
    mine, theirs = resnet.layout("paper", size=size, width=1)
    images = resnet.Generator(size=size, latent=4, **mine)(torch.randn(2, 4))
    assert resnet.Discriminator(size=size, **theirs)(images).shape == (2, 1)


def test_a_block_that_keeps_its_sides_adds_its_input():
    block = resnet.DownBlock(4, 4, first=False, halves=False)
    maps = torch.randn(3, 4, 8, 4)
    torch.testing.assert_close(block(maps), block.second(block.first(maps.relu()).relu()) + maps)


@pytest.mark.parametrize("halvings", [0, 4])
def test_more_halvings_than_a_size_has_are_refused(halvings):
    with pytest.raises(CardiganError) as caught:
        resnet.Discriminator(size=32, halvings=halvings)
    assert str(caught.value) == f"halvings is {halvings}, expected 1 to 3 for this size. Type halvings=3."
