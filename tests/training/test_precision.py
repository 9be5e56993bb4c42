"""Fewer digits in the networks, and in nothing else."""

import numpy as np
import pytest
import torch

from cardigan import GAN, models, objectives, regularizers
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.settings import resolve
from cardigan.training import Adam, checkpoint, fit, together
from cardigan.training.loop import Training
from cardigan.training.precision import arithmetic
from cardigan.training.state import capture

BATCH = 8


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
    return list(fit(training, IMAGES, turns=together(), images=training.progress.images + turns * BATCH))


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
    second.arithmetic = arithmetic("float32", torch.device("cpu"))
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


def test_a_gpu_without_it_is_told_what_to_type(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(CardiganError) as caught:
        arithmetic("bfloat16", torch.device("cuda"))
    assert str(caught.value) == (
        "precision is 'bfloat16', which Tesla T4 does not compute with. Leave it out, or type --set precision=float32."
    )
    arithmetic("float32", torch.device("cpu"))


def test_another_word_is_refused():
    assert resolve("dcgan", {"precision": "bf16"})[1] == ["precision is 'bf16', expected 'float32' or 'bfloat16'."]
