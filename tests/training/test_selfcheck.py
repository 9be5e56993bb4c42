"""The self-check: each fast path, broken on purpose, is found and named; what is sound stays; no trace is left."""

import numpy as np
import pytest
import torch
from torch import nn

from cardigan import GAN, augment, models, objectives, regularizers
from cardigan.data import Store
from cardigan.data import batches as room
from cardigan.data.batches import batches
from cardigan.data.degrade import Pairs, parse
from cardigan.training import Adam, RMSprop, Training, buffers, fit, loop, selfcheck, together
from cardigan.training.pace import run_as
from cardigan.training.precision import Way
from cardigan.training.selfcheck import Findings, do_without, taken
from cardigan.training.state import capture
from cardigan.training.verdicts import Verdict

BATCH = 8
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), np.uint8)
STORE = Store.from_arrays(PIXELS, np.arange(40) % 3)
BOTH = ("discriminator", "generator")
SOUND = ("resident batches", "fused optimizer", "batched spectral norm", "channels last")


def images(**options):
    return batches(STORE, **({"batch_size": BATCH, "flip": True, "seed": 1} | options))


def training(optimizers=Adam(1e-3), **settings):  # noqa: B008
    """Statistics, spectral norm, a penalty, and an augmentation that learns: all that a path could get wrong."""
    torch.manual_seed(0)
    shape = {"size": 16, "channels": 1, "classes": 3, "width": 4}
    gan = GAN(
        models.dcgan.Generator(**shape, latent=8),
        regularizers.spectral_norm(models.dcgan.Discriminator(**shape)),
        objectives.non_saturating(),
        augment=augment.adaptive("flip", horizon=50, interval=1),
        **settings,
    )
    return Training(gan, optimizers=optimizers, half_life=50, seed=3)


def bits(trained):
    files, state = capture(trained)
    return {f"{file} {name}": tensor.clone() for file, each in files.items() for name, tensor in each.items()}, state


def same(one, other):
    (tensors, clock), (others, moment) = one, other
    assert tensors.keys() == others.keys()
    assert [name for name, tensor in tensors.items() if not torch.equal(tensor, others[name])] == []
    assert {**clock, "seconds": 0} == {**moment, "seconds": 0}


def check(trained, drawn=None, **options):
    return selfcheck.selfcheck(trained, drawn or images(), BOTH, **options)


@pytest.fixture
def guarded(monkeypatch):
    """As on a GPU, where the optimizer guards its weights and the verdict is read a turn later."""
    monkeypatch.setattr(loop, "DISTANT", {"cpu"})


@pytest.fixture
def compiler(monkeypatch):
    """A stand-in for torch.compile: ``compiler.made(network)`` gives what is called in the network's place."""

    class Compiler:
        made = staticmethod(lambda network: network._call_impl)

    monkeypatch.setattr(
        nn.Module,
        "compile",
        lambda self, **options: setattr(self, "_compiled_call_impl", Compiler.made(self)),
    )
    return Compiler


# --- what is sound ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("began", [0, 3], ids=str)
def test_sound_paths_stay_and_nothing_leaves_a_trace(began, guarded, compiler):
    checked, other = training(), training()
    for each in (checked, other) if began else ():
        list(fit(each, images(), turns=together(), images=began * BATCH))
    run_as(checked, Way("bfloat16", compiled=True))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert check(checked) == Findings((*SOUND, "bfloat16", "compiled networks"))
    assert torch.equal(torch.get_rng_state(), before)
    assert checked.unread == []
    run_as(checked, Way())
    same(bits(checked), bits(other))
    for each in (checked, other):
        list(fit(each, images(), turns=together(), images=(began + 3) * BATCH))
    same(bits(checked), bits(other))


def test_paths_that_are_not_taken_are_not_tried():
    trained = training(optimizers=RMSprop())
    run_as(trained, Way(channels_last=False))
    trained.batched = False
    assert taken(trained, images()) == ["resident batches"]
    assert check(trained) == Findings(("resident batches",))


def test_a_restoration_is_checked_too():
    shape = {"size": 16, "channels": 1, "width": 4}
    gan = GAN(models.unet.Generator(**shape), models.dcgan.Discriminator(**shape), objectives.hinge())
    drawn = Pairs(images(labels=False), parse("downscale2"))
    assert check(Training(gan), drawn).same == ("resident batches", "fused optimizer", "channels last")


# --- each path, broken on purpose ------------------------------------------------------------------------------------


def when(path, trained):
    """Whether a training, or a copy of it, takes a path."""
    return path in taken(trained, None)


