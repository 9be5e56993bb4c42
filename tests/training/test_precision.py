"""Fewer digits in the networks, and in nothing else."""

from typing import ClassVar, get_args

import numpy as np
import pytest
import torch

from cardigan import GAN, float32, models, objectives, regularizers
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.settings import resolve
from cardigan.training import Adam, checkpoint, fit, together
from cardigan.training.loop import Training
from cardigan.training.precision import Precision, arithmetic, digits, knows, usual
from cardigan.training.state import capture

BATCH = 8
PRECISIONS = get_args(Precision)


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 1), np.uint8)
IMAGES = batches(Store.from_arrays(PIXELS), batch_size=BATCH)


class Watched(models.dcgan.Discriminator):
    """Notes what it was given, what it gave, and what it thinks of a white image."""

    def examine(self, images, labels=None):
        logits, maps = super().examine(images, labels)
        white, _ = super().examine(torch.ones(1, 1, 16, 16), labels)
        self.noted = [*getattr(self, "noted", []), (images.dtype, logits.dtype, white.item())]
        return logits, maps

    def forward(self, images, labels=None):
        return self.examine(images, labels)[0]


def training(precision, *, terms=()):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        gan = GAN(
            models.dcgan.Generator(size=16, channels=1, latent=8, width=8),
            Watched(size=16, channels=1, width=8, normalise=False),
            objectives.non_saturating(),
            terms=terms,
        )
    return Training(gan, optimizers=Adam(2e-3), half_life=30, seed=2, precision=precision)


def go(training, turns):
    return list(fit(training, IMAGES, turns=together(), images=turns * BATCH))


def test_networks_compute_with_bfloat16_and_losses_do_not():
    spy = regularizers.R1(weight=0.1)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        run = training(precision, terms=(spy,))
        (record,) = go(run, 1)
        assert {noted[:2] for noted in run.gan.discriminator.noted} == {(torch.float32, dtype)}
        assert {value.dtype for value in (*record.losses.values(), *record.logits.values())} == {torch.float32}
        assert "discriminator/r1" in record.losses


def test_rounding_is_felt_and_training_goes_the_same_way():
    """After 5 turns the images differ, by much less than training has moved them; later any difference grows."""
    start = training("float32").published(IMAGES, images=64)
    plain, rounded = training("float32"), training("bfloat16")
    go(plain, 5)
    go(rounded, 5)
    latents = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    before, one, other = (run(latents) for run in (start, plain.published(IMAGES), rounded.published(IMAGES)))
    apart, moved = (one - other).abs().mean(), (one - before).abs().mean()
    assert 0.0 < apart < 0.1 * moved


def test_weights_that_moved_are_rounded_anew():
    """Else the generator would be judged by the discriminator of before its step."""
    run = training("bfloat16")
    run.set_rates(100.0)
    go(run, 1)
    (_, _, before), (_, _, after) = run.gan.discriminator.noted  # both kinds in one pass, and the generator's step
    assert before != after


def test_what_is_kept_can_go_on_in_the_other_precision(tmp_path):
    """To the very numbers of a training that took its last turn in the other."""
    first, second = training("bfloat16"), training("bfloat16")
    go(first, 3)
    go(second, 3)
    checkpoint.save(tmp_path, first, {})
    resumed = training("float32")
    checkpoint.restore(resumed, checkpoint.newest(tmp_path)[0])
    second.compute_in("float32")
    go(resumed, 1)
    go(second, 1)
    mine, theirs = (capture(run)[0] for run in (resumed, second))
    for file, tensors in mine.items():
        for name, tensor in tensors.items():
            assert tensor.dtype in (torch.float32, torch.int64)
            assert torch.equal(tensor, theirs[file][name]), name


def test_a_callers_own_autocast_is_left_alone():
    run = training("float32")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        go(run, 1)
    assert {noted[:2] for noted in run.gan.discriminator.noted} == {(torch.float32, torch.bfloat16)}


# --- which device computes in what: a stand-in says what GPUs there are ----------------------------------------------


