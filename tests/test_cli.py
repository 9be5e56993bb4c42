"""The command line: a mistake ends with its message on standard error and exit code 2, and leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import arguments, cli
from cardigan._version import __version__
from cardigan.data.degrade import parse
from cardigan.folder import LOCK_NAME
from cardigan.interrupts import InterruptedRunError
from cardigan.models import unet
from cardigan.sample import publish

TINY = ("--recipe", "dcgan", "--device", "cpu", "--set", "width=4", "--set", "batch_size=32", "--set", "snapshots=1")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of 256 images."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    cli.main(["train", "digits", *TINY, "--images", "256", "--out", str(folder)])
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def restoring(run):
    """A run whose published generators enlarge twice: the kept one also turns pictures dark, the faithful one does not.

    A new generator adds nothing to its picture, so all that it does is in the last bias.
    """
    for folder, change in (("generator", -0.5), ("pretrained", 0.0)):
        network = unet.Generator(size=16, channels=3, width=2, levels=1, blocks=1).eval()
        torch.nn.init.zeros_(network.end.weight)
        torch.nn.init.constant_(network.end.bias, change)
        publish(network, run / folder, facts={"classes": {}, "degrade": "downscale2"})
    return run


def failure(capsys, *words, code=2):
    """What a command that must fail says on standard error, less the progress of reading."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    assert caught.value.code == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err + out
    told = "\n".join(line for line in err.splitlines() if not line.startswith(("reading ", "restoring ")))
    assert told.startswith("cardigan: ")
    return told.removeprefix("cardigan: ")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")
    }


# --- G1, G2, G3: keys, values and options --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian", "digits"], 'Did you mean "train"'),
        (["train", "digits", "--recipee", "dcgan"], "There is no option --recipee. Type: --recipe dcgan"),
        (["generate", "runs/faces"], 'There is no command "generate". Did you mean "sample"?'),
        (["train", "digits", "--recipe", "dgcan"], "There is no recipe 'dgcan'. Did you mean 'dcgan'?"),
        (["recipes", "wgangp"], "There is no recipe 'wgangp'. Did you mean 'wgan-gp'?"),
        (["train", "digits", *TINY, "--set", "lerning_rate=1"], "'lerning_rate'. Did you mean 'learning_rate'?"),
        (["train"], "No source is named. Expected a folder of images"),
        (["train", "digits", "--seed", "x"], "seed"),
        (["train", "digits", "--minutes", "soon"], "minutes"),
        (["scan", "digits", "--set", "chanels=1"], "There is no setting 'chanels'. Did you mean 'channels'?"),
        (["scan", "digits", "--set", "channels=7"], "channels is 7; expected 1 (grey), 2 (grey and alpha)"),
        (["scan", "digits", "--set", "labels=x", "--set", "fit=y"], "labels is 'x', expected boolean"),
        (["scan", "digits", "--set", "width=8"], "There is no setting 'width'."),
    ],
)
def test_a_mistyped_word_is_named_with_its_nearest(capsys, here, words, told):
    assert told in failure(capsys, *words)
    assert contents(here) == {}


def test_everything_wrong_is_told_at_once(capsys, here):
    """Names first, since they are known before torch is loaded; then values."""
    names = failure(capsys, "train", "digits", "--recipe", "dcgan", "--device", "gpu", "--set", "lerning_rate=1")
    assert [line.split()[0] for line in names.splitlines()] == ["There", "--device"]
    told = failure(
        capsys,
        *("train", "digits", "--recipe", "dcgan", "--images", "64", "--minutes", "1", "--size", "2"),
        *("--set", "width=x", "--set", "batch_size=-3", "--set", "channels=5"),
    )
    lines = told.splitlines()
    assert len(lines) == 5
    for part in ("width is", "batch_size is", "channels is", "--size is"):
        assert sum(part in line for line in lines) == 1, part
    assert "--images and --minutes exclude each other: give one budget." in lines
    assert contents(here) == {}


@pytest.mark.parametrize("text", ["width", "width 8", ""])
def test_a_setting_without_its_sign_is_told(capsys, here, text):
    told = failure(capsys, "train", "digits", "--set", text)
    assert told == f"--set {text!r} has no '='. Expected KEY=VALUE. Type: --set {text or 'KEY'}=VALUE"
    assert contents(here) == {}


