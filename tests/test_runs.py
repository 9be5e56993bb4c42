"""A run, opened: drawing from it, its report, and what it says when it cannot."""

import json
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cardigan
from cardigan import runs
from cardigan.data.degrade import parse
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.launch import train
from cardigan.models import unet
from cardigan.randomness import generator as stream
from cardigan.runs import Run, load
from cardigan.sample import load_generator, publish

SETTINGS = {"size": 16, "images": 96, "device": "cpu", "quiet": True, "snapshots": 2, "width": 2, "batch_size": 16}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three classes in unequal numbers: 40, 16 and 8 images."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 16, 16), dtype=np.uint8)
    np.savez(path, images=pixels, labels=np.repeat([0, 1, 2], [40, 16, 8]))
    return path


@pytest.fixture(scope="module")
def conditional(data, tmp_path_factory):
    return train(data, recipe="quick", out=tmp_path_factory.mktemp("runs") / "conditional", **SETTINGS)


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "plain"
    return train(data, recipe="sngan", out=out, conditional=False, generator_norm=True, **SETTINGS)


def test_images_are_uint8_and_a_function_of_the_seed(plain):
    pictures = plain.sample(20, seed=7)
    assert (pictures.dtype, pictures.shape) == (np.uint8, (20, 16, 16, 1))
    assert np.array_equal(pictures, plain.sample(20, seed=7))
    assert np.array_equal(pictures[:3], plain.sample(3, seed=7))
    assert not np.array_equal(pictures, plain.sample(20, seed=8))
    assert len({picture.tobytes() for picture in pictures}) == 20
    assert plain.sample(0).shape == (0, 16, 16, 1)


def test_a_run_opened_anew_draws_the_same(plain):
    torch.manual_seed(77)
    again = cardigan.load(plain.path)
    assert isinstance(again, Run)
    assert np.array_equal(again.sample(5, seed=1), plain.sample(5, seed=1))
    assert repr(again) == f"Run({str(plain.path)!r})"
    assert load(str(plain.path)).config == plain.config


def test_the_model_in_its_folder_opens_without_the_run(plain, tmp_path):
    folder = Path(shutil.copytree(plain.folder.generator, tmp_path / "elsewhere"))
    network, config = load_generator(folder)
    assert (config["images"], config["classes"], config["model"]) == (96, {}, "resnet")
    with torch.no_grad():
        ours = network(torch.ones(2, network.latent))
        assert torch.equal(ours, plain.generator(torch.ones(2, network.latent)))
    assert ours.min() >= -1
    assert ours.max() <= 1


def test_labels_by_name_and_number(conditional):
    assert conditional.classes == ["0", "1", "2"]
    by_number, by_name = conditional.sample(6, label=2), conditional.sample(6, label="2")
    assert np.array_equal(by_number, by_name)
    assert not np.array_equal(by_number, conditional.sample(6, label=0))


def test_names_go_before_numbers(conditional, tmp_path):
    """A class named after the number of another is found by its name; a number given as a number is a number."""
    out = Path(shutil.copytree(conditional.path, tmp_path / "run"))
    config = json.loads((out / "generator" / "config.json").read_text())
    config["classes"] = {"2": 40, "cats": 16, "0": 8}
    (out / "generator" / "config.json").write_text(json.dumps(config))
    run = load(out)
    place = {name: conditional.sample(3, label=number) for number, name in enumerate(("2", "cats", "0"))}
    for name, expected in place.items():
        assert np.array_equal(run.sample(3, label=name), expected)
    assert np.array_equal(run.sample(3, label="1"), place["cats"])
    for number, expected in enumerate(place.values()):
        assert np.array_equal(run.sample(3, label=number), expected)