@pytest.fixture
def gpus(monkeypatch):
    """A machine with a T4, which is the current device, and an H100: their names and compute capabilities alone."""
    kinds = {0: ("Tesla T4", (7, 5)), 1: ("NVIDIA H100", (9, 0))}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: kinds[torch.device(device).index or 0][0])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: kinds[torch.device(device).index or 0][1])
    return torch.device("cuda:0"), torch.device("cuda:1")


def test_the_chosen_gpu_decides_and_not_the_current_one(gpus):
    old, new = gpus
    assert [knows(each, old) for each in PRECISIONS] == [True, False, False]
    assert [knows(each, new) for each in PRECISIONS] == [True, True, True]
    assert (usual(old), usual(new), usual(torch.device("cpu")), usual(torch.device("mps"))) == (
        *("float32", "tf32", "float32", "float32"),
    )


def test_amds_gpus_know_bfloat16_and_no_tf32(gpus, monkeypatch):
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert [knows(each, gpus[0]) for each in PRECISIONS] == [True, False, True]
    assert usual(gpus[1]) == "float32"


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_a_gpu_without_it_is_told_what_to_type(precision, gpus):
    with pytest.raises(CardiganError) as caught:
        arithmetic(precision, gpus[0])
    assert str(caught.value) == (
        f"precision is {precision!r}, which Tesla T4 does not compute with. Leave it out, or type "
        f"--set precision=float32."
    )
    arithmetic(precision, gpus[1])


@pytest.mark.parametrize("kind", ["cpu", "mps"])
def test_tf32_is_refused_where_no_nvidia_gpu_trains(kind):
    with pytest.raises(CardiganError, match=f"'tf32', which the device '{kind}' does not compute with"):
        arithmetic("tf32", torch.device(kind))


def test_another_word_is_refused():
    expected = "precision is 'fp32', expected 'float32', 'tf32' or 'bfloat16'."
    assert resolve("dcgan", {"precision": "fp32"})[1] == [expected]
    with pytest.raises(CardiganError, match="Known: float32, tf32, bfloat16"):
        training("fp32")
    with pytest.raises(CardiganError, match="precision is ''"):
        training("")


# --- float32 means what it says, for a turn and its derivatives ------------------------------------------------------


def settings():
    """How the process multiplies float32 numbers on a GPU."""
    if float32.PER_OPERATION:
        convolutions, products = torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision
    else:
        convolutions = "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
        products = "tf32" if torch.get_float32_matmul_precision() != "highest" else "ieee"
    words = {"tf32": "tf32", "ieee": "exact", "none": "exact"}
    return {"products": words[products], "convolutions": words[convolutions]}


@pytest.fixture
def foreign(recwarn):
    """A process whose owner lets a GPU round what it multiplies."""
    products = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    assert settings() == {"products": "tf32", "convolutions": "tf32"}
    yield
    torch.set_float32_matmul_precision(products)
    if float32.PER_OPERATION:
        torch.backends.cuda.matmul.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "none"


class Reading(torch.autograd.Function):
    """Notes what the settings of the process are when it is run, and when it is differentiated."""

    noted: ClassVar = []

    @staticmethod
    def forward(ctx, images):
        Reading.noted.append(settings())
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        Reading.noted.append(settings())
        return gradient


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_whole_turn_multiplies_as_was_asked_and_the_process_as_before(precision, foreign, monkeypatch):
    """A stand-in: settings of a GPU are set and read where there is none, while the networks run on the processor."""
    monkeypatch.setattr(Reading, "noted", [])
    with torch.random.fork_rng():
        run = training(None)
    before = settings()
    run.gan.augment = Reading.apply
    run._digits = digits(precision, torch.device("cuda"))
    go(run, 2)
    exact = {"products": "exact", "convolutions": "tf32" if precision == "tf32" else "exact"}
    assert len(Reading.noted) > 4
    assert [noted for noted in Reading.noted if noted != exact] == []
    assert settings() == before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nothing_of_it_is_left_when_a_turn_fails(precision, foreign):
    run, before = training(precision), settings()
    run._digits = digits(precision, torch.device("cuda"))
    with pytest.raises(RuntimeError, match="no batch"):
        run.turn(Broken(), together())
    assert settings() == before


class Broken:
    batch_size = BATCH

    def at(self, images):
        raise RuntimeError("no batch")
