"""The quickest way of running the networks: found by measuring, which leaves no trace in the training."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from cardigan import GAN, augment, course, models, objectives, recipes, regularizers
from cardigan.clock import Progress
from cardigan.course import find_pace
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.recipes import Task
from cardigan.settings import RunSettings
from cardigan.training import Adam, Training, adaptive, alternate, fit, loop, pace, together
from cardigan.training.pace import Way, quickest, run_as, ways
from cardigan.training.state import capture
from cardigan.trials import Budget

BATCH, CPU = 8, torch.device("cpu")
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 1), np.uint8)
IMAGES = batches(Store.from_arrays(PIXELS), batch_size=BATCH)
PLAIN, COARSE = Way(), Way("bfloat16")
BOTH = ("discriminator", "generator")


def training(*, terms=()):
    """Statistics, spectral norm, and an augmentation that learns: all that measuring could leave a trace in."""
    torch.manual_seed(0)
    shape = {"size": 16, "channels": 1, "width": 4}
    gan = GAN(
        models.dcgan.Generator(**shape, latent=8),
        regularizers.spectral_norm(models.dcgan.Discriminator(**shape)),
        objectives.non_saturating(),
        terms=terms,
        augment=augment.adaptive("flip", horizon=50, interval=1),
    )
    return Training(gan, optimizers=Adam(1e-3), half_life=50, seed=3)


def bits(trained):
    files, state = capture(trained)
    return {f"{file} {name}": tensor.clone() for file, each in files.items() for name, tensor in each.items()}, state


def same(one, other):
    (tensors, clock), (others, moment) = one, other
    assert tensors.keys() == others.keys()
    assert [name for name, tensor in tensors.items() if not torch.equal(tensor, others[name])] == []
    assert {**clock, "seconds": 0} == {**moment, "seconds": 0}


@pytest.fixture
def clock(monkeypatch):
    """Turns take so long: each way's seconds a turn, by its precision; and how many turns each took."""
    taken, real = {"float32": 1.0, "bfloat16": 0.5}, pace._Rehearsal.seconds
    counts = {"float32": 0, "bfloat16": 0}

    def seconds(self, turns):
        real(self, turns)
        precision = precision_of(self.training)
        counts[precision] += turns
        return turns * taken[precision]

    monkeypatch.setattr(pace._Rehearsal, "seconds", seconds)
    return taken, counts


@pytest.mark.parametrize("began", [0, 3], ids=str)
def test_measuring_leaves_a_training_as_it_was_to_the_last_bit(began, clock):
    taken, _ = clock
    taken["bfloat16"] = 1.0  # not quicker, so that what follows is comparable
    measured, other = training(), training()
    for each in (measured, other) if began else ():
        list(fit(each, IMAGES, turns=together(), images=began * BATCH))
    assert quickest(measured, IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6).way == PLAIN
    same(bits(measured), bits(other))
    for each in (measured, other):
        list(fit(each, IMAGES, turns=together(), images=4 * BATCH))
    same(bits(measured), bits(other))


def test_the_quickest_way_is_taken(clock):
    trained = training()
    found = quickest(trained, IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6)
    assert (found.way, found.gain) == (COARSE, 2.0)
    with trained.arithmetic():
        assert nn.Linear(2, 1)(torch.zeros(1, 2)).dtype is torch.bfloat16
    assert clock[1] == {"float32": 2 + 12, "bfloat16": 1 + 12}


def test_a_gain_that_may_be_noise_is_left_alone(clock):
    clock[0]["bfloat16"] = 0.97
    trained = training()
    found = quickest(trained, IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6)
    assert (found.way, found.gain) == (PLAIN, 1.0)
    assert trained.precision == "float32"


def test_a_way_that_is_far_slower_is_tried_for_a_turn_only(clock):
    clock[0]["bfloat16"] = 9.0
    assert quickest(training(), IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6).way == PLAIN
    assert clock[1]["bfloat16"] == 1


