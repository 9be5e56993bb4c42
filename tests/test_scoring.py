"""How good is it, asked of runs and of files: against what is measured, what is kept, and what is refused."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from cardigan import scoring as room
from cardigan.data.holding import held_out_images
from cardigan.errors import CardiganError
from cardigan.evaluation.card import CARD, load_card
from cardigan.launch import train
from cardigan.models import unet
from cardigan.runs import load
from cardigan.sample import load_generator, publish
from cardigan.scoring import card_of, evaluate

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
SETTINGS = {"size": 16, "images": 64, "device": "cpu", "quiet": True, "snapshots": 1, "width": 2, "batch_size": 16}
QUICK = {"features": "gradients"}


def noise(count, seed=0, size=16, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def saved(path, images, **more):
    np.savez(path, images=images, **more)
    return path


def folder_of(path, images, suffix="png", **save):
    path.mkdir(parents=True, exist_ok=True)
    for place, image in enumerate(images):
        Image.fromarray(image.squeeze()).save(path / f"{place:04d}.{suffix}", **save)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Three classes in unequal numbers: 400, 160 and 40 images."""
    return saved(tmp_path_factory.mktemp("data") / "data.npz", noise(600), labels=np.repeat([0, 1, 2], [400, 160, 40]))


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    return train(source, recipe="quick", out=tmp_path_factory.mktemp("runs") / "run", **SETTINGS)


@pytest.fixture
def run(trained, tmp_path):
    return load(shutil.copytree(trained.path, tmp_path / "run"))


@pytest.fixture
def gone(monkeypatch, tmp_path):
    """A cache without the data of any run."""
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path / "other cache"))


def message(*arguments, **words):
    with pytest.raises(CardiganError) as caught:
        evaluate(*arguments, **words)
    return str(caught.value)


# --- runs ----------------------------------------------------------------------------------------------------------


def test_a_run_is_measured_against_what_it_held_out(run):
    steps = []
    card = evaluate(run.path, count=40, on_step=steps.append, **QUICK)
    protocol = card.protocol
    assert (protocol.reference, protocol.real, protocol.shape) == ("held-out", 60, (16, 16, 3))
    assert (protocol.generated, protocol.parts, protocol.seeds) == (40, 3, (0,))
    assert (protocol.weights, protocol.truncation, protocol.labels) == ("averaged", 1.0, "as in the data")
    assert (protocol.extractor, protocol.device) == ("gradients", "cpu")
    assert card.trained == {
        "generator": json.loads((run.folder.generator / "config.json").read_text())["sha256"],
        "data": run.config["data"]["fingerprint"],
        "recipe": "quick",
        "seed": 0,
        "images": 64,
        "ways": ["float32 on cpu"],
    }
    assert list(card.classes) == ["0", "1", "2"]
    assert card.because[0] == "As asked for."
    assert card.versions.startswith("Cardigan ")
    assert [step.partition(" ")[0] for step in steps] == ["reading", "drawing", "looking", "looking", "writing"]
    assert steps[1] == "drawing 3 x 40 samples"
    assert load_card(run.path / CARD) == card == card_of(run.path) == card_of(str(run.path / CARD))
    page = run.folder.report.read_text(encoding="utf-8")
    assert "How good is it?" in page
    assert f"protocol {protocol.digest_of_all[:12]}" in page


def test_all_that_was_held_out_counts_and_not_only_what_the_folder_keeps(run, tmp_path):
    held = run.folder.samples / "held-out.npy"
    before = evaluate(run.path, count=20, out=tmp_path / "a.json", **QUICK)
    np.save(held, np.load(held)[:25])
    after = evaluate(run.path, count=20, out=tmp_path / "b.json", **QUICK)
    assert after.protocol.real == 60
    assert (after.protocol, after.scores) == (before.protocol, before.scores)


def test_of_many_held_out_images_some_are_drawn_by_lot(run, source, request, tmp_path, monkeypatch):
    monkeypatch.setattr("cardigan.evaluation.gathering.MOST", 55)
    before = evaluate(run.path, count=20, out=tmp_path / "a.json", **QUICK)
    assert (before.protocol.reference, before.protocol.real) == ("held-out", 55)
    request.getfixturevalue("gone")
    after = evaluate(run.path, against=source, count=20, out=tmp_path / "b.json", **QUICK)
    assert (after.protocol, after.scores) == (before.protocol, before.scores)


