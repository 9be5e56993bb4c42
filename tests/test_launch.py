"""Starting, stopping, going on, rolling back: what a run's folder tells and promises."""

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import interrupts, launch, session
from cardigan.data.holding import held_out_images, training_part
from cardigan.errors import CardiganError
from cardigan.folder import read_lines, ways_trained
from cardigan.interrupts import InterruptedRunError
from cardigan.launch import train
from cardigan.runs import load
from cardigan.session import Session
from cardigan.training import RMSprop, checkpoint, loop, pace, writer
from cardigan.training.loop import Training

SMALL = {"recipe": "dcgan", "size": 16, "device": "cpu", "quiet": True}
TINY = {"snapshots": 2, "width": 2, "latent": 8, "batch_size": 16, "conditional": False}
TINY["checkpoint_seconds"] = 3600  # whether one is due must not hang on the pace of the machine
BUDGET = 320


def small(out, source="digits", **changes):
    return train(source, out=out, **(SMALL | TINY | {"images": BUDGET, "seed": 3} | changes))


SAME_BITS = "From here on bit for bit as without the interruption."
OTHER_BITS = "From here on the same seed decides, but not the same bits as without the interruption."


def model(run):
    return (run.folder.generator / "model.safetensors").read_bytes()


def events(run):
    return [event["text"] for event in run.folder.read_events()]


def stopped_after(monkeypatch, turns):
    """The next run is asked to stop, as by SIGTERM, after so many of its turns."""
    turn, taken = Training.turn, {"count": 0}

    def counted(self, *arguments):
        record = turn(self, *arguments)
        taken["count"] += 1
        if taken["count"] == turns:
            signal_number = 15
            current[0]._heard(signal_number, None)
        return record

    current = [None]
    enter = interrupts.Interrupts.__enter__

    def entered(self):
        current[0] = self
        return enter(self)

    monkeypatch.setattr(Training, "turn", counted)
    monkeypatch.setattr(interrupts.Interrupts, "__enter__", entered)