def broken_gradient(monkeypatch, path, spoil):
    """Have the gradients of a path's trainings spoilt."""
    real = Training._move

    def move(self, player, played, gradients, batch, kept):
        if when(path, self):
            weights = self.weights[player]
            largest = max(range(len(weights)), key=lambda place: weights[place].numel())
            gradients = [spoil(each) if place == largest else each for place, each in enumerate(gradients)]
        return real(self, player, played, gradients, batch, kept)

    monkeypatch.setattr(Training, "_move", move)


SPOILT = {
    "transposed": lambda gradient: gradient.transpose(-1, -2),
    "lost": torch.zeros_like,
    "of another sign": torch.neg,
    "doubled": lambda gradient: 2 * gradient,
    "of other rows": lambda gradient: gradient.roll(1, 0),
    "not finite": lambda gradient: gradient / 0,
}


@pytest.mark.parametrize(
    ("path", "spoilt"),
    [
        *(("channels last", each) for each in SPOILT),
        ("batched spectral norm", "transposed"),
        ("bfloat16", "transposed"),
        ("bfloat16", "lost"),
        ("compiled networks", "transposed"),
    ],
)
def test_a_wrong_gradient_is_found(path, spoilt, monkeypatch, compiler):
    trained = training()
    run_as(trained, Way("bfloat16" if path == "bfloat16" else "float32", compiled=path == "compiled networks"))
    broken_gradient(monkeypatch, path, SPOILT[spoilt])
    found = check(trained)
    assert list(found.dropped) == [path]
    told = {"not finite": "its numbers are not finite"}.get(spoilt, "gradient of ")
    assert told in found.dropped[path]


def test_gradients_that_an_optimizer_reads_in_the_order_of_memory_are_found(monkeypatch):
    """A fault that torch has: a fused step on the processor takes transposed numbers for another weight's."""
    monkeypatch.setattr(loop, "laid_out", lambda values, weights: list(values))
    found = check(training())
    assert list(found.dropped) == ["fused optimizer"] or list(found.dropped) == ["channels last"]
    assert "optimizer makes the weight of " in next(iter(found.dropped.values()))


FUSED_FAULTS = {
    "another rate": lambda optimizer, before: before[0][0].data.add_(before[0][0].data - before[0][1]),
    "a weight left out": lambda optimizer, before: before[0][0].data.copy_(before[0][1]),
    "a moment forgotten": lambda optimizer, before: optimizer.state[before[0][0]]["exp_avg_sq"].mul_(0.9),
    "a tail not written": lambda optimizer, before: before[0][0].data.view(-1)[-1:].copy_(before[0][1].view(-1)[-1:]),
}


@pytest.mark.parametrize("fault", FUSED_FAULTS)
def test_a_wrong_step_is_found(fault, monkeypatch):
    real = torch.optim.Adam.step

    def step(self, closure=None):
        if not self.param_groups[0]["fused"]:
            return real(self, closure)
        first = self.param_groups[0]["params"][0]
        before = [(first, first.detach().clone())]
        real(self, closure)
        with torch.no_grad():
            FUSED_FAULTS[fault](self, before)
        return None

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    found = check(training())
    assert list(found.dropped) == ["fused optimizer"]
    assert "the discriminator's optimizer makes the " in found.dropped["fused optimizer"]


def test_a_guard_that_does_not_hold_is_found(monkeypatch, guarded):
    monkeypatch.setattr(Verdict, "guard", lambda self, optimizer: True)
    found = check(training())
    assert list(found.dropped) == ["fused optimizer"]
    assert "a step whose numbers are not finite changes what it should not" in found.dropped["fused optimizer"]


def test_a_verdict_that_is_always_good_is_found(monkeypatch, guarded):
    monkeypatch.setattr(Verdict, "sound", True)
    assert check(training()).dropped["fused optimizer"] == "a step whose numbers are not finite is taken"


@pytest.mark.parametrize("path", ["batched spectral norm", "channels last", "compiled networks"])
def test_a_stale_buffer_is_found(path, monkeypatch, compiler):
    real = Training.turn

    def turn(self, *given):
        kept = [(buffer, buffer.clone()) for module in self.modules() for buffer in module.buffers()]
        record = real(self, *given)
        for buffer, before in kept if when(path, self) else ():
            buffer.copy_(before)
        return record

    monkeypatch.setattr(Training, "turn", turn)
    trained = training()
    run_as(trained, Way(compiled=path == "compiled networks"))
    found = check(trained)
    assert list(found.dropped) == [path]
    assert "'s buffer " in found.dropped[path]