def test_the_same_call_measures_the_same_and_another_seed_does_not(run, tmp_path):
    first, again, other = (
        evaluate(run.path, count=20, seed=seed, out=tmp_path / f"{place}.json", **QUICK)
        for place, seed in enumerate((0, 0, 1))
    )
    assert first.scores == again.scores
    assert first.findings == again.findings
    assert first.protocol == again.protocol
    assert first.scores != other.scores
    assert first.protocol.differences(other.protocol) == [("seeds", (0,), (1,))]
    assert not (run.path / CARD).exists()
    assert load_card(tmp_path / "0.json") == first


def test_parts_are_draws_that_nothing_else_shows(run, monkeypatch):
    asked = []
    sample = room.Run.sample
    monkeypatch.setattr(
        room.Run, "sample", lambda self, count, **words: asked.append((count, words)) or sample(self, count, **words)
    )
    evaluate(run.path, count=20, out=run.path / "x.json", **QUICK)
    drawn = [words["seed"] for count, words in asked if count == 20]
    assert len(set(drawn)) == 3
    assert min(drawn) > 1000


def test_classes_are_those_that_were_drawn(run):
    labels = run.labels(50, seed=3)
    assert labels.dtype == np.int64
    drawn = run.sample(50, seed=3)
    for place in (0, 17):
        alone = run.sample(place + 1, seed=3, label=int(labels[place]))[place]
        assert np.array_equal(drawn[place], alone)


def test_large_images_are_drawn_less_often(run, monkeypatch):
    monkeypatch.setattr(room, "MOST_BYTES", 30 * 16 * 16 * 3)
    assert evaluate(run.path, out=run.path / "x.json", **QUICK).protocol.generated == 30
    monkeypatch.setattr(room, "MOST_BYTES", 1)
    assert evaluate(run.path, out=run.path / "x.json", **QUICK).protocol.generated == 20


def test_a_card_of_another_generator_is_refused_and_not_shown(run):
    evaluate(run.path, count=20, **QUICK)
    network, facts = load_generator(run.folder.generator)
    with torch.no_grad():
        next(network.parameters()).add_(0.5)
    publish(network, run.folder.generator, facts={name: facts[name] for name in ("classes", "images")})
    with pytest.raises(CardiganError) as caught:
        card_of(run.path)
    assert str(caught.value) == (
        f"The score card of {run.path} is about another generator than the run has now. Measure again: cardigan "
        f"evaluate {run.path}"
    )
    page = load(run.path).report().read_text(encoding="utf-8")
    assert "The score card is about an earlier generator of this run, so its numbers are not shown." in page
    assert "protocol " not in page
    evaluate(run.path, count=20, **QUICK)
    assert "protocol " in run.folder.report.read_text(encoding="utf-8")


def test_a_generator_that_was_chosen_by_the_same_images_is_said_to_be(run, tmp_path):
    def told(lines, **words):
        run.folder.trials.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        card = evaluate(run.path, count=20, out=tmp_path / "x.json", **QUICK, **words)
        return [line for line in card.because if line.startswith("Which generator to keep was decided among ")]

    held = {"kid": 0.1, "against": "60 held-out images"}
    (line,) = told([held, held, held | {"again": True}])
    assert line.startswith("Which generator to keep was decided among 2 by their distance to some of these held-out")
    assert told([held]) == []
    assert told([held | {"against": "540 training images"}] * 2) == []
    assert told([{"psnr": 20.0}] * 2) == []
    assert told([held, held], against=saved(tmp_path / "t.npz", noise(90, 5))) == []


def test_a_damaged_card_spoils_no_report(run):
    (run.path / CARD).write_text("{", encoding="utf-8")
    assert "is damaged, or no score card" in run.report().read_text(encoding="utf-8")


def test_a_run_without_a_report_gets_none(run):
    run.folder.report.unlink()
    evaluate(run.path, count=20, **QUICK)
    assert not run.folder.report.exists()


def test_a_report_that_fails_loses_no_numbers(run, monkeypatch):
    def broken(self):
        raise CardiganError("no ink")

    monkeypatch.setattr(room.Run, "report", broken)
    steps = []
    card = evaluate(run.path, count=20, on_step=steps.append, **QUICK)
    assert load_card(run.path / CARD) == card
    assert steps[-1] == "the report was not written: no ink"


# --- other real images than those that a run held out --------------------------------------------------------------