def stop_early(out, monkeypatch, *, turns=6, **changes):
    with pytest.MonkeyPatch.context() as patch:
        stopped_after(patch, turns)
        with pytest.raises(InterruptedRunError) as caught:
            small(out, **changes)
    return caught.value


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return small(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A run that was stopped after 6 of its 20 turns."""
    out = tmp_path_factory.mktemp("half") / "run"
    stop_early(out, None)
    return out


@pytest.fixture
def begun(half, tmp_path):
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(half, tmp_path / "run"))


def refusal(out, **changes):
    with pytest.raises(CardiganError) as caught:
        small(out, **changes)
    return str(caught.value)


# --- the same command, the same bits --------------------------------------------------------------------------------


def test_two_runs_of_the_same_command_end_in_the_same_bits(finished, tmp_path):
    torch.manual_seed(99)
    again = small(tmp_path / "again")
    assert model(again) == model(finished)
    records = [[{**line, "seconds": 0, "images_per_second": 0} for line in run.records] for run in (again, finished)]
    assert records[0][-1]["images"] == records[1][-1]["images"] == BUDGET
    assert model(small(tmp_path / "other", seed=4)) != model(finished)


def test_saving_and_drawing_more_often_changes_nothing(finished, tmp_path):
    often = small(tmp_path / "often", checkpoint_seconds=0, snapshots=10)
    assert model(often) == model(finished)
    assert len(list((often.path / "samples").glob("0*.png"))) > 5


def test_a_finished_run_is_left_as_it_is_and_the_way_to_go_on_is_told(finished, tmp_path, capsys):
    out = Path(shutil.copytree(finished.path, tmp_path / "run"))
    again = small(out, quiet=False)
    assert model(again) == model(finished)
    assert again.records == finished.records
    assert events(again) == []
    told = capsys.readouterr().err
    assert "This run is finished: 320 images are seen of a budget of 320. Nothing is trained. To go on, give" in told
    assert "cardigan train digits --recipe dcgan --size 16 --images 640 --seed 3 --set snapshots=2" in told
    assert f"--out {out} --resume\n" in told
    assert "Resumed" not in told
    steps = [line for line in told.splitlines() if line.startswith("publishing")]
    assert steps[0] == "publishing   0%  measuring and drawing the generator"
    assert steps[-1] == "publishing 100%  done"


def test_stopped_and_gone_on_it_ends_in_the_bits_of_the_undisturbed_run(finished, begun):
    run = small(begun)
    assert model(run) == model(finished)
    assert events(run) == ["Resumed after 96 images from step-000000006 (verified).", SAME_BITS]
    images = [line["images"] for line in run.records]
    assert images == sorted(set(images))
    assert images[-1] == BUDGET
    assert 96 in images


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [("quick", {"width": 2, "batch_size": 16}), ("sngan", {"width": 2, "batch_size": 16, "generator_norm": True})],
)
def test_conditional_and_spectral_runs_resume_exactly_too(tmp_path, recipe, settings):
    """Batch norm, classes, lazy R1 and an average in `quick`; alternation and spectral norm twice in `sngan`."""

    def run(out):
        return train(
            "digits", recipe=recipe, size=16, images=240, out=out, device="cpu", quiet=True, snapshots=1, **settings
        )

    whole = run(tmp_path / "whole")
    for turns in (4, 3):
        with pytest.MonkeyPatch.context() as patch:
            stopped_after(patch, turns)
            with pytest.raises(InterruptedRunError):
                run(tmp_path / "parts")
    parts = run(tmp_path / "parts")
    assert model(parts) == model(whole)
    assert [text[:23] for text in events(parts) if text != SAME_BITS] == [
        "Resumed after 64 images",
        "Resumed after 112 image",
    ]


def test_a_stop_says_what_is_saved_and_how_to_go_on(tmp_path):
    error = stop_early(tmp_path / "run", None, turns=2)
    assert str(error) == f"Stopped after 32 images; all is saved in {tmp_path / 'run'}. The same command goes on."
    assert error.exit_code == 128 + 15
    assert load(tmp_path / "run").records[-1]["images"] == 32


# --- whose folder it is ---------------------------------------------------------------------------------------------


def test_resume_without_anything_to_resume_is_no_fresh_start(tmp_path):
    """A13."""
    told = refusal(tmp_path / "run", resume=True)
    assert told.startswith(f"There is no checkpoint to resume from in {tmp_path / 'run'}.")
    assert told.endswith("To start anew, choose another --out.")
    assert not (tmp_path / "run").exists()


def test_another_request_is_refused_in_a_used_folder(begun):
    """A14, A17: everything that differs is named, and what to type."""
    before = sorted((path, path.stat().st_mtime_ns) for path in (begun / "checkpoints").rglob("*"))
    told = refusal(begun, seed=5, images=640, learning_rate=1e-3)
    assert (
        f"{begun} holds another run: images was 320, is 640; seed was 3, is 5; learning_rate was not set, is 0.001"
        in told
    )
    assert "Choose another --out for a new run, or add --resume" in told
    assert sorted((path, path.stat().st_mtime_ns) for path in (begun / "checkpoints").rglob("*")) == before


def test_resume_goes_on_with_changed_settings_and_notes_them(begun, finished):
    run = small(begun, resume=True, learning_rate=1e-3, images=400)
    assert "Changed on resume: images was 320, is 400" in events(run)
    assert "Changed on resume: learning_rate was not set, is 0.001" in events(run)
    assert run.records[-1]["images"] == 400
    assert model(run) != model(finished)
    assert "learning_rate was not set" in (run.path / "report.html").read_text()


def rates(monkeypatch):
    """The learning rate of each turn of the runs to come, as a share of the recipe's."""
    seen, turn = [], Training.turn

    def look(self, *arguments):
        seen.append(self.optimizers["generator"].param_groups[0]["lr"] / 2e-4)
        return turn(self, *arguments)

    monkeypatch.setattr(Training, "turn", look)
    return seen


def test_a_larger_budget_tells_what_becomes_of_the_learning_rate(finished, tmp_path, monkeypatch):
    """It follows the schedule of the new budget: what decision 020 found better than to stay at the end of the old."""
    out = Path(shutil.copytree(finished.path, tmp_path / "run"))
    seen = rates(monkeypatch)
    run = small(out, resume=True, images=400)
    assert seen == pytest.approx([1.0 - 0.9 * (images / 400 - 0.5) / 0.5 for images in range(320, 400, 16)])
    assert events(run)[1:] == [
        "Changed on resume: images was 320, is 400",
        "The learning rate was 0.1 of what is set and is 0.46, as if the run had had this budget from the start. At "
        "the end of the budget it is 0.1.",
        OTHER_BITS,
    ]


def test_a_rate_that_stays_is_told_too(begun):
    run = small(begun, resume=True, images=400)
    assert "The learning rate stays at 1 of what is set." in events(run)


def test_a_run_that_was_stopped_ends_at_once_where_a_smaller_budget_is_spent(begun):
    run = small(begun, resume=True, images=50)
    assert events(run) == [f"{launch.ENDS} 96 images are seen of a budget of 50."]
    assert run.facts["images"] == run.records[-1]["images"] == 96
    assert run.sample(2).shape == (2, 16, 16, 1)


@pytest.mark.parametrize("images", [100, 319])
def test_a_finished_run_refuses_a_budget_that_leaves_nothing(finished, tmp_path, images):
    out = Path(shutil.copytree(finished.path, tmp_path / "run"))
    told = refusal(out, resume=True, images=images)
    assert told == (
        f"{out} is finished, and this budget leaves nothing to train: 320 images are seen of a budget of {images}. "
        f"Give a larger budget (--images or --minutes) to go on; the run stays as it is."
    )
    assert (out / "config.json").read_bytes() == (finished.path / "config.json").read_bytes()


def test_other_settings_or_data_are_refused_where_the_budget_is_spent(tmp_path):
    """Nothing would be trained by them, and the run would say it had been."""
    data, other = arrays(tmp_path / "data.npz"), arrays(tmp_path / "other.npz", count=80, seed=1)
    run = small(tmp_path / "run", source=str(data), images=32)
    config = run.folder.config.read_bytes()
    told = refusal(run.path, source=str(other), images=32, resume=True)
    assert told.startswith(f"{run.path} has nothing left to train: 32 images are seen of a budget of 32. So nothing")
    assert f"source was {data}, is {other}; other images would be trained on or held out." in told
    assert told.endswith("to go on with it, or choose another --out for a new run.")
    assert "learning_rate was not set, is 0.001" in refusal(
        run.path, source=str(data), images=32, learning_rate=1e-3, resume=True
    )
    assert run.folder.config.read_bytes() == config


def test_one_source_may_be_spelt_in_several_ways(tmp_path, monkeypatch):
    data = arrays(tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    stop_early(tmp_path / "run", None, turns=1, source="data.npz")
    monkeypatch.chdir("/")
    for source in (str(data), f"{tmp_path}/./data.npz", "~/data.npz"):
        stop_early(tmp_path / "run", None, turns=1, source=source)
    assert "holds another run: source was ~/data.npz, is digits." in refusal(tmp_path / "run")


def test_a_folder_in_the_home_of_the_user_is_not_called_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    run = small("~/runs/one", images=16)
    assert run.path == tmp_path / "home" / "runs" / "one"
    assert load("~/runs/one").config == run.config
    assert not (tmp_path / "~").exists()


def test_a_changed_size_is_told_as_a_size(begun, tmp_path):
    told = refusal(begun, size=32, resume=True)
    assert told.startswith("The size was 16x16 pixels (height x width), is 32x32. The networks of a run fit one kind")
    assert "choose another --out" in told
    assert "size was 16x16, is 32x32" in refusal(begun, size=(32, 32))
    assert "The images had 1 channels, have 3." in refusal(begun, channels=3, resume=True)


def test_another_architecture_is_refused_even_with_resume(begun):
    """A16: by name and shape, before anything is changed."""
    told = refusal(begun, resume=True, width=4)
    assert "generator has another architecture" in told or "discriminator has another architecture" in told
    assert re.search(r"\d+x\d+x4x4 saved, \d+x\d+x4x4 now", told)
    assert told.endswith("What differs: width was 2, is 4.")
    assert json.loads((begun / "config.json").read_text())["request"]["settings"]["width"] == "2"


def test_another_optimizer_is_a_change_of_recipe_and_refused_by_name(tmp_path, monkeypatch):
    """The same networks with RMSprop: the moments do not fit, and it is said in words."""
    stop_early(tmp_path / "run", None, turns=2)
    prepare = launch.recipes.prepare
    monkeypatch.setattr(launch.recipes, "prepare", lambda *a, **k: replace(prepare(*a, **k), optimizers=RMSprop()))
    assert "made with other optimizers" in refusal(tmp_path / "run")


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    assert f"{tmp_path} is in use and is not a run of Cardigan: it has no config.json." in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def damage(out, names):
    for name in names:
        path = out / "checkpoints" / name / "generator.safetensors"
        path.write_bytes(path.read_bytes()[:-8])


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(begun, finished):
    """A8."""
    damage(begun, ["step-000000006"])
    run = small(begun)
    first, second, third = events(run)
    assert re.fullmatch(r"step-000000006 rejected: generator\.safetensors has \d+ bytes instead of \d+\.", first)
    assert second == "Resumed after 0 images from step-000000000 (verified)."
    assert third == SAME_BITS
    assert model(run) == model(finished)
    images = [line["images"] for line in run.records]
    assert images == sorted(set(images))
    aside = [path.name for path in (run.path / "checkpoints").iterdir() if path.name.startswith("rejected-")]
    assert len(aside) == 1


def test_every_checkpoint_bad_is_a_stop_with_all_reasons_and_no_fresh_start(begun):
    """A12."""
    damage(begun, ["step-000000000", "step-000000006"])
    for resume in (False, True):
        told = refusal(begun, resume=resume)
        assert "step-000000006: generator.safetensors has" in told
        assert "step-000000000: generator.safetensors has" in told
        assert told.endswith("To start anew, choose another --out.")
    assert len(list((begun / "checkpoints").iterdir())) == 2


def test_a_run_whose_checkpoints_were_deleted_is_not_begun_anew(begun):
    shutil.rmtree(begun / "checkpoints")
    assert f"{begun} holds a run without a usable checkpoint." in refusal(begun)


def test_killed_before_the_first_checkpoint_it_begins_anew(begun, finished):
    """Nothing was promised yet: a half-written step 0 and a configuration are no history."""
    (begun / "records.jsonl").unlink()
    shutil.rmtree(begun / "checkpoints" / "step-000000006")
    (begun / "checkpoints" / "step-000000000").rename(begun / "checkpoints" / "step-000000000.partial-0a1b2c3d")
    run = small(begun)
    assert model(run) == model(finished)
    assert events(run) == []
    assert not list((begun / "checkpoints").glob("*.partial-*"))


def test_leftovers_of_killed_saves_and_prunings_are_cleaned(begun, finished):
    """A2, A27."""
    checkpoints = begun / "checkpoints"
    shutil.copytree(checkpoints / "step-000000006", checkpoints / "step-000000009.partial-0a1b2c3d")
    shutil.copytree(checkpoints / "step-000000006", checkpoints / "step-000000003.trash-0a1b2c3d")
    run = small(begun)
    assert model(run) == model(finished)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-000000006", "step-000000020"]


def test_records_and_pictures_beyond_the_checkpoint_are_taken_back(begun):
    """A28: no report ever shows two histories."""
    line = json.loads((begun / "records.jsonl").read_text().splitlines()[-1])
    with (begun / "records.jsonl").open("a") as file:
        file.write(json.dumps(line | {"images": 113}) + "\n" + json.dumps(line | {"images": 128})[:40])
    (begun / "samples" / "000000000113.png").write_bytes(b"x")
    run = small(begun)
    images = [record["images"] for record in run.records]
    assert images == sorted(set(images))
    assert 113 not in images
    assert images[-1] == BUDGET
    assert not (begun / "samples" / "000000000113.png").exists()


def test_a_damaged_configuration_is_said(begun):
    (begun / "config.json").write_text('{"request": ')
    assert "config.json is damaged" in refusal(begun)


def arrays(path, count=64, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16), dtype=np.uint8)
    np.savez(path, images=pixels)
    return path


def test_changed_data_is_refused_and_with_resume_noted(tmp_path):
    """A18."""
    data = arrays(tmp_path / "data.npz")
    stop_early(tmp_path / "run", None, source=str(data))
    arrays(data, count=80, seed=1)
    told = refusal(tmp_path / "run", source=str(data))
    assert "The data has changed since this run began: 64 images then, 80 now" in told
    assert "add --resume to go on with the changed data" in told
    run = small(tmp_path / "run", source=str(data), resume=True)
    assert "The data has changed: 64 images before, 80 now." in events(run)
    assert run.config["data"]["count"] == 80


# --- what is held out -----------------------------------------------------------------------------------------------


def drawn_by(monkeypatch):
    """The places in the store of all images that the coming runs are trained on."""
    places = set()
    turn = Training.turn

    def watched(self, batches, turns):
        places.update(batches.at(self.progress.images).indices.tolist())
        return turn(self, batches, turns)

    monkeypatch.setattr(Training, "turn", watched)
    return places


def test_a_tenth_is_never_trained_on_and_lies_beside_the_run(tmp_path, monkeypatch):
    places = drawn_by(monkeypatch)
    run = small(tmp_path / "run", source=str(arrays(tmp_path / "data.npz", count=200)), images=800)
    data, samples = run.config["data"], run.folder.samples
    store, trained = training_part(samples, run.config["store"], data["fingerprint"])
    assert (data["count"], data["held_out"], len(trained)) == (200, 20, 180)
    assert places == set(trained.tolist())
    held = held_out_images(samples)
    assert held.shape == (20, 16, 16, 1)
    assert not {each.tobytes() for each in held} & {each.tobytes() for each in store.images[trained]}


def test_a_share_that_is_asked_for_is_held_out_and_zero_holds_out_none(tmp_path, monkeypatch):
    data = str(arrays(tmp_path / "data.npz", count=200))
    half = small(tmp_path / "half", source=data, hold_out=0.5, images=32)
    assert half.config["data"]["held_out"] == len(held_out_images(half.folder.samples)) == 100
    places = drawn_by(monkeypatch)
    none = small(tmp_path / "none", source=data, hold_out=0, images=800)
    assert none.config["data"]["held_out"] == len(held_out_images(none.folder.samples)) == 0
    assert len(places) == 200
    assert none.config["data"]["warnings"] == [
        "Only 200 images: the model may copy them. None is held out to test for that, as hold_out=0 asks."
    ]


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (
            64,
            "Only 64 images: the model will very likely copy them. To test for that, keep some back: --set",
        ),
        (110, "Only 110 images: the model may copy them. 11 of them are held out to test for that."),
    ],
)
def test_few_images_are_told_at_the_start_and_in_the_report(tmp_path, capsys, count, told):
    data = str(arrays(tmp_path / "data.npz", count=count))
    run = small(tmp_path / "run", source=data, quiet=False, images=16)
    assert f"Warning: {told}" in capsys.readouterr().err
    assert told in run.config["data"]["warnings"][0]
    assert told in (run.path / "report.html").read_text()


