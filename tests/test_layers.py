import inspect
import math
import re

import pytest
import torch
from torch import nn

from cardigan import models
from cardigan.errors import CardiganError
from cardigan.layers import (
    Dropout,
    Labelled,
    MinibatchDiscrimination,
    MinibatchStandardDeviation,
    Projection,
    check_labels,
    doublings,
    height_and_width,
    normal_init,
    through,
)


def chain(side):
    """The map of 4 to 7 that doubles up to ``side``, found by walking: (doublings, map), or None."""
    return next(((n, m) for m in (4, 5, 6, 7) for n in range(10) if m * 2**n == side), None)


@pytest.mark.parametrize("side", range(1, 300))
def test_doublings_reach_every_side_that_a_small_map_doubles_to(side):
    walked = chain(side) if 16 <= side <= 256 else None
    if walked:
        count, (height, width) = doublings(side)
        assert (count, height, width) == (walked[0], walked[1], walked[1])
        assert height * 2**count == side
    else:
        with pytest.raises(CardiganError, match=f"{side}x{side} pixels cannot be built") as caught:
            doublings(side)
        suggested = [int(number) for number in re.findall(r"\d+", str(caught.value).partition("--size")[2])]
        assert len(suggested) == 3
        for other in suggested:
            assert chain(other), f"suggested {other} for {side}"
            doublings(other)


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 96), (4, (4, 6))), ((28, 16), (2, (7, 4))), ((16, 256), (2, (4, 64)))]
)
def test_doublings_of_a_rectangle_share_a_power_of_two(size, expected):
    assert doublings(size) == expected


@pytest.mark.parametrize("size", [(64, 100), (100, 64), (16, 260), (12, 16), (30, 32)])
def test_doublings_refuse_rectangles_whose_sides_do_not_share_one(size):
    with pytest.raises(CardiganError, match=f"{size[0]}x{size[1]}"):
        doublings(size)


def test_the_limits_of_doublings_can_be_moved():
    assert doublings(8, smallest=4) == (1, (4, 4))
    assert doublings(512, largest=512) == (7, (4, 4))
    assert height_and_width(5) == (5, 5)
    assert height_and_width((5, 6)) == (5, 6)


def spread_by_loops(maps, group):
    batch = len(maps)
    group = group if batch % group == 0 else batch
    groups = batch // group
    rows = []
    for image in range(batch):
        mates = [maps[other] for other in range(batch) if other % groups == image % groups]
        assert len(mates) == group
        total, count = 0.0, 0
        for place in torch.cartesian_prod(*(torch.arange(side) for side in maps.shape[1:])).tolist():
            values = [float(mate[tuple(place)]) for mate in mates]
            mean = sum(values) / group
            total += math.sqrt(sum((value - mean) ** 2 for value in values) / group + 1e-8)
            count += 1
        rows.append(total / count)
    return torch.tensor(rows)


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (4, 4), (6, 4), (3, 4), (12, 3), (1, 4)])
def test_minibatch_standard_deviation_is_the_plain_loop(batch, group):
    maps = torch.randn(batch, 3, 2, 5) * torch.arange(1, batch + 1)[:, None, None, None]
    out = MinibatchStandardDeviation(group)(maps)
    assert out.shape == (batch, 4, 2, 5)
    assert torch.equal(out[:, :3], maps)
    torch.testing.assert_close(
        out[:, 3], spread_by_loops(maps, group)[:, None, None].expand(-1, 2, 5), atol=1e-5, rtol=1e-4
    )


def test_minibatch_standard_deviation_of_equal_images_has_a_gradient():
    maps = torch.ones(4, 1, 2, 2, requires_grad=True)
    MinibatchStandardDeviation()(maps).sum().backward()
    assert maps.grad.isfinite().all()


def test_minibatch_discrimination_is_the_papers_formula():
    layer = MinibatchDiscrimination(features=6, kernels=4, dimensions=3)
    assert layer.weight.shape == (6, 12)
    nn.init.normal_(layer.weight, std=0.5)
    features = torch.randn(5, 6)
    tensor = layer.weight.detach().reshape(6, 4, 3)
    expected = torch.zeros(5, 4)
    for image in range(5):
        for kernel in range(4):
            for other in range(5):
                if other != image:
                    first, second = features[image] @ tensor[:, kernel], features[other] @ tensor[:, kernel]
                    expected[image, kernel] += math.exp(-float((first - second).abs().sum()))
    out = layer(features)
    assert torch.equal(out[:, :6], features)
    torch.testing.assert_close(out[:, 6:], expected, atol=1e-5, rtol=1e-4)


def test_minibatch_discrimination_starts_where_gradients_flow():
    layer = MinibatchDiscrimination(features=256, kernels=16)
    similarities = layer(torch.randn(16, 256))[:, 256:] / 15
    assert similarities.max() < 0.9
    assert similarities.mean() > 0.001


