"""Our learner against the real fastai's, where an interpreter has it; ``CARDIGAN_FASTAI_PYTHON`` names that one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cardigan

SCRIPT = Path(__file__).with_name("real_learner.py")


@pytest.fixture(scope="session")
def answers(tmp_path_factory):
    """What both libraries say."""
    python = os.environ.get("CARDIGAN_FASTAI_PYTHON", sys.executable)
    probe = [python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('fastai') is None)"]
    if subprocess.run(probe, check=False, timeout=60).returncode:
        pytest.skip(f"fastai is not installed for {Path(python).name}: CARDIGAN_FASTAI_PYTHON names an interpreter")
    folder = tmp_path_factory.mktemp("fastai-learner")
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    for place in range(10):
        pixels = rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{place}.png")
    environment = os.environ | {"PYTHONPATH": str(Path(cardigan.__file__).parents[1]), "PYTHONWARNINGS": "ignore"}
    command = [python, str(SCRIPT), str(folder / "photos"), str(folder / "answers.json")]
    for flags in ([], ["--without-torchvision"]):
        done = subprocess.run(
            [*command, *flags], capture_output=True, text=True, check=False, timeout=280, env=environment
        )
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "answers.json").read_text(encoding="utf-8"))


def test_optimizers_move_weights_as_theirs(answers):
    assert len(answers["ours"]) == 12
    for case, weights in answers["theirs"].items():
        assert (answers["ours"][case] == pytest.approx(weights, abs=1e-9)) is ("RMSProp {'eps'" not in case), case
    # Theirs takes eps and does not read it.
    assert answers["theirs"]["RMSProp {'eps': 0.1}"] == answers["theirs"]["RMSProp {}"]


def test_the_losses_of_five_critic_batches_and_a_generator_batch_are_theirs(answers):
    assert len(answers["theirs losses"]) == 6
    assert answers["ours losses"] == pytest.approx(answers["theirs losses"], abs=1e-6)


def test_their_epochs_begin_with_the_generator_and_ours_go_on(answers):
    assert answers["theirs turns"] == "cccccg" + "gccccc"  # validation left it in generator mode, the count began anew
    assert answers["ours turns"] == "cccccg" + "cccccg"


def test_their_critics_loss_needs_a_frozen_generator(answers):
    assert "leaf" in answers["unfrozen"]


def test_theirs_moves_the_idle_critic_and_ours_does_not(answers):
    assert answers["theirs drift"] > 1e-3
    assert answers["ours drift"] == 0.0


def test_mixed_losses_are_theirs(answers):
    theirs, ours = answers["weights_gen"]
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_our_learner_takes_their_data_loaders(answers):
    assert answers["lines"][0].split() == ["epoch", "train_loss", "gen_loss", "crit_loss", "time"]
    assert answers["counts"] == [5, 1]  # ten photos in batches of three, the last one left out, twice
    low, high, kind, shape = answers["real"]
    assert (kind, shape) == ("Tensor", [3, 3, 16, 16])
    assert -1 <= low < -0.7
    assert 0.7 < high <= 1
    assert answers["validates"] is False
    assert answers["picture"] == [3 * 16 + 4, 16]  # a batch of three
    assert answers["saved"].endswith("photos/models/from-fastai.safetensors")