def test_another_share_is_another_run_and_with_resume_the_test_for_copying_is_spoiled(tmp_path):
    data = str(arrays(tmp_path / "data.npz", count=200))
    stop_early(tmp_path / "run", None, source=data)
    assert "hold_out was not set, is 0.2" in refusal(tmp_path / "run", source=data, hold_out=0.2)
    run = small(tmp_path / "run", source=data, hold_out=0.2, resume=True)
    assert (
        "Other images are held out: 20 before, 40 now. Some of them may have been trained on, so a test for copying "
        "is not to be trusted."
    ) in events(run)
    assert OTHER_BITS in events(run)
    assert len(held_out_images(run.folder.samples)) == 40


@pytest.mark.parametrize("before", [{"split": "another"}, {"split": None}])
def test_a_split_by_another_rule_is_a_change_of_data(tmp_path, before):
    data = str(arrays(tmp_path / "data.npz", count=200))
    stop_early(tmp_path / "run", None, source=data)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["data"] |= before
    if not before["split"]:
        del config["data"]["split"], config["data"]["held_out"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    told = refusal(tmp_path / "run", source=data)
    then = 20 if before["split"] else 0
    assert f"Other images would be held out than when this run began: {then} then, 20 now, by another version" in told
    assert "add --resume to go on; then some of those held out have been trained on." in told
    assert any(
        text.startswith(f"Other images are held out: {then} before, 20 now.")
        for text in events(small(tmp_path / "run", source=data, resume=True))
    )


def test_another_torch_lowers_the_promise_and_says_so(begun):
    """A19."""
    config = json.loads((begun / "config.json").read_text())
    (begun / "config.json").write_text(json.dumps(config | {"torch": "1.0"}))
    run = small(begun)
    assert events(run)[1:] == [f"torch was 1.0, is {torch.__version__}.", OTHER_BITS]


# --- failing saves --------------------------------------------------------------------------------------------------


def test_a_save_that_fails_stops_the_run_and_names_what_is_safe(tmp_path, monkeypatch, finished):
    """A4, A6: never 'saved'; the same command goes on from what is safe."""
    write, calls = checkpoint.write_durably, {"count": 0}

    def full(path, blob):
        calls["count"] += 1
        if calls["count"] == 3 * 7 + 4:  # the fourth save's fourth file
            raise OSError(28, "No space left on device")
        write(path, blob)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_durably", full)
        told = refusal(tmp_path / "run", checkpoint_seconds=0)
    assert "No space left on device. step-000000002 is safe." in told
    assert "The checkpoint of step 3 could not be written" in told
    assert not (tmp_path / "run" / "generator").exists()
    assert not (tmp_path / "run" / ".lock").exists()
    run = small(tmp_path / "run", checkpoint_seconds=0)
    assert events(run)[0] == "Resumed after 32 images from step-000000002 (verified)."
    assert model(run) == model(finished)


def test_a_save_that_fails_while_training_goes_on_stops_the_run_by_the_next_turn(tmp_path, monkeypatch):
    agree, asked = Session._agree, []

    def save_once(self, trials, *, signal=0, save=False):
        asked.append(self.training.progress.turns)
        while self.writer._pending and not self.writer.done:
            time.sleep(0.001)
        return agree(self, trials, signal=signal, save=self.training.progress.turns == 3)

    def full(folder, copy):
        if copy.state["turns"] == 3:
            raise CardiganError("No space left on device.")
        return write(folder, copy)

    write = writer.write
    with monkeypatch.context() as patch:
        patch.setattr(Session, "_agree", save_once)
        patch.setattr(writer, "write", full)
        assert refusal(tmp_path / "run") == "No space left on device."
    assert asked[-1] in (3, 4)  # the disk may be done before the turn is
    assert max(asked) * TINY["batch_size"] < BUDGET
    assert checkpoint.newest(tmp_path / "run" / "checkpoints")[0].step < 3


# --- numbers that are none ------------------------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch, spoil_turns):
    """The generator's loss is NaN at one place of the clock, for as long as the learning rate is above a value."""

    def break_it(*, at, while_rate_above=0.0):
        def when(training):
            rate = training.optimizers["generator"].param_groups[0]["lr"]
            return training.progress.images == at and rate > while_rate_above

        spoil_turns(monkeypatch, when)

    return break_it


@pytest.fixture(params=["at once", "a turn later"])
def read(request, monkeypatch):
    """When a step's verdict is read: on the processor at once, on a GPU a turn later; here both on the processor."""
    if request.param == "a turn later":
        monkeypatch.setattr(loop, "DISTANT", {"cpu"})


@pytest.mark.usefixtures("read")
def test_a_fault_that_the_halved_rate_mends_is_rolled_back_once(tmp_path, broken):
    broken(at=160, while_rate_above=1.5e-4)
    run = small(tmp_path / "run")
    (text,) = events(run)
    assert text.startswith("The generator's loss or gradient is not finite after 160 images")
    assert text.endswith("Rolled back to 0 turns, learning rate halved.")
    fault = json.loads((run.path / "nonfinite.json").read_text())
    assert (fault["player"], fault["images"]) == ("generator", 160)
    assert np.isnan(fault["losses"]["adversarial"])
    assert len(fault["batch"]) == 16
    assert len(set(fault["batch"])) == 16
    found, _ = checkpoint.newest(run.folder.checkpoints)
    assert found.state["rate_scale"] == 0.5
    images = [line["images"] for line in run.records]
    assert images == sorted(set(images))
    assert images[-1] == BUDGET


@pytest.mark.usefixtures("read")
def test_each_rollback_is_calmer_than_the_one_before(tmp_path, broken):
    """Also where both go back to the same checkpoint: 2e-4, 1e-4, 0.5e-4."""
    broken(at=160, while_rate_above=0.7e-4)
    run = small(tmp_path / "run")
    assert len(events(run)) == 2
    assert checkpoint.newest(run.folder.checkpoints)[0].state["rate_scale"] == 0.25


@pytest.mark.usefixtures("read")
def test_two_rollbacks_without_help_are_enough(tmp_path, broken):
    """B1: a clear stop that names the images; the weights on the disk are good."""
    broken(at=160)
    out = tmp_path / "run"
    told = refusal(out)
    assert told.startswith("The generator's loss or gradient is not finite after 160 images")
    assert "It was rolled back 2 times within 1,000 turns, and 0.25 of the learning rate that is set is left" in told
    assert f"The images of the batch are named in {out / 'nonfinite.json'}." in told
    assert "with --resume and other settings goes on from the last checkpoint." in told
    assert len(session.RunFolder(out).read_events()) == 2
    found, rejected = checkpoint.newest(out / "checkpoints")
    assert rejected == {}
    assert found.step == 0
    assert not (out / "generator").exists()
    assert not (out / ".lock").exists()
    again = refusal(out)  # nothing has changed, so nothing is tried again
    assert "It was rolled back 2 times within 1,000 turns" in again
    run = small(out, resume=True, learning_rate=1e-4, images=96)
    assert (
        "Rollbacks have left 0.25 of the learning rate that is set; under other settings it is full again."
        in events(run)
    )
    assert checkpoint.newest(out / "checkpoints")[0].state["rate_scale"] == 1.0


@pytest.mark.usefixtures("read")
def test_faults_that_lie_far_apart_do_not_end_a_run(tmp_path, broken, monkeypatch, spoil_turns):
    monkeypatch.setattr(session, "CALM", 3)
    left = {64, 128, 192, 256}

    def once(training):
        return training.progress.images in left and (left.remove(training.progress.images) or True)

    spoil_turns(monkeypatch, once)
    run = small(tmp_path / "run", checkpoint_seconds=0)
    assert len(events(run)) == 4
    assert checkpoint.newest(run.folder.checkpoints)[0].state["rate_scale"] == 1 / 16


@pytest.mark.usefixtures("read")
def test_faults_without_end_stop_a_run_before_its_rate_is_nothing(tmp_path, monkeypatch, spoil_turns):
    monkeypatch.setattr(session, "CALM", 0)
    seen = set()

    def once(training):
        place = training.progress.images
        return place % 32 == 16 and place not in seen and (seen.add(place) or True)

    spoil_turns(monkeypatch, once)
    told = refusal(tmp_path / "run", checkpoint_seconds=0)
    assert "0.00391 of the learning rate that is set is left" in told


def test_a_rollback_takes_back_images_and_no_seconds(tmp_path, broken, monkeypatch):
    """A run in minutes ends when it was to end."""
    broken(at=160, while_rate_above=1.5e-4)
    turn, clock = Training.turn, {"now": 0.0}

    def slow(self, *arguments):
        clock["now"] += 1.0
        return turn(self, *arguments)

    monkeypatch.setattr(Training, "turn", slow)
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock["now"])
    run = small(tmp_path / "run", images=None, minutes=0.5, pace=False, trials=0)
    assert clock["now"] == 30.0  # turns of a second each: ten before the fault, the faulty one, nineteen after it
    assert run.records[-1]["images"] == 19 * 16
    assert run.records[-1]["seconds"] == 30.0


