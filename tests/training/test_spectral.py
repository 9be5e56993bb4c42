"""Spectral norm by one power iteration a step, for all layers at once: against torch's own, layer by layer."""

import copy
from itertools import chain

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from cardigan import GAN, objectives, regularizers
from cardigan.contracts import Batch, DiscriminatorNetwork, GeneratorNetwork
from cardigan.randomness import generator as stream
from cardigan.training import Adam, Training, alternate, fit, together
from cardigan.training.spectral import SpectralNorms, StepwiseSpectralNorm

BATCH, SEED = 4, 5
KIND = torch.float64


class Images:
    batch_size = BATCH

    def at(self, images):
        return Batch(torch.rand(BATCH, 1, 8, 8, generator=torch.Generator().manual_seed(images), dtype=KIND) * 2 - 1)


class Latents:
    def __call__(self, labels, *, count, rng):
        return torch.randn(count, 6, generator=rng, dtype=KIND), labels


class Drawer(GeneratorNetwork):
    latent, classes, shape = 6, 0, (1, 8, 8)

    def __init__(self):
        super().__init__()
        layers = [nn.ConvTranspose2d(6, 5, 4), nn.Tanh(), nn.ConvTranspose2d(5, 1, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)

    def forward(self, latents, labels=None):
        return self.layers(latents[:, :, None, None])


class Judge(DiscriminatorNetwork):
    classes = 0

    def __init__(self, *, independent):
        super().__init__()
        self.independent = independent
        self.layers = nn.Sequential(nn.Conv2d(1, 5, 4, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(80, 1))

    def forward(self, images, labels=None, *smaller):
        return self.layers(images)


def game(*, independent=False, objective=None, terms=(), scale=1.0):
    torch.manual_seed(0)
    networks = Drawer(), Judge(independent=independent)
    for network in networks:
        with torch.no_grad():
            for weight in network.parameters():
                weight.mul_(scale)
        regularizers.spectral_norm(network.to(KIND))
    return GAN(*networks, objective or objectives.hinge(), terms=terms, prior=Latents())


def norms_of(network):
    return [each for each in network.modules() if isinstance(each, parametrizations._SpectralNorm)]


def move(network):
    """One power iteration of torch's own for each layer; between two of them its vectors stand still."""
    for each in norms_of(network):
        each.train()
    with torch.no_grad():
        for module in network.modules():
            if parametrize.is_parametrized(module):
                assert module.weight is not None
    for each in norms_of(network):
        each.eval()


def plain_loop(gan, turns, *, rate):
    """What one writes without thinking: all by backward, no two layers together, no two losses apart."""
    players = {"generator": gan.generator, "discriminator": gan.discriminator}
    optimizers = {who: torch.optim.Adam(net.parameters(), lr=rate, betas=(0.5, 0.999)) for who, net in players.items()}
    for turn in range(turns):
        real = Images().at(turn * BATCH).real
        move(gan.generator)
        latents = torch.randn(BATCH, 6, generator=stream(SEED, "latents", turn * BATCH), dtype=KIND)
        fakes = gan.generator(latents)
        for who in ("discriminator", "generator"):
            move(gan.discriminator)
            on_fakes = gan.discriminator(fakes.detach() if who == "discriminator" else fakes)
            if who == "discriminator":
                loss = (torch.relu(1 - gan.discriminator(real)) + torch.relu(1 + on_fakes)).mean()
            else:
                loss = -on_fakes.mean()
            for optimizer in optimizers.values():
                optimizer.zero_grad()
            loss.backward()
            optimizers[who].step()


def state(gan):
    return {**gan.generator.state_dict(prefix="g."), **gan.discriminator.state_dict(prefix="d.")}


@pytest.mark.parametrize("independent", [False, True], ids=["in two halves", "in one pass"])
@pytest.mark.parametrize("batched", [True, False])
def test_turns_are_those_of_a_plain_loop_with_torchs_own_norm(independent, batched):
    """Real and fake images meet the same divided weights; the vectors move once for each step."""
    gan = game(independent=independent)
    plain, start = copy.deepcopy(gan), copy.deepcopy(state(gan))
    training = Training(gan, optimizers=Adam(1e-2), seed=SEED)
    training.batched = batched
    list(fit(training, Images(), turns=together(), images=5 * BATCH))
    plain_loop(plain, 5, rate=1e-2)
    mine, theirs = state(gan), state(plain)
    assert mine.keys() == theirs.keys() == start.keys()
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=1e-9, atol=1e-12, msg=name)
        assert value.numel() == 1 or not torch.equal(value, start[name]), f"{name} has not moved"


def test_together_and_one_by_one_are_the_same_with_penalties_that_differentiate_twice():
    found = []
    for batched in (True, False):
        training = Training(game(terms=(regularizers.R1(1.0),)), optimizers=Adam(1e-2), seed=SEED)
        training.batched = batched
        list(fit(training, Images(), turns=together("generator"), images=4 * BATCH))
        found.append(state(training.gan))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-9, atol=1e-12, msg=name)