def test_images_that_were_trained_on_are_not_taken_for_unseen(run, source, tmp_path):
    held = len(held_out_images(run.folder.samples))
    both = np.concatenate([np.load(source)["images"], noise(80, seed=1)])
    card = evaluate(run.path, against=saved(tmp_path / "both.npz", both), count=20, out=tmp_path / "x.json", **QUICK)
    assert (card.protocol.reference, card.protocol.real) == ("held-out", held + 80)
    assert f"{600 - held} of these images were trained on, and left out of what samples are measured against." in (
        card.because
    )
    assert not [finding for finding in card.findings if finding.name == "copies" and finding.alarm]


def test_images_of_their_own_are_all_measured_against(run, tmp_path):
    card = evaluate(
        run.path, against=saved(tmp_path / "t.npz", noise(90, 5)), count=20, out=tmp_path / "x.json", **QUICK
    )
    assert (card.protocol.reference, card.protocol.real) == ("held-out", 90)
    assert not any("trained on" in line for line in card.because)


def test_the_very_data_is_known_again_when_the_cache_is_gone(run, source, request, tmp_path):
    before = evaluate(run.path, count=20, out=tmp_path / "a.json", **QUICK)
    request.getfixturevalue("gone")
    after = evaluate(run.path, against=source, count=20, out=tmp_path / "b.json", **QUICK)
    assert after.protocol == before.protocol
    assert after.scores == before.scores


def test_a_run_whose_data_is_gone_says_so(run, gone, source):
    assert message(run.path, **QUICK) == (
        f"The images that {run.path} was trained on are not in this machine's cache any more. Name them: cardigan "
        f"evaluate {run.path} --against {source}"
    )
    assert not (run.path / CARD).exists()


def test_other_images_where_the_data_is_gone_are_divided(run, gone, tmp_path):
    other = saved(tmp_path / "t.npz", noise(600, 5))
    card = evaluate(run.path, against=other, count=20, out=tmp_path / "x.json", **QUICK)
    assert card.protocol.real == 60
    assert any(
        line.startswith("The images that the run was trained on are not in this machine") for line in card.because
    )