@pytest.mark.usefixtures("read")
def test_a_run_that_is_killed_after_a_rollback_keeps_what_it_learned(tmp_path, broken, monkeypatch):
    broken(at=160, while_rate_above=1.5e-4)
    roll_back = Session._roll_back

    def and_die(self, error):
        roll_back(self, error)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_roll_back", and_die)
        with pytest.raises(KeyboardInterrupt):
            small(tmp_path / "run")
    state = checkpoint.newest(tmp_path / "run" / "checkpoints")[0].state
    assert (state["rate_scale"], len(state["faults"])) == (0.5, 1)
    assert state["faults"][0] in (10, 11, 12)  # read at once, or a turn later
    run = small(tmp_path / "run")
    assert "Rollbacks have left 0.5 of the learning rate that is set." in events(run)
    assert SAME_BITS in events(run)


@pytest.mark.usefixtures("read")
def test_who_asks_for_the_end_while_a_number_breaks_is_heard_after_the_rollback(tmp_path, broken, monkeypatch):
    broken(at=160, while_rate_above=1.5e-4)
    turn, enter, current = Training.turn, interrupts.Interrupts.__enter__, []

    def asked(self, batches, turns):
        if self.progress.images == 160:
            current[0]._heard(15, None)
        return turn(self, batches, turns)

    monkeypatch.setattr(Training, "turn", asked)
    monkeypatch.setattr(interrupts.Interrupts, "__enter__", lambda self: current.append(self) or enter(self))
    with pytest.raises(InterruptedRunError) as caught:
        small(tmp_path / "run")
    assert caught.value.exit_code == 143
    found, _ = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert (found.step, found.state["rate_scale"]) == (1, 0.5)