@pytest.mark.parametrize("text", ["x", "64x", "x64", "64x64x3", "-64", "6.4", "²", "sixty"])
@pytest.mark.parametrize("command", ["train", "scan"])
def test_a_bad_size_is_told(capsys, command, text):
    assert failure(capsys, command, "digits", f"--size={text}") == (
        f"--size is {text!r}, expected a side such as 64, or HEIGHTxWIDTH such as 64x96."
    )


@pytest.mark.parametrize("text", ["many", "2G", "k", "", "1.2.3M", "inf", "nan", "1e999", "1.5", "1e4x", "2.0001k"])
def test_a_bad_number_of_images_is_told(capsys, text):
    assert failure(capsys, "train", "digits", f"--images={text}") == (
        f"--images is {text!r}, expected a whole number such as 64, 500k or 2M."
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2M", 2_000_000),
        ("500k", 500_000),
        ("1.5m", 1_500_000),
        ("0.5K", 500),
        ("12_800", 12_800),
        ("64", 64),
        ("5e3", 5_000),
        ("2.3M", 2_300_000),
    ],
)
def test_a_number_of_images_may_have_a_unit(text, number):
    assert arguments.count(text) == number


@pytest.mark.parametrize(
    ("words", "option"), [(["sample", "a"], "--count"), (["judge", "a"], "--port"), (["evaluate", "a"], "--seed")]
)
def test_half_a_number_is_refused_not_rounded(capsys, words, option):
    assert failure(capsys, *words, option, "1.5") == (
        f"{option} is '1.5', expected a whole number such as 64, 500k or 2M."
    )


@pytest.mark.parametrize(("text", "time"), [("10", 10.0), ("0.5", 0.5), ("90s", 1.5), ("5m", 5.0), ("1h30m", 90.0)])
def test_minutes_may_have_a_unit(text, time):
    assert arguments.minutes(text) == time


@pytest.mark.parametrize("text", ["0", "-1", "5x", "x5", "", "1e999", "nan", "1..5", "5 m m x"])
def test_a_bad_time_is_told(capsys, text):
    assert failure(capsys, "train", "digits", f"--minutes={text}") == (
        f"--minutes is {text!r}, expected a time of more than 0, such as 10, 90s or 1h30m."
    )


@pytest.mark.parametrize(("text", "size"), [("64", 64), ("64x96", (64, 96)), ("64X96", (64, 96)), (None, None)])
def test_a_size_is_a_side_or_two(text, size):
    assert arguments.size(text) == size


# --- B9, B11 and what else stops a run before it starts ------------------------------------------------------------


def test_fewer_images_than_a_batch_are_told_with_the_batch_size_to_type(capsys, here):
    for place in range(20):
        pixels = np.random.default_rng(place).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(here / f"{place:02d}.png")
    before = contents(here)
    out = here.parent / "out"
    told = failure(capsys, "train", here, "--recipe", "dcgan", "--images", "64", "--set", "width=4", "--out", out)
    assert told == (
        "There are 20 images to train on, fewer than one batch of 64. Use --set batch_size=20 or less, or add images."
    )
    assert contents(here) == before
    assert not out.exists()
    cli.main(["train", str(here), *TINY, "--set", "batch_size=20", "--images", "20", "--out", str(out)])
    assert (out / "generator" / "model.safetensors").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="has CUDA")