def test_buffers_that_a_spoilt_step_leaves_behind_are_found(monkeypatch, guarded):
    monkeypatch.setattr(buffers.Kept, "put_back", lambda self: None)
    assert "changes what it should not: " in check(training()).dropped["fused optimizer"]


@pytest.mark.parametrize("factor", [1.02, -1.0, 0.0])
def test_a_compiler_that_draws_something_else_is_found(factor, compiler):
    compiler.made = staticmethod(
        lambda network: lambda *given: network._call_impl(*given) * (factor if len(given[0].shape) == 2 else 1.0)
    )
    trained = training()
    run_as(trained, Way(compiled=True))
    assert list(check(trained).dropped) == ["compiled networks"]


def test_a_compiler_that_gives_the_first_turns_answer_again_is_found(compiler):
    def made(network):
        known = []

        def call(*given):
            known.append(network._call_impl(*given))
            return known[0].detach() + 0 * known[-1] if len(given[0].shape) == 2 else known[-1]

        return call

    compiler.made = staticmethod(made)
    trained = training()
    run_as(trained, Way(compiled=True))
    assert list(check(trained).dropped) == ["compiled networks"]


def test_a_path_that_fails_is_dropped(compiler):
    def made(network):
        raise RuntimeError("the compiler's own words")

    compiler.made = staticmethod(lambda network: lambda *given: made(network))
    trained = training()
    run_as(trained, Way(compiled=True))
    assert check(trained).dropped == {"compiled networks": "it fails: RuntimeError"}


def test_digits_that_are_lost_beyond_bfloat16_are_found(monkeypatch):
    """An arithmetic of 2 binary digits instead of 8."""
    real = nn.Conv2d.forward

    def coarse(self, values):
        found = real(self, values)
        if found.dtype is not torch.bfloat16:
            return found
        scale = 2.0 ** (found.detach().abs().float().log2().floor() - 1)
        return found + ((found / scale).round() * scale - found).detach()

    trained = training()
    run_as(trained, Way("bfloat16"))
    assert check(trained).dropped == {}
    monkeypatch.setattr(nn.Conv2d, "forward", coarse)
    assert list(check(trained).dropped) == ["bfloat16"]


def test_two_paths_are_told_apart(monkeypatch, compiler):
    """The first is dropped, and the others are tried without it."""
    trained = training()
    run_as(trained, Way("bfloat16", compiled=True))
    broken_gradient(monkeypatch, "channels last", torch.neg)
    found = check(trained)
    assert list(found.dropped) == ["channels last"]
    assert found.same == (*SOUND[:3], "bfloat16", "compiled networks")


# --- the paths of pixels ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda drawn: drawn._resident.copy_(drawn._resident.roll(1, 0)), "the images of a batch are others"),
        (
            lambda drawn: setattr(drawn, "_resident_labels", drawn._resident_labels.roll(1)),
            "the labels of a batch are others",
        ),
        (lambda drawn: drawn._resident[int(drawn._places(0)[3])].zero_(), "the images of a batch are others"),
    ],
)
def test_resident_pixels_that_are_others_are_found(fault, told):
    drawn = images()
    fault(drawn)
    found = check(training(), drawn)
    assert found.dropped == {"resident batches": told}
    assert found.same == SOUND[1:]


def test_a_wrong_order_is_found(monkeypatch):
    real = room.StoredBatches._places
    monkeypatch.setattr(
        room.StoredBatches, "_places", lambda self, seen: real(self, seen).flip(0) if self._ahead else real(self, seen)
    )
    assert check(training()).dropped == {"resident batches": "the indices of a batch are others"}


def test_a_copy_that_the_next_one_overwrites_is_found(monkeypatch):
    """Of batches that are fetched ahead: all lie in the same place."""
    monkeypatch.setattr(room, "room_for_images", lambda free: 0.0)
    real, place = room.StoredBatches._sent, {}

    def sent(self, tensor):
        found = real(self, tensor)
        if not self._ahead or found.dtype is not torch.uint8:
            return found
        return place.setdefault(found.shape, found).copy_(found)

    monkeypatch.setattr(room, "to_float", lambda pixels: pixels.movedim(3, 1))
    drawn = images(flip=False)
    assert drawn.path == "prefetched batches"
    monkeypatch.setattr(room.StoredBatches, "_sent", sent)
    assert selfcheck._batches_differ(training(), drawn, drawn.plainly()) == "the images of a batch are others"


# --- what comes of it ------------------------------------------------------------------------------------------------


