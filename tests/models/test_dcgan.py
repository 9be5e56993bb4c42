import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.models import dcgan


def count(network):
    return sum(weight.numel() for weight in network.parameters())


def paper_generator(latent, width, channels):
    """The 64-pixel network of the paper, written out."""
    layers = []
    for before, after, stride, padding in (
        (latent, 8 * width, 1, 0),
        (8 * width, 4 * width, 2, 1),
        (4 * width, 2 * width, 2, 1),
        (2 * width, width, 2, 1),
    ):
        layers += [nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())


def paper_discriminator(width, channels):
    layers = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for factor in (1, 2, 4):
        layers += [
            nn.Conv2d(factor * width, 2 * factor * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * factor * width),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False))


def copied(theirs, ours):
    """Our weights in their network, by order."""
    values = list(ours.state_dict().values())
    assert len(values) == len(theirs.state_dict())
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    return theirs


def test_at_64_pixels_they_are_the_papers_networks():
    generator, discriminator = dcgan.Generator(size=64, width=8), dcgan.Discriminator(size=64, width=8)
    latents, images = torch.randn(3, 100), torch.randn(3, 3, 64, 64)
    drawn = copied(paper_generator(100, 8, 3), generator)(latents[:, :, None, None])
    judged = copied(paper_discriminator(8, 3), discriminator)(images)
    torch.testing.assert_close(generator(latents), drawn, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(discriminator(images), judged.flatten(1), atol=1e-5, rtol=1e-4)


def test_the_known_numbers_of_parameters():
    assert count(dcgan.Generator(size=64)) == count(paper_generator(100, 64, 3)) == 3_576_704
    assert count(dcgan.Discriminator(size=64)) == count(paper_discriminator(64, 3)) == 2_765_568


def test_the_start_is_the_papers():
    for network in (dcgan.Generator(size=64, width=32), dcgan.Discriminator(size=64, width=32)):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 10_000:
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.03)
            if isinstance(module, nn.BatchNorm2d):
                assert module.weight.mean().item() == pytest.approx(1.0, abs=0.01)
                assert 0.01 < module.weight.std().item() < 0.03
                assert not module.bias.any()
    plain = dcgan.Generator(size=64, width=32, deviation=None)
    assert all((norm.weight == 1).all() for norm in plain.modules() if isinstance(norm, nn.BatchNorm2d))
    assert plain.layers[3].weight.std().item() != pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("normalise", [True, False])
def test_only_batch_normalisation_mixes_the_images(normalise):
    network = dcgan.Discriminator(size=16, channels=1, width=8, normalise=normalise, deviation=None)
    images = torch.randn(6, 1, 16, 16)
    changed = torch.cat([images[:1], 3 * torch.randn(5, 1, 16, 16)])
    difference = (network(images)[0] - network(changed)[0]).abs().item()
    assert (difference > 1e-4) is normalise
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert all((module.bias is None) is normalise for module in convolutions)


def test_projection_adds_the_inner_product_with_the_class():
    network = dcgan.Discriminator(size=16, channels=1, width=4, classes=3, deviation=None).eval()
    images, labels = torch.randn(5, 1, 16, 16), torch.tensor([0, 1, 2, 2, 0])
    maps = network.layers(images)
    features = maps.mean(dim=(2, 3))
    inner = torch.stack(
        [features[row] @ network.projection.embedding.weight[label] for row, label in enumerate(labels)]
    )
    expected = network.head(maps).flatten(1)[:, 0] + inner
    torch.testing.assert_close(network(images, labels)[:, 0], expected, atol=1e-5, rtol=1e-4)
    assert inner.abs().max() > 0.01


def test_concatenation_adds_the_class_as_a_channel():
    network = dcgan.Discriminator(size=(16, 24), channels=1, width=4, classes=3, conditioning="concatenation").eval()
    images, labels = torch.randn(2, 1, 16, 24), torch.tensor([2, 0])
    channel = network.label_map.weight[labels].reshape(2, 1, 16, 24)
    expected = network.head(network.layers(torch.cat([images, channel], dim=1))).flatten(1)
    torch.testing.assert_close(network(images, labels), expected)
    assert network.layers[0].in_channels == 2
    assert network.projection is None


def test_the_map_it_tells_is_the_one_its_head_reads():
    network = dcgan.Discriminator(size=28, channels=1, width=4).eval()
    images = torch.randn(3, 1, 28, 28)
    logits, (maps,) = network.examine(images)
    assert maps.shape == (3, 8, 7, 7)
    assert torch.equal(logits, network(images))
    torch.testing.assert_close((maps * network.head.weight).sum(dim=(1, 2, 3))[:, None], logits, atol=1e-5, rtol=1e-4)


def test_hidden_and_compare_change_the_head():
    network = dcgan.Discriminator(size=28, channels=1, width=8, normalise=False, hidden=32, compare=True)
    images = torch.randn(4, 1, 28, 28)
    assert network(images).shape == (4, 1)
    assert tuple(network.head.weight.shape) == (1, 33, 1, 1)
    changed = torch.cat([images[:1], torch.randn(3, 1, 28, 28)])
    assert (network(images)[0] - network(changed)[0]).abs() > 1e-7


def test_no_layer_is_wider_than_eight_widths():
    assert dcgan.widths(7, 8) == [8, 16, 32, 64, 64, 64, 64]
    widest = max(
        module.out_channels
        for module in dcgan.Discriminator(size=256, width=4).modules()
        if hasattr(module, "out_channels")
    )
    assert widest == 32


@pytest.mark.parametrize("kind", [dcgan.Generator, dcgan.Discriminator])
@pytest.mark.parametrize("size", [12, 18, 50, 260, (64, 100)])
def test_a_size_that_cannot_be_built_is_refused(kind, size):
    with pytest.raises(CardiganError, match="cannot be built by doubling") as caught:
        kind(size=size)
    assert "--size" in str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_changes_how_maps_lie_and_nothing_else(channels):
    """Both networks against their layers called one after the other, gradients and all; weights stay as they were."""
    drawer = dcgan.Generator(size=16, channels=channels, latent=8, width=4).double()
    judge = dcgan.Discriminator(size=16, channels=channels, width=4, normalise=False).double()
    latents = torch.randn(5, 8, dtype=torch.float64)
    images = drawer(latents)
    plain = drawer.layers(latents[:, :, None, None])
    torch.testing.assert_close(images, plain)
    logits, (maps,) = judge.examine(images)
    torch.testing.assert_close(logits, judge.head(judge.layers(plain)).flatten(1))
    assert maps.stride()[1] == 1
    weights = [*drawer.parameters(), *judge.parameters()]
    assert all(weight.is_contiguous() for weight in weights)
    mine = torch.autograd.grad(logits.sum(), weights)
    theirs = torch.autograd.grad(judge.head(judge.layers(plain)).sum(), weights)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other)
