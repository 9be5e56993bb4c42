"""Killed anywhere and resumed from the newest checkpoint, a run ends in the very bits of the uninterrupted one."""

import copy

import numpy as np
import pytest
import torch

from cardigan import GAN, augment, models, objectives, regularizers
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.training import Adam, adaptive, alternate, checkpoint, fit, linear, together
from cardigan.training.loop import Training

COUNT, BATCH, TURNS = 40, 8, 23
"""Five turns are a pass over the data; 23 leave the run in the middle of one."""

TURN_ORDERS = {
    "together": lambda: together(),
    "alternate 5 to 1": lambda: alternate(discriminator=5, generator=1),
    "adaptive": lambda: adaptive(discriminator=1.3, generator=0.7, longest=3),
}
KINDS = ["spectral norm", "conditional", "dropout", "adaptive augmentation", "fastgan", "rotating"]
CUTS = {"the first step": 1, "right after a lazy step": 7, "mid-pass": 12, "a pass's end": 15}


def gan(kind):
    """16-pixel networks with lazy R1, and what the kind says."""
    if kind == "fastgan":
        return fastgan()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        if kind == "dropout":
            generator = models.mlp.Generator(size=16, latent=4, hidden=(8,))
            discriminator = models.mlp.Discriminator(size=16, hidden=(16, 8), dropout=0.3)
        else:
            classes = 4 if kind == "conditional" else 0
            shape = {"size": 16, "channels": 1, "classes": classes, "width": 2}
            generator = models.dcgan.Generator(**shape, latent=4)
            discriminator = models.dcgan.Discriminator(**shape)
            if kind == "spectral norm":
                regularizers.spectral_norm(generator)
                regularizers.spectral_norm(discriminator)
            if kind == "rotating":
                discriminator = regularizers.Rotating(discriminator, generator.shape)
    changes, terms = augment.diffaugment(), ()
    # Between real and fake there is no slope of one image alone under batch normalisation.
    second = regularizers.GradientPenalty if kind == "dropout" else regularizers.R2
    if kind == "rotating":
        terms = regularizers.Rotation(), regularizers.Rotation("generator", weight=0.2)
    if kind == "conditional":
        changes = augment.diffaugment("translation", "flip")
    if kind == "adaptive augmentation":
        changes = augment.adaptive("translation", "color", horizon=100, interval=2)
    return GAN(
        generator,
        discriminator,
        objectives.non_saturating(),
        terms=(regularizers.R1(1.0, every=3), second(1.0, every=2), *terms),
        augment=changes,
    )


