"""The loop against a plain one, and what it promises besides.

Nobody else moves, nothing leaks, and a number that is none reaches no weight.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from cardigan import GAN, models, objectives, regularizers
from cardigan.contracts import Batch, Objective
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.randomness import generator as stream
from cardigan.randomness import seeded
from cardigan.training import Adam, adaptive, alternate, constant, fit, linear, together
from cardigan.training.loop import Training
from cardigan.training.verdicts import NonFiniteError

BATCH = 8


class Images:
    """Batches that are a function of the clock."""

    batch_size = BATCH

    def __init__(self, *, classes=3, kind=torch.float32, size=16):
        self.classes, self.kind, self.size = classes, kind, size

    def at(self, images):
        rng = torch.Generator().manual_seed(images)
        real = torch.rand(BATCH, 1, self.size, self.size, generator=rng, dtype=self.kind) * 2 - 1
        labels = torch.randint(self.classes, (BATCH,), generator=rng) if self.classes else None
        return Batch(real, labels, indices=torch.arange(images, images + BATCH))


@dataclass(frozen=True)
class DoublePrior:
    latent: int

    def __call__(self, labels, *, count, rng):
        return torch.randn(count, self.latent, generator=rng, dtype=torch.float64), labels


def convolutional(*, classes=3, kind=torch.float32, **settings):
    """Batch normalisation on both sides, spectral norm in the discriminator."""
    shape = {"size": 16, "channels": 1, "classes": classes, "width": 4}
    generator = models.dcgan.Generator(**shape, latent=8).to(kind)
    discriminator = regularizers.spectral_norm(models.dcgan.Discriminator(**shape)).to(kind)
    prior = DoublePrior(8) if kind == torch.float64 else None
    return GAN(generator, discriminator, objectives.non_saturating(), prior=prior, **settings)


def connected(*, kind=torch.float32, **settings):
    """Dropout in the discriminator, which is shown real and fake images one after the other; no classes."""
    generator = models.mlp.Generator(size=16, latent=8, hidden=(16,)).to(kind)
    discriminator = models.mlp.Discriminator(size=16, hidden=(16, 16), dropout=0.3).to(kind)
    discriminator.independent = False  # else a plain loop would draw other masks
    prior = DoublePrior(8) if kind == torch.float64 else None
    objective = settings.pop("objective", objectives.non_saturating())
    return GAN(generator, discriminator, objective, prior=prior, **settings)


def judged_alone(*, kind=torch.float32, **settings):
    """A discriminator that may see real and fake images in one batch; classes."""
    shape = {"size": 16, "classes": 3, "embedding": 4}
    generator = models.mlp.Generator(**shape, latent=8, hidden=(16,)).to(kind)
    discriminator = models.mlp.Discriminator(**shape, hidden=(16, 16)).to(kind)
    assert discriminator.independent
    prior = DoublePrior(8) if kind == torch.float64 else None
    return GAN(generator, discriminator, objectives.non_saturating(), prior=prior, **settings)


def train(training, turns, count, *, data=None, schedule=None):
    data = data or Images()
    return list(fit(training, data, turns=turns, images=count * BATCH, schedule=schedule))


def values(network, *, buffers=False):
    return [each.detach().clone() for each in (network.buffers() if buffers else network.parameters())]


def equal(one, other):
    return [torch.equal(a, b) for a, b in zip(one, other, strict=True)]


def optimizer_state(training, player):
    state = training.optimizers[player].state_dict()["state"]
    return [torch.as_tensor(value).clone() for values in state.values() for value in values.values()]


# --- the same as a plain loop ---------------------------------------------------------------------------------------


def iterate(network):
    """One power iteration for each layer with spectral norm; between two of them its vectors stand still."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            (norm,) = module.parametrizations.weight
            norm.train()
            assert module.weight is not None
            norm.eval()