@pytest.mark.usefixtures("read")
def test_the_rollback_goes_to_the_newest_checkpoint(tmp_path, broken):
    broken(at=160, while_rate_above=1.5e-4)
    run = small(tmp_path / "run", checkpoint_seconds=0)
    (text,) = events(run)
    assert text.endswith("Rolled back to 10 turns, learning rate halved.")


# --- budgets --------------------------------------------------------------------------------------------------------


def watched(monkeypatch):
    """The seconds of training before each turn, and the turn's learning rate."""
    seen, turn = [], Training.turn

    def look(self, *arguments):
        seen.append((self.progress.seconds, self.optimizers["generator"].param_groups[0]["lr"]))
        return turn(self, *arguments)

    monkeypatch.setattr(Training, "turn", look)
    return seen


def test_a_budget_in_minutes_ends_with_its_last_turn_and_takes_the_rate_along(tmp_path, monkeypatch):
    """No turn begins after 1.8 seconds; the recipe's rate falls from the half of them on, to a tenth at their end."""
    seen = watched(monkeypatch)
    run = small(tmp_path / "run", images=None, minutes=0.03, learning_rate=1e-3)
    assert max(seconds for seconds, _ in seen) < 1.8 <= run.records[-1]["seconds"]
    for seconds, rate in seen:
        assert rate == pytest.approx(1e-3 * min(1.0, 1.0 - 0.9 * (seconds / 1.8 - 0.5) / 0.5))
    assert run.config["budget"] == {"images": None, "minutes": 0.03, "since": None}