def test_an_absent_gpu_is_told(capsys, here):
    told = failure(capsys, "train", "digits", "--recipe", "dcgan", "--images", "64", "--device", "cuda")
    assert told.startswith("--device cuda is not present on this machine. Present: ")
    assert told.endswith("Try --device auto.")
    assert contents(here) == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "no/such/folder"], "no/such/folder"),
        (["train", "digits", "--recipe", "dcgan", "--size", "15"], "cannot be built by doubling"),
        (["train", "digits", "--recipe", "vanilla-as-printed", "--size", "16"], "written for images of 28x28 pixels"),
        (["train", "digits", "--recipe", "cgan", "--set", "labels=false"], "needs data with classes"),
        (["train", "digits", "--recipe", "dcgan", "--size", "64"], "are smaller than 64x64"),
        (["train", "digits", "--recipe", "restore", "--size", "4"], "Try --size 96, or the largest that most"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(capsys, here, words, told):
    assert told in failure(capsys, *words, "--images", "64")
    assert contents(here) == {}
    assert told in failure(capsys, *words, "--images", "64", "--out", "deep/er/run")
    assert contents(here) == {}


def test_an_empty_folder_of_the_users_is_left_to_him(capsys, here):
    (here / "mine").mkdir()
    failure(capsys, "train", "no/such/folder", "--images", "64", "--out", "mine")
    assert contents(here) == {"mine": None}


# --- A7, A13 to A16: the run's folder ------------------------------------------------------------------------------


def test_an_unwritable_out_is_told_before_the_start(capsys, here):
    (here / "file").write_text("mine", encoding="utf-8")
    told = failure(capsys, "train", "digits", *TINY, "--images", "64", "--out", "file/run")
    assert told.startswith("The run cannot be written to file/run: ")
    assert told.endswith("Nothing was started. Choose a folder that you may write to with --out.")
    assert contents(here) == {"file": b"mine"}


def test_an_out_without_permission_is_told_before_the_start(capsys, forbidden, here):
    told = failure(capsys, "train", "digits", *TINY, "--images", "64", "--out", forbidden / "run")
    assert told.startswith(f"The run cannot be written to {forbidden / 'run'}: Permission denied. Nothing was started.")
    assert contents(forbidden) == contents(here) == {}


def test_resume_with_nothing_there_is_an_error(capsys, here):
    told = failure(capsys, "train", "digits", *TINY, "--images", "64", "--resume", "--out", "run")
    assert told == "There is no checkpoint to resume from in run.\nTo start anew, choose another --out."
    assert contents(here) == {}


def test_a_used_folder_with_other_settings_is_refused(capsys, run):
    before = contents(run)
    words = ["train", "digits", *TINY, "--images", "512", "--set", "flip=true", "--seed", "3", "--out", run]
    assert failure(capsys, *words) == (
        f"{run} holds another run: images was 256, is 512; seed was 0, is 3; flip was not set, is true. Choose another "
        f"--out for a new run, or add --resume to go on with the changed settings."
    )
    assert contents(run) == before


def test_a_folder_of_something_else_is_refused_and_left_alone(capsys, here):
    (here / "thesis.tex").write_text("mine", encoding="utf-8")
    told = failure(capsys, "train", "digits", *TINY, "--images", "64", "--out", ".")
    assert "is in use and is not a run of Cardigan: it has no config.json." in told
    assert contents(here) == {"thesis.tex": b"mine"}


def test_a_history_without_a_checkpoint_is_not_started_anew(capsys, run):
    shutil.rmtree(run / "checkpoints")
    before = contents(run)
    words = ["train", "digits", *TINY, "--images", "256", "--out", run]
    assert f"{run} holds a run without a usable checkpoint." in failure(capsys, *words)
    assert contents(run) == before


def test_a_run_that_another_process_holds_is_refused(capsys, run):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        holder = {"pid": process.pid, "host": socket.gethostname(), "since": 0.0}
        (run / LOCK_NAME).write_text(json.dumps(holder), encoding="utf-8")
        before = contents(run)
        told = failure(capsys, "train", "digits", *TINY, "--images", "256", "--out", run)
        assert contents(run) == before
    finally:
        process.kill()
        process.wait()
    assert told.startswith(f"The run {run} is in use by process {process.pid} on {socket.gethostname()} since ")
    # Now the holder is dead and its lock is stale: the same command goes on.
    cli.main(["train", "digits", *TINY, "--images", "256", "--out", str(run)])
    assert "This run is finished: 256 images are seen" in capsys.readouterr().err
    assert not (run / LOCK_NAME).exists()


def test_another_architecture_is_told_by_its_shapes(capsys, run):
    before = contents(run)
    words = ["train", "digits", *TINY, "--images", "256", "--set", "width=6", "--resume", "--out", run]
    told = failure(capsys, *words)
    assert told.startswith("The checkpoint's discriminator has another architecture than the one asked for (")
    assert "layers.0.weight: 4x1x4x4 saved, 6x1x4x4 now" in told
    assert "Use the settings it was started with, or another --out." in told
    assert contents(run) == before


# --- what works ----------------------------------------------------------------------------------------------------


def test_a_finished_run_holds_what_the_design_says(finished):
    for name in ("config.json", "records.jsonl", "report.html", "generator/config.json", "generator/model.safetensors"):
        assert (finished / name).is_file(), name
    assert list((finished / "checkpoints").glob("step-*/manifest.json"))
    assert list((finished / "samples").glob("*.png"))
    assert json.loads((finished / "records.jsonl").read_text(encoding="utf-8").splitlines()[-1])["images"] == 256


def test_the_last_lines_say_where_everything_is(capsys, run):
    cli.main(["train", "digits", *TINY, "--images", "256", "--out", str(run)])
    lines = capsys.readouterr().out.split()
    assert lines == [
        "model",
        f"{run / 'generator'}",
        "samples",
        f"{run / 'samples'}",
        "report",
        f"{run / 'report.html'}",
    ]


def test_sample_writes_numbered_pictures(capsys, run, here):
    cli.main(["sample", str(run), "--count", "3", "--seed", "7", "--label", "9", "--out", "drawn"])
    assert capsys.readouterr().out == "3 images in drawn\n"
    assert sorted(contents(here)) == ["drawn", *(f"drawn/9-seed7-{place:05d}.png" for place in range(3))]
    with Image.open("drawn/9-seed7-00000.png") as picture:
        assert picture.size == (16, 16)
    cli.main(["sample", str(run), "--count", "1"])
    assert [path.name for path in (run / "drawn").iterdir()] == ["seed0-00000.png"]
    cli.main(["sample", str(run), "--count", "1", "--truncation", "0.5"])
    assert (run / "drawn" / "seed0-truncation0.5-00000.png").exists()


def test_images_of_two_generators_are_not_mixed(capsys, run, here):
    cli.main(["sample", str(run), "--count", "2"])
    before = (run / "drawn" / "seed0-00000.png").read_bytes()
    cli.main(["train", "digits", *TINY, "--images", "512", "--out", str(run), "--resume"])
    capsys.readouterr()
    cli.main(["sample", str(run), "--count", "1"])
    said = capsys.readouterr()
    assert said.out == f"1 image in {run / 'drawn-2'}\n"
    assert said.err == f"{run / 'drawn'} holds images of another generator, so these are in a new folder.\n"
    assert (run / "drawn" / "seed0-00000.png").read_bytes() == before
    told = failure(capsys, "sample", run, "--count", "1", "--seed", "5", "--out", run / "drawn")
    assert told == (
        f"{run / 'drawn'} holds images of another generator, so nothing was written. Choose another --out, such as "
        f"--out {run / 'drawn-2'}"
    )
    cli.main(["sample", str(run), "--count", "2"])  # the same generator, the same images
    assert sorted(path.name for path in (run / "drawn-2").iterdir()) == ["seed0-00000.png", "seed0-00001.png"]


def test_a_picture_of_the_users_is_not_written_over(capsys, run, here):
    (here / "mine").mkdir()
    Image.new("L", (4, 4)).save(here / "mine" / "seed0-00000.png")
    before = contents(here)
    assert "mine holds images of another generator" in failure(capsys, "sample", run, "--count", "1", "--out", "mine")
    assert contents(here) == before


def test_many_images_show_how_far_they_are(capsys, run, here):
    cli.main(["sample", str(run), "--count", "300", "--out", "many"])
    assert "drawing  100%  300 of 300 images" in capsys.readouterr().err
    assert len(list((here / "many").iterdir())) == 300


def test_a_generator_alone_is_sampled(capsys, run, here):
    shutil.copytree(run / "generator", here / "friend")
    cli.main(["sample", "friend", "--count", "1"])
    assert capsys.readouterr().out == "1 image in friend/drawn\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437"])