class Squared:
    """A term that reads the derivative by a weight itself, and so differentiates the division twice."""

    name, player, every = "squared", "discriminator", 1

    def __call__(self, step):
        weights = [each.original for each in step.gan.discriminator.modules() if hasattr(each, "original")]
        slopes = torch.autograd.grad(step.real_logits.square().sum(), weights, create_graph=True)
        return sum(slope.square().sum() for slope in slopes).expand(BATCH)


def test_a_derivative_by_the_weights_can_be_differentiated_again():
    found = []
    for batched in (True, False):
        training = Training(game(terms=(Squared(),)), optimizers=Adam(1e-2), seed=SEED)
        training.batched = batched
        (record,) = fit(training, Images(), turns=together(), images=BATCH)
        assert record.losses["discriminator/squared"] > 0
        found.append(state(training.gan))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("turns", [alternate(generator=0), alternate(discriminator=0)])
def test_whoever_looks_on_keeps_its_vectors_to_the_last_bit(turns):
    training = Training(game(), optimizers=Adam(1e-2), seed=SEED)
    playing = "discriminator" if turns(training.progress) == ("discriminator",) else "generator"
    before = {who: copy.deepcopy(training.gan.network(who).state_dict()) for who in ("generator", "discriminator")}
    list(fit(training, Images(), turns=turns, images=3 * BATCH))
    for who, old in before.items():
        now = training.gan.network(who).state_dict()
        assert all(torch.equal(old[name], value) for name, value in now.items()) is (who != playing)


def test_outside_of_a_turn_it_is_torchs_own():
    gan = game()
    training = Training(gan, seed=SEED)
    list(fit(training, Images(), images=2 * BATCH))
    assert {type(each) for each in norms_of(gan.discriminator)} == {StepwiseSpectralNorm}
    assert all(each.held is None and not each.in_turn for each in norms_of(gan.discriminator))
    twin = copy.deepcopy(gan.discriminator)
    for each in norms_of(twin):
        each.__class__ = parametrizations._SpectralNorm
    images = Images().at(0).real
    for _ in range(2):
        torch.testing.assert_close(gan.discriminator(images), twin(images), rtol=0, atol=0)
    for mine, theirs in zip(gan.discriminator.buffers(), twin.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_turn_that_fails_leaves_no_divided_weights_behind():
    training = Training(game(), seed=SEED)
    training.gan.objective = objectives.Objective(discriminator=lambda **_: 1 / 0, generator=None, name="broken")
    with pytest.raises(ZeroDivisionError):
        list(fit(training, Images(), images=BATCH))
    for each in chain(norms_of(training.gan.generator), norms_of(training.gan.discriminator)):
        assert each.held is None
        assert not each.in_turn


def test_a_weight_of_zeros_stays_finite():
    layer = regularizers.spectral_norm(nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        layer.parametrizations.weight.original.zero_()
    norms = SpectralNorms(layer)
    with norms.turn():
        norms.step()
        assert torch.equal(layer.weight, torch.zeros(2, 3))


def test_others_are_left_as_they_are():
    """Several iterations a pass, a second parametrisation of the same weight, and vectors, which need no iteration."""
    several = parametrizations.spectral_norm(nn.Linear(3, 2), n_power_iterations=2)
    second = parametrizations.spectral_norm(nn.Linear(3, 3))
    parametrize.register_parametrization(second, "weight", nn.Identity())
    vector = parametrizations.spectral_norm(nn.LayerNorm(4))
    other = parametrizations.weight_norm(nn.Linear(3, 2))
    assert SpectralNorms(nn.ModuleList([several, second, vector, other, nn.Linear(2, 2)])).norms == []


def test_a_layer_in_evaluation_mode_stands_still():
    gan = game()
    norm = norms_of(gan.discriminator)[0].eval()
    training = Training(gan, optimizers=Adam(1e-2), seed=SEED)
    before = norm._u.clone()
    list(fit(training, Images(), images=2 * BATCH))
    assert torch.equal(norm._u, before)
