"""A run with stages: a restoration from photos to report, stopped and gone on with in each of its stages."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import interrupts, session
from cardigan.data.holding import training_part
from cardigan.errors import CardiganError
from cardigan.interrupts import InterruptedRunError
from cardigan.launch import train
from cardigan.recipes import Compromise
from cardigan.runs import load
from cardigan.sample import load_generator
from cardigan.training.loop import Training
from cardigan.trials import HeldOut

TINY = {"width": 2, "levels": 1, "blocks": 1, "discriminator_width": 2, "batch_size": 4, "snapshots": 2}
TINY["threshold"] = 10.0  # so tiny a critic would never hand over
BUDGET = 160  # 40 turns: 24 of content, 4 of the critic, 12 of the game


def picture(seed, height=40, width=56):
    """Stripes and spots: something that a generator can learn to sharpen."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    wave = np.sin(x * rng.uniform(0.3, 1.2) + y * rng.uniform(-1, 1))
    colours = 127 + 90 * wave[..., None] * rng.uniform(0.3, 1, 3) + rng.normal(0, 12, (height, width, 3))
    return colours.clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(12):
        Image.fromarray(picture(seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CARDIGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def restoration(source, out, **changes):
    settings = {
        "recipe": "restore",
        "size": 16,
        "images": BUDGET,
        "device": "cpu",
        "quiet": True,
        "degrade": "downscale2",
    }
    return train(source, out=out, **(settings | TINY | changes))


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    return restoration(photos, tmp_path_factory.mktemp("finished") / "run")


def model(folder):
    return (folder / "model.safetensors").read_bytes()


def lines(path):
    """Measurements, without the seconds, which differ from run to run."""
    found = [json.loads(text) for text in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def test_the_stages_follow_each_other(photos, tmp_path, monkeypatch):
    seen = []
    turn = Training.turn

    def watched(self, *arguments):
        record = turn(self, *arguments)
        rates = {player: each.param_groups[0]["lr"] for player, each in self.optimizers.items()}
        seen.append((record.progress.last, set(record.losses), rates))
        return record

    monkeypatch.setattr(Training, "turn", watched)
    restoration(photos, tmp_path / "run", patience=100, matching=0.1)
    players, losses, rates = zip(*seen, strict=True)
    assert players[:20] == (("generator",),) * 18 + (("discriminator",),) * 2
    assert set(players[20:]) == {("generator",), ("discriminator",)}
    assert len(players) == 40
    assert all(each == {"generator/content"} for each in losses[:18])
    game = [each for each, who in zip(losses[20:], players[20:], strict=True) if who == ("generator",)]
    assert all(each == {"generator/adversarial", "generator/content", "generator/matching"} for each in game)
    assert rates[0]["generator"] == pytest.approx(5e-4)
    assert rates[7]["generator"] == pytest.approx(5e-4)
    assert rates[17]["generator"] == pytest.approx(5e-4 * (1 - 0.95 * (17 / 18 - 0.4) / 0.6))
    assert [each["generator"] for each in rates[18:]] == pytest.approx([1e-4] * 22)
    assert [each["discriminator"] for each in rates[18:]] == pytest.approx([4e-4] * 22)


def test_a_finished_run_has_both_generators_its_measurements_and_a_report(finished):
    folder = finished.folder
    network, facts = load_generator(folder.generator)
    assert facts["degrade"] == "downscale2"
    assert network.latent == 0
    assert (folder.pretrained / "model.safetensors").exists()
    found = lines(folder.trials)
    assert [line["stage"] for line in found].count("content") == 6
    assert any(line["stage"] == "game" for line in found)
    assert facts["images"] in {line["images"] for line in found}
    html = folder.report.read_text(encoding="utf-8")
    assert "as given" in html
    assert "true" in html
    assert any(event["text"].startswith("Kept the generator ") for event in folder.read_events())
    config = json.loads(folder.config.read_text())
    assert config["resolved"]["degradation"] == "downscale2"
    assert config["resolved"]["stages"] == ["content until 45%", "critic until 50%", "game until 100%"]


def test_with_photos_enough_held_out_the_kept_one_is_reported_on_others(photos, tmp_path):
    folder = restoration(photos, tmp_path / "run", hold_out=0.4).folder
    *measured, again = lines(folder.trials)
    assert again["again"]
    assert not any("again" in line for line in measured)
    _, facts = load_generator(folder.generator)
    assert again["images"] == facts["images"]
    told = [event["text"] for event in folder.read_events()]
    assert any("held-out images that it was not chosen by" in text for text in told)


def test_a_run_that_began_with_one_set_to_choose_and_report_on_goes_on_with_it(photos, tmp_path, monkeypatch):
    """As earlier versions wrote it: lines without a key."""
    of = HeldOut.of
    with monkeypatch.context() as patch:
        patch.setattr(HeldOut, "of", lambda *given, **named: of(*given, **(named | {"divided": False})))
        folder = restoration(photos, tmp_path / "run", hold_out=0.4).folder
    old = [{key: value for key, value in line.items() if key != "key"} for line in lines(folder.trials)]
    whole = [json.loads(text) for text in folder.trials.read_text().splitlines()]
    told = "".join(json.dumps({key: value for key, value in line.items() if key != "key"}) + "\n" for line in whole)
    folder.trials.write_text(told)
    before = model(folder.generator)
    restoration(photos, tmp_path / "run", hold_out=0.4, resume=True)
    assert lines(folder.trials) == old
    assert model(folder.generator) == before


def test_what_is_held_out_is_not_trained_on(photos, tmp_path, monkeypatch):
    drawn = set()
    turn = Training.turn

    def watched(self, batches, turns):
        drawn.update(batches.at(self.progress.images).indices.tolist())
        return turn(self, batches, turns)

    monkeypatch.setattr(Training, "turn", watched)
    opened = []
    enter = session.Session.train

    def train_and_tell(self):
        opened.append(self)
        return enter(self)

    monkeypatch.setattr(session.Session, "train", train_and_tell)
    restoration(photos, tmp_path / "run", images=400, patience=100)
    store, held = opened[0].store, opened[0].held_out
    trained = store.images[sorted(drawn)]
    assert len(drawn) > 60
    for each in held.true:
        assert not (trained == each).all(axis=(1, 2, 3)).any()
    names = {name.partition(",")[0] for name in store.names(sorted(drawn))}
    assert len(names) == 11  # of twelve photos, one is never seen


def stopped_after(photos, out, turns, **changes):
    turn, enter, count, current = Training.turn, interrupts.Interrupts.__enter__, [0], []

    def counted(self, *arguments):
        record = turn(self, *arguments)
        count[0] += 1
        if count[0] == turns:
            current[-1]._heard(15, None)
        return record

    def entered(self):
        current.append(self)
        return enter(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "turn", counted)
        patch.setattr(interrupts.Interrupts, "__enter__", entered)
        with pytest.raises(InterruptedRunError):
            restoration(photos, out, **changes)


@pytest.mark.parametrize("turns", [3, 24, 26, 33])
def test_stopped_in_any_stage_it_goes_on_to_the_same_bits(photos, finished, tmp_path, turns):
    out = tmp_path / "run"
    stopped_after(photos, out, turns)
    run = restoration(photos, out)
    for name in ("generator", "pretrained"):
        assert model(out / name) == model(finished.path / name), name
    assert lines(run.folder.trials) == lines(finished.folder.trials)


def test_a_finished_run_is_left_as_it_is(photos, finished, tmp_path):
    out = shutil.copytree(finished.path, tmp_path / "run")
    restoration(photos, out)
    assert model(out / "generator") == model(finished.path / "generator")
    assert lines(out / "trials.jsonl") == lines(finished.folder.trials)


class Always(Compromise):
    """A rule that keeps one trial of the game."""

    place: int | None = 0

    def best(self, before, trials):
        return type(self).place if trials and (type(self).place or 0) < len(trials) else None

    def done(self, before, trials):
        return False


@pytest.mark.parametrize("place", [None, 0, 2])
def test_the_generator_that_the_rule_names_is_published(photos, tmp_path, monkeypatch, place):
    taken = {}
    take = session.Trials.take

    def watched(self, network, progress, *, stage, way):
        taken[progress.images, stage] = {name: value.clone() for name, value in network.state_dict().items()}
        return take(self, network, progress, stage=stage, way=way)

    monkeypatch.setattr(session.Trials, "take", watched)
    monkeypatch.setattr("cardigan.recipes.restore.Compromise", type("Rule", (Always,), {"place": place}))
    run = restoration(photos, tmp_path / "run")
    game = [weights for (_, stage), weights in taken.items() if stage == "game"]
    content = [weights for (_, stage), weights in taken.items() if stage == "content"]
    wanted = content[-1] if place is None else game[place]
    published = load_generator(run.folder.generator)[0].state_dict()
    assert all(torch.equal(published[name], value) for name, value in wanted.items())
    assert any(not torch.equal(value, content[-1][name]) for name, value in game[-1].items())


class Killed(BaseException):
    """As by SIGKILL: nobody cleans up."""


class Newest(Compromise):
    """Each trial of the game is the best so far."""

    def best(self, before, trials):
        return len(trials) - 1 if trials else None

    def done(self, before, trials):
        return False


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """An undisturbed run in which each trial of the game is the best so far."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardigan.recipes.restore.Compromise", Newest)
        return restoration(photos, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize("number", [0, 5, 6, 8])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_around_putting_a_generator_aside_it_goes_on_to_the_same_bits(
    photos, whole, tmp_path, monkeypatch, number, when
):
    monkeypatch.setattr("cardigan.recipes.restore.Compromise", Newest)
    publish, count = session.publish, [0]

    def killing(*arguments, **settings):
        due = count[0] == number
        count[0] += 1
        if due and when == "before":
            raise Killed
        publish(*arguments, **settings)
        if due:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "publish", killing)
        with pytest.raises(Killed):
            restoration(photos, tmp_path / "run")
    run = restoration(photos, tmp_path / "run")
    for name in ("generator", "pretrained"):
        assert model(run.path / name) == model(whole.path / name), name
    (best,), (wanted,) = ([*(each.path / "best").iterdir()] for each in (run, whole))
    assert best.name == wanted.name
    assert model(best) == model(wanted)


@pytest.mark.parametrize("times", [2, 4])
def test_more_budget_goes_on_with_the_last_stage_and_new_generators_compete(
    photos, whole, tmp_path, monkeypatch, times
):
    """A stage that is finished is not trained again, though under four times the budget it would last longer."""
    monkeypatch.setattr("cardigan.recipes.restore.Compromise", Newest)
    shutil.copytree(whole.path, tmp_path / "run")
    before, played, turn = model(whole.folder.generator), [], Training.turn

    def watched(self, *arguments):
        record = turn(self, *arguments)
        played.append(set(record.losses))
        return record

    monkeypatch.setattr(Training, "turn", watched)
    run = restoration(photos, tmp_path / "run", images=times * BUDGET, resume=True)
    assert len(played) == (times - 1) * BUDGET // TINY["batch_size"]
    assert {"generator/content"} not in played
    found = lines(run.folder.trials)
    assert {line["stage"] for line in found if line["images"] > BUDGET} == {"game"}
    assert len([line for line in found if line["images"] > BUDGET]) > 5
    assert found[: len(lines(whole.folder.trials))] == lines(whole.folder.trials)
    assert model(run.folder.generator) != before
    assert load_generator(run.folder.generator)[1]["images"] > BUDGET
    told = [event["text"] for event in run.folder.read_events()]
    goes_on = "The stage game goes on over the rest of the budget: stages that are finished are not trained again."
    assert (goes_on in told) == (times == 4)
    assert "The learning rate stays at 0.2 of what is set." in told
    assert run.config["budget"]["since"] == ([BUDGET, run.config["budget"]["since"][1], 0.5] if times == 4 else None)


def test_more_budget_after_patience_ran_out_goes_on_and_keeps_the_best(photos, tmp_path):
    run = restoration(photos, tmp_path / "run", patience=1, price=0.0)
    kept, measured = model(run.folder.generator), lines(run.folder.trials)
    run = restoration(photos, tmp_path / "run", patience=1, price=0.0, images=3 * BUDGET, resume=True)
    found = lines(run.folder.trials)
    assert found[: len(measured)] == measured
    assert len(found) > len(measured)
    assert run.records[-1]["images"] > measured[-1]["images"]
    if load_generator(run.folder.generator)[1]["images"] <= measured[-1]["images"]:
        assert model(run.folder.generator) == kept


def test_an_interrupted_run_restores_as_far_as_it_got(photos, tmp_path):
    stopped_after(photos, tmp_path / "run", 30)
    run = load(tmp_path / "run")
    assert run.restore(picture(50), faithful=True).shape == (80, 112, 3)
    assert run.restore(picture(50)).shape == (80, 112, 3)
    assert ": its generator is the " in run.remark


def test_a_run_tells_its_verdict_once(photos, finished, tmp_path):
    out = shutil.copytree(finished.path, tmp_path / "run")
    run = restoration(photos, out)
    assert sum(event["text"].startswith("Kept") for event in run.folder.read_events()) == 1


def test_a_report_without_its_pictures_says_which_file_is_missing(finished, tmp_path):
    run = load(shutil.copytree(finished.path, tmp_path / "run"))
    (run.folder.samples / "given.npy").unlink()
    with pytest.raises(
        CardiganError, match=r"given\.npy is missing, so a report has no pictures to compare\. Bring it"
    ):
        run.report()


def test_patience_ends_a_run_before_its_budget_and_for_good(photos, tmp_path):
    run = restoration(photos, tmp_path / "run", patience=1, price=0.0)
    images = lines(run.folder.trials)[-1]["images"]
    assert images < BUDGET
    before = model(run.folder.generator)
    again = restoration(photos, tmp_path / "run", patience=1, price=0.0)
    assert lines(again.folder.trials)[-1]["images"] == images
    assert model(again.folder.generator) == before


def test_a_budget_smaller_than_its_stages_still_ends_with_a_generator(photos, tmp_path):
    run = restoration(photos, tmp_path / "run", images=1)
    assert run.restore(picture(50)).shape == (80, 112, 3)


@pytest.mark.parametrize("degrade", ["jpeg10-60", "noise25", "grey", "downscale4+jpeg40"])
def test_every_degradation_trains_and_restores(photos, tmp_path, degrade):
    run = restoration(photos, tmp_path / "run", degrade=degrade, images=24)
    scale = 4 if "downscale4" in degrade else 1
    restored = run.restore(picture(50))
    assert restored.shape == (40 * scale, 56 * scale, 3)
    assert run.restore(picture(50), faithful=True).shape == restored.shape


def test_few_photos_are_all_trained_on_and_it_is_said(photos, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(photos.iterdir())[:3]:
        shutil.copy(path, few)
    run = restoration(few, tmp_path / "run", images=24)
    assert run.config["because"][-1] == (
        "There are fewer than 10 photos, so none is held out: what is measured, and shown as restored, was also "
        "trained on."
    )


def test_photos_are_held_out_as_asked(photos, tmp_path):
    half = restoration(photos, tmp_path / "half", images=24, hold_out=0.5)
    store, trained = training_part(half.folder.samples, half.config["store"], half.config["data"]["fingerprint"])
    assert len({name.partition(",")[0] for name in store.names(trained)}) == 6
    assert half.config["data"]["held_out"] == len(store) - len(trained)
    assert half.config["data"]["warnings"] == []
    none = restoration(photos, tmp_path / "none", images=24, hold_out=0)
    assert none.config["because"][-1] == (
        "No photo is held out, as hold_out=0 asks: what is measured, and shown as restored, was also trained on."
    )


def test_a_size_that_the_scale_does_not_divide_is_refused(photos, tmp_path):
    with pytest.raises(CardiganError) as caught:
        restoration(photos, tmp_path / "run", degrade="downscale3")
    assert str(caught.value) == "Pieces of 16x16 pixels cannot be scaled down 3 times. Try --size 24."
    assert not (tmp_path / "run").exists()
