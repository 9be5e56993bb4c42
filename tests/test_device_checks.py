"""What was found of a device: when it is looked for, kept, read again, told, and shared by all processes."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import cardigan
from cardigan import device_checks as room
from cardigan import recipes
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.device_checks import DeviceCheck, driver, noted
from cardigan.recipes import Task
from cardigan.training import Training
from cardigan.training.selfcheck import Findings, taken

STORE = Store.from_arrays(np.random.default_rng(0).integers(0, 256, (16, 16, 16, 1), np.uint8))
PATHS = ("resident batches", "fused optimizer", "channels last")


@pytest.fixture
def run():
    recipe = recipes.prepare("quick", Task(16, 16, 1), seed=1, batch_size=8, width=4)
    return recipe, Training(recipe.gan, optimizers=recipe.optimizers, seed=1), batches(STORE, batch_size=8)


@pytest.fixture
def looked(monkeypatch):
    """How often somebody looked; and what is found."""
    seen = SimpleNamespace(times=0, found=Findings(PATHS))

    def look(*given):
        seen.times += 1
        return seen.found

    monkeypatch.setattr(room, "selfcheck", look)
    return seen


@pytest.mark.parametrize(
    ("wanted", "kind", "times"), [(None, "cpu", 0), (True, "cpu", 1), (False, "cuda", 0), (None, "mps", 1)]
)
def test_a_cpu_is_looked_at_only_where_that_is_asked_for(wanted, kind, times, run, looked, tmp_path):
    recipe, trained, drawn = run
    trained.device = torch.device(kind)  # declared, not there
    same, found = DeviceCheck(wanted, tmp_path)(recipe, trained, drawn)
    assert looked.times == times
    assert same is drawn
    assert found == (Findings(PATHS) if times else None)


def test_what_was_found_is_kept_until_something_is_new(run, looked, tmp_path):
    recipe, trained, drawn = run
    said = []
    check = DeviceCheck(True, tmp_path, {"width": 4}, said.append)
    for _ in range(2):
        assert check(recipe, trained, drawn)[1] == Findings(PATHS)
    assert looked.times == len(said) == 1
    (path,) = (tmp_path / "device-checks").iterdir()
    kept = json.loads(path.read_text())
    assert (kept["torch"], kept["same"], kept["batch"]) == (torch.__version__, list(PATHS), 8)
    DeviceCheck(True, tmp_path, {"width": 8})(recipe, trained, drawn)
    assert looked.times == 2, "other networks"
    check(recipe, trained, batches(STORE, batch_size=4))
    assert looked.times == 3, "another batch"
    path.write_text("{")
    check(recipe, trained, drawn)
    assert looked.times == 4, "what cannot be read is looked for again"


def test_what_could_not_be_compared_is_tried_again(run, looked, tmp_path):
    recipe, trained, drawn = run
    looked.found = Findings(problem="The self-check did not fit into memory.")
    for _ in range(2):
        assert DeviceCheck(True, tmp_path)(recipe, trained, drawn)[1].problem
    assert looked.times == 2


def test_a_folder_that_cannot_be_written_keeps_nothing(run, looked, forbidden):
    recipe, trained, drawn = run
    assert DeviceCheck(True, forbidden)(recipe, trained, drawn)[1] == Findings(PATHS)


def test_what_is_dropped_is_dropped_in_every_sitting(run, looked, tmp_path):
    recipe, trained, drawn = run
    looked.found = Findings(PATHS[:1], {"fused optimizer": "it fails", "channels last": "it fails"})
    for _ in range(2):
        trained = Training(recipe.gan, optimizers=recipe.optimizers, seed=1)
        DeviceCheck(True, tmp_path)(recipe, trained, drawn)
        assert taken(trained, drawn) == ["resident batches"]
    assert looked.times == 1, "the second sitting knew"


def test_a_path_has_to_be_right_in_every_stage(run, looked, tmp_path, monkeypatch):
    recipe, trained, drawn = run
    found = iter([Findings(PATHS), Findings(PATHS[:2], {"channels last": "it fails"})])
    monkeypatch.setattr(room, "selfcheck", lambda *given: next(found))
    stages = (replace(recipe.course[0], name="one", until=0.5), recipe.course[0])
    two = SimpleNamespace(course=stages)
    assert DeviceCheck(True, tmp_path)(two, trained, drawn)[1] == Findings(PATHS[:2], {"channels last": "it fails"})


def test_what_another_process_drops_is_dropped_here(run, looked, tmp_path):
    """The exchange is a stand-in: the other process says that bfloat16 and channels last differ."""
    recipe, trained, drawn = run
    said = torch.tensor([int(name in ("channels last", "bfloat16")) for name in room.NAMES])
    trained.crew = SimpleNamespace(count=2, largest=lambda mine: torch.maximum(mine, said))
    _, found = DeviceCheck(True, tmp_path)(recipe, trained, drawn)
    assert found == Findings(PATHS[:2], {"channels last": "in another process"})
    assert not trained.way.channels_last


def test_a_driver_is_told_as_far_as_it_tells(tmp_path, monkeypatch):
    assert driver(torch.device("cpu"))
    assert driver(torch.device("mps")).startswith("macOS")
    (tmp_path / "version").write_text("NVRM version: 550.1\nGCC\n")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    told = driver(torch.device("cuda"), tmp_path / "version")
    assert told.startswith("NVRM version: 550.1 CUDA ")
    assert told.endswith("capability 9.0")
    assert driver(torch.device("cuda"), tmp_path / "none").startswith(" CUDA ")


def test_findings_are_noted():
    assert noted(None) == {}
    assert noted(Findings(("bfloat16",), {}, "why")) == {"same": ["bfloat16"], "dropped": {}, "problem": "why"}


def test_a_run_notes_what_it_found_and_does_without(tmp_path, monkeypatch, capsys):
    """On a CPU, because it is asked for; the fused optimizer is broken on purpose."""
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path / "cache"))
    real = torch.optim.Adam.step

    def step(self, closure=None):
        found = real(self, closure)
        if self.param_groups[0]["fused"]:
            self.param_groups[0]["params"][0].data.zero_()
        return found

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    options = {
        "recipe": "quick",
        "size": 16,
        "images": 16,
        "batch_size": 8,
        "width": 4,
        "trials": 0,
        "self_check": True,
    }
    run = cardigan.train("digits", out=tmp_path / "run", **options)
    (sitting,) = run.config["sittings"]
    assert sitting["self_check"]["same"] == ["resident batches", "channels last"]
    assert list(sitting["self_check"]["dropped"]) == ["fused optimizer"]
    told = (
        "fused optimizer does not compute on this CPU what the plain way does (the discriminator's optimizer makes the"
    )
    assert told in capsys.readouterr().err
    assert any(told in event["text"] for event in run.folder.read_events())
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "resident batches, channels last: as the plain way; done without fused optimizer" in report