def test_an_old_console_shows_what_it_can(here, encoding):
    folder = here / "\u732b \u00fcber"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        Image.new("L", (16, 16), 90).save(folder / name / "1.png")
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    words = [sys.executable, "-m", "cardigan", "scan", str(folder)]
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert b"Traceback" not in done.stderr
    assert b"?" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--count", "-1"], "The number of images must not be negative, got -1."),
        (["--label", "ten"], "There is no class 'ten'. Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9."),
        (["--label", "10"], "There is no class '10'."),
        (["--truncation", "0"], "truncation is 0.0, expected more than 0 and at most 1 (1 changes nothing)."),
        (["--truncation", "1.5"], "truncation is 1.5, expected"),
        (["--out", "file/below"], "Cannot write to file/below: "),
    ],
)
def test_what_cannot_be_sampled_is_told(capsys, finished, here, words, told):
    (here / "file").write_text("mine", encoding="utf-8")
    assert failure(capsys, "sample", finished, *words).startswith(told)
    assert contents(here) == {"file": b"mine"}
    assert not (finished / "drawn").exists()


# --- restore -------------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(here):
    """A coloured picture, 12 pixels wide and 9 high."""
    pixels = np.random.default_rng(0).integers(128, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(here / "photo.png")
    return pixels


def opened(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_restore_writes_a_picture_beside_no_other(capsys, restoring, here, photo):
    before = (here / "photo.png").read_bytes()
    cli.main(["restore", str(restoring), "photo.png", "--device", "cpu"])
    assert capsys.readouterr().out == f"1 image in {restoring / 'restored'}\n"
    enlarged = parse("downscale2").prepare(photo)
    restored = opened(restoring / "restored" / "photo.png")
    assert restored.shape == (18, 24, 3)
    assert np.abs(restored - np.maximum(enlarged.astype(float) - 63.75, 0)).max() <= 1
    cli.main(["restore", str(restoring), "photo.png", "--faithful", "--out", "."])
    assert np.array_equal(opened("photo.png.png"), enlarged)
    assert capsys.readouterr().out == "1 image in .\n  photo.png became photo.png.png\n"
    assert (here / "photo.png").read_bytes() == before
    assert sorted(contents(here)) == ["photo.png", "photo.png.png"]


def test_restore_writes_over_its_own_results_only_and_restores_none_of_them(capsys, restoring, here, photo):
    (here / "keep").mkdir()
    shutil.copy("photo.png", "keep/photo.png")
    before = contents(here)
    for _ in range(2):
        cli.main(["restore", str(restoring), "photo.png", "--out", "keep"])
        assert sorted(contents(here)) == ["keep", "keep/photo.png", "keep/photo.png.png", "photo.png"]
    once = contents(here)
    for _ in range(2):
        cli.main(["restore", str(restoring), "keep", "--out", "keep"])
        assert sorted(contents(here).keys() - once.keys()) == ["keep/photo.png-2.png"]
    assert before.items() <= once.items() <= contents(here).items()
    assert opened("keep/photo.png-2.png").shape == (18, 24, 3)


def test_restore_takes_files_and_folders_and_shows_how_far_it_is(capsys, restoring, here, photo):
    (here / "more" / "deep").mkdir(parents=True)
    shutil.copy("photo.png", "more/a.png")
    shutil.copy("photo.png", "more/deep/photo.png")
    cli.main(["restore", str(restoring), "photo.png", "more", "--out", "out"])
    out, err = capsys.readouterr()
    assert out == "3 images in out\n"
    assert "restoring 100%  3 of 3 images" in err
    assert sorted(path for path in contents(here / "out")) == ["a.png", "deep", "deep/photo.png", "photo.png"]


def test_one_bad_picture_stops_no_other_and_is_named_at_the_end(capsys, restoring, here, photo):
    (here / "bad.png").write_bytes(b"")
    (here / "empty").mkdir()
    words = ["restore", restoring, "bad.png", "photo.png", "absent.jpg", "empty", "--out", "out"]
    lines = failure(capsys, *words).splitlines()
    assert lines[0] == "3 of 4 could not be restored:"
    assert lines[1].startswith("  empty: no images in this folder; expected PNG")
    assert lines[2:] == ["  bad.png: empty file (0 bytes)", "  absent.jpg: No such file or directory"]
    assert list(contents(here / "out")) == ["photo.png"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "No image is named. Type: cardigan restore RUN IMAGE, any number of files and folders."),
        (["photo.png", "--device", "gpu"], "--device is 'gpu', expected auto, cpu, cuda, cuda:N or mps."),
        (["photo.png", "--out", "photo.png/below"], "Cannot write to photo.png/below: "),
        (["photo.png", "--out", "photo.png"], "Cannot write to photo.png: File exists. Choose another --out."),
        (["photo.png", "--faithfull"], "Did you mean --faithful?"),
    ],
)
def test_what_cannot_be_restored_is_told(capsys, restoring, here, photo, words, told):
    before = contents(here)
    assert told.replace("RUN", str(restoring)) in failure(capsys, "restore", restoring, *words)
    assert contents(here) == before
    assert not (restoring / "restored").exists()


