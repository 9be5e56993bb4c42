"""Fewer digits in the networks, and in nothing else."""

import pytest
import torch

from cardigan import GAN, models, objectives, regularizers
from cardigan.contracts import Batch
from cardigan.errors import CardiganError
from cardigan.settings import resolve
from cardigan.training import Adam, fit, together
from cardigan.training.loop import Training
from cardigan.training.precision import arithmetic
from cardigan.training.state import capture

BATCH = 8


class Images:
    batch_size = BATCH

    def at(self, images):
        rng = torch.Generator().manual_seed(images)
        return Batch(torch.rand(BATCH, 1, 16, 16, generator=rng) * 2 - 1)


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
    return list(fit(training, Images(), turns=together(), images=training.progress.images + turns * BATCH))


def test_networks_compute_with_bfloat16_and_losses_do_not():
    spy = regularizers.R1(weight=0.1)
    for precision, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        run = training(precision, terms=(spy,))
        (record,) = go(run, 1)
        assert {noted[:2] for noted in run.gan.discriminator.noted} == {(torch.float32, dtype)}
        assert {value.dtype for value in (*record.losses.values(), *record.logits.values())} == {torch.float32}
        assert "discriminator/r1" in record.losses


def test_rounding_is_felt_and_training_goes_the_same_way():
    """After 30 turns the images differ, by much less than training has moved them."""
    start = training("float32").published(Images(), images=64)
    plain, rounded = training("float32"), training("bfloat16")
    go(plain, 30)
    go(rounded, 30)
    latents = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    before, one, other = (run(latents) for run in (start, plain.published(Images()), rounded.published(Images())))
    apart, moved = (one - other).abs().mean(), (one - before).abs().mean()
    assert 0.0 < apart < 0.2 * moved


def test_weights_that_moved_are_rounded_anew():
    """Else the generator would be judged by the discriminator of before its step."""
    run = training("bfloat16")
    run.set_rates(100.0)
    go(run, 1)
    (_, _, before), (_, _, after) = run.gan.discriminator.noted  # both kinds in one pass, and the generator's step
    assert before != after


def test_what_is_kept_can_go_on_in_the_other_precision():
    run = training("bfloat16")
    go(run, 3)
    kept, _ = capture(run)
    assert {tensor.dtype for file in kept.values() for tensor in file.values()} <= {torch.float32, torch.int64}


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
