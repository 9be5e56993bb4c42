"""A run that draws, scored while it trains: nothing else changes, and killed anywhere it ends in the same bits."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cardigan import session
from cardigan.clock import Progress
from cardigan.data.words import significant
from cardigan.errors import CardiganError
from cardigan.launch import train
from cardigan.runs import load
from cardigan.sample import load_generator
from cardigan.training.loop import Training
from cardigan.trials import Budget, Drawn, Trials
from cardigan.trials.ledger import KEYS

BUDGET = 320
SETTINGS = {"recipe": "dcgan", "size": 16, "device": "cpu", "quiet": True, "images": BUDGET, "seed": 3, "trials": 4}
SETTINGS |= {"snapshots": 1, "width": 2, "latent": 8, "batch_size": 16, "conditional": False}


@pytest.fixture(scope="module", autouse=True)
def few_samples():
    """As many samples as say something, so that these tests stay quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardigan.trials.drawn.SAMPLES", 64)
        patch.setattr("cardigan.trials.drawn.FEWEST_SAMPLES", 64)
        patch.setattr("cardigan.copies.SAMPLES", 100)
        patch.setattr("cardigan.copies.SEARCHED", 200)
        yield


def run_to(out, **changes):
    return train("digits", out=out, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return run_to(tmp_path_factory.mktemp("finished") / "run")


def lines(run):
    """Measurements, without the seconds, which differ from run to run."""
    found = [json.loads(text) for text in run.folder.trials.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "took")} for line in found]


def model(folder):
    return (folder / "model.safetensors").read_bytes()


def told(run):
    return [
        event["text"] for event in run.folder.read_events() if not event["text"].startswith(("Resumed", "From here"))
    ]


def weights(run):
    """Everything in the newest checkpoint that training made."""
    newest = max((run.folder.path / "checkpoints").glob("step-*"))
    return {path.name: path.read_bytes() for path in newest.glob("*.safetensors")}


def test_scoring_changes_no_bit_of_the_training(finished, tmp_path):
    without = run_to(tmp_path / "run", trials=0)
    assert len(weights(without)) >= 3
    assert weights(without) == weights(finished)
    assert not without.folder.trials.exists()
    assert not without.folder.best.exists()
    assert told(without) == []
    assert load_generator(without.folder.generator)[1]["images"] == BUDGET


def test_a_finished_run_tells_its_scores_and_has_one_best_generator(finished):
    found = lines(finished)
    scores, again = found[:-1], found[-1]
    assert [line["images"] for line in scores] == [80, 160, 240, 320]
    assert again["again"]
    assert not any("again" in line for line in scores)
    assert all(line["samples"] == 64 for line in found)
    assert {line["against"] for line in found} == {"64 held-out images"}
    best = min(scores, key=lambda line: line["kid"])
    assert [path.name for path in finished.folder.best.iterdir()] == [str(best["images"])]
    facts = load_generator(finished.folder.generator)[1]
    assert again["images"] == facts["images"]
    (text,) = told(finished)
    assert text.startswith(
        f"Kept the generator of {facts['images']:,} images: KID x 1,000 {significant(1000 * again['kid'])} ± "
    )
    html = finished.folder.report.read_text(encoding="utf-8")
    assert "<title>Score: while training, kept, kept, on other noise, training images</title>" in html
    assert text.partition(":")[0] in html


class Killed(BaseException):
    """As by SIGKILL: nobody cleans up."""


def killed_in(monkeypatch, owner, name, *, number, after):
    """The call of that number ends the process, before it does anything or when all is done."""
    call, count = getattr(owner, name), [0]

    def killing(*arguments, **settings):
        due = count[0] == number
        count[0] += 1
        if due and not after:
            raise Killed
        result = call(*arguments, **settings)
        if due:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, killing)