def test_a_run_that_draws_restores_nothing_and_the_reverse(capsys, run, restoring, finished, here, photo):
    assert failure(capsys, "restore", finished, "photo.png") == (
        f"{finished} draws images and restores none. Type: cardigan sample {finished}\n"
        f"To restore, first type: cardigan train PHOTOS --recipe restore"
    )
    assert failure(capsys, "sample", restoring) == (
        f"{restoring} restores images (downscale2) and draws none on its own. Type: cardigan restore {restoring} IMAGE"
    )
    assert list(contents(here)) == ["photo.png"]


def test_a_faithful_generator_that_is_missing_is_told(capsys, restoring, photo):
    shutil.rmtree(restoring / "pretrained")
    assert failure(capsys, "restore", restoring, "photo.png", "--faithful") == (
        f"{restoring} has no generator from before the game: pretrained/ is missing. Restore without --faithful, by "
        "the generator that was kept."
    )


@pytest.mark.parametrize("command", ["sample", "report", "restore"])
def test_what_is_no_run_is_told(capsys, here, command):
    images = ["a.png"] if command == "restore" else []
    assert failure(capsys, command, "nothing", *images) == (
        "nothing is not a run: it has no config.json. Train one first: cardigan train SOURCE"
    )
    assert contents(here) == {}


