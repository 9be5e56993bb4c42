"""Long races: what is kept, what is told of it, and what may not be mixed."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ARMS, POINTS = ["auto", "tutorial:dcgan"], [10.0, 20.0]


@pytest.fixture
def quality(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import quality

    return quality


@pytest.fixture
def run(quality, monkeypatch, tmp_path):
    """A race of two arms whose scores are known: at each point the tutorial's is ten times ours."""
    eyes = SimpleNamespace(floor=1.25, told="a stub")
    raced = []

    def race(arms, points, _, samples):
        raced.append(list(arms))
        scale = {"auto": 1.0, "auto@10": 0.5, "tutorial:dcgan": 10.0}
        return {
            arm: [
                {"seconds": point, "images": 7, "score": scale[arm] * samples / point}
                for point in points_of(arm, points)
            ]
            for arm in arms
        }

    from bench.race import points_of

    images = SimpleNamespace(train=np.zeros((1, 28, 28, 1), np.uint8))
    monkeypatch.setattr(quality, "images_of", lambda name, path: images)
    monkeypatch.setattr(quality, "eyes_for", lambda name, images, *, kept, weights: eyes)
    monkeypatch.setattr(quality, "contender", lambda arm, *_, **__: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(quality, "race", race)

    def call(*words):
        folders = ["--out", str(tmp_path / "runs"), "--results", str(tmp_path / "results")]
        seconds = ["--seconds", *(f"{point:g}" for point in POINTS)]
        monkeypatch.setattr(sys, "argv", ["quality.py", "mnist", "m.npz", *seconds, *folders, *words])
        quality.main()

    call.raced, call.eyes, call.folder = raced, eyes, tmp_path
    return call


def test_what_is_complete_is_not_raced_again_and_the_answer_fills_a_table(run):
    from bench.pages import filled
    from bench.table import newest

    run("--arms", "auto", "--seeds", "1", "--samples", "20")
    run("--arms", *ARMS, "--seeds", "2", "--samples", "20")
    assert run.raced == [["auto"], ["tutorial:dcgan"], ARMS]
    found = newest(run.folder / "results", "race-mnist")
    told = {row.name: row.values for row in found.rows}
    assert [row.values for row in found.rows if row.name == "mnist after 20 s of one core"] == [
        {"auto": [1.0, 1.0]},
        {"tutorial:dcgan": [10.0, 10.0]},
    ]
    assert told["mnist: to the score of tutorial:dcgan after 20 s"] == {"tutorial:dcgan": [20.0], "auto": [10.0]}
    page = filled(
        "<!-- bench:races --> <!-- /bench:races --> <!-- bench:summary --> <!-- /bench:summary -->",
        run.folder / "results",
    )
    assert page.count("| mnist: to the score of tutorial:dcgan after 20 s |") == 2
    kept = json.loads(next((run.folder / "runs").glob("*.json")).read_text())
    assert "commit" in kept["rows"]["auto"]["0"][0]


def test_a_run_with_a_budget_of_its_own_ends_there(run):
    from bench.table import newest

    run("--arms", "auto@10", "tutorial:dcgan", "--seeds", "1", "--samples", "20")
    found = newest(run.folder / "results", "race-mnist")
    assert [(row.name, *row.values.items()) for row in found.rows] == [
        ("mnist after 10 s of one core", ("auto@10", [1.0])),
        ("mnist after 10 s of one core", ("tutorial:dcgan", [20.0])),
        ("mnist after 20 s of one core", ("tutorial:dcgan", [10.0])),
        ("mnist: to the score of tutorial:dcgan after 20 s", ("tutorial:dcgan", [20.0]), ("auto@10", [10.0])),
    ]


def test_a_budget_that_is_not_a_point_is_refused(run, capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--arms", "auto@15", "--seeds", "1")
    assert stopped.value.code == 2
    assert "auto@15: its seconds are not among --seconds 10 20" in capsys.readouterr().err
    assert run.raced == []


@pytest.mark.parametrize("changed", ["samples", "eyes"])
def test_scores_of_other_samples_or_other_eyes_are_not_mixed(run, changed):
    run("--arms", "auto", "--seeds", "1", "--samples", "20")
    if changed == "eyes":
        run.eyes.told = "another stub"
    with pytest.raises(SystemExit, match=f"cannot be added to: {changed} was (20|a stub), is (30|another stub)"):
        run("--arms", "auto", "--seeds", "2", "--samples", "30" if changed == "samples" else "20")
    assert run.raced == [["auto"]]