def test_a_training_does_without_what_is_dropped(guarded):
    trained, drawn = training(), images()
    list(fit(trained, drawn, turns=together(), images=2 * BATCH))
    run_as(trained, Way("bfloat16"))
    assert taken(trained, drawn) == [*SOUND, "bfloat16"]
    other = do_without(trained, drawn, [*SOUND, "bfloat16", "compiled networks"])
    assert taken(trained, other) == []
    assert trained.way == Way(channels_last=False)
    reference = training()
    list(fit(reference, drawn, turns=together(), images=2 * BATCH))
    for each, source in ((trained, other), (reference, drawn)):
        list(fit(each, source, turns=together(), images=5 * BATCH))
    tensors, others = bits(trained)[0], bits(reference)[0]
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, others[name], rtol=1e-2, atol=5e-3)


def test_what_is_told_names_the_path_the_device_and_what_differs():
    found = Findings(("channels last",), {"fused optimizer": "it fails: RuntimeError"})
    assert found.told("NVIDIA H200") == [
        "fused optimizer does not compute on NVIDIA H200 what the plain way does (it fails: RuntimeError): this run "
        "does without it."
    ]


def test_a_plain_way_that_breaks_is_left_to_the_training():
    trained = training()
    with torch.no_grad():
        trained.weights["generator"][0].fill_(torch.nan)
    assert check(trained).problem == "The plain way's numbers are not finite, so the fast paths are not compared."


def test_a_self_check_that_does_not_fit_is_no_reason_to_stop(monkeypatch):
    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(selfcheck, "_turn", full)
    assert check(training()).problem.startswith("The self-check did not fit into memory")


# --- another device is the reference, as for Apple's GPUs ------------------------------------------------------------


def test_a_copy_lies_on_its_device_as_a_whole():
    """On the meta device, which holds no numbers: weights, buffers and moments, each where its optimizer finds it."""
    trained = training()
    list(fit(trained, images(), turns=together(), images=BATCH))
    other = selfcheck._copied(trained, [], torch.device("meta"))
    assert {tensor.device.type for _, tensor in selfcheck._tensors(other) if tensor.ndim} == {"meta"}
    for player in BOTH:
        kept = [weight for group in other.optimizers[player].param_groups for weight in group["params"]]
        network = list(other.gan.network(player).parameters())
        assert len(kept) == len(network)
        assert all(one is two for one, two in zip(kept, network, strict=True))
        assert all(each.device.type == "cpu" for each in trained.gan.network(player).parameters())


def test_two_devices_draw_the_same_numbers():
    """Another device's draws, made on the processor: here both are, so each number is the one that it draws itself."""

    def draws():
        torch.manual_seed(3)
        values = torch.ones(2, 8)
        return [
            torch.rand(3),
            torch.randint(9, (4,)),
            torch.nn.functional.dropout(values),
            values.clone().normal_(),
            torch.empty(2).uniform_(1, 2),
            torch.rand(3, generator=torch.Generator().manual_seed(1)),
        ]

    with selfcheck._DrawnOn(torch.device("cpu")):
        found = draws()
        far = torch.rand(3, device="meta")
    assert far.device.type == "meta", "what is drawn goes to where it was asked for"
    assert all(torch.equal(one, two) for one, two in zip(found, draws(), strict=True))


def test_a_device_that_computes_otherwise_by_its_plain_way_too_is_named(monkeypatch):
    """A pretended second processor as the reference: its numbers are those of the plain way, and ours are not."""
    trained = training()
    real, reference = selfcheck._copied, torch.device("cpu", 0)

    def copied(original, without, device):
        found = real(original, without, torch.device("cpu"))
        found.far = device.index is None
        return found

    monkeypatch.setattr(selfcheck, "_copied", copied)
    monkeypatch.setattr(selfcheck, "_elsewhere", lambda training, device: True)
    move = Training._move

    def wrong(self, player, played, gradients, batch, kept):
        return move(self, player, played, [-each for each in gradients] if self.far else gradients, batch, kept)

    monkeypatch.setattr(Training, "_move", wrong)
    found = check(trained, reference=reference)
    assert found.problem.startswith("cpu computes otherwise than cpu (")
    assert found.problem.endswith("Type --device cpu, or update PyTorch.")


def test_copies_share_nothing_with_the_training():
    trained = training()
    other = selfcheck._copied(trained, [], torch.device("cpu"))
    mine = {tensor.data_ptr() for _, tensor in selfcheck._tensors(trained)}
    assert not [name for name, tensor in selfcheck._tensors(other) if tensor.data_ptr() in mine]
    assert other.gan is not trained.gan


def test_a_copys_modes_are_its_own():
    trained = training()
    other = selfcheck._copied(trained, [], torch.device("cpu"))
    assert trained.gan.training is trained
    trained.gan.generator.eval()
    other.modes.put_back()
    assert not trained.gan.generator.training
