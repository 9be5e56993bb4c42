"""A verdict that is read a turn later, as on a GPU: the same training, and the same safety. Here on the processor."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from cardigan import GAN, models, objectives, regularizers
from cardigan.contracts import Batch
from cardigan.training import Adam, RMSprop, Training, adaptive, alternate, checkpoint, fit, loop, together
from cardigan.training.state import capture
from cardigan.training.unison import check_alike
from cardigan.training.verdicts import NonFiniteError, Verdict

BATCH = 8
READING = {"aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::_unique2", "aten::masked_select"}
"""What makes a program wait for its device."""


@dataclass
class Images:
    """Batches that are a function of the clock; those of some moments are no numbers."""

    spoilt: tuple[int, ...] = ()
    batch_size: int = BATCH

    def at(self, images):
        rng = torch.Generator().manual_seed(images)
        real = torch.rand(BATCH, 1, 16, 16, generator=rng) * 2 - 1
        if images // BATCH in self.spoilt:
            real = real * float("nan")
        return Batch(real, torch.randint(3, (BATCH,), generator=rng), indices=torch.arange(images, images + BATCH))


def gan(**settings):
    """Batch normalisation on both sides, spectral norm in the discriminator: buffers of every kind."""
    torch.manual_seed(0)
    shape = {"size": 16, "channels": 1, "classes": 3, "width": 4}
    generator = models.dcgan.Generator(**shape, latent=8)
    discriminator = regularizers.spectral_norm(models.dcgan.Discriminator(**shape))
    return GAN(generator, discriminator, objectives.non_saturating(), **settings)


def training(optimizers=Adam(1e-2), **settings):  # noqa: B008
    return Training(gan(**settings), optimizers=optimizers, half_life=50)


def run(trained, turns, count, data):
    return list(fit(trained, data, turns=turns, images=count * BATCH))


def bits(trained):
    files, state = capture(trained)
    return {f"{file} {name}": tensor.clone() for file, each in files.items() for name, tensor in each.items()}, state


def alike(one, other):
    return [name for name, tensor in one.items() if not torch.equal(tensor, other[name])] == []


@pytest.mark.parametrize("loss", [1.0, torch.inf, torch.nan])
def test_a_verdict_is_copied_without_waiting_only_where_an_event_tells_that_it_has_arrived(loss, on_apple_gpu):
    """By a stand-in: an Apple GPU knows no such event, and the copy would be read before it is written."""
    losses, gradients = {"adversarial": on_apple_gpu(torch.tensor(loss))}, [on_apple_gpu(torch.ones(2))]
    assert Verdict("generator", losses, gradients, images=0).sound is (loss == 1.0)


@pytest.fixture
def later(monkeypatch):
    """As on a GPU."""
    monkeypatch.setattr(loop, "DISTANT", {"cpu"})


@pytest.mark.parametrize("turns", [together(), alternate(discriminator=2), adaptive(discriminator=0.6, generator=0.7)])
def test_a_training_whose_verdicts_are_read_later_is_the_same_to_the_last_bit(turns, monkeypatch):
    terms = (regularizers.R1(weight=1.0, every=2),)
    plain = training(terms=terms)
    run(plain, turns, 9, Images())
    monkeypatch.setattr(loop, "DISTANT", {"cpu"})
    other = training(terms=terms)
    run(other, turns, 9, Images())
    (one, clock), (two, same) = bits(plain), bits(other)
    assert alike(one, two)
    assert {**clock, "seconds": 0} == {**same, "seconds": 0}


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("turns", "player"), [(together(), "discriminator"), (together("generator"), "discriminator")])
def test_a_spoilt_step_moves_nothing_and_is_told_of_a_turn_later(turns, player):
    trained = training()
    run(trained, turns, 3, Images())
    before, _ = bits(trained)
    records = fit(trained, Images(spoilt=(3, 4)), turns=turns, images=80)
    assert next(records).progress.images == 32
    with pytest.raises(NonFiniteError, match="not finite after 24 images") as caught:
        next(records)
    assert (caught.value.player, caught.value.images, caught.value.indices) == (player, 24, list(range(24, 32)))
    after, _ = bits(trained)
    mine = {name: tensor for name, tensor in before.items() if name.startswith(player)}
    assert alike(mine, after), "weights, moments, step counts and buffers of who was spoilt"
    assert all(bool(tensor.isfinite().all()) for tensor in after.values()), "and no other has become infected"
    records = run(trained, turns, 3, Images())
    assert all(bool(loss.isfinite()) for record in records for loss in record.losses.values())
    assert not alike(mine, bits(trained)[0])


@pytest.mark.usefixtures("later")
def test_statistics_that_were_no_numbers_reach_neither_the_generator_nor_its_average():
    calls = []

    def prior(labels, *, count, rng):
        calls.append(count)
        return torch.randn(count, 8, generator=rng) * (float("nan") if len(calls) == 5 else 1), labels

    trained = training(prior=prior)
    with pytest.raises(NonFiniteError):
        run(trained, together(), 9, Images())
    assert len(calls) == 6, "the first is of the look at both networks"
    assert all(bool(tensor.isfinite().all()) for tensor in bits(trained)[0].values())


@pytest.mark.usefixtures("later")
def test_a_spoilt_first_step_leaves_a_smoothed_loss_that_can_go_on():
    trained = training()
    with pytest.raises(NonFiniteError):
        run(trained, together(), 3, Images(spoilt=(0,)))
    assert all(bool(torch.as_tensor(value).isfinite()) for value in trained.progress.smoothed.values())


@pytest.mark.usefixtures("later")
def test_the_last_turn_of_a_budget_is_judged_too():
    trained = training()
    with pytest.raises(NonFiniteError, match="not finite after 16 images"):
        run(trained, together(), 3, Images(spoilt=(2,)))


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("act", ["save", "compare", "publish", "judge"])
def test_nothing_is_made_of_networks_that_nobody_has_judged(act, tmp_path):
    trained, data = training(), Images(spoilt=(0,))
    next(fit(trained, data, turns=together(), images=80))
    assert not trained.sound
    acts = {
        "save": lambda: checkpoint.save(tmp_path, trained, {}),
        "compare": lambda: check_alike(trained),
        "publish": lambda: trained.published(data, images=BATCH),
        "judge": trained.judge,
    }
    with pytest.raises(NonFiniteError):
        acts[act]()
    assert trained.sound
    assert list(tmp_path.iterdir()) == []
    acts[act]()  # once told, it is over


@pytest.mark.usefixtures("later")
def test_a_sound_training_says_so_before_and_after_its_verdicts_are_read():
    trained = training()
    records = fit(trained, Images(), turns=together(), images=80)
    next(records)
    assert trained.sound
    trained.judge()
    assert trained.sound


@pytest.mark.usefixtures("later")
def test_an_optimizer_that_cannot_guard_its_weights_is_not_let_near_them():
    trained = training(RMSprop())
    before, _ = bits(trained)
    with pytest.raises(NonFiniteError):
        next(fit(trained, Images(spoilt=(0,)), turns=together(), images=80))
    assert alike(before, bits(trained)[0])


@pytest.mark.usefixtures("later")
def test_where_one_player_is_guarded_and_the_other_is_not_the_first_fault_is_told():
    """The discriminator's spoilt step is unread when the generator's next one, which cannot wait, is spoilt as well."""
    trained = training({"discriminator": Adam(1e-2), "generator": RMSprop()})
    game = trained.gan.objective
    broken = replace(game, generator=lambda **logits: game.generator(**logits) * float("nan"))
    trained.gan.objective = broken
    with pytest.raises(NonFiniteError) as caught:
        run(trained, together(), 3, Images(spoilt=(0,)))
    assert (caught.value.player, caught.value.images) == ("discriminator", 0)


@pytest.mark.usefixtures("later")
def test_no_number_is_read_in_a_turn_but_that_of_the_turn_before():
    class Watch(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.read = 0

        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            self.read += operation._schema.name in READING
            return operation(*args, **(kwargs or {}))

    trained, data = training(), Images()
    run(trained, together(), 2, data)
    with Watch() as watch:
        trained.turn(data, together())
    assert watch.read == 0  # the unread verdicts of the run were read at its end
    with Watch() as watch:
        trained.turn(data, together())
    assert watch.read == 2, "one for each player, both of the turn before"


def test_a_verdict_knows_of_infinite_losses_and_of_infinite_gradients():
    fine, inf = torch.ones(()), torch.tensor(torch.inf)
    assert Verdict("generator", {"adversarial": fine}, [fine], images=0).sound
    assert not Verdict("generator", {"adversarial": inf, "r1": -inf}, [fine], images=0).sound
    assert not Verdict("generator", {"adversarial": fine}, [fine, fine * torch.nan], images=0).sound


def test_an_optimizer_is_asked_whether_it_can_guard():
    verdict = Verdict("generator", {"adversarial": torch.tensor(torch.nan)}, [torch.ones(2)], images=0)
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    guarded, plain = Adam(1.0)([weight]), RMSprop(1.0)([weight])
    assert verdict.guard(guarded)
    guarded.step()
    assert weight.tolist() == [1, 1]
    assert not verdict.guard(plain)
    assert not hasattr(plain, "found_inf")