def test_report_is_written_anew(capsys, run):
    (run / "report.html").unlink()
    cli.main(["report", str(run)])
    assert Path(capsys.readouterr().out.strip()) == run / "report.html"
    assert (run / "report.html").stat().st_size > 10_000


@pytest.mark.usefixtures("heard_signals")
def test_a_run_is_judged_until_ctrl_c_in_a_real_process(run, capsys):
    command = [sys.executable, "-m", "cardigan", "judge", str(run), "--count", "10", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            told, kept = process.stdout.readline(), process.stdout.readline()
            with urllib.request.urlopen(told.removeprefix("Judge at ").strip(), timeout=60) as page:
                assert b"Real or fake?" in page.read()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (0, "")
    assert kept.startswith("Ctrl-C ends it; answers are kept in ")
    assert out == "\nThere are no answers to count yet.\n"
    cli.main(["judge", str(run), "--results"])
    assert (
        capsys.readouterr().out
        == f"There are no answers to count yet.\n\n{next((run / 'judgements').glob('*.json')).with_suffix('.csv')}\n"
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{run}", "--results"], "Nobody has judged {run} yet. Type: cardigan judge {run}"),
        (["{run}", "{run}"], "{run} and {run} have the same generator, so there is nothing to prefer."),
        (["{run}", "--count", "9"], "The number of pictures to judge is 9, expected 10 to 1,000."),
        (["{run}", "--count", "1000"], "1000 pictures need 500 real ones, but {run} has 180 held-out images."),
        (["{run}", "--port", "70000"], "Port 70000 cannot be had: "),
        (["here"], "here is not a run: it has no config.json."),
    ],
)
def test_what_cannot_be_judged_is_told(capsys, run, words, told):
    assert failure(capsys, "judge", *(word.format(run=run) for word in words)).startswith(told.format(run=run))


def test_a_run_that_restores_is_not_judged(capsys, restoring):
    assert failure(capsys, "judge", restoring).startswith(f"{restoring} restores images (downscale2) and draws none")


def test_recipes_are_listed_and_shown(capsys):
    from cardigan import recipes

    cli.main(["recipes"])
    listed = capsys.readouterr().out
    for name in recipes.names():
        assert f"\n  {name} " in listed
    cli.main(["recipes", "dcgan"])
    shown = capsys.readouterr().out
    assert shown.startswith("dcgan: DCGAN, corrected")
    assert "Source: " in shown
    for line in ("  width = 64", "  learning_rate = 0.0002", "  flip = false", "  conditional = none"):
        assert line in shown.splitlines()
    for line in ("  channels = none", "  on_bad = skip", "  checkpoint_seconds = 30.0"):
        assert line in shown.splitlines()


def test_scan_says_what_is_in_a_source(capsys, here):
    cli.main(["scan", "digits"])
    told = capsys.readouterr().out
    assert "digits: 1,797 embedded scans of handwritten digits in 10 classes" in told
    assert "all 16x16" in told
    with pytest.raises(SystemExit) as caught:  # training would be refused
        cli.main(["scan", "digits", "--size", "64", "--set", "labels=false"])
    assert caught.value.code == 2
    told = capsys.readouterr()
    assert "STOP      1,797 of 1,797 images in digits are smaller than 64x64" in told.out
    assert "cardigan:" not in told.err
    assert contents(here) == {}


