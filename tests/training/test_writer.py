"""Writing while training goes on: what is written is the moment of the call, and no fault is lost."""

import threading
import time

import numpy as np
import pytest
import torch

from cardigan import GAN, models, objectives
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.training import Adam, checkpoint, fit, together
from cardigan.training.loop import Training
from cardigan.training.writer import SHORTEST_GRACE, Writer, Written

BATCH = 4
PATIENCE = 60


PIXELS = np.random.default_rng(0).integers(0, 256, (32, 16, 16, 1), np.uint8)
IMAGES = batches(Store.from_arrays(PIXELS), batch_size=BATCH)


def trained(turns):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        gan = GAN(
            models.mlp.Generator(size=16, latent=4, hidden=(8,), normalise=True),
            models.mlp.Discriminator(size=16, hidden=(8,)),
            objectives.non_saturating(),
        )
    training = Training(gan, optimizers=Adam(1e-2), half_life=30, seed=2)
    go(training, turns)
    return training


def go(training, turns):
    list(fit(training, IMAGES, turns=together(), images=turns * BATCH))


@pytest.fixture
def gate(monkeypatch):
    """A disk that writes nothing until it is told to."""
    opened, write = threading.Event(), checkpoint.write_durably

    def slow(path, blob):
        assert opened.wait(PATIENCE)
        write(path, blob)

    monkeypatch.setattr(checkpoint, "write_durably", slow)
    yield opened
    opened.set()


def test_the_moment_of_the_call_is_written_though_training_goes_on(tmp_path, gate):
    training, writer = trained(3), Writer(tmp_path / "behind")
    checkpoint_of_then = checkpoint.Copy.of(training, {"note": 1})
    writer.start(training, {"note": 1})
    training.progress.seconds += 1.0
    go(training, 2)
    assert not writer.done
    gate.set()
    written = writer.wait()
    assert written.images == 3 * BATCH
    assert 0.0 < written.seconds < PATIENCE
    plain = checkpoint.write(tmp_path / "plain", checkpoint_of_then)
    files = sorted(path.name for path in plain.iterdir())
    assert "generator-optimizer.safetensors" in files
    for name in files:  # to the last byte
        assert (tmp_path / "behind" / plain.name / name).read_bytes() == (plain / name).read_bytes(), name


def test_a_copy_shares_no_memory_with_the_training(tmp_path):
    training = trained(2)
    copy = checkpoint.Copy.of(training, {})
    mine = {tensor.data_ptr() for tensors in checkpoint.capture(training)[0].values() for tensor in tensors.values()}
    assert not mine & {tensor.data_ptr() for tensors in copy.files.values() for tensor in tensors.values()}


def test_waiting_gives_each_checkpoint_once(tmp_path):
    training, writer = trained(1), Writer(tmp_path)
    assert (writer.done, writer.wait()) == (False, None)
    writer.start(training, {})
    while not writer.done:
        time.sleep(0.001)
    assert writer.wait().images == BATCH
    assert (writer.done, writer.wait()) == (False, None)
    assert checkpoint.newest(tmp_path)[0].step == 1


def test_a_disk_that_fails_behind_is_told_when_waited_for_and_the_next_one_is_written(tmp_path, monkeypatch):
    training, writer = trained(1), Writer(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "disk_usage", lambda path: checkpoint.shutil._ntuple_diskusage(10, 10, 1000))
        writer.start(training, {})
        with pytest.raises(CardiganError, match=r"disk full: 0 MB needed, 0 MB free\. No checkpoint was written yet"):
            writer.wait()
    writer.start(training, {})
    assert writer.wait().images == BATCH


def test_its_thread_ends_with_its_work_so_that_no_second_team_of_openmp_stays(tmp_path):
    training, writer = trained(1), Writer(tmp_path)
    writer.start(training, {})
    writer.wait()
    until = time.monotonic() + PATIENCE
    while (left := [thread.name for thread in threading.enumerate() if "beside" in thread.name]) and (
        time.monotonic() < until
    ):
        time.sleep(0.001)
    assert left == []


def test_two_at_a_time_are_refused(tmp_path, gate):
    training, writer = trained(1), Writer(tmp_path)
    writer.start(training, {})
    with pytest.raises(RuntimeError, match=r"still being written; wait\(\) for it first"):
        writer.start(training, {})


def test_only_a_slow_disk_is_worth_a_word():
    assert Written(images=1, seconds=SHORTEST_GRACE).warning == ""
    assert Written(images=1, seconds=20.4).warning == (
        "Saving took 20 s: a machine that is taken away within 15 s loses what is new."
    )
