from itertools import pairwise

import numpy as np
import pytest
import torch

from cardigan.models import mlp


def numbers(network):
    return {name: value.detach().double().numpy() for name, value in network.state_dict().items()}


def linear(x, state, place):
    return x @ state[f"layers.{place}.weight"].T + state[f"layers.{place}.bias"]


def count(network):
    return sum(weight.numel() for weight in network.parameters())


def test_the_generator_is_the_formula():
    network = mlp.Generator(size=(3, 4), channels=2, latent=5, classes=4, embedding=3, hidden=(6, 7))
    latents, labels = torch.randn(9, 5), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0, 0])
    state = numbers(network)
    x = np.concatenate([latents.double().numpy(), state["input.embedding.weight"][labels.numpy()]], axis=1)
    x = np.maximum(linear(x, state, 0), 0)
    x = np.maximum(linear(x, state, 2), 0)
    expected = np.tanh(linear(x, state, 4)).reshape(9, 2, 3, 4)
    np.testing.assert_allclose(network(latents, labels).detach().numpy(), expected, atol=1e-5)


def test_the_discriminator_is_the_formula():
    network = mlp.Discriminator(size=4, channels=1, classes=2, embedding=3, hidden=(6, 7), slope=0.3)
    images, labels = torch.randn(5, 1, 4, 4), torch.tensor([0, 1, 1, 0, 1])
    state = numbers(network)
    x = np.concatenate(
        [images.double().numpy().reshape(5, 16), state["input.embedding.weight"][labels.numpy()]], axis=1
    )
    for place in (0, 2):
        x = linear(x, state, place)
        x = np.where(x > 0, x, 0.3 * x)
    np.testing.assert_allclose(network(images, labels).detach().numpy(), linear(x, state, 4), atol=1e-5)


def test_the_number_of_parameters():
    def layers(*sizes):
        return sum(before * after + after for before, after in pairwise(sizes))

    assert count(mlp.Generator(size=28)) == layers(100, 256, 512, 1024, 784) == 1_486_352
    assert count(mlp.Discriminator(size=28)) == layers(784, 1024, 512, 256, 1) == 1_460_225
    assert count(mlp.Generator(size=28, classes=10, embedding=32)) == layers(132, 256, 512, 1024, 784) + 320
    assert count(mlp.Generator(size=28, normalise=True)) == 1_486_352 + 2 * (256 + 512 + 1024)


def test_batch_normalisation_stands_before_the_relu():
    network = mlp.Generator(size=4, latent=3, hidden=(64,), normalise=True)
    names = [type(layer).__name__ for layer in network.layers]
    assert names == ["Linear", "BatchNorm1d", "ReLU", "Linear", "Tanh"]


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    network = mlp.Discriminator(size=8, hidden=(512, 512), dropout=0.3)
    images = torch.randn(4, 1, 8, 8)
    assert not torch.equal(network.train()(images), network(images))
    assert torch.equal(network.eval()(images), network(images))
    dropped = network.train().layers[:3](torch.randn(64, 64)) == 0
    kept = network.eval().layers[:3](torch.randn(64, 64)) == 0
    assert dropped.float().mean() == pytest.approx(0.3, abs=0.02)
    assert not kept.any()


def test_kernels_let_images_see_each_other():
    images = torch.randn(4, 1, 8, 8)
    changed = torch.cat([images[:1], torch.randn(3, 1, 8, 8)])
    plain, comparing = mlp.Discriminator(size=8), mlp.Discriminator(size=8, kernels=6)
    assert comparing.layers[-1].in_features == 256 + 6
    torch.testing.assert_close(plain(images)[0], plain(changed)[0])
    assert (comparing(images)[0] - comparing(changed)[0]).abs() > 1e-5