def test_pictures_and_measurements_draw_little_beside_a_small_budget(tmp_path, monkeypatch):
    """A tiny run is not spent on looking at itself: at most one image is drawn for five that are trained on."""
    measured, published = [], Training.published

    def counted(self, batches, *, images=1024):
        measured.append(images)
        return published(self, batches, images=images)

    monkeypatch.setattr(Training, "published", counted)
    run = small(tmp_path / "run", images=640, snapshots=None)
    assert measured == [64]  # the last generator, and no other
    assert len(list(run.folder.samples.glob("0*.png"))) == 1
    measured.clear()
    run = small(tmp_path / "longer", images=2560, snapshots=None)
    assert measured == [64, 160]
    assert len(list(run.folder.samples.glob("0*.png"))) == 2


def test_in_minutes_pictures_that_take_long_become_rare(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "AFFORDABLE", 0.0)
    run = small(tmp_path / "run", images=None, minutes=0.02, snapshots=None, pace=False)
    assert len(list(run.folder.samples.glob("0*.png"))) == 2  # at the start, which tells what they take, and the last


def test_a_run_in_minutes_goes_on_with_the_minutes_that_are_left(tmp_path, monkeypatch):
    stop_early(tmp_path / "run", None, turns=1, images=None, minutes=0.05)
    before = checkpoint.newest(tmp_path / "run" / "checkpoints")[0].state["seconds"]
    assert before > 0
    seen = watched(monkeypatch)
    run = small(tmp_path / "run", images=None, minutes=0.05)
    assert seen[0][0] == before
    assert max(seconds for seconds, _ in seen) < 3 <= run.records[-1]["seconds"]