# --- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "parts", "each"), [(59, 1, 59), (60, 3, 20), (200, 3, 66)])
def test_files_are_divided_into_parts(tmp_path, count, parts, each):
    card = evaluate(saved(tmp_path / "a.npz", noise(count)), against=saved(tmp_path / "b.npz", noise(200, 1)), **QUICK)
    assert (card.protocol.parts, card.protocol.generated) == (parts, each)
    assert (card.protocol.weights, card.protocol.truncation, card.protocol.labels) == ("as given", None, "as given")
    assert card.trained == {}
    assert "Which of the real images were learnt from is not known; a part of them stands for held-out ones." in (
        card.because
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_samples_that_repeat_to_the_pixel_are_kept_and_counted(tmp_path):
    one = saved(tmp_path / "one.npz", np.repeat(noise(1), 1000, axis=0))
    card = evaluate(one, against=saved(tmp_path / "b.npz", noise(200, 1)), **QUICK)
    assert card.protocol.generated == 333
    assert "repeats" in [finding.name for finding in card.alarms]


def test_files_in_colour_and_grey_are_compared_in_colour(tmp_path):
    grey, colour = noise(100, 1, channels=1), noise(100, 2)
    paths = {"grey": saved(tmp_path / "grey.npz", grey), "colour": saved(tmp_path / "colour.npz", colour)}
    for mine, theirs, channels in (("grey", "colour", 3), ("colour", "grey", 3), ("grey", "grey", 1)):
        assert evaluate(paths[mine], against=paths[theirs], **QUICK).protocol.shape == (16, 16, channels)


def test_transparent_files_are_painted_over(tmp_path):
    clear = np.concatenate([noise(60), np.zeros((60, 16, 16, 1), np.uint8)], axis=3)
    folder = folder_of(tmp_path / "clear", clear)
    card = evaluate(folder, against=saved(tmp_path / "b.npz", noise(100, 1)), **QUICK)
    assert card.protocol.shape == (16, 16, 3)
    assert card.alarms  # all white
    told = f"60 images of {folder} are transparent in places: transparent parts painted over with the background."
    assert told in card.because


def test_one_picture_is_not_cut_up_and_scored(tmp_path):
    Image.fromarray(noise(1, size=200)[0]).save(tmp_path / "one.png")
    real = saved(tmp_path / "real.npz", noise(100, 2, size=32))
    for subject, against in ((tmp_path / "one.png", real), (real, tmp_path / "one.png")):
        assert message(subject, against=against, **QUICK) == (
            f"{tmp_path / 'one.png'} is one picture, which would be cut into pieces. Scores need many pictures. Name a "
            f"folder, a zip or an array of them."
        )


def test_files_of_many_sizes_need_a_size(tmp_path):
    folder = folder_of(tmp_path / "mixed", noise(30, size=16))
    folder_of(folder / "large", noise(30, 1, size=24))
    real = saved(tmp_path / "real.npz", noise(100, 2, size=32))
    told = message(folder, against=real, **QUICK)
    assert "have 2 different sizes: 16x16 (30), 24x24 (30)" in told
    assert told.endswith("choose one for all with: --size 64")
    card = evaluate(folder, against=real, size=(20, 24), **QUICK)
    assert card.protocol.shape == (20, 24, 3)
    assert (
        "Images of mixed are smaller than 20x24, the smallest 16x16, and were enlarged: such images are blurred."
        in [line.replace(str(folder), "mixed") for line in card.because]
    )
    assert evaluate(folder, against=real, size=20, **QUICK).protocol.shape == (20, 20, 3)


def test_real_images_that_are_smaller_are_noted(tmp_path):
    real = saved(tmp_path / "real.npz", noise(100, 2, size=12))
    card = evaluate(saved(tmp_path / "a.npz", noise(60)), against=real, **QUICK)
    assert (
        f"Images of {real} are smaller than 16x16, the smallest 12x12, and were enlarged: such images are blurred."
        in (card.because)
    )


def test_files_that_cannot_be_read_are_noted(tmp_path):
    folder = folder_of(tmp_path / "drawn", noise(40))
    (folder / "torn.png").write_bytes(b"\x89PNG")
    card = evaluate(folder, against=saved(tmp_path / "b.npz", noise(100, 1)), **QUICK)
    assert any(
        line.startswith(f"1 file of {folder} cannot be used and is left out: torn.png (") for line in card.because
    )


def test_classes_of_one_image_do_not_stop_a_measurement(tmp_path):
    labels = np.append(np.repeat([0, 1], 60), 2)
    real = saved(tmp_path / "b.npz", noise(121, 1), labels=labels)
    assert evaluate(saved(tmp_path / "a.npz", noise(60)), against=real, **QUICK).protocol.real == 109


# --- refusals ------------------------------------------------------------------------------------------------------


def test_what_is_nowhere_or_no_run_is_told(tmp_path):
    assert message(tmp_path / "no") == (
        f"There is nothing at {tmp_path / 'no'}. Expected a run's folder, or generated images and --against IMAGES."
    )
    assert message(tmp_path) == (
        f"{tmp_path} is no run, so there is nothing to measure it against. Name real images: cardigan evaluate "
        f"{tmp_path} --against IMAGES"
    )


def test_a_run_that_cannot_draw_is_told_before_any_work(run, monkeypatch):
    monkeypatch.setattr(room, "of_a_run", lambda *_: pytest.fail("work"))
    network = unet.Generator(size=16, channels=3, width=2, levels=1, blocks=1)
    publish(network, run.folder.generator, facts={"classes": {}, "degrade": "downscale2"})
    assert message(run.path).startswith(f"{run.path} restores images (downscale2) and draws none on its own.")
    shutil.rmtree(run.folder.generator)
    shutil.rmtree(run.folder.checkpoints)
    assert message(run.path).startswith(f"{run.path} has no generator yet: nothing was trained.")


@pytest.mark.parametrize("count", [-1, 0, 5])
def test_too_few_draws(run, count):
    assert message(run.path, count=count) == (
        f"--count is {count}, expected the number of samples in each part: more than 5, better 1000."
    )


def test_a_count_of_files(tmp_path):
    files = saved(tmp_path / "a.npz", noise(60))
    assert message(files, against=files, count=20) == (
        f"--count is of a run's draws; all images in {files} are measured. Leave --count out."
    )


def test_a_size_of_a_run(run):
    assert message(run.path, size=32) == "A run is measured at its own size, 16x16. Leave --size out."


def test_too_few_files(tmp_path):
    files, real = saved(tmp_path / "a.npz", noise(5)), saved(tmp_path / "b.npz", noise(100, 1))
    assert message(files, against=real, **QUICK) == "Scores take more than 5 samples in each part, got 5. Draw more."
    assert message(real, against=files, **QUICK).startswith("Scores take more than 5 real images to learn from, got 5.")


def test_an_extractor_that_is_none(run):
    assert message(run.path, features="inceptoin").startswith("There is no extractor 'inceptoin'.")


@pytest.mark.parametrize(
    ("out", "told"),
    [(".", "it is a folder"), ("no/card.json", "no is no folder"), ("data.npz/card.json", "data.npz is no folder")],
)
def test_where_no_card_can_be_written_is_told_before_any_work(run, tmp_path, monkeypatch, out, told):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "data.npz", noise(2))
    monkeypatch.setattr(room, "of_a_run", lambda *_: pytest.fail("work"))
    assert message(run.path, out=Path(out)) == (
        f"The score card cannot be written to {Path(out)}: {told}. Choose another --out."
    )


