"""The commands that measure: what evaluate and compare print, and that a mistake ends with its message and code 2."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cardigan import cli
from cardigan.evaluation.card import CARD, load_card
from cardigan.evaluation.words import told
from cardigan.launch import train

SETTINGS = {"size": 16, "images": 64, "device": "cpu", "quiet": True, "snapshots": 1, "width": 2, "batch_size": 16}


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of two runs of one kind, and files."""
    folder = tmp_path_factory.mktemp("made")
    np.savez(folder / "photos.npz", images=noise(600))
    np.savez(folder / "drawn.npz", images=noise(100, 1))
    for name, seed in (("a", 0), ("b", 1)):
        train(folder / "photos.npz", recipe="quick", out=folder / name, seed=seed, **SETTINGS)
        cli.main(["evaluate", str(folder / name), "--features", "gradients", "--count", "30"])
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of it as the working folder."""
    folder = Path(shutil.copytree(made, tmp_path / "here"))
    monkeypatch.chdir(folder)
    return folder


def failure(capsys, *words):
    """What a command that must fail says on standard error, less its progress."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert "Traceback" not in err + out
    assert out == ""
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]
    assert lines[0].startswith("cardigan: ")
    return "\n".join(lines).removeprefix("cardigan: ")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- evaluate ------------------------------------------------------------------------------------------------------


def test_evaluate_prints_the_card_that_it_writes(capsys, here):
    (here / "a" / CARD).unlink()
    cli.main(["evaluate", "a", "--features", "gradients", "--count", "30", "--seed", "4", "--device", "cpu"])
    out, err = capsys.readouterr()
    card = load_card(here / "a" / CARD)
    assert out == told(card) + "\n"
    assert "WARNING, few samples: Only 90 samples: rough numbers. Take 1,000 or more." in out
    assert (card.protocol.seeds, card.protocol.generated) == ((4,), 30)
    steps = ["reading the real images", "drawing 3 x 30 samples", "looking for an extractor"]
    steps += ["looking through gradients at 90 samples", "writing the report anew"]
    assert err == "".join(f"{step} ...\n" for step in steps)


def test_evaluate_measures_files_and_writes_where_it_is_told(capsys, here):
    before = contents(here)
    words = ["--against", "photos.npz", "--features", "gradients", "--size", "8x12"]
    cli.main(["evaluate", "drawn.npz", *words, "--out", "card.json"])
    card = load_card(here / "card.json")
    assert card.protocol.shape == (8, 12, 3)
    assert capsys.readouterr().out == told(card) + "\n"
    cli.main(["evaluate", "drawn.npz", *words])
    after = contents(here)
    assert set(after) - set(before) == {here / "card.json"}
    assert before.items() <= after.items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["nothing"],
            "There is nothing at nothing. Expected a run's folder, or generated images and --against IMAGES.",
        ),
        (["drawn.npz"], "drawn.npz is no run, so there is nothing to measure it against. Name real images: cardigan"),
        (["drawn.npz", "--against", "absent"], "absent"),
        (
            ["drawn.npz", "--against", "photos.npz", "--size", "x"],
            "--size is 'x', expected a side such as 64, or HEIGHT",
        ),
        (
            ["drawn.npz", "--against", "photos.npz", "--count", "9"],
            "--count is of a run's draws; all images in drawn.npz",
        ),
        (["a", "--count", "2"], "--count is 2, expected the number of samples in each part: more than 5, better 1000."),
        (["a", "--size", "32"], "A run is measured at its own size, 16x16. Leave --size out."),
        (["a", "--features", "pixls"], "There is no extractor 'pixls'. Expected inception or inception=FILE"),
        (["a", "--features", "inception="], "inception= names no file, expected inception or inception=FILE."),
        (["a", "--device", "gpu"], "--device is 'gpu', expected auto, cpu, cuda, cuda:N or mps."),
        (["a", "--out", "b"], "The score card cannot be written to b: it is a folder. Choose another --out."),
        (["a", "--featurs", "own"], 'Did you mean "--features"?'),
        (
            ["a", "--features", "own"],
            "The extractor own learns from real images and their labels, and none were given.",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_and_loses_nothing(capsys, here, words, message):
    before = contents(here)
    told = failure(capsys, "evaluate", *words)
    assert message.replace('"', "") in told.replace('"', "")
    assert contents(here) == before


# --- compare -------------------------------------------------------------------------------------------------------


def test_compare_ranks_runs_and_cards(capsys, here):
    cards = {name: load_card(here / name / CARD) for name in "ab"}
    first, second = sorted("ab", key=lambda name: cards[name].score("kid").value)
    for words in (["a", "b"], ["b", str(here / "a" / CARD)]):
        cli.main(["compare", *words])
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"1. {cards[first].subject}: kernel distance (KID) x 1,000 ")
        assert lines[1].startswith(f"2. {cards[second].subject}: ")
        assert lines[2].startswith("Lower is better. All by protocol ")
    first, second = sorted("ab", key=lambda name: -cards[name].score("coverage").value)
    cli.main(["compare", "a", "b", "--metric", "coverage"])
    assert capsys.readouterr().out.startswith(f"1. {cards[first].subject}: coverage ")