def test_without_a_label_classes_come_as_often_as_in_the_data(conditional):
    labels = conditional._labels(conditional.facts, 2000, seed=0, label=None)
    counts = Counter(labels.tolist())
    for number, share in enumerate((40 / 64, 16 / 64, 8 / 64)):
        assert abs(counts[number] - 2000 * share) < 5 * (2000 * share * (1 - share)) ** 0.5
    assert torch.equal(labels[:9], conditional._labels(conditional.facts, 9, seed=0, label=None))
    weights = torch.tensor([40.0, 16.0, 8.0])
    assert labels[5] == torch.multinomial(weights, 1, generator=stream(0, "sample labels", 5))
    assert np.array_equal(conditional.sample(20)[:7], conditional.sample(7))


def test_the_labels_of_a_draw_are_those_that_were_drawn(conditional):
    labels = conditional.labels(9, seed=2)
    assert (labels.dtype, labels.shape) == (np.int64, (9,))
    assert labels.tolist() == conditional._labels(conditional.facts, 9, seed=2, label=None).tolist()
    drawn = conditional.sample(9, seed=2)
    assert np.array_equal(drawn[4], conditional.sample(5, seed=2, label=int(labels[4]))[4])


def test_the_facts_are_those_of_the_published_generator(plain):
    assert plain.facts == json.loads((plain.folder.generator / "config.json").read_text(encoding="utf-8"))
    assert plain.facts["images"] == 96


def message(action):
    with pytest.raises(CardiganError) as caught:
        action()
    return str(caught.value)


@pytest.mark.parametrize("label", ["9", 9, "cat", -1, "-1", "", "²"])
def test_an_unknown_label_lists_the_known(conditional, label):
    told = message(lambda: conditional.sample(2, label=label))
    assert told == f"There is no class {label!r}. Known: 0, 1, 2."


def test_a_label_without_classes(plain):
    assert message(lambda: plain.sample(2, label="0")) == "label is '0', but this model was trained without classes."


def test_without_classes_there_are_no_labels(plain):
    assert message(lambda: plain.labels(2)) == (
        f"{plain.path} was trained without classes, so its images have no labels."
    )


@pytest.fixture
def restoring(plain, tmp_path):
    """A run that enlarges twice; the generator from before the game draws nothing in."""
    out = Path(shutil.copytree(plain.path, tmp_path / "restoring"))
    for folder, change in (("generator", 0.25), ("pretrained", 0.0)):
        network = unet.Generator(size=16, channels=1, width=2, levels=1, blocks=1).eval()
        torch.nn.init.zeros_(network.end.weight)
        torch.nn.init.constant_(network.end.bias, change)
        publish(network, out / folder, facts={"classes": {}, "images": 96, "degrade": "downscale2"})
    return load(out)


def test_restoring_pixels_and_files_by_either_generator(restoring, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 200, (9, 12, 1), dtype=np.uint8)
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "a.png")
    enlarged = parse("downscale2").prepare(pixels)
    assert np.array_equal(restoring.restore(pixels, faithful=True), enlarged)
    restored = restoring.restore(pixels)
    assert np.abs(restored - np.minimum(enlarged + 31.875, 255)).max() <= 1
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(restoring.restore(path), restored)
    assert np.array_equal(restoring.restore(pixels, faithful=True), enlarged), "each keeps its own"


def held_out(run, count):
    """Held-out pieces of a run, and two measurements."""
    pieces = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 1), np.uint8)
    np.save(run.folder.samples / "true.npy", pieces)
    np.save(run.folder.samples / "given.npy", pieces + 100)
    lines = [{"images": images, "stage": "game", "psnr": 25.0, "texture": 0.3} for images in (64, 96)]
    run.folder.trials.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"images"', encoding="utf-8")


def test_the_report_of_a_restoration_compares_held_out_pieces(restoring):
    held_out(restoring, 45)
    contents = restoring._contents()
    assert [name for name, _ in contents.comparison] == ["as given", "before the game", "restored", "true"]
    given, before, restored, true = (images for _, images in contents.comparison)
    assert true[:, 0, 0, 0].tolist() == list(range(0, 45, 4)), "evenly chosen"
    assert np.array_equal(given, true + 100)
    assert np.array_equal(before, given)
    assert np.abs(restored - (given + 31.875)).max() <= 1
    assert [line["best"] for line in contents.trials] == [False, True]
    assert contents.real.size == contents.generated.size == 0
    assert contents.likeness is None, "what restores may give back what it was given"
    assert ("Undoes", "downscale2") in contents.summary
    assert "cardigan restore RUN" in restoring.report().read_text(encoding="utf-8")