def test_a_budget_in_minutes_is_spent_in_the_quickest_way_and_one_in_images_as_its_seed_says(tmp_path, monkeypatch):
    def half(self, turns):
        return turns * (1e-6 if self.training.precision == "float32" else 0.5e-6)

    monkeypatch.setattr(pace._Rehearsal, "seconds", half)
    told = ["The networks run in bfloat16 here: measured to be 2.00 times as quick as in float32."]
    minutes = {"recipe": "quick", "images": None, "minutes": 0.02, "trials": 0}
    quick = small(tmp_path / "minutes", **minutes)
    assert events(quick) == told
    assert ways_trained(quick.config) == ["bfloat16 on cpu"]
    assert events(small(tmp_path / "plain", **minutes, pace=False)) == []
    assert events(small(tmp_path / "asked", **minutes, precision="bfloat16")) == []
    assert events(small(tmp_path / "images", recipe="quick", trials=0)) == []


@pytest.mark.parametrize(
    ("recipe", "settings", "budget"),
    [
        ("dcgan", {"size": 16, "width": 2}, {"images": None, "minutes": 10.0}),
        ("dcgan-as-printed", {"size": 64, "allow_upscale": True}, {"images": 5 * (1797 - 180), "minutes": None}),
    ],
)
def test_without_a_budget_the_recipes_passes_or_ten_minutes_hold(tmp_path, monkeypatch, recipe, settings, budget):
    class SeenError(Exception):
        pass

    def look(folder, config):
        raise SeenError(config["budget"])

    monkeypatch.setattr(session.RunFolder, "write_config", look)
    with pytest.raises(SeenError) as caught:
        train("digits", recipe=recipe, device="cpu", quiet=True, out=tmp_path / "run", **settings)
    assert caught.value.args == (budget | {"since": None},)


def test_each_sitting_notes_how_the_networks_ran(tmp_path):
    """In config.json, trials and report; what the kept generator was not trained by does not count."""
    stop_early(tmp_path / "run", None, turns=2)
    run = small(tmp_path / "run", resume=True, precision="bfloat16", trials=1)
    first, second = run.config["sittings"]
    plain = {"precision": "float32", "compiled": False, "channels_last": True}
    assert first == {"images": 0, "device": "cpu", **plain, "self_check": {}}
    assert second["images"] > 0
    assert second["precision"] == "bfloat16"
    assert ways_trained(run.config) == ["float32 on cpu", "bfloat16 on cpu"]
    assert ways_trained(run.config, images=second["images"]) == ["float32 on cpu"]
    assert [line["way"] for line in read_lines(run.folder.trials)] == ["bfloat16"] * 2
    assert "float32 on cpu, then bfloat16 on cpu" in run.folder.report.read_text(encoding="utf-8")
    # A finished run trains nothing, so it notes nothing.
    again = small(tmp_path / "run", resume=True, trials=1)
    assert again.config["sittings"] == [first, second]