def plain_loop(gan, data, order, *, seed, rate=1e-2, r1=0.0, every=1):
    """Zero all gradients, differentiate everything, step one optimizer: what one writes without thinking.

    ``order`` lists for each turn the players in their order. R1 is added to every ``every``-th discriminator loss.
    """
    networks = {"generator": gan.generator, "discriminator": gan.discriminator}
    optimizers = {
        who: torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999), fused=False)
        for who, network in networks.items()
    }
    steps, clock = {"generator": 0, "discriminator": 0}, 0
    for turn in order:
        batch = data.at(clock)
        onlookers = [buffer for who, network in networks.items() if who not in turn for buffer in network.buffers()]
        before = copy.deepcopy(onlookers)
        with seeded(seed, "layers", clock):
            z = torch.randn(BATCH, 8, generator=stream(seed, "latents", clock), dtype=batch.real.dtype)
            fake = gan.generator(z, batch.labels)
            for who in turn:
                for network in networks.values():
                    network.zero_grad()
                iterate(gan.discriminator)
                if who == "discriminator":
                    penalised = r1 and steps[who] % every == 0
                    real = batch.real.clone().requires_grad_(bool(penalised))
                    on_real = gan.discriminator(real, batch.labels)
                    on_fake = gan.discriminator(fake.detach(), batch.labels)
                    loss = (F.softplus(-on_real) + F.softplus(on_fake)).mean()
                    if penalised:
                        (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
                        loss = loss + every * (r1 / 2 * slope.pow(2).sum(dim=(1, 2, 3))).mean()
                    loss.backward()
                else:
                    F.softplus(-gan.discriminator(fake, batch.labels)).mean().backward()
                optimizers[who].step()
                steps[who] += 1
        for buffer, kept in zip(onlookers, before, strict=True):
            buffer.copy_(kept)
        clock += BATCH


D, G = ("discriminator",), ("generator",)
ORDERS = {
    "together": (together(), 6 * [D + G]),
    "together, generator first": (together("generator"), 6 * [G + D]),
    "alternate 2 to 1": (alternate(discriminator=2, generator=1), 3 * [D, D, G]),
    "generator only": (alternate(discriminator=0, generator=1), 4 * [G]),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("make", [convolutional, connected, judged_alone])
@pytest.mark.parametrize("every", [0, 1, 4])
def test_the_loop_equals_a_plain_one(make, order, every):
    """In float64, with batch normalisation, spectral norm, classes, dropout, and R1 (lazy for 4)."""
    turns, named = ORDERS[order]
    terms = (regularizers.R1(weight=2.0, every=every),) if every else ()
    fast = make(kind=torch.float64, terms=terms)
    slow = copy.deepcopy(fast)
    data = Images(classes=fast.generator.classes, kind=torch.float64)
    train(Training(fast, optimizers=Adam(1e-2), seed=4), turns, len(named), data=data)
    plain_loop(slow, data, named, seed=4, r1=2.0 if every else 0.0, every=every)
    for mine, theirs in ((fast.generator, slow.generator), (fast.discriminator, slow.discriminator)):
        for one, other in zip(mine.state_dict().values(), theirs.state_dict().values(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@dataclass(frozen=True)
class Unfused:
    """Adam, reading each weight's gradient wherever it lies in memory."""

    def __call__(self, parameters):
        return torch.optim.Adam(parameters, lr=1e-2, betas=(0.0, 0.9), fused=False)


def test_fused_steps_are_those_of_a_plain_optimizer_wherever_gradients_lie_in_memory(monkeypatch):
    """Those of penalties come transposed, and a fused step on a CPU would take each for another weight's."""
    transposed, grad = [], torch.autograd.grad

    def watched(total, weights, **settings):
        found = grad(total, weights, **settings)
        if isinstance(weights, list):
            transposed.extend(
                one for one, weight in zip(found, weights, strict=True) if one.stride() != weight.stride()
            )
        return found

    monkeypatch.setattr(torch.autograd, "grad", watched)
    ends = []
    for optimizer in (Adam(1e-2, 0.0, 0.9), Unfused()):
        torch.manual_seed(0)
        networks = (models.dcgan.Generator, {"latent": 8}), (models.dcgan.Discriminator, {})
        made = (kind(size=16, channels=1, width=4, **settings) for kind, settings in networks)
        gan = GAN(*made, objectives.non_saturating(), terms=(regularizers.R1(weight=1.0),))
        start = {name: weight.detach().clone() for name, weight in gan.discriminator.named_parameters()}
        train(Training(gan, optimizers=optimizer), together(), 1, data=Images(classes=0))
        ends.append({name: weight.detach() - start[name] for name, weight in gan.discriminator.named_parameters()})
    assert transposed
    for name, moved in ends[1].items():
        torch.testing.assert_close(ends[0][name], moved, rtol=1e-3, atol=1e-6, msg=name)


def test_projections_act_after_each_step_of_their_player():
    gan = connected(projections=(regularizers.WeightClipping(0.02),))
    plain = Training(copy.deepcopy(replace(gan, projections=())), optimizers=Adam(1e-2))
    clipped = Training(gan, optimizers=Adam(1e-2))
    data = Images(classes=0)
    train(clipped, alternate(), 1, data=data)
    train(plain, alternate(), 1, data=data)
    for one, other in zip(gan.discriminator.parameters(), plain.gan.discriminator.parameters(), strict=True):
        assert torch.equal(one, other.clamp(-0.02, 0.02))
    assert max(float(weight.abs().max()) for weight in values(gan.generator)) > 0.02


def test_a_generator_without_a_game_learns_from_its_terms_and_asks_no_discriminator():
    class Refusing(models.mlp.Discriminator):
        def forward(self, images, labels=None):
            raise AssertionError("nobody should ask")

    class Brightness:
        name, player, every = "brightness", "generator", 1

        def __call__(self, step):
            assert step.fake_logits is None
            return (step.fake - 1).square().flatten(1).mean(dim=1)

    generator = models.mlp.Generator(size=16, latent=8, hidden=(16,))
    game = replace(objectives.hinge(), generator=None)
    gan = GAN(generator, Refusing(size=16, hidden=(16,)), game, terms=(Brightness(),))
    training = Training(gan, optimizers=Adam(1e-2))
    records = train(training, alternate(discriminator=0, generator=1), 20, data=Images(classes=0))
    assert list(records[0].losses) == ["generator/brightness"]
    assert records[0].logits == {}
    assert float(records[-1].losses["generator/brightness"]) < 0.5 * float(records[0].losses["generator/brightness"])
    assert training.progress.smoothed == {}


# --- nobody else moves, nothing leaks -------------------------------------------------------------------------------


def test_ten_generator_turns_leave_every_parameter_and_buffer_of_the_discriminator_bit_identical():
    """Although Adam's moments are full: with one optimizer for both, the frozen network would keep moving."""
    training = Training(convolutional(), optimizers=Adam(1e-2, beta1=0.9))
    train(training, together(), 5)
    gan = training.gan
    weights, moments = values(gan.discriminator), optimizer_state(training, "discriminator")
    assert any((moment != 0).any() for moment in moments)
    buffers, generator = values(gan.discriminator, buffers=True), values(gan.generator)
    train(training, alternate(discriminator=0, generator=1), 10)
    assert all(equal(weights, values(gan.discriminator)))
    assert all(equal(moments, optimizer_state(training, "discriminator")))
    assert all(equal(buffers, values(gan.discriminator, buffers=True)))
    assert not any(equal(generator, values(gan.generator)))


def test_ten_discriminator_turns_leave_the_generator_and_its_average_bit_identical():
    training = Training(convolutional(), optimizers=Adam(1e-2, beta1=0.9), half_life=100)
    train(training, together(), 5)
    gan, average = training.gan, training.average
    weights, moments = values(gan.generator), optimizer_state(training, "generator")
    averaged, statistics = values(average.network), values(average.network, buffers=True)
    running = values(gan.generator, buffers=True)
    discriminator = values(gan.discriminator)
    train(training, alternate(discriminator=1, generator=0), 10)
    assert all(equal(weights, values(gan.generator)))
    assert all(equal(moments, optimizer_state(training, "generator")))
    assert all(equal(averaged, values(average.network)))
    assert all(equal(statistics, values(average.network, buffers=True)))
    assert not any(equal(discriminator, values(gan.discriminator)))
    assert all(equal(running, values(gan.generator, buffers=True)))  # although it drew fakes, in training mode


class Remembering(nn.Module):
    """Sets a new tensor in place of its buffer whenever it is asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images):
        self.seen = 0.9 * self.seen + images.detach().mean()
        return images


def test_a_buffer_that_its_module_replaces_is_put_back_too():
    gan = connected()
    gan.discriminator.layers.insert(0, Remembering())
    training = Training(gan)
    train(training, together(), 3, data=Images(classes=0))
    buffer = gan.discriminator.layers[0].seen
    value = buffer.clone()
    assert value != 0
    train(training, alternate(discriminator=0), 4, data=Images(classes=0))
    assert gan.discriminator.layers[0].seen is buffer
    assert torch.equal(buffer, value)
    train(training, alternate(generator=0), 1, data=Images(classes=0))
    assert not torch.equal(gan.discriminator.layers[0].seen, value)


class Spoilt(Images):
    """The batch of one moment is not a number."""

    def at(self, images):
        batch = super().at(images)
        return replace(batch, real=batch.real * float("nan")) if images == 3 * BATCH else batch


def test_a_number_that_is_not_finite_leaves_neither_weights_nor_statistics_behind():
    training = Training(convolutional())
    train(training, together(), 3)
    networks = (training.gan.generator, training.gan.discriminator)
    before = [values(each, buffers=kind) for each in networks for kind in (False, True)]
    with pytest.raises(NonFiniteError):
        train(training, together(), 1, data=Spoilt())
    after = [values(each, buffers=kind) for each in networks for kind in (False, True)]
    assert all(all(equal(one, other)) for one, other in zip(before, after, strict=True))


def test_without_a_schedule_rates_belong_to_whoever_sets_them():
    training = Training(connected(), optimizers=Adam(1e-2))
    training.optimizers["generator"].param_groups[0]["lr"] = 0.0
    before = values(training.gan.generator)
    train(training, together(), 3, data=Images(classes=0))
    assert all(equal(before, values(training.gan.generator)))
    train(training, together(), 1, data=Images(classes=0), schedule=constant())
    assert not any(equal(before, values(training.gan.generator)))


@pytest.mark.parametrize("turns", [together(), together("generator"), alternate()])
def test_no_gradient_outlives_its_step(turns):
    training = Training(convolutional(terms=(regularizers.R1(1.0),)))
    for _ in fit(training, Images(), turns=turns, images=3 * BATCH):
        for network in (training.gan.generator, training.gan.discriminator, training.average.network):
            assert all(weight.grad is None for weight in network.parameters())
    assert not Images().at(0).real.requires_grad


def test_a_frozen_layer_of_the_user_stays_frozen_and_unused_weights_do_no_harm():
    gan = connected()
    gan.generator.layers[0].requires_grad_(False)
    gan.discriminator.unused = nn.Parameter(torch.ones(2))
    before = values(gan.generator.layers[0])
    train(Training(gan, optimizers=Adam(1e-2)), together(), 3, data=Images(classes=0))
    assert all(equal(before, values(gan.generator.layers[0])))
    assert torch.equal(gan.discriminator.unused, torch.ones(2))


def test_training_neither_reads_nor_moves_the_callers_random_state():
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = torch.rand(3)
        torch.manual_seed(seed)
        with seeded(0, "init"):
            gan = connected()
        train(Training(gan, seed=3), together(), 3, data=Images(classes=0))
        assert torch.equal(torch.rand(3), expected)
        results.append(values(gan.generator) + values(gan.discriminator))
    assert all(equal(*results))


def test_another_seed_draws_other_latents():
    one, other = (Training(copy.deepcopy(gan), seed=seed) for gan in [connected()] for seed in (1, 2))
    for training in (one, other):
        train(training, together(), 1, data=Images(classes=0))
    assert not any(equal(values(one.gan.generator), values(other.gan.generator)))


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_looking_does_not_change_training(looks):
    """Publishing and drawing between steps, any number of times, in whatever random state: the same bits after."""
    torch.manual_seed(3)
    gan = convolutional()
    quiet, watched = (Training(copy.deepcopy(gan), optimizers=Adam(1e-2), seed=1) for _ in range(2))
    data = Images()
    train(quiet, together(), 6)
    for _ in range(6):
        train(watched, together(), 1, data=data)
        for _ in range(looks):
            torch.rand(7)
            ready = watched.published(data, images=3 * BATCH)
            with torch.no_grad():
                ready(torch.randn(2, 8), torch.tensor([0, 1]))
    pairs = [
        (quiet.gan.generator, watched.gan.generator),
        (quiet.gan.discriminator, watched.gan.discriminator),
        (quiet.average.network, watched.average.network),
    ]
    for one, other in pairs:
        assert all(equal(one.state_dict().values(), other.state_dict().values()))


# --- the clock, the records, the budget -----------------------------------------------------------------------------


def test_every_turn_moves_the_clock_by_its_batch_whoever_plays():
    training = Training(connected())
    records = []
    for record in fit(training, Images(classes=0), turns=alternate(discriminator=2), images=6 * BATCH):
        records.append(
            (record.progress.images, record.progress.turns, dict(record.progress.steps), record.progress.last)
        )
    assert [images for images, *_ in records] == [BATCH * turn for turn in range(1, 7)]
    assert [turns for _, turns, *_ in records] == list(range(1, 7))
    assert records[-1][2] == {"discriminator": 4, "generator": 2}
    assert [last for *_, last in records] == 2 * [D, D, G]


def test_streaks_count_turns_in_a_row():
    training, streaks = Training(connected()), []
    for record in fit(training, Images(classes=0), turns=alternate(discriminator=3), images=8 * BATCH):
        streaks.append(record.progress.streak)
    assert streaks == [1, 2, 3, 1, 1, 2, 3, 1]


def test_the_smoothed_loss_is_a_mean_at_first_and_then_forgets_by_a_tenth():
    training, seen, expected = Training(connected()), [], None
    for record in fit(training, Images(classes=0), turns=together(), images=60 * BATCH):
        loss = float(record.losses["generator/adversarial"])
        seen.append(loss)
        expected = np.mean(seen) if len(seen) <= 10 else expected + 0.1 * (loss - expected)
        assert float(record.progress.smoothed["generator"]) == pytest.approx(expected, rel=1e-4)


def test_adaptive_turns_run_in_the_loop():
    training = Training(connected())
    train(training, adaptive(discriminator=0.0, generator=0.0, longest=3), 12, data=Images(classes=0))
    assert training.progress.steps == {"discriminator": 6, "generator": 6}


def test_records_hold_detached_tensors_under_their_names():
    training = Training(connected(terms=(regularizers.R1(1.0, every=2),)))
    first, second = train(training, together(), 2, data=Images(classes=0))
    assert set(first.losses) == {"discriminator/adversarial", "discriminator/r1", "generator/adversarial"}
    assert set(second.losses) == {"discriminator/adversarial", "generator/adversarial"}
    assert set(first.logits) == {"real", "fake"}
    for value in [*first.losses.values(), *first.logits.values()]:
        assert isinstance(value, torch.Tensor)
        assert value.shape == ()
        assert not value.requires_grad
    assert "r1" in str(first)


def test_the_fake_logit_of_a_joint_turn_is_the_first_players():
    """The discriminator sees the fakes before the generator moves: in the tutorial's terms D(G(z1)), not D(G(z2))."""
    training = Training(connected())
    data = Images(classes=0)
    with seeded(0, "layers", 0), torch.no_grad():
        fake = training.gan.generator(torch.randn(BATCH, 8, generator=stream(0, "latents", 0)))
        training.gan.discriminator(data.at(0).real)
        expected = training.gan.discriminator(fake).mean()
    (record,) = train(training, together(), 1, data=data)
    torch.testing.assert_close(record.logits["fake"], expected)


@dataclass
class Counting:
    """A term that costs nothing and counts its calls."""

    player: str
    every: int
    name: str = "counting"
    calls: int = 0

    def __call__(self, step):
        assert step.player == self.player
        self.calls += 1
        return torch.zeros(len(step.real))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize(
    "turns",
    [together(), together("generator"), alternate(), alternate(discriminator=5), adaptive(longest=3, generator=-1.0)],
    ids=["together", "generator first", "alternate", "five to one", "adaptive"],
)
def test_lazy_terms_count_their_players_own_steps(turns, player):
    """Every 4th step of its player, exactly n/4 times in n steps, whoever starts and whoever plays between."""
    term = Counting(player, every=4)
    training = Training(connected(terms=(term,)))
    for _ in fit(training, Images(classes=0), turns=turns, images=10_000 * BATCH):
        if training.progress.steps[player] == 12:
            break
    assert term.calls == 3


def test_the_image_budget_ends_the_run_and_the_schedule_with_it():
    training, rates = Training(connected(), optimizers=Adam(1.0)), []
    for _ in fit(training, Images(classes=0), images=10 * BATCH, schedule=linear(to=0.0)):
        rates.append(training.optimizers["generator"].param_groups[0]["lr"])
    assert rates == pytest.approx([1.0 - turn / 10 for turn in range(10)])
    assert training.progress.images == 10 * BATCH


def test_a_budget_that_batches_do_not_divide_is_reached_and_not_missed():
    training = Training(connected())
    assert len(list(fit(training, Images(classes=0), images=10 * BATCH + 1))) == 11
    assert list(fit(training, Images(classes=0), images=10 * BATCH + 1, since=0)) == []


def test_rates_of_both_players_are_scaled_from_their_own_full_values():
    training = Training(connected(), optimizers={"discriminator": Adam(4e-4), "generator": Adam(1e-4)})
    training.rate_scale = 0.5
    for _ in range(3):  # setting is not multiplying: it does not add up
        training.set_rates(0.5)
    rates = [training.optimizers[who].param_groups[0]["lr"] for who in ("discriminator", "generator")]
    assert rates == pytest.approx([1e-4, 0.25e-4])


@pytest.mark.parametrize("sittings", [1, 2])
def test_the_time_budget_ends_with_its_last_turn_and_takes_the_schedule_along(sittings):
    """No turn begins after it; each has the rate of the moment at which it began; two sittings add up."""
    training, schedule = Training(connected(), optimizers=Adam(1e-3)), linear(to=0.1)
    moments, rates = [0.0], []
    for number in range(sittings):
        for record in fit(training, Images(classes=0), seconds=0.6, since=0, schedule=schedule):
            rates.append(training.optimizers["discriminator"].param_groups[0]["lr"])
            moments.append(record.progress.seconds)
            if record.progress.seconds > 0.3 and number < sittings - 1:
                break
    assert moments == sorted(moments)
    assert moments[-2] < 0.6 <= moments[-1]
    assert rates == pytest.approx([1e-3 * schedule(moment / 0.6) for moment in moments[:-1]])


@pytest.mark.parametrize("budget", [{}, {"images": 8, "seconds": 1.0}])
def test_exactly_one_budget(budget):
    with pytest.raises(CardiganError, match="exactly one budget"):
        next(fit(connected(), Images(classes=0), **budget))


SETTINGS = {
    "precision is 'fp32'. Did you mean 'tf32'? Known: float32, tf32, bfloat16.": {"precision": "fp32"},
    "precision is 'bfloat'. Did you mean 'bfloat16'? Known: float32, tf32, bfloat16.": {"precision": "bfloat"},
    "Training: half_life is -1, expected a finite number, at least 0.": {"half_life": -1},
    "Training: half_life is nan,": {"half_life": float("nan")},
    "Training: seed is None, expected a whole number. Type seed=0.": {"seed": None},
    "Training: seed is 0.5,": {"seed": 0.5},
    "optimizers: player is 'critic'. Known: discriminator, generator.": {"optimizers": {"critic": Adam()}},
    "optimizers has None for the generator, expected settings": {"optimizers": {"discriminator": Adam()}},
    "optimizers has 0.1 for the discriminator, expected settings": {"optimizers": 0.1},
    "fit: images is 0, expected a number of images above 0.": {"images": 0},
    "fit: images is -5,": {"images": -5},
    "fit: images is nan,": {"images": float("nan")},
    "fit: seconds is 0,": {"images": None, "seconds": 0},
    "fit: part is (0.5, 0.5), expected two shares of the budget": {"part": (0.5, 0.5)},
    "The next turn is ('critic',), expected a tuple of players": {"turns": lambda progress: ("critic",)},
    "The next turn is (), expected a tuple of players": {"turns": lambda progress: ()},
    "schedule is nan, expected a finite number": {"schedule": lambda spent: float("nan")},
}


@pytest.mark.parametrize("words", SETTINGS)
def test_a_setting_that_cannot_work_is_refused(words):
    with pytest.raises(CardiganError) as caught:
        next(fit(connected(), Images(classes=0), **({"images": 64} | SETTINGS[words])))
    assert words in str(caught.value)


def test_a_training_of_something_else_is_refused():
    with pytest.raises(CardiganError, match=r"expected a GAN\. Type Training\(GAN\(\.\.\.\)\)"):
        Training(models.mlp.Generator(size=8))
    changed = connected()
    changed.terms = (regularizers.R1(), regularizers.R1(0.5))
    with pytest.raises(CardiganError, match="Two terms of the discriminator are named 'r1'"):
        Training(changed)


def test_an_objective_with_a_call_of_its_own_is_called():
    """A separable loss is otherwise asked for real and fake logits apart, which bypassed it."""

    class Doubled(Objective):
        def __call__(self, step):
            return 2 * super().__call__(step)

    whole = objectives.non_saturating()
    doubled = Doubled(whole.discriminator, whole.generator, separable=True)
    found = []
    for objective in (whole, doubled):
        torch.manual_seed(1)
        (record,) = fit(connected(objective=objective), Images(classes=0), images=BATCH, turns=alternate())
        found.append(record.losses["discriminator/adversarial"].item())
    assert found[1] == pytest.approx(2 * found[0], rel=1e-6)


def test_fit_takes_a_gan_and_settings_or_a_training():
    gan = connected()
    before = values(gan.generator)
    assert len(list(fit(gan, Images(classes=0), images=16, optimizers=Adam(0.1), seed=3))) == 2
    assert not all(equal(before, values(gan.generator)))


def test_the_default_is_one_turn_each_and_no_schedule():
    gan = connected()
    other = copy.deepcopy(gan)
    list(fit(gan, Images(classes=0), images=32))
    list(fit(other, Images(classes=0), images=32, turns=alternate(), schedule=constant(), optimizers=Adam(), seed=0))
    assert all(equal(values(gan.generator), values(other.generator)))


# --- numbers that are none ------------------------------------------------------------------------------------------


class NoGradient(torch.autograd.Function):
    """A loss that looks healthy and whose gradient is not a number."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * float("nan")


def poisoned(player, *, at, how):
    """The non-saturating game, its loss or its gradient broken at one step of one player."""
    calls, game = {"count": 0}, objectives.non_saturating()

    def broken(*, real, fake):
        value = getattr(game, player)(real=real, fake=fake)
        calls["count"] += 1
        if calls["count"] != at + 1:
            return value
        if how == "constant":
            return value + float("inf")  # its gradient is healthy
        return NoGradient.apply(value) if how == "gradient" else value * float(how)

    return replace(game, separable=False, **{player: broken})  # so that each step asks once


def everything(training):
    """All that a step may change, of one player or the average: parameters and optimizer state."""
    return {
        "average": values(training.average.network),
        **{
            who: values(training.gan.network(who)) + optimizer_state(training, who)
            for who in ("generator", "discriminator")
        },
    }


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("how", ["nan", "inf", "constant", "gradient"])
def test_a_number_that_is_none_reaches_no_weight(player, how):
    store = Store.from_arrays(np.random.default_rng(0).integers(0, 255, (40, 16, 16, 1), dtype=np.uint8))
    data = batches(store, batch_size=BATCH, seed=2)
    training = Training(connected(objective=poisoned(player, at=5, how=how)), optimizers=Adam(1e-2), half_life=50)
    list(fit(training, data, turns=alternate(), images=10 * BATCH))
    before, images = everything(training), training.progress.images
    with pytest.raises(NonFiniteError, match="not finite after") as caught:
        list(fit(training, data, turns=alternate(), images=10 * BATCH))
    expected_images = images + (BATCH if player == "generator" else 0)
    error = caught.value
    assert (error.player, error.images) == (player, expected_images)
    assert error.indices == data.at(expected_images).indices.tolist()
    assert set(error.losses) == {"adversarial"}
    assert np.isfinite(error.losses["adversarial"]) == (how == "gradient")
    assert str(error).startswith(f"The {player}'s loss or gradient is not finite after {expected_images} images")
    assert "No weight was changed by it" in str(error)
    assert "--set learning_rate" in str(error)
    after = everything(training)
    untouched = (player, "average") if player == "generator" else ("generator", "discriminator", "average")
    for who in untouched:
        assert all(equal(before[who], after[who])), who
    for network in (training.gan.generator, training.gan.discriminator):
        assert all(weight.grad is None for weight in network.parameters())
    assert training.progress.steps[player] == 5
    assert training.progress.images == expected_images


def test_a_penalty_alone_that_overflows_is_caught_and_named():
    """Only R1 overflows, only at its lazy steps, the game itself is healthy."""
    training = Training(connected(terms=(regularizers.R1(weight=1e308, every=4),)), optimizers=Adam(1e-2))
    training.progress.steps["discriminator"] = 1  # the next lazy step is the fourth from here
    data, before = Images(classes=0), None

    def run():
        nonlocal before
        for _ in fit(training, data, turns=alternate(), images=100 * BATCH):
            before = everything(training)

    with pytest.raises(NonFiniteError) as caught:
        run()
    assert training.progress.steps["discriminator"] == 4
    assert np.isfinite(caught.value.losses["adversarial"])
    assert not np.isfinite(caught.value.losses["r1"])
    assert "r1 inf" in str(caught.value) or "r1 nan" in str(caught.value)
    assert all(all(equal(before[who], after)) for who, after in everything(training).items())


def test_in_a_joint_turn_the_first_players_healthy_step_stands():
    """The generator's loss breaks after the discriminator has moved; the generator and the average stay."""
    training = Training(connected(objective=poisoned("generator", at=3, how="nan")), optimizers=Adam(1e-2))
    train(training, together(), 3, data=Images(classes=0))
    before = everything(training)
    with pytest.raises(NonFiniteError) as caught:
        train(training, together(), 1, data=Images(classes=0))
    after = everything(training)
    assert caught.value.player == "generator"
    assert all(equal(before["generator"], after["generator"]))
    assert all(equal(before["average"], after["average"]))
    assert not all(equal(before["discriminator"], after["discriminator"]))


def test_two_infinities_do_not_cancel():
    """+inf in one term and -inf in another sum to NaN; inf - inf must not pass for 0."""

    @dataclass
    class Infinite:
        name: str
        value: float
        player: str = "discriminator"
        every: int = 1

        def __call__(self, step):
            return step.fake_logits.flatten() * 0 + self.value

    terms = (Infinite("up", float("inf")), Infinite("down", float("-inf")))
    with pytest.raises(NonFiniteError):
        train(Training(connected(terms=terms)), alternate(), 1, data=Images(classes=0))


def test_an_objective_is_named_in_its_repr():
    assert repr(Objective(lambda **_: None, lambda **_: None, name="mine(3)")) == "mine(3)"


class Watching(nn.Module):
    """An augmentation that counts what it is told."""

    def __init__(self):
        super().__init__()
        self.seen: list[tuple[tuple[int, ...], int]] = []
        self.register_buffer("total", torch.zeros(()))

    def forward(self, images):
        return images + self.total

    def observe(self, real_logits, *, images):
        assert not real_logits.requires_grad
        self.seen.append((tuple(real_logits.shape), images))
        self.total += 1

    def gauges(self):
        return {"total": self.total.clone()}


def test_an_adaptive_augmentation_sees_each_step_of_the_discriminator_and_is_recorded():
    watching = Watching()
    training = Training(connected(augment=watching))
    turns = alternate(discriminator=2, generator=1)
    records = list(fit(training, Images(classes=0), turns=turns, images=6 * BATCH))
    assert watching.seen == [((BATCH, 1), BATCH)] * training.progress.steps["discriminator"]
    assert [float(record.gauges["total"]) for record in records] == [1, 2, 2, 3, 4, 4]
    assert next(fit(Training(connected()), Images(classes=0), images=BATCH)).gauges == {}


def test_an_augmentation_that_adapts_must_be_one_that_a_checkpoint_keeps():
    class Forgetful:
        def __call__(self, images):
            return images

        def observe(self, real_logits, *, images): ...

        def gauges(self):
            return {}

    with pytest.raises(CardiganError, match=r"Forgetful adapts .* is no torch\.nn\.Module, .* Make it a module"):
        Training(connected(augment=Forgetful()))