def test_the_report_of_a_restoration_that_gained_nothing_from_the_game_has_a_column_less(restoring):
    held_out(restoring, 5)
    shutil.rmtree(restoring.folder.generator)
    shutil.copytree(restoring.folder.pretrained, restoring.folder.generator)
    again = load(restoring.path)
    assert [name for name, _ in again._contents().comparison] == ["as given", "restored", "true"]
    shutil.rmtree(restoring.folder.pretrained)
    assert [name for name, _ in load(restoring.path)._contents().comparison] == ["as given", "restored", "true"]


def test_what_restores_draws_nothing_and_what_draws_restores_nothing(restoring, plain):
    assert message(lambda: restoring.sample(1)).startswith(f"{restoring.path} restores images (downscale2) and draws")
    assert message(lambda: plain.restore(np.zeros((8, 8), np.uint8))).startswith(f"{plain.path} draws images and")


@pytest.mark.parametrize("truncation", [0.0, -1.0, 1.5, float("nan")])
def test_truncation_outside_its_range(plain, truncation):
    assert f"truncation is {truncation}, expected more than 0 and at most 1" in message(
        lambda: plain.sample(2, truncation=truncation)
    )


def test_truncation_draws_other_images(plain):
    assert not np.array_equal(plain.sample(4, truncation=0.3), plain.sample(4))


def test_a_negative_count(plain):
    assert message(lambda: plain.sample(-1)) == "The number of images must not be negative, got -1."


def test_a_folder_that_is_no_run(tmp_path):
    assert f"{tmp_path} is not a run: it has no config.json." in message(lambda: load(tmp_path))
    assert "is not a run" in message(lambda: load(tmp_path / "absent"))


def test_a_run_that_trained_nothing_says_what_to_do(plain, tmp_path):
    out = Path(shutil.copytree(plain.path, tmp_path / "run"))
    shutil.rmtree(out / "generator")
    shutil.rmtree(out / "checkpoints")
    run = load(out)
    for action in (lambda: run.sample(1), run.report, lambda: run.generator, lambda: run.classes):
        assert message(action) == (
            f"{out} has no generator yet: nothing was trained. Run its train command again: {run.config['command']} "
            f"--out {out}"
        )
    assert run.records  # what is there can be looked at


@pytest.mark.parametrize("kind", ["plain", "conditional"])
def test_an_unfinished_run_draws_from_the_average_of_its_newest_checkpoint(kind, tmp_path, request):
    """It is the generator that was published at that very moment; its normalisation is measured on other draws."""
    finished = request.getfixturevalue(kind)
    out = Path(shutil.copytree(finished.path, tmp_path / "run"))
    shutil.rmtree(out / "generator")
    run = load(out)
    published, averaged = finished.generator.state_dict(), plain_state(run.generator, finished.generator)
    for name, value in published.items():
        if "num_batches" not in name:  # the normalisation of a finished run is measured on fewer draws
            near = 0.3 if "running" in name else 1e-5
            assert torch.allclose(averaged[name], value, rtol=near, atol=near), name
    assert not run.generator.training
    assert run.facts["images"] == finished.facts["images"] == 96
    assert run.classes == finished.classes
    assert np.array_equal(run.sample(3), load(out).sample(3))
    assert run.remark == (
        f"{out} has not finished training: its generator is the newest average, after 96 images. To go on: "
        f"{run.config['command']} --out {out}"
    )
    assert run.report().exists()
    assert finished.remark == ""


def plain_state(network, template):
    modules = dict(network.named_modules())
    return {name: getattr(modules[name.rpartition(".")[0]], name.rpartition(".")[2]) for name in template.state_dict()}