def fastgan():
    """Noise that is felt, two scales, margins of chance, decoders of a part of chance, an augmentation that adapts."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        shape = {"size": 16, "channels": 1, "width": 4}
        generator = models.fastgan.Generator(**shape, latent=4, two_scales=True)
        discriminator = models.fastgan.Discriminator(**shape, decoders=True, texture=True)
        for name, weight in generator.named_parameters():
            if name.endswith("strength"):
                torch.nn.init.constant_(weight, 0.5)
    return GAN(
        generator,
        discriminator,
        objectives.hinge(margin=(0.8, 1.0)),
        terms=(regularizers.Reconstruction(part="eighth"),),
        augment=augment.adaptive("color", "translation", "cutout", horizon=100, interval=2),
    )


def store():
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16, 1), dtype=np.uint8)
    return Store.from_arrays(pixels, np.arange(COUNT) % 4)


def sitting(kind, order, *, until, folder=None):
    """A new process, as it were: everything is built anew, and the newest checkpoint is restored if there is one."""
    torch.manual_seed(torch.seed())  # whatever the process was doing before
    training = Training(gan(kind), optimizers=Adam(1e-2, beta1=0.5), half_life=60, seed=9)
    data = batches(store(), batch_size=BATCH, seed=9, flip=True, labels=kind == "conditional")
    if folder and (found := checkpoint.newest(folder)[0]):
        checkpoint.restore(training, found)
    whole = fit(training, data, turns=order(), images=TURNS * BATCH, since=0, schedule=linear(to=0.1, start=0.3))
    if training.progress.turns < until:
        for _ in whole:
            if training.progress.turns == until:
                break
    return training


def captured(training):
    files, state = checkpoint.capture(training)
    return files, {key: value for key, value in state.items() if key != "seconds"}


def assert_identical(one, other):
    (files, state), (their_files, their_state) = captured(one), captured(other)
    assert state == their_state
    for name, tensors in files.items():
        assert tensors.keys() == their_files[name].keys()
        for key, value in tensors.items():
            assert torch.equal(value, their_files[name][key]), (name, key)


@pytest.fixture(scope="module")
def uninterrupted():
    known = {}

    def run(kind, order):
        if (kind, order) not in known:
            known[kind, order] = sitting(kind, TURN_ORDERS[order], until=TURNS)
        return known[kind, order]

    return run


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("order", TURN_ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_uninterrupted_one(uninterrupted, tmp_path, kind, order, cut):
    """Networks, both optimizers, the average and every counter, compared at tolerance 0."""
    first = sitting(kind, TURN_ORDERS[order], until=CUTS[cut])
    assert first.progress.turns == CUTS[cut]
    checkpoint.save(tmp_path, first, {})
    resumed = sitting(kind, TURN_ORDERS[order], until=TURNS, folder=tmp_path)
    assert resumed.progress.turns == TURNS
    assert_identical(resumed, uninterrupted(kind, order))


def test_the_cut_after_a_lazy_step_is_one(tmp_path):
    """In turns of both, R1 is due at the discriminator's steps 0, 3, 6: the 7th turn is the last with it."""
    training = sitting("dropout", TURN_ORDERS["together"], until=6)
    data = batches(store(), batch_size=BATCH, seed=9, labels=False)
    records = list(fit(training, data, turns=together(), images=8 * BATCH, since=0))
    assert ["discriminator/r1" in record.losses for record in records] == [True, False]
    assert CUTS["right after a lazy step"] == 7


def test_an_adaptive_augmentation_really_adapts(uninterrupted):
    """Else its resume would prove nothing."""
    trained = uninterrupted("adaptive augmentation", "together").gan.augment
    assert 0 < float(trained.probability) < 1


def test_without_what_the_augmentation_learned_it_would_not_be_the_same(uninterrupted, tmp_path):
    kind = "adaptive augmentation"
    checkpoint.save(tmp_path, sitting(kind, TURN_ORDERS["together"], until=12), {})
    found, _ = checkpoint.newest(tmp_path)
    found.files["augment"] = {key: torch.zeros_like(value) for key, value in found.files["augment"].items()}
    training = Training(gan(kind), optimizers=Adam(1e-2, beta1=0.5), half_life=60, seed=9)
    checkpoint.restore(training, found)
    data = batches(store(), batch_size=BATCH, seed=9, flip=True, labels=False)
    list(fit(training, data, turns=together(), images=TURNS * BATCH, since=0, schedule=linear(to=0.1, start=0.3)))
    with pytest.raises(AssertionError):
        assert_identical(training, uninterrupted(kind, "together"))