def test_a_sitting_that_left_no_checkpoint_is_forgotten(tmp_path, monkeypatch):
    class StopError(Exception):
        pass

    def stop(self, *arguments):
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(Training, "turn", stop)
        with pytest.raises(StopError):
            small(tmp_path / "run", precision="bfloat16")
    assert [each["precision"] for each in load(tmp_path / "run").config["sittings"]] == ["bfloat16"]
    run = small(tmp_path / "run")
    assert [each["precision"] for each in run.config["sittings"]] == ["float32"]


# --- the data and the networks that belong to it --------------------------------------------------------------------


def test_a_conditional_run_is_shown_the_labels_of_the_data(tmp_path, monkeypatch):
    """Real labels are the store's, each with its own image."""
    seen = []
    turn = Training.turn

    def watched(self, batches, turns):
        seen.append(batches.at(self.progress.images))
        return turn(self, batches, turns)

    monkeypatch.setattr(Training, "turn", watched)
    pixels = np.zeros((60, 16, 16), np.uint8)
    labels = np.arange(60) % 3
    pixels[np.arange(60), 0, 0] = labels  # each image tells its class
    pixels[np.arange(60), 1, 1] = np.arange(60)  # and no two are equal
    np.savez(tmp_path / "data.npz", images=pixels, labels=labels)
    run = small(tmp_path / "run", source=str(tmp_path / "data.npz"), conditional=True, images=160)
    assert run.classes == ["0", "1", "2"]
    for batch in seen:
        told = ((batch.real[:, 0, 0, 0] + 1) * 127.5).round().to(torch.int64)
        assert torch.equal(told, batch.labels)
    assert run.sample(6, label="2").shape == (6, 16, 16, 1)


def test_a_size_that_nobody_gave_is_told_with_its_reason(tmp_path, finished):
    chosen = small(tmp_path / "run", size=None, images=BUDGET)
    told = "size=16x16: what the images have, up to the 64 pixels that a CPU is asked for (--size overrules)."
    assert told in chosen.config["because"]
    assert not any(line.startswith("size=") for line in finished.config["because"])


def test_labels_that_a_recipe_does_not_use_are_mentioned(finished):
    assert "The data has 10 classes, which this recipe does not use." in finished.config["because"]
    assert finished.classes == []


@pytest.mark.parametrize(
    ("recipe", "size", "told", "corrected"),
    [
        ("vanilla-as-printed", 16, "vanilla-as-printed is written for images of 28x28 pixels, grey", "vanilla"),
        ("dcgan-as-printed", 32, "dcgan-as-printed is written for images of 64x64 pixels", "dcgan"),
        ("fastgan-tutorial-as-printed", 32, "written for images of 64x64 pixels", "fastgan"),
    ],
)
def test_an_as_printed_recipe_draws_only_what_its_document_draws(tmp_path, recipe, size, told, corrected):
    with pytest.raises(CardiganError) as caught:
        train("digits", recipe=recipe, size=size, images=64, out=tmp_path / "run", quiet=True, allow_upscale=True)
    assert told in str(caught.value)
    assert str(caught.value).endswith(f"or --recipe {corrected}.")


def test_fewer_images_than_a_batch_stops_before_training(tmp_path):
    """B9."""
    data = arrays(tmp_path / "data.npz", count=10)
    told = refusal(tmp_path / "run", source=str(data))
    assert "There are 10 images to train on, fewer than one batch of 16. Use --set batch_size=10 or less" in told
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_images_in_memory_train_and_go_on_like_files(tmp_path, capsys):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
    run = small(tmp_path / "run", source=pixels, images=32)
    assert run.config["data"]["source"] == "images-in-memory"
    assert run.config["command"].startswith("cardigan.train(images, ...)  # cardigan train --recipe")
    assert run.report().exists()
    longer = small(tmp_path / "run", source=[Image.fromarray(each) for each in pixels], images=64, resume=True)
    assert longer.records[-1]["images"] == 64
    with pytest.raises(CardiganError, match="The data has changed since this run began"):
        small(tmp_path / "run", source=pixels[::-1].copy(), images=64)


def test_what_was_not_read_is_told_at_the_start_and_kept(tmp_path, capsys):
    for kind in ("cat", "dog"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for number in range(20):
            pixels = np.random.default_rng([number, len(kind), ord(kind[0])]).integers(
                0, 256, (16, 16, 3), dtype=np.uint8
            )
            Image.fromarray(pixels).save(tmp_path / "set" / kind / f"{number}.png")
        (tmp_path / "set" / kind / "notes.doc").write_bytes(b"words")
    run = small(tmp_path / "run", source=str(tmp_path / "set"), quiet=False, images=16)
    told = capsys.readouterr().err
    assert told.count("2 class folders, 40 images (cat 20, dog 20)") == 1
    assert told.count("Not read: .doc 2") == 1
    assert run.config["data"]["left out"] == ".doc 2"
    assert "Left out" in (run.path / "report.html").read_text(encoding="utf-8")


def test_a_checkpoint_whose_numbers_were_drawn_otherwise_is_told(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cardigan.training.state.STREAMS", 1)
        stop_early(tmp_path / "run", patch)
    run = small(tmp_path / "run")
    told = " ".join(events(run))
    assert "of a version that drew its random numbers otherwise: weights, optimizers and clock go on" in told
    assert OTHER_BITS in told
    assert SAME_BITS not in told
