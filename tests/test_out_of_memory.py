"""Memory that runs out: in training, drawing and measuring, in words; through stand-ins for full devices."""

import errno

import numpy as np
import pytest
import torch

from cardigan import cli, recipe_text, sample, scoring
from cardigan.crew import Crew
from cardigan.errors import CardiganError
from cardigan.launch import _too_little, train
from cardigan.models.dcgan import Generator
from cardigan.out_of_memory import TooLittleMemoryError, asked_for, ran_out
from cardigan.place import Place, tells
from cardigan.request import Request, check, smaller_size
from cardigan.training import checkpoint
from cardigan.training.loop import Training

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 7.79 GiB.")
TINY = {"recipe": "dcgan", "size": 16, "width": 2, "latent": 8, "batch_size": 16, "conditional": False, "seed": 3}
TINY |= {"device": "cpu", "checkpoint_seconds": 3600, "snapshots": 1, "trials": 0}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path_factory.getbasetemp() / "cache of out of memory"))


def small(out, **changes):
    return train("digits", out=out, **(TINY | {"images": 64, "quiet": True} | changes))


def model(run):
    return (run.folder.generator / "model.safetensors").read_bytes()


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def full_in_turn(monkeypatch, *numbers, error=FULL):
    """Some turns, counted from 1 over all attempts, fail half-way, when weights have moved; what batches were used."""
    turn, resident = Training.turn, []

    def failing(self, batches, turns):
        resident.append(getattr(batches, "batches", batches)._resident is not None)
        record = turn(self, batches, turns)
        if len(resident) in numbers:
            raise error
        return record

    monkeypatch.setattr(Training, "turn", failing)
    return resident


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you tried"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.07 GB)"),
        RuntimeError("Invalid buffer size: 12.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("Storage size calculation overflowed with sizes=[4611686018427387904, 1024]"),
    ],
)
def test_memory_that_ran_out_is_recognised_also_behind_another_error(error):
    assert ran_out(error)
    told = CardiganError("The generator fails.")
    told.__cause__ = error
    assert ran_out(told)
    assert not ran_out(TooLittleMemoryError("told already"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        OSError(errno.ENOSPC, "No space left on device"),
        CardiganError("A text that says out of memory"),
        KeyError("out of memory"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not ran_out(error)


@pytest.mark.parametrize("request_", [lambda: torch.empty(2**50, dtype=torch.uint8), lambda: np.empty(2**59, np.uint8)])
def test_what_the_allocators_here_raise_is_recognised(request_):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        request_()
    assert ran_out(caught.value)
    assert "were asked for" in asked_for(caught.value)


def test_training_goes_on_from_the_last_checkpoint_with_the_images_on_disk_and_ends_in_the_same_bits(
    tmp_path, monkeypatch, capsys
):
    whole = small(tmp_path / "whole")
    resident = full_in_turn(monkeypatch, 3)
    run = small(tmp_path / "run", quiet=False)
    assert resident == [True] * 3 + [False] * 4
    assert model(run) == model(whole)
    text = (
        "The memory of this machine is full (2.00 GiB more were asked for). Training begins once more at the last "
        "checkpoint, and the images stay on disk."
    )
    assert text in capsys.readouterr().err
    assert text in [event["text"] for event in run.folder.read_events()]


def test_memory_that_runs_out_again_is_told_with_what_to_type_and_the_checkpoint_stays(tmp_path, monkeypatch):
    run = small(tmp_path / "run")
    before = files(run.folder.checkpoints)
    with monkeypatch.context() as patch:
        resident = full_in_turn(patch, *range(1, 99))
        with pytest.raises(TooLittleMemoryError) as caught:
            small(run.path, images=128, resume=True)
    assert str(caught.value) == (
        "The memory of this machine is full (2.00 GiB more were asked for). The last checkpoint, of 64 images, is "
        "safe. Type --set batch_size=8 --resume to go on. Or close other programs that use this memory."
    )
    assert len(resident) == 2, "tried twice, not more"
    assert files(run.folder.checkpoints) == before
    saved, _ = checkpoint.newest(run.folder.checkpoints)
    assert saved.state["images"] == 64
    assert small(run.path, images=128, batch_size=8, resume=True).folder.generator.exists()


def test_a_network_that_asks_for_more_than_there_is_ends_the_command_in_words(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Generator, "forward", lambda self, latents, labels=None: torch.empty(2**50, device="cpu"))
    words = [f"--set={key}={value}" for key, value in TINY.items() if key not in ("recipe", "size", "seed", "device")]
    words += ["--recipe", "dcgan", "--size", "16", "--device", "cpu", "--images", "64", "--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "digits", *words])
    told = capsys.readouterr().err
    assert caught.value.code == 2
    assert "Traceback" not in told
    assert "(4194304.00 GiB more were asked for). The last checkpoint, of 0 images, is safe." in told
    assert "Type --set batch_size=8 --resume to go on." in told


def test_time_does_not_go_back(tmp_path, monkeypatch):
    """A budget in minutes ends when it was to end."""
    seen, turn = [], Training.turn

    def watched(self, batches, turns):
        seen.append(self.progress.seconds)
        if len(seen) == 3:
            raise KeyError("seen enough")
        record = turn(self, batches, turns)
        if len(seen) == 2:
            self.progress.seconds += 1000.0
            raise FULL
        return record

    monkeypatch.setattr(Training, "turn", watched)
    with pytest.raises(KeyError, match="seen enough"):
        small(tmp_path / "run", images=None, minutes=600, pace=False)
    assert seen[2] >= seen[1] + 1000.0


def test_one_of_several_processes_says_which_it_is_and_what_divides_among_them():
    request = Request("photos", recipe="dcgan", size=(64, 96))
    settings = check(Request("photos", recipe="dcgan", settings={"batch_size": 30}), device="cpu")
    error = _too_little(FULL, request, settings, "cuda:2", None, Crew(2, 4))
    assert str(error).startswith("Process 2, on ")
    assert (
        "The memory of cuda:2 is full (2.00 GiB more were asked for). What was saved is as it was. Type --set "
        "batch_size=12. Or type --size 32x48."
    ) in str(error)
    assert tells(error, Place(2, 4, 2, 4)), "no other process knows"


@pytest.mark.parametrize(
    ("recipe", "size", "smaller"),
    [
        ("dcgan", (64, 64), (32, 32)),
        ("dcgan", (4, 4), None),
        ("restore", (96, 96), (48, 48)),
        ("vanilla-as-printed", (28, 28), None),
    ],
)
def test_a_smaller_size_is_one_that_the_recipe_draws(recipe, size, smaller):
    request = Request("photos", recipe=recipe)
    assert smaller_size(request, check(request, device="cpu"), *size) == smaller


class Full(Generator):
    """Stands for a generator on a full device."""

    def forward(self, latents, labels=None):
        raise FULL


def test_drawing_and_measuring_say_what_takes_less(tmp_path, monkeypatch):
    network = Full(size=16, latent=8, width=2)
    with pytest.raises(TooLittleMemoryError, match=r"Drawing 16 images at once on cpu does not fit"):
        sample.draw(network, torch.zeros(3, 8))

    def full(*arguments, **settings):
        raise FULL

    monkeypatch.setattr(scoring, "measure", full)
    pictures = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 3), dtype=np.uint8)
    for name in ("drawn", "photos"):
        np.savez(tmp_path / f"{name}.npz", images=pictures)
    with pytest.raises(TooLittleMemoryError, match=r"asked for\). Type a smaller --size, or close other programs"):
        scoring.evaluate(tmp_path / "drawn.npz", against=tmp_path / "photos.npz", features="pixels")


def test_every_other_command_ends_in_words_too(monkeypatch, capsys):
    def full():
        raise FULL

    monkeypatch.setattr(recipe_text, "overview", full)
    with pytest.raises(SystemExit) as caught:
        cli.main(["recipes"])
    assert caught.value.code == 2
    assert "memory of this machine or of its GPU is full (2.00 GiB more were asked for)" in capsys.readouterr().err