def test_the_best_so_far_comes_before_the_newest_average(plain, tmp_path):
    out = Path(shutil.copytree(plain.path, tmp_path / "run"))
    (out / "best").mkdir()
    (out / "generator").rename(out / "best" / "48")
    run = load(out)
    assert np.array_equal(run.sample(2), plain.sample(2))
    assert ": its generator is the best so far, after 96 images." in run.remark


def test_a_run_that_is_training_says_so(plain, tmp_path):
    out = Path(shutil.copytree(plain.path, tmp_path / "run"))
    holder = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    lock = {"pid": holder.pid, "host": socket.gethostname(), "since": 0.0, "process": "another"}
    (out / ".lock").write_text(json.dumps(lock), encoding="utf-8")
    try:
        assert (
            load(out).remark == f"{out} is still training: its generator is the one published before, after 96 images."
        )
        shutil.rmtree(out / "generator")
        shutil.rmtree(out / "checkpoints")
        assert message(lambda: load(out).sample(1)) == (
            f"{out} is still training and has no generator yet: its first checkpoint comes within a minute. Type the "
            f"same command again then."
        )
    finally:
        holder.kill()
        holder.wait()


def test_a_generator_alone_draws_as_its_run(plain, tmp_path):
    alone = load(shutil.copytree(plain.path / "generator", tmp_path / "friend"))
    assert not isinstance(alone, Run)
    assert np.array_equal(alone.sample(3, seed=4), plain.sample(3, seed=4))
    assert alone.remark == ""
    assert message(lambda: Run(alone.path)) == (
        f"{alone.path} is a generator alone, and this needs its whole run. Name the run's folder, or draw images: "
        f"cardigan sample {alone.path} --count 3000 --out drawn"
    )


def test_a_restoring_generator_alone_has_no_faithful_twin(tmp_path):
    network = unet.Generator(size=16, channels=3, width=2, levels=1, blocks=1)
    publish(network, tmp_path / "model", facts={"classes": {}, "degrade": "noise10"})
    alone = load(tmp_path / "model")
    assert alone.restore(np.zeros((16, 16, 3), np.uint8)).shape == (16, 16, 3)
    assert message(lambda: alone.restore(np.zeros((16, 16, 3), np.uint8), faithful=True)) == (
        f"{tmp_path / 'model'} is a generator alone. Only its whole run can restore with --faithful."
    )


def test_blocks_are_the_images_of_one_draw(conditional):
    blocks = list(conditional.samples(150, seed=3))
    assert [len(block) for block in blocks] == [64, 64, 22]
    assert np.array_equal(np.concatenate(blocks), conditional.sample(150, seed=3))
    assert "must not be negative" in message(lambda: conditional.samples(-1))


def test_a_damaged_model_in_a_run(plain, tmp_path):
    out = Path(shutil.copytree(plain.path, tmp_path / "run"))
    model = out / "generator" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:100])
    assert f"The model in {out / 'generator'} is damaged: " in message(lambda: load(out).sample(1))


def test_the_folder_explains_itself(conditional):
    names = {path.name for path in conditional.path.iterdir()}
    assert {"config.json", "records.jsonl", "checkpoints", "samples", "generator", "report.html"} <= names
    assert not [name for name in names if name.startswith(".")]
    assert not [path for path in conditional.path.rglob("*") if path.suffix in (".pt", ".pth", ".pkl", ".ckpt")]
    page = (conditional.path / "report.html").read_text(encoding="utf-8")
    assert "quick" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(list((conditional.path / "samples").glob("0*.png"))) >= 2


def test_the_report_can_be_written_again(conditional):
    path = conditional.path / "report.html"
    before = path.read_bytes()
    path.unlink()
    assert conditional.report() == path
    assert path.read_bytes() == before


def test_the_report_notes_why_and_what_happened(plain, tmp_path):
    run = load(shutil.copytree(plain.path, tmp_path / "run"))
    run.folder.add_event("resumed <here>", images=32)
    contents = run._contents()
    assert contents.notes == [*run.config["because"], "resumed <here>"]
    assert contents.records == run.records
    assert dict(contents.summary)["Images seen"] == "96"
    assert "resumed &lt;here&gt;" in run.report().read_text(encoding="utf-8")