def test_projection_is_the_inner_product_and_starts_at_the_features_scale():
    layer = Projection(classes=3, features=400)
    features, labels = torch.randn(6, 400), torch.tensor([0, 1, 2, 2, 1, 0])
    vectors = layer.embedding.weight.detach()[labels]
    expected = [
        sum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))
        for one, other in zip(features, vectors, strict=True)
    ]
    out = layer(features, labels)
    assert out.shape == (6, 1)
    torch.testing.assert_close(out[:, 0], torch.tensor(expected), atol=1e-4, rtol=1e-4)
    assert layer.embedding.weight.std().item() == pytest.approx(400**-0.5, rel=0.1)


def test_labelled_joins_the_class_to_the_vectors():
    layer = Labelled(width=3, classes=4, embedding=2)
    vectors = torch.randn(2, 3)
    out = layer(vectors, torch.tensor([3, 0]))
    assert torch.equal(out, torch.cat([vectors, layer.embedding.weight[[3, 0]]], dim=1))
    plain = Labelled(width=3, classes=0, embedding=2)
    assert torch.equal(plain(vectors, None), vectors)
    assert (layer.features, plain.features, list(plain.parameters())) == (5, 3, [])


def test_labels_that_are_missing_or_superfluous_are_named():
    with pytest.raises(CardiganError, match="draws 10 classes and needs labels, got none: pass labels of shape"):
        check_labels(None, 10)
    with pytest.raises(CardiganError, match="has no classes but got labels: build it with classes=N"):
        check_labels(torch.zeros(2), 0)
    check_labels(None, 0)
    check_labels(torch.zeros(2), 10)


def test_normal_init_touches_convolutions_and_norms_only():
    network = nn.Sequential(nn.Conv2d(8, 64, 4), nn.ConvTranspose2d(64, 8, 4), nn.BatchNorm2d(8), nn.Linear(8, 8))
    linear = network[3].weight.clone()
    normal_init(network, deviation=0.5)
    for layer in network[:2]:
        assert layer.weight.std().item() == pytest.approx(0.5, rel=0.05)
        assert not layer.bias.any()
    assert network[2].weight.std() > 0.1
    assert not network[2].bias.any()
    assert torch.equal(network[3].weight, linear)


@pytest.mark.parametrize("share", [0.3, 0.75])
def test_dropout_drops_its_share_and_scales_the_rest(share):
    rows = torch.full((500, 400), 2.0, requires_grad=True)
    kept = Dropout(share)(rows)
    assert sorted(kept.unique().tolist()) == pytest.approx([0.0, 2.0 / (1.0 - share)])
    # Of 200,000 independent values the share strays by less than five standard deviations.
    assert float((kept == 0).float().mean()) == pytest.approx(
        share, abs=5 * math.sqrt(share * (1 - share) / rows.numel())
    )
    (slopes,) = torch.autograd.grad(kept.sum(), rows)
    assert torch.equal(slopes, kept.detach() / 2.0)


def test_dropout_leaves_all_alone_in_evaluation_and_without_a_share():
    rows = torch.randn(4, 5)
    assert Dropout(0.5).eval()(rows) is rows
    assert Dropout(0.0)(rows) is rows


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_dropout_of_an_impossible_share_is_refused(share):
    with pytest.raises(CardiganError) as caught:
        Dropout(share)
    assert str(caught.value) == (f"dropout is the share of values to drop, at least 0 and below 1, got {share}.")


def stack():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Sequential(nn.LeakyReLU(0.2, inplace=True), nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1)),
        nn.Tanh(),
    ).double()


def test_maps_with_their_channels_last_have_the_values_and_derivatives_of_plain_ones():
    """Values, gradients of weights and images, and of a penalty on the images' gradient."""
    found = []
    for run in (lambda layers, images: layers(images), through):
        layers, images = stack(), torch.linspace(-1, 1, 2 * 3 * 8 * 6).double().view(2, 3, 8, 6).requires_grad_()
        maps = run(layers, images)
        (slope,) = torch.autograd.grad(maps.square().sum(), images, create_graph=True)
        found.append([maps, slope, *torch.autograd.grad(slope.square().sum(), [images, *layers.parameters()])])
    for plain, laid_out in zip(*found, strict=True):
        assert plain.abs().max() > 1e-3
        torch.testing.assert_close(laid_out, plain, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("model", ["dcgan", "resnet", "fastgan_tutorial"])
def test_discriminators_that_are_quicker_so_keep_channels_last_to_the_end(model):
    discriminator = getattr(models, model).Discriminator(size=32, channels=3)
    (maps,) = discriminator.examine(torch.zeros(2, 3, 32, 32))[1]
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert not maps.is_contiguous()


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet", "basic", "fastgan", "fastgan-tutorial", "unet"])
@pytest.mark.parametrize(
    "wrong",
    [{"latent": 0}, {"latent": -1}, {"width": 0}, {"width": 2.5}, {"classes": -1}, {"channels": 0}, {"channels": 5}],
)
def test_a_network_that_cannot_be_built_is_refused_in_words(name, wrong):
    (key,) = wrong
    for part in ("Generator", "Discriminator"):
        kind = getattr(models.load(name), part)
        if key in inspect.signature(kind).parameters:
            with pytest.raises(CardiganError, match=f"A network: {key} is {wrong[key]}, expected "):
                kind(**{"size": 32} | wrong)
