"""The residual U-Net: what each pixel depends on, any size, and its start."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cardigan.errors import CardiganError
from cardigan.layers import Projection
from cardigan.models import unet


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def shaken(network):
    """Away from the start, where half of the convolutions are zero."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * weight.abs().mean().clamp(min=0.05) * torch.randn_like(weight))
    return network


def averaging(network):
    """Every weight positive and no sum above what went into it, so that nothing on any path cancels or is cut off."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.rand_like(weight) + 0.5)
            weight.div_(weight[0].numel() * 2)
        network.end.weight.mul_(1e-4)
    return network.double()


def extents(slope):
    """How far a map of gradients reaches: first and last row, first and last column that are not zero."""
    seen = slope[0].abs().sum(dim=0) > 0
    rows, columns = (seen.any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


@pytest.mark.parametrize(
    ("levels", "blocks", "stride"), [(0, 2, 2), (1, 1, 4), (1, 3, 4), (2, 1, 8), (2, 2, 8), (3, 1, 16)]
)
def test_no_pixel_depends_on_one_beyond_reach_and_some_pixel_on_one_at_reach(levels, blocks, stride):
    network = averaging(unet.Generator(size=16, channels=1, width=1, levels=levels, blocks=blocks))
    assert network.stride == stride
    middle = (network.reach // stride + 1) * stride
    side = 2 * middle + stride
    images = torch.full((1, 1, side, side), 0.1, dtype=torch.float64, requires_grad=True)
    restored = network(images)
    assert restored.abs().max() < 1  # no gradient is clamped away
    furthest = 0
    for offset in range(stride):
        at = middle + offset
        (slope,) = torch.autograd.grad(restored[0, 0, at, at], images, retain_graph=True)
        top, bottom, left, right = extents(slope)
        assert (top, bottom) == (left, right)
        assert top > 0
        assert bottom < side - 1
        furthest = max(furthest, at - top, bottom - at)
    assert furthest == network.reach


def test_a_shift_by_the_stride_shifts_the_result():
    network = shaken(unet.Generator(size=16, width=4, levels=1, blocks=1)).double()
    stride, reach = network.stride, network.reach
    images = torch.rand(1, 3, 80, 90, dtype=torch.float64) * 1.6 - 0.8
    whole = network(images)
    for down, across in ((stride, 2 * stride), (3 * stride, 0), (0, stride)):
        part = network(images[:, :, down:, across:])
        expected = whole[:, :, down:, across:]
        top, left = reach * (down > 0), reach * (across > 0)
        torch.testing.assert_close(part[:, :, top:, left:], expected[:, :, top:, left:], rtol=0, atol=1e-12)
        assert (part - expected).abs().max() > 1e-4  # the border itself is felt
    part, expected = network(images[:, :, 1:, 1:]), whole[:, :, 1:, 1:]
    inside = slice(reach, -reach)
    assert (part - expected)[:, :, inside, inside].abs().max() > 1e-4  # a shift by less is not a shift


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 1), (5, 3), (8, 8), (31, 50), (64, 33)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_size_is_restored_as_if_its_last_pixels_went_on(size, channels):
    network = shaken(unet.Generator(size=96, channels=channels, width=4))
    images = torch.rand(2, channels, *size) * 1.6 - 0.8
    height, width = size
    restored = network(images)
    assert restored.shape == images.shape
    assert restored.isfinite().all()
    more = [(0, 0), (0, 0), (0, -height % 8), (0, -width % 8)]
    padded = torch.from_numpy(np.pad(images.numpy(), more, mode="edge"))
    torch.testing.assert_close(restored, network(padded)[:, :, :height, :width])
    assert (restored - images).abs().max() > 1e-3


def written_out(state, images, levels, blocks):
    """The network in plain functions, from its weights alone."""

    def convolved(maps, name, **options):
        return F.conv2d(maps, state[f"{name}.weight"], state[f"{name}.bias"], padding=1, **options)

    def level(maps, name):
        for block in range(blocks):
            inner = convolved(convolved(maps, f"{name}.{block}.first").relu(), f"{name}.{block}.second")
            maps = maps + inner
        return maps

    def folded(maps):  # pixel (2y + i, 2x + j) of channel c becomes channel 4c + 2i + j
        return torch.stack([maps[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=2).flatten(1, 2)

    def unfolded(maps):
        count, channels, height, width = maps.shape
        result = maps.new_zeros(count, channels // 4, 2 * height, 2 * width)
        for i in (0, 1):
            for j in (0, 1):
                result[:, :, i::2, j::2] = maps[:, 2 * i + j :: 4]
        return result

    maps, kept = convolved(folded(images), "start"), []
    for number in range(levels):
        kept.append(level(maps, f"down.{number}"))
        maps = convolved(kept[-1], f"halving.{number}", stride=2)
    maps = level(maps, "deepest")
    for number in reversed(range(levels)):
        maps = level(unfolded(convolved(maps, f"doubling.{number}.0")) + kept[number], f"up.{number}")
    return (images + unfolded(convolved(maps, "end"))).clamp(-1, 1)


@pytest.mark.parametrize(("levels", "blocks"), [(1, 2), (2, 1), (3, 1)])
def test_it_is_the_network_that_is_described(levels, blocks):
    network = shaken(unet.Generator(size=32, width=4, levels=levels, blocks=blocks)).double()
    images = torch.rand(2, 3, 32, 48, dtype=torch.float64) * 1.6 - 0.8
    expected = written_out(network.state_dict(), images, levels, blocks)
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-10)
    assert network.start.weight.shape == (4, 12, 3, 3)
    assert network.deepest[0].first.weight.shape == (4 * 2**levels, 4 * 2**levels, 3, 3)
    assert len(network.down[0]) == len(network.up[0]) == len(network.deepest) == blocks


@pytest.mark.parametrize(("width", "most"), [(8, 0.08), (32, 0.04)])
def test_it_starts_near_the_images_as_they_came(width, most):
    images = torch.rand(2, 3, 40, 40) * 1.6 - 0.8
    correction = unet.Generator(size=40, width=width)(images) - images
    assert 1e-3 < correction.abs().mean() < most
    assert correction.abs().max() < 0.3


def test_its_blocks_add_nothing_at_the_start():
    network = unet.Generator(size=16, width=4)
    blocks = [module for module in network.modules() if isinstance(module, unet.ResidualBlock)]
    assert len(blocks) == 10
    for block in blocks:
        maps = torch.randn(2, block.first.in_channels, 5, 6)
        assert torch.equal(block(maps), maps)
        assert block.first.weight.abs().max() > 0


def test_results_stay_within_the_range():
    network = unet.Generator(size=16, width=4)
    with torch.no_grad():
        network.end.weight.mul_(1000)
    restored = network(torch.rand(2, 3, 16, 16) * 2 - 1)
    assert (restored.min(), restored.max()) == (-1, 1)
    inside = unet.Generator(size=16, width=4)
    with torch.no_grad():
        inside.end.weight.zero_()
        inside.end.bias.zero_()
    images = torch.linspace(-1, 1, 3 * 256).reshape(1, 3, 16, 16)
    assert torch.equal(inside(images), images)


def test_the_four_pixels_of_a_doubling_start_alike():
    doubled = unet.unfold_up(8, 4)(torch.randn(2, 8, 5, 6))
    assert doubled.shape == (2, 4, 10, 12)
    fours = doubled.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert torch.equal(fours, fours[..., :1].expand_as(fours))
    firsts = fours[..., 0].flatten(2)
    assert torch.cdist(firsts[0], firsts[0]).add(torch.eye(4)).min() > 0.1  # channels differ
    assert fours.std(dim=(2, 3)).min() > 0.1  # and places
    for network in (unet.Generator(size=16, width=4), unet.Generator(size=16, width=4, levels=3)):
        for double in network.doubling:
            weight = double[0].weight.unflatten(0, (-1, 4))
            assert torch.equal(weight, weight[:, :1].expand_as(weight))


def test_a_class_shifts_the_deepest_maps():
    network = shaken(unet.Generator(size=16, width=4, classes=3))
    images, labels = torch.rand(3, 3, 16, 16) - 0.5, torch.tensor([2, 0, 2])
    seen = []
    network.deepest.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network(images, labels)
    vectors = network.label.weight.detach().clone()
    network.label.weight.data.zero_()
    network(images, labels)
    expected = vectors[labels][:, :, None, None].expand_as(seen[0])
    torch.testing.assert_close(seen[0] - seen[1], expected, rtol=0, atol=1e-5)
    assert (vectors[0] - vectors[2]).abs().max() > 0.1


def refusal(images, **options):
    with pytest.raises(CardiganError) as caught:
        unet.Generator(size=16, width=4, **options)(images)
    return str(caught.value)


@pytest.mark.parametrize(
    ("shape", "channels"), [((4, 100), 3), ((4, 1, 16, 16), 3), ((3, 16, 16), 3), ((2, 3, 16, 16), 1), ((2, 0), 4)]
)
def test_latents_and_images_of_other_channels_are_refused(shape, channels):
    assert refusal(torch.zeros(shape), channels=channels) == (
        f"This generator restores images: it starts from images of shape (B, {channels}, H, W), got {shape}. Give "
        "batches with a source, such as cardigan.data.degrade.Pairs(batches, degradation), or train with --recipe "
        "restore."
    )


def test_it_says_that_it_starts_from_images():
    network = unet.Generator(size=(24, 40), channels=1, width=4)
    assert (network.latent, network.shape, network.source) == (0, (1, 24, 40), (1, 24, 40))


def field(levels):
    """The side of the patch that a logit sees: each layer adds its kernel less one, in pixels of its own input."""
    side, pixel = 1, 1
    for _ in range(levels):
        side += (3 - 1) * pixel
        side += (4 - 1) * pixel
        pixel *= 2
    return side + (3 - 1) * pixel


@pytest.mark.parametrize(("levels", "side"), [(1, 10), (2, 24), (3, 52)])
def test_each_logit_sees_a_patch(levels, side):
    assert side == field(levels)
    network = unet.Discriminator(size=96, channels=1, width=4, levels=levels).double().eval()
    images = torch.randn(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    logits = network(images).reshape(96 // 2**levels, -1)
    count = len(logits)
    for row, column in ((0, 0), (count // 2, count // 2), (count // 2, 1), (count - 1, count // 2)):
        (slope,) = torch.autograd.grad(logits[row, column], images, retain_graph=True)
        top, bottom, left, right = extents(slope)
        for first, last, place in ((top, bottom, row), (left, right, column)):
            start = place * 2**levels - (side - 2**levels) // 2
            assert (first, last) == (max(start, 0), min(start + side, 96) - 1)


@pytest.mark.parametrize("size", [(8, 8), (8, 50), (9, 15), (31, 33), (64, 96)])
def test_a_critic_takes_any_size_from_eight_pixels_on(size):
    network = unet.Discriminator(size=96, width=4)
    logits = network(torch.randn(2, 3, *size))
    assert logits.shape == (2, (size[0] // 8) * (size[1] // 8))
    assert logits.isfinite().all()
    assert network.independent


def test_its_convolutions_widen_to_four_times_and_its_features_are_those_of_each_level():
    network = unet.Discriminator(size=32, width=4, levels=4)
    layers = [layer for level in network.layers for layer in level if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [4, 4, 8, 8, 16, 16, 16, 16]
    maps = network.features(torch.randn(1, 3, 32, 16))
    assert [tuple(each.shape[1:]) for each in maps] == [(4, 16, 8), (8, 8, 4), (16, 4, 2), (16, 2, 1)]
    assert network.head.weight.shape == (1, 16, 3, 3)


def test_an_images_logits_depend_on_no_other_image():
    network = shaken(unet.Discriminator(size=16, width=4)).eval()
    images = torch.randn(4, 3, 24, 16)
    torch.testing.assert_close(network(images)[2:3], network(images[2:3]))
    assert (network(images)[0] - network(images)[1]).abs().max() > 1e-3


def test_projection_adds_the_inner_product_with_the_class_to_every_patch():
    network = unet.Discriminator(size=16, channels=1, width=4, classes=3).eval()
    images, labels = torch.randn(5, 1, 16, 24), torch.tensor([0, 1, 2, 2, 0])
    assert isinstance(network.projection, Projection)
    maps = network.features(images)[-1]
    inner = torch.stack(
        [maps[row].mean(dim=(1, 2)) @ network.projection.embedding.weight[labels[row]] for row in range(5)]
    )
    expected = network.head(maps).flatten(1) + inner[:, None]
    torch.testing.assert_close(network(images, labels), expected)
    assert inner.abs().max() > 1e-3
