import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from cardigan import models
from cardigan.regularizers import WeightClipping, spectral_norm
from cardigan.training.ema import Average


def test_weight_clipping_clamps_every_parameter_and_nothing_within():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 8))
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.02)
    before = [weight.detach().clone() for weight in network.parameters()]
    WeightClipping(0.01)(network)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(new.detach(), torch.minimum(torch.maximum(old, torch.tensor(-0.01)), torch.tensor(0.01)))
    assert WeightClipping().player == "discriminator"


def layers():
    return nn.ModuleDict(
        {
            "linear": nn.Linear(12, 8),
            "conv": nn.Conv2d(3, 6, 4),
            "up": nn.ConvTranspose2d(5, 7, 4),
            "embedding": nn.Embedding(6, 9),
            "batch": nn.BatchNorm2d(6),
            "group": nn.GroupNorm(2, 6),
            "prelu": nn.PReLU(),
        }
    )


def test_spectral_norm_divides_by_the_largest_singular_value():
    network = layers()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(7.0)
    raw = {name: network[name].weight.detach().clone() for name in network}
    assert spectral_norm(network) is network
    for _ in range(200):
        for name in ("linear", "conv", "up", "embedding"):
            _ = network[name].weight
    for name in ("linear", "conv", "up", "embedding"):
        outputs = 1 if name == "up" else 0  # a transposed convolution keeps its output channels second
        matrix = raw[name].movedim(outputs, 0).flatten(1)
        sigma = torch.linalg.svdvals(matrix)[0]
        torch.testing.assert_close(network[name].weight.detach(), raw[name] / sigma, atol=1e-4, rtol=1e-3)
        reached = torch.linalg.svdvals(network[name].weight.detach().movedim(outputs, 0).flatten(1))[0]
        assert reached.item() == pytest.approx(1.0, abs=1e-3)
    for name in ("batch", "group", "prelu"):
        assert not parametrize.is_parametrized(network[name])
        assert torch.equal(network[name].weight, raw[name])


def test_spectral_norm_twice_is_once():
    network = spectral_norm(spectral_norm(layers()))
    assert len(network["linear"].parametrizations["weight"]) == 1


def test_spectral_norm_stands_still_in_evaluation():
    plain = nn.Linear(8, 8)
    with torch.no_grad():  # singular values so close that the iteration is under way for long
        plain.weight.copy_(torch.linspace(1.0, 0.95, 8).diag())
    layer = spectral_norm(nn.Sequential(plain)).eval()
    first = layer[0].weight.detach().clone()
    assert torch.equal(layer[0].weight, first)
    layer.train()
    assert not torch.equal(layer[0].weight, first)


def test_a_spectrally_normalised_network_can_be_copied_and_averaged():
    network = spectral_norm(models.mlp.Generator(size=4, latent=3, hidden=(8,)))
    latents = torch.randn(5, 3)
    network.train()(latents)
    network.eval()
    twin = copy.deepcopy(network)
    assert torch.equal(twin(latents), network(latents))
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    assert not torch.equal(twin(latents), network(latents))

    average = Average(network, half_life=1e-9)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.5).add_(0.1)
    network.train()(latents)
    average.update(network.eval(), images=64)
    torch.testing.assert_close(average.network.eval()(latents), network(latents))