@pytest.mark.parametrize(("seconds", "turns"), [(150, 1), (1_000, 2), (1_400, 14)])
def test_what_would_take_too_much_of_the_time_is_not_measured(seconds, turns, clock):
    """Of 150 s, 3 may be spent, and four turns of one second are more; of 1,000 s 20, and 26 turns are more."""
    trained, other = training(), training()
    found = quickest(trained, IMAGES, BOTH, (PLAIN, COARSE), seconds=seconds)
    assert (found is None) == (turns < 14)
    assert clock[1]["float32"] == turns
    same(bits(trained), bits(other))


def test_a_way_that_fails_or_computes_something_else_is_not_taken(clock, monkeypatch):
    def failing(precision, device):
        if precision == "bfloat16":
            raise RuntimeError("the compiler's own words")
        return nullcontext

    with monkeypatch.context() as patch:
        patch.setattr(loop, "arithmetic", failing)
        assert quickest(training(), IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6).way == PLAIN
    monkeypatch.setattr(pace, "SLACK", (0.0, 0.0))
    trained, other = training(), training()
    assert quickest(trained, IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6).way == PLAIN
    assert clock[1]["bfloat16"] == 0
    same(bits(trained), bits(other))


def precision_of(trained):
    return trained.precision


@pytest.mark.parametrize("later", [False, True], ids=["read at once", "read a turn later"])
@pytest.mark.parametrize("at", range(1, 15))
def test_a_way_whose_numbers_break_in_any_turn_is_out_and_breaks_nothing(at, later, clock, spoil_turns, monkeypatch):
    """It has fourteen turns: that of its first losses, a second one, and four in each round."""
    if later:
        monkeypatch.setattr(loop, "DISTANT", {"cpu"})
    trained, other, taken = training(), training(), []

    def when(training):
        taken.extend(["bfloat16"] * (precision_of(training) == "bfloat16"))
        return len(taken) == at and precision_of(training) == "bfloat16"

    with monkeypatch.context() as patch:
        spoil_turns(patch, when)
        assert quickest(trained, IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6).way == PLAIN
    assert at <= len(taken) <= max(2, 2 + 4 * -(-(at - 2) // 4)), "it had no further rounds"
    assert trained.unread == []
    same(bits(trained), bits(other))
    list(fit(trained, IMAGES, turns=together(), images=4 * BATCH))


@pytest.mark.parametrize("later", [False, True], ids=["read at once", "read a turn later"])
@pytest.mark.parametrize("at", [1, 2, 3, 6])
def test_if_the_plain_way_breaks_nothing_is_measured_and_training_comes_to_it_itself(
    at, later, clock, spoil_turns, monkeypatch
):
    if later:
        monkeypatch.setattr(loop, "DISTANT", {"cpu"})
    trained, other, taken = training(), training(), []

    def when(training):
        taken.append(precision_of(training))
        return len(taken) >= at and taken[-1] == "float32"

    with monkeypatch.context() as patch:
        spoil_turns(patch, when)
        assert quickest(trained, IMAGES, BOTH, (PLAIN, COARSE), seconds=1e6) is None
    assert trained.precision == "float32"
    assert trained.unread == []
    same(bits(trained), bits(other))


@pytest.mark.parametrize(("kind", "queues"), [("cpu", False), ("cuda", True), ("mps", True)])
def test_a_device_that_works_through_a_queue_is_waited_for_before_and_after(kind, queues, monkeypatch):
    """A declared distant device: its queue is a count."""
    waited, trained = [], training()
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    rehearsal = pace._Rehearsal(trained, IMAGES, BOTH)
    monkeypatch.setattr(rehearsal, "_turn", lambda: waited.append("turn"))
    trained.device = torch.device(kind)
    rehearsal.seconds(1)
    assert waited == ([torch.device(kind), "turn", torch.device(kind)] if queues else ["turn"])


@pytest.mark.parametrize(
    ("precision", "bfloat16", "expected"),
    [
        (None, True, ["float32", "bfloat16"]),
        (None, False, ["float32"]),
        ("float32", True, ["float32"]),
        ("bfloat16", False, ["bfloat16"]),
    ],
)
def test_what_was_asked_for_is_not_put_to_the_vote(precision, bfloat16, expected, monkeypatch):
    """A stand-in says that the second of two GPUs is an H100; the current one, the first, is a T4."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: [(7, 5), (9, 0)][device.index])

    def told(device, *, compiling):
        found = ways(precision, bfloat16=bfloat16, compiling=compiling, device=torch.device(device))
        return [str(way) for way in found]

    assert told("cpu", compiling=True) == expected
    on_gpu = ["tf32" if precision is None and each == "float32" else each for each in expected]
    assert told("cuda:1", compiling=False) == on_gpu
    assert told("cuda:1", compiling=True) == [*on_gpu, *(f"{each}, compiled" for each in on_gpu)]
    if precision is None:
        assert told("cuda:0", compiling=False) == ["float32"]


def test_what_cannot_be_differentiated_twice_is_not_compiled(monkeypatch):
    compiled = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: compiled.append((type(self), options)))
    plain, penalised = training(), training(terms=(regularizers.R1(weight=1.0, every=8),))
    options = {"dynamic": False, "options": {"fallback_random": True}}
    run_as(plain, Way(compiled=True))
    assert compiled == [(type(plain.gan.discriminator), options), (type(plain.gan.generator), options)]
    compiled.clear()
    run_as(penalised, Way(compiled=True))
    assert compiled == [(type(penalised.gan.generator), options)]
    compiled.clear()
    run_as(plain, Way())
    assert compiled == []


def entered(network):
    """Counts how often the network's first layer is run, whoever asked for it."""
    layer = next(each for each in network.modules() if isinstance(each, nn.Conv2d | nn.ConvTranspose2d | nn.Linear))
    passes = []
    layer.register_forward_hook(lambda *_: passes.append(1))
    return passes


@pytest.mark.parametrize("objective", [objectives.hinge(), objectives.relativistic()], ids=repr)
@pytest.mark.parametrize("name", ["fastgan", "dcgan", "sngan"])
def test_what_is_compiled_is_what_a_turn_runs(name, objective, monkeypatch):
    """A stand-in for the compiler counts its calls: no pass goes around it, at one scale or two."""
    calls = {}

    def compiled(self, **options):
        calls[self] = []
        self._compiled_call_impl = lambda *given, **named: calls[self].append(1) or self._call_impl(*given, **named)

    monkeypatch.setattr(nn.Module, "compile", compiled)
    without = {"reconstruction": 0.0} if name == "fastgan" else {}
    recipe = recipes.prepare(name, Task(16, 16, 1), seed=1, batch_size=BATCH, width=4, **without)
    recipe.gan.objective = objective
    trained = Training(recipe.gan, optimizers=recipe.optimizers, seed=1)
    run_as(trained, Way(compiled=True))
    passes = {network: entered(network) for network in (recipe.gan.generator, recipe.gan.discriminator)}
    trained.turn(IMAGES, together())
    assert {network: len(each) for network, each in calls.items()} == {
        network: len(each) for network, each in passes.items()
    }
    assert all(passes.values())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile's own doings
@pytest.mark.parametrize("name", ["dcgan", "sngan", "quick", "vanilla", "fastgan"])
def test_compiled_networks_compute_the_same(name):
    """torch.compile for the processor; nobody compiles there but this test. Adam amplifies what rounding leaves."""
    small = {} if name == "vanilla" else {"width": 4}
    losses, kept = {}, {}
    for way in (PLAIN, Way(compiled=True)):
        recipe = recipes.prepare(name, Task(16, 16, 1), seed=1, batch_size=BATCH, **small)
        trained = Training(recipe.gan, optimizers=recipe.optimizers, half_life=50, seed=1)
        run_as(trained, way)
        assert (trained.gan.generator._compiled_call_impl is not None) == way.compiled
        records = list(fit(trained, IMAGES, turns=recipe.turns, images=4 * BATCH))
        losses[way] = [float(value) for record in records for value in record.losses.values()]
        drawn = trained.published(IMAGES, images=BATCH)
        assert drawn._compiled_call_impl is None
        kept[way] = drawn(torch.ones(2, *drawn.source)).detach()
        names = list(capture(trained)[0]["generator"])
        run_as(trained, PLAIN)
        assert trained.gan.generator._compiled_call_impl is None
        assert names == list(trained.gan.generator.state_dict())
    torch.testing.assert_close(losses[Way(compiled=True)], losses[PLAIN], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(kept[Way(compiled=True)], kept[PLAIN], rtol=1e-2, atol=5e-3)


# --- a run's -------------------------------------------------------------------------------------------------------


def found_for(trained, recipe, *, budget=None, said=None, **run):
    budget = budget or Budget(None, 1e4)
    return find_pace(recipe, trained, IMAGES, budget, RunSettings(**run), say=([] if said is None else said).append)


@pytest.fixture
def quick():
    recipe = recipes.prepare("quick", Task(16, 16, 1), seed=1, batch_size=BATCH, width=4)
    return Training(recipe.gan, optimizers=recipe.optimizers, seed=1), recipe


def test_a_budget_in_minutes_takes_the_quickest_way_and_says_so(quick, clock):
    trained, recipe = quick
    assert recipe.bfloat16
    said = []
    told = found_for(trained, recipe, said=said)
    assert said == ["Trying how the networks run quickest here: float32 or bfloat16."]
    assert told == "The networks run in bfloat16 here: measured to be 2.00 times as quick as in float32."
    assert trained.precision == "bfloat16"
    assert trained.progress.images == trained.progress.turns == 0
    assert trained.progress.seconds > 0, "what measuring takes is a part of the minutes"


@pytest.mark.parametrize(
    "changes",
    [{"budget": Budget(64, None)}, {"pace": False}, {"precision": "float32"}, {"budget": Budget(None, 0.1)}],
    ids=str,
)
def test_else_they_run_as_they_always_do(quick, changes, clock):
    trained, recipe = quick
    assert found_for(trained, recipe, **changes) == ""
    assert trained.precision == "float32"


def test_a_run_whose_minutes_are_over_measures_nothing(quick, clock):
    trained, recipe = quick
    trained.progress.seconds = 60.0
    assert found_for(trained, recipe, budget=Budget(None, 1.0)) == ""
    assert trained.progress.seconds == 60.0


def test_it_is_measured_at_the_rate_that_training_would_have(quick, clock, monkeypatch):
    trained, recipe = quick
    trained.rate_scale, trained.progress.seconds = 0.25, 5e3
    seen, turn = [], Training.turn

    def watched(self, *arguments):
        seen.append(self.optimizers["generator"].param_groups[0]["lr"])
        return turn(self, *arguments)

    monkeypatch.setattr(Training, "turn", watched)
    assert found_for(trained, recipe, budget=Budget(None, 1e4 / 60))
    assert seen == pytest.approx([2e-3 * recipe.schedule(0.5) * 0.25] * len(seen))


@pytest.mark.parametrize(
    ("turns", "players"),
    [
        (together(), BOTH),
        (alternate(discriminator=5), BOTH),
        (alternate(discriminator=0), ("generator",)),
        (alternate(generator=0), ("discriminator",)),
        (adaptive(generator=0.5, first="generator"), ("generator",)),
    ],
)
def test_everybody_who_plays_in_the_turns_to_come_plays_in_those_that_are_measured(turns, players):
    assert course.coming_players(turns, Progress()) == players