def test_several_sources_and_patterns_are_read_as_files(capsys, here):
    for folder, names in (("a", "12"), ("b", "34")):
        (here / folder).mkdir()
        for name in names:
            Image.new("L", (8, 8), int(name) * 20).save(here / folder / f"{name}.png")
    (here / "notes.txt").touch()  # so that "a b" is not what a shell makes of "*"
    told = []
    for words in (["a/1.png", "a/2.png"], ["a/*.png"], ["a", "b"]):
        cli.main(["scan", *words])
        told.append(capsys.readouterr().out.splitlines()[0])
    assert told == [
        "a/*.png: a flat heap of 2 images, no classes",
        "a/*.png: a flat heap of 2 images, no classes",
        "a b: a flat heap of 4 images, no classes",
    ]
    with pytest.raises(SystemExit):
        cli.main(["scan", "a", "--size", "8", "b", "c"])
    assert "3 sources are named, and there is no file or folder c." in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["train", "sample", "restore", "report", "evaluate", "compare", "judge", "recipes", "scan"]
)
def test_every_command_has_a_help(capsys, command):
    cli.main([command, "--help"])
    told = capsys.readouterr().out
    assert f"cardigan {command}" in told
    assert "cardigan train digits --minutes 1" in told


def test_the_flags_of_train_are_frozen(capsys):
    # A flag is a promise; a new one is a decision, not an accident.
    cli.main(["train", "--help"])
    flags = {word.strip("│,.") for word in capsys.readouterr().out.split() if word.strip("│").startswith("--")}
    expected = {"recipe", "size", "images", "minutes", "out", "seed", "device", "resume", "set"}
    assert flags == {f"--{name}" for name in expected}


def test_the_flags_of_restore_are_frozen(capsys):
    cli.main(["restore", "--help"])
    flags = {word.strip("│,.") for word in capsys.readouterr().out.split() if word.strip("│").startswith("--")}
    assert flags - {"--minutes"} == {"--out", "--faithful", "--device", "--set"}  # the last line names train's


def test_the_flags_of_judge_are_frozen(capsys):
    cli.main(["judge", "--help"])
    flags = {word.strip("│,.") for word in capsys.readouterr().out.split() if word.strip("│").startswith("--")}
    assert flags - {"--minutes"} == {"--count", "--seed", "--port", "--browser", "--no-browser", "--results"}


def test_the_version_is_printed(capsys):
    cli.main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (InterruptedRunError(15, "Stopped after 64 images."), 143, "cardigan: Stopped after 64 images.\n"),
        (InterruptedRunError(2, "Stopped."), 130, "cardigan: Stopped.\n"),
    ],
)
def test_an_interruption_has_its_own_exit_code(monkeypatch, capsys, error, code, told):
    def interrupted(*arguments, **settings):
        raise error

    monkeypatch.setattr("cardigan.launch.train", interrupted)
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "digits"])
    assert caught.value.code == code
    assert capsys.readouterr() == ("", told)


def test_our_own_mistakes_keep_their_traceback(monkeypatch):
    def broken(*arguments, **settings):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("cardigan.launch.train", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        cli.main(["train", "digits"])


def test_a_real_process_prints_no_traceback_and_exits_with_2(here):
    command = [sys.executable, "-m", "cardigan", "train", "digits", "--recipe", "dgcan"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("cardigan: There is no recipe 'dgcan'. Did you mean 'dcgan'?")
    assert contents(here) == {}


def test_tilde_is_the_home_folder_wherever_a_path_is_typed(finished, tmp_path, here, monkeypatch, capsys):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    shutil.copytree(finished, home / "run")
    cli.main(["sample", "~/run", "--count", "1", "--out=~/drawn"])
    assert [path.name for path in (home / "drawn").iterdir()] == ["seed0-00000.png"]
    for words in (["scan", "~/none"], ["report", "~/none"], ["evaluate", "~/run", "--features=~/none.safetensors"]):
        with pytest.raises(SystemExit) as caught:
            cli.main(words)
        assert caught.value.code == 2
        assert str(home / "none") in capsys.readouterr().err
    assert list(here.iterdir()) == []