def test_compare_refuses_what_was_measured_otherwise(capsys, here):
    cli.main(["evaluate", "b", "--features", "pixels", "--count", "40", "--out", "b.json"])
    before = contents(here)
    told = failure(capsys, "compare", "a", "b.json")
    assert "were not measured in the same way, so their numbers cannot be ranked. They differ in extractor: " in told
    assert "gradients and pixels (PCA); digest: " in told
    assert "; generated: 30 and 40; " in told
    assert contents(here) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "A comparison takes two runs or score cards at least, got 0. Type: cardigan compare RUN OTHER"),
        (["a"], "A comparison takes two runs or score cards at least, got 1."),
        (["a", "c"], "There is no score card c. Name a run's folder, or a score card."),
        (["a", "."], "There is no score card scores.json. Name a run's folder, or a score card."),
        (["a", "photos.npz"], "photos.npz is damaged, or no score card ("),
        (["a", "b", "--metric", "fid"], "has no score 'fid'. Expected one of those it has: kid, precision, recall,"),
        (["a", "b", "--metric", "authenticity"], "authenticity ranks nothing: neither more nor less of it is better."),
    ],
)
def test_what_cannot_be_compared_is_told(capsys, here, words, message):
    before = contents(here)
    assert message in failure(capsys, "compare", *words)
    assert contents(here) == before


def test_a_run_that_was_not_measured_is_told(capsys, here):
    (here / "b" / CARD).unlink()
    assert failure(capsys, "compare", "a", "b") == (
        "There is no score card b/scores.json. Measure first: cardigan evaluate b"
    )


def test_a_card_of_an_earlier_generator_is_told(capsys, here):
    path = here / "b" / CARD
    card = json.loads(path.read_text())
    card["trained"]["generator"] = "0" * 64
    path.write_text(json.dumps(card))
    assert failure(capsys, "compare", "a", "b") == (
        "The score card of b is about another generator than the run has now. Measure again: cardigan evaluate b"
    )


def test_settings_say_how_files_are_read(capsys, here):
    for part, seed in (("train", 1), ("test", 2)):
        (here / "set" / part).mkdir(parents=True)
        for place in range(30):
            pixels = np.random.default_rng(100 * seed + place).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(here / "set" / part / f"{place}.png")
    words = ["set", "--against", "drawn.npz", "--features", "gradients"]
    cli.main(["evaluate", *words, "--out", "train.json"])
    cli.main(["evaluate", *words, "--out", "test.json", "--set", "split=test"])
    train, test = (json.loads((here / f"{part}.json").read_text(encoding="utf-8")) for part in ("train", "test"))
    assert train["scores"] != test["scores"]
    assert failure(capsys, "evaluate", *words, "--set", "splt=test") == (
        "There is no setting 'splt'. Did you mean 'split'?"
    )
    assert failure(capsys, "evaluate", "a", "--set", "split=test") == (
        "split cannot be set here: a run is measured on its own data, as it was read. Name other images with "
        "--against, or leave the settings out."
    )


# --- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("evaluate", {"--against", "--features", "--count", "--seed", "--size", "--device", "--out", "--set"}),
        ("compare", {"--metric"}),
    ],
)
def test_the_flags_are_frozen(capsys, command, flags):
    cli.main([command, "--help"])
    told = capsys.readouterr().out
    assert f"cardigan {command}" in told
    found = {word.strip("│,.") for word in told.split() if word.strip("│").startswith("--")}
    assert found - {"--minutes"} - {f"--no-{flag[2:]}" for flag in flags} == flags  # the last line names train's


def test_a_real_process_prints_no_traceback_and_exits_with_2(here):
    command = [sys.executable, "-m", "cardigan", "compare", "a"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cardigan: A comparison takes two runs or score cards at least, got 1.")