def test_records_tell_the_history(conditional):
    images = [line["images"] for line in conditional.records]
    assert images == sorted(set(images))
    assert images[-1] == 96
    for line in conditional.records:
        assert {"discriminator/adversarial", "generator/adversarial"} <= set(line["losses"])
        assert np.isfinite([*line["losses"].values(), *line["logits"].values()]).all()


def test_the_configuration_tells_what_was_asked_and_what_it_came_to(conditional, data):
    config = conditional.config
    assert config["command"].startswith(f"cardigan train {data} --recipe quick --size 16 --images 96")
    assert config["budget"] == {"images": 96, "minutes": None, "since": None}
    assert config["shape"] == [16, 16, 1]
    assert config["data"]["classes"] == {"0": 40, "1": 16, "2": 8}
    assert config["parameters"]["generator"] == sum(each.numel() for each in conditional.generator.parameters())
    assert config["torch"] == torch.__version__


def test_events_are_read_in_order_and_a_torn_line_is_left_out(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_events() == []
    folder.add_event("first", images=1)
    folder.add_event('second "quoted"\nwith a line', images=2)
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"images": 3, "te')
    assert folder.read_events() == [
        {"images": 1, "text": "first"},
        {"images": 2, "text": 'second "quoted"\nwith a line'},
    ]


@pytest.fixture
def distant(monkeypatch):
    """A stand-in for a GPU: it is said to be here, and networks that are sent there stay, and are noted."""
    sent = []
    load_here = runs.load_generator

    def load_there(folder, *, device="cpu"):
        sent.append((folder.name, str(device)))
        return load_here(folder)

    monkeypatch.setattr(runs, "pick_device", lambda device: device)
    monkeypatch.setattr(runs, "load_generator", load_there)
    return sent


@pytest.fixture
def on_a_gpu(plain, tmp_path):
    """The run, as if it had trained on a GPU."""
    folder = RunFolder(Path(shutil.copytree(plain.path, tmp_path / "run")))
    folder.write_config(folder.read_config() | {"device": "cuda"})
    (folder.path / "copying.json").unlink()
    return folder.path


def test_a_report_is_drawn_on_the_device_of_the_run(on_a_gpu, distant):
    load(on_a_gpu).report()
    assert distant == [("generator", "cuda")]


def test_scores_are_drawn_on_the_device_of_the_run(on_a_gpu, distant):
    (on_a_gpu / "report.html").unlink()
    card = cardigan.evaluate(on_a_gpu, features="gradients", count=20)
    assert distant == [("generator", "cpu"), ("generator", "cuda")]  # the first is asked for facts, and draws nothing
    assert card.protocol.device == "cuda"
    distant.clear()
    assert cardigan.evaluate(on_a_gpu, features="gradients", count=20, device="cpu").protocol.device == "cpu"
    assert distant == [("generator", "cpu")]


def test_without_that_device_the_cpu_draws(on_a_gpu):
    """On a machine without a GPU, as this one may be; with one, there is no thousandth."""
    RunFolder(on_a_gpu).write_config(RunFolder(on_a_gpu).read_config() | {"device": "cuda:999"})
    assert load(on_a_gpu).device == "cpu"
    assert load(on_a_gpu).report().exists()


def test_a_network_that_the_user_holds_is_not_moved(on_a_gpu, distant):
    run = load(on_a_gpu)
    network = run.generator
    run.report()
    assert run.generator is network
    assert distant == [("generator", "cpu"), ("generator", "cuda")]


def test_a_label_is_found_however_its_accents_are_composed():
    composed, decomposed = "\u00fcber", "u\u0308ber"
    for known in (composed, decomposed):
        facts = {"classes": {"cat": 1, known: 1}}
        for asked in (composed, decomposed):
            assert Run._labels(facts, 2, seed=0, label=asked).tolist() == [1, 1]
    with pytest.raises(CardiganError, match="There is no class 'uber'"):
        Run._labels(facts, 2, seed=0, label="uber")