def test_adaptive_turns_really_adapt(uninterrupted):
    """Else the matrix above would compare fixed orders only."""
    steps = uninterrupted("dropout", "adaptive").progress.steps
    assert steps["discriminator"] != steps["generator"]
    assert min(steps.values()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_of_sittings_is_one_run(uninterrupted, tmp_path, kind):
    """Stopped after every third turn, each time with a save and a new start."""
    for until in range(3, TURNS + 3, 3):
        training = sitting(kind, TURN_ORDERS["together"], until=min(until, TURNS), folder=tmp_path)
        checkpoint.save(tmp_path, training, {})
    assert_identical(training, uninterrupted(kind, "together"))


@pytest.mark.parametrize(
    "what", ["generator", "discriminator", "average", "generator-optimizer", "discriminator-optimizer"]
)
def test_without_any_one_part_it_would_not_be_the_same(uninterrupted, tmp_path, what):
    """The comparison can fail: each file of a checkpoint is needed."""
    checkpoint.save(tmp_path, sitting("spectral norm", TURN_ORDERS["together"], until=12), {})
    found, _ = checkpoint.newest(tmp_path)
    blank = Training(gan("spectral norm"), optimizers=Adam(1e-2, beta1=0.5), half_life=60, seed=9)
    files = copy.copy(found.files)
    files[what] = {key: value.clone() for key, value in checkpoint.capture(blank)[0][what].items()}
    training = blank
    checkpoint.restore(training, checkpoint.Checkpoint(found.folder, found.step, found.state, files))
    data = batches(store(), batch_size=BATCH, seed=9, flip=True, labels=False)
    list(fit(training, data, turns=together(), images=TURNS * BATCH, since=0, schedule=linear(to=0.1, start=0.3)))
    with pytest.raises(AssertionError):
        assert_identical(training, uninterrupted("spectral norm", "together"))


@pytest.mark.parametrize("counter", ["images", "turns", "steps", "average_images", "rate_scale"])
def test_without_any_one_counter_it_would_not_be_the_same(uninterrupted, tmp_path, counter):
    checkpoint.save(tmp_path, sitting("dropout", TURN_ORDERS["alternate 5 to 1"], until=12), {})
    found, _ = checkpoint.newest(tmp_path)
    changed = {"steps": {"discriminator": 11, "generator": 2}, "rate_scale": 0.5}
    found.state[counter] = changed[counter] if counter in changed else found.state[counter] - 1
    training = Training(gan("dropout"), optimizers=Adam(1e-2, beta1=0.5), half_life=60, seed=9)
    checkpoint.restore(training, found)
    data = batches(store(), batch_size=BATCH, seed=9, flip=True, labels=False)
    order = TURN_ORDERS["alternate 5 to 1"]()
    list(fit(training, data, turns=order, images=TURNS * BATCH, since=0, schedule=linear(to=0.1, start=0.3)))
    reference = uninterrupted("dropout", "alternate 5 to 1")
    weights = [
        torch.equal(one, other)
        for one, other in zip(
            training.average.network.parameters(), reference.average.network.parameters(), strict=True
        )
    ]
    assert not all(weights)


def test_a_rate_that_was_lowered_by_hand_is_kept(tmp_path):
    """Where no schedule sets the rates, whoever sets them may stop and go on; under other settings, in proportion."""
    store = Store.from_arrays(np.zeros((COUNT, 16, 16, 1), dtype=np.uint8))

    def made(rate):
        return Training(gan("dropout"), optimizers=Adam(rate), seed=1)

    first = made(1e-3)
    first.optimizers["generator"].param_groups[0]["lr"] = 1e-4
    list(fit(first, batches(store, batch_size=BATCH), images=16))
    checkpoint.save(tmp_path, first, {})
    found, _ = checkpoint.newest(tmp_path)
    rates = []
    for rate in (1e-3, 2e-3):
        second = made(rate)
        checkpoint.restore(second, found)
        list(fit(second, batches(store, batch_size=BATCH), images=32))
        rates.append([second.optimizers[player].param_groups[0]["lr"] for player in ("generator", "discriminator")])
    assert rates[0] == [1e-4, 1e-3]
    assert rates[1] == pytest.approx([2e-4, 2e-3])
    older = {**found.state}
    del older["rates"]  # a checkpoint of an earlier version
    third = made(1e-3)
    checkpoint.restore(third, checkpoint.Checkpoint(found.folder, found.step, older, found.files))
    assert third.optimizers["generator"].param_groups[0]["lr"] == 1e-3