def script(patch, scores):
    """Scores that are known before, by images seen; on other noise always the same."""
    measure, take, now = Drawn.measure, Trials.take, []

    def taking(self, network, progress, **told):
        now[:] = [progress.images]
        return take(self, network, progress, **told)

    def known(self, network, *, stream="trial samples"):
        found = measure(self, network, stream=stream)
        kid = scores[now[0]] if stream == "trial samples" else 0.123
        # Groups that move by themselves: from score to score another one is the odd one.
        left = [kid + 0.001 * (now[0] // 80 % 4 == group) for group in range(4)]
        return found | {"kid": kid, "error": 0.001, "left": left}

    patch.setattr(Trials, "take", taking)
    patch.setattr(Drawn, "measure", known)


RISING = {80: 0.5, 160: 0.4, 240: 0.1, 320: 0.3}
"""The third generator is the best, and each of the first three is the best so far."""


def test_the_generator_with_the_lowest_score_is_published_and_told_by_another_score(monkeypatch, tmp_path):
    script(monkeypatch, RISING)
    states = {}
    publish = session.publish

    def watched(network, folder, *, facts):
        states[folder.name] = {name: value.clone() for name, value in network.state_dict().items()}
        publish(network, folder, facts=facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "publish", watched)
        run = run_to(tmp_path / "run")
    network, facts = load_generator(run.folder.generator)
    assert facts["images"] == 240
    state = network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in states["240"].items())
    assert any(not torch.equal(state[name], value) for name, value in states["160"].items())
    assert [path.name for path in run.folder.best.iterdir()] == ["240"]
    assert told(run)[-1].startswith(
        "Kept the generator of 240 images: KID x 1,000 123 ± 1 on noise that it was not chosen by (100 ± 1 when it was "
        "chosen); the last, of 320 images, scored 300 ± 1. 64 samples against 64 held-out images, through a quick look"
    )
    trials = run._contents().trials
    assert [line["images"] for line in trials if line["best"]] == [240, 240]


def test_all_that_may_be_published_are_normalised_on_as_many_images(monkeypatch, tmp_path):
    """A sixteenth of the 320 of the run, also of the generators that are put aside on the way."""
    monkeypatch.setattr(session, "MEASURED", 1)  # so that pictures are told from scores
    published, asked = Training.published, []

    def watched(self, batches, *, images):
        asked.append(images)
        return published(self, batches, images=images)

    monkeypatch.setattr(Training, "published", watched)
    run_to(tmp_path / "run")
    assert [images for images in asked if images != 1] == [20] * 5  # four scores, and the end


@pytest.mark.parametrize(
    ("images", "budget", "expected"),
    [
        (80, Budget(32_000, None), 1024),
        (80, Budget(8_000, None), 500),
        (8_000, Budget(8_000, None), 500),
        (80, Budget(100, None), 64),
        (4_000, Budget(None, 1.0), 500),  # at 30 of 60 seconds 8,000 are expected
        (0, Budget(None, 1.0), 64),
    ],
)
def test_how_many_images_that_are_follows_from_the_whole_run(images, budget, expected):
    standing = SimpleNamespace(
        budget=budget,
        spent=budget.share(images=images, seconds=30.0 if images else 0.0),
        training=SimpleNamespace(progress=Progress(images=images)),
    )
    assert session.Session._normalised_on.fget(standing) == expected


def test_where_the_last_is_as_good_it_is_published_as_without_scores(monkeypatch, tmp_path):
    script(monkeypatch, RISING | {320: 0.1001})
    run, without = run_to(tmp_path / "run"), run_to(tmp_path / "without", trials=0)
    assert model(run.folder.generator) == model(without.folder.generator)
    assert "the lowest of 3 before, 100 ± 1 after 240, is within chance" in told(run)[-1]


@pytest.fixture(scope="module")
def risen(tmp_path_factory):
    """An undisturbed run of such scores."""
    with pytest.MonkeyPatch.context() as patch:
        script(patch, RISING)
        return run_to(tmp_path_factory.mktemp("risen") / "run")


@pytest.mark.parametrize(
    ("where", "number", "after"),
    [
        ("measured", 1, True),
        ("put aside", 0, False),
        ("put aside", 2, False),
        ("put aside", 2, True),
        ("written", 1, True),
        ("written", 3, False),
        ("published", 0, False),
        ("confirmed", 0, False),
        ("confirmed", 0, True),
    ],
)
def test_killed_anywhere_around_a_score_it_goes_on_to_the_same_bits(monkeypatch, risen, tmp_path, where, number, after):
    script(monkeypatch, RISING)
    places = {
        "measured": (Drawn, "measure"),
        "put aside": (session, "publish"),
        "written": (Trials, "write"),
        "published": (session.Session, "finish"),
        "confirmed": (Drawn, "confirm"),
    }
    with pytest.MonkeyPatch.context() as patch:
        killed_in(patch, *places[where], number=number, after=after)
        with pytest.raises(Killed):
            run_to(tmp_path / "run")
    turns = 5 * (number + 1) if where in ("measured", "put aside", "written") else 20
    newest = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    assert newest.name == f"step-{turns:09d}", "nobody is set back behind what was measured"
    run = run_to(tmp_path / "run")
    assert model(run.folder.generator) == model(risen.folder.generator)
    assert lines(run) == lines(risen)
    assert told(run) == told(risen)
    (best,), (wanted,) = ([*each.folder.best.iterdir()] for each in (run, risen))
    assert best.name == wanted.name == "240"
    assert model(best) == model(wanted)
    assert weights(run) == weights(risen)


def test_a_finished_run_is_left_as_it_is(finished, tmp_path):
    out = Path(shutil.copytree(finished.path, tmp_path / "run"))
    again = run_to(out)
    assert model(again.folder.generator) == model(finished.folder.generator)
    assert again.folder.trials.read_bytes() == finished.folder.trials.read_bytes()
    assert told(again) == told(finished)


def test_it_is_told_once_that_the_generator_has_become_worse(monkeypatch, tmp_path, capsys):
    script(monkeypatch, {80: 0.1, 160: 0.3, 240: 0.4, 320: 0.5})
    with pytest.MonkeyPatch.context() as patch:
        killed_in(patch, Trials, "write", number=2, after=False)
        with pytest.raises(Killed):
            run_to(tmp_path / "run", quiet=False)
    run = run_to(tmp_path / "run", quiet=False)
    worse = (
        "The generator has become worse since 80 images, as two scores in a row say. The one of then is put aside; "
        "training goes on."
    )
    assert told(run).count(worse) == 1
    assert told(run)[-1].startswith("Kept the generator of 80 images: ")
    shown = capsys.readouterr().err
    assert shown.count(worse) == 1
    assert shown.count("Kept the generator of 80 images: ") == 1
    assert worse in run.folder.report.read_text(encoding="utf-8")


def test_with_more_budget_the_best_so_far_goes_on_competing(monkeypatch, tmp_path):
    script(monkeypatch, {80: 0.1, 160: 0.3, 240: 0.4, 320: 0.5, 480: 0.6, 640: 0.2})
    run = run_to(tmp_path / "run")
    before = model(run.folder.generator)
    longer = run_to(tmp_path / "run", images=640, resume=True)
    assert [line["images"] for line in lines(longer)] == [80, 160, 240, 320, 480, 640, 80]
    assert model(longer.folder.generator) == before


def test_conditional_generators_are_scored_and_a_report_opens_without_training(tmp_path):
    run = run_to(tmp_path / "run", conditional=True, trials=2, images=64)
    assert len(lines(run)) == 3
    (run.path / "report.html").unlink()
    load(run.path).report()
    assert "Score: while training" in (run.path / "report.html").read_text(encoding="utf-8")


def test_with_nothing_held_out_it_is_said_before_training(tmp_path):
    run = run_to(tmp_path / "run", hold_out=0, images=64)
    assert run.config["because"][-1].startswith("No image is held out, expected 50 or more: while it trains, ")
    assert {line["against"] for line in lines(run)} == {"64 training images"}
    assert "training images</title>" not in run.folder.report.read_text(encoding="utf-8")


def test_too_few_images_and_too_small_a_budget_are_not_scored(tmp_path):
    assert not run_to(tmp_path / "short", trials=None).folder.trials.exists()
    np.savez(tmp_path / "few.npz", images=np.random.default_rng(0).integers(0, 256, (19, 16, 16, 1), np.uint8))
    few = train(tmp_path / "few.npz", out=tmp_path / "few", **(SETTINGS | {"images": 32}))
    assert not few.folder.trials.exists()


def test_what_scores_look_through_can_be_named(tmp_path):
    run = run_to(tmp_path / "run", images=64, trials=1, score_features="gradients")
    assert {line["through"] for line in lines(run)} == {"gradients"}
    with pytest.raises(CardiganError, match="There is no extractor 'gradiens'"):
        run_to(tmp_path / "other", score_features="gradiens")
    assert not (tmp_path / "other").exists()


def test_a_restoration_is_not_measured_by_these(tmp_path):
    np.savez(tmp_path / "photos.npz", images=np.random.default_rng(0).integers(0, 256, (9, 24, 24, 3), np.uint8))
    settings = {"recipe": "restore", "size": 16, "images": 16, "device": "cpu", "quiet": True}
    for given, left in (({"trials": 3}, "it"), ({"trials": 0, "score_features": "pixels"}, "them")):
        with pytest.raises(CardiganError) as caught:
            train(tmp_path / "photos.npz", out=tmp_path / "run", **settings, **given)
        assert str(caught.value) == (
            f"{' and '.join(given)} cannot be set here: a restoration is measured as its recipe says, by PSNR and "
            f"texture. Leave {left} out."
        )


def test_every_line_has_what_every_measurement_tells(finished):
    assert all(line.keys() >= KEYS - {"seconds"} for line in lines(finished))