def test_a_folder_that_may_not_be_written_to(run, forbidden):
    assert message(run.path, out=forbidden / "card.json", **QUICK) == (
        f"The score card cannot be written to {forbidden / 'card.json'}: Permission denied. Choose another --out."
    )


def test_a_disk_that_fills_meanwhile(run, monkeypatch):
    def full(path, blob):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cardigan.evaluation.card.replace_durably", full)
    assert message(run.path, count=20, **QUICK) == (
        f"The score card cannot be written to {run.path / CARD}: No space left on device. Choose another --out."
    )


# --- what judged in training ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "through"),
    [
        ({}, ""),
        ({"features": "none", "width": "8"}, ""),
        ({"features": "timm:vgg16"}, "timm:vgg16"),
        ({"backbone": "mine.safetensors"}, "mine.safetensors"),
    ],
)
def test_a_pretrained_judge_is_read_from_the_settings(settings, through):
    assert room._looked_through(settings) == through


def test_a_pretrained_judge_is_told_on_the_card(run):
    config = json.loads(run.folder.config.read_text())
    config["request"]["settings"]["features"] = "timm:vgg16"
    run.folder.config.write_text(json.dumps(config))
    card = evaluate(run.path, count=20, features="pixels")
    (found,) = [finding for finding in card.notes if finding.name == "not independent"]
    assert "was trained to please a pretrained network, timm:vgg16." in found.text


# --- the cheater gauntlet on real data, by the command line's own way --------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Heaps of images as files: 6,000 training digits, and what a cheater makes of them."""
    path = SHARED / "mnist.npz"
    if not path.exists():
        pytest.skip("the shared data set mnist.npz is not here")
    with np.load(path) as file:
        training, labels = file["train_images"][:6000], file["train_labels"][:6000]
        test, kinds = file["test_images"], file["test_labels"]
    blur = ImageFilter.GaussianBlur(0.7)
    heaps = {
        "copies": training[:3000],
        "blurred copies": np.stack([np.asarray(Image.fromarray(image).filter(blur)) for image in training[:3000]]),
        "five of ten": test[kinds < 5][:3000],
        "one image": np.repeat(test[:1], 3000, axis=0),
        "held out": test[:3000],
        "compressed": np.stack([_jpeg(image) for image in test[:3000]]),
        "two hundred": test[:200],
    }
    folder = tmp_path_factory.mktemp("digits")
    saved(folder / "real.npz", training, labels=labels)
    for name, images in heaps.items():
        saved(folder / f"{name}.npz", images)
    return folder


def _jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=75)
    with Image.open(file) as opened:
        return np.asarray(opened)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("cheat", "alarms"),
    [
        ("held out", []),
        ("copies", ["copies"]),
        ("blurred copies", ["copies"]),
        ("five of ten", ["narrow", "missing classes"]),
        ("one image", ["repeats", "narrow", "missing classes"]),
        ("compressed", ["compressed"]),
        ("two hundred", ["few samples"]),
    ],
)
def test_the_gauntlet_on_mnist(digits, cheat, alarms):
    card = evaluate(digits / f"{cheat}.npz", against=digits / "real.npz")
    assert [finding.name for finding in card.alarms] == alarms
    assert card.protocol.extractor == "own classifier"
    kid = card.score("kid")
    if cheat in ("held out", "copies"):
        assert abs(kid.value - kid.floor) < 0.01
    if cheat in ("five of ten", "one image"):
        assert kid.value > 0.1
    if cheat == "five of ten":
        missing = next(finding for finding in card.alarms if finding.name == "missing classes")
        assert missing.text == "5 of 10 classes are left out: 5, 6, 7, 8, 9."
