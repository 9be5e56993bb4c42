"""A run that two processes train: one folder, one voice, the end that one comes to; stopped, killed, gone on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes as Linux lists them")

DRIVER = Path(__file__).with_name("two_runs.py")
ONE = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ran(folder):
    command = [sys.executable, str(DRIVER), str(folder)]
    done = subprocess.run(command, env=os.environ | ONE, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1]) | {"said": done.stderr}


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_two_processes_publish_what_one_does_and_both_get_the_run(ran, folder):
    assert ran["one"] == [str(folder / "one")]
    assert ran["two"] == [str(folder / "two")] * 2
    assert 0 <= ran["apart"] < 1e-4
    kept = [json.loads((folder / name / "config.json").read_text()) for name in ("one", "two")]
    assert [each["processes"] for each in kept] == [1, 2]
    assert {key: value for key, value in kept[0].items() if key != "processes"} == {
        key: value for key, value in kept[1].items() if key != "processes"
    }


@pytest.mark.slow
def test_the_folder_holds_what_one_process_writes(ran, folder):
    listings = [
        sorted(path.relative_to(folder / name).as_posix() for path in (folder / name).rglob("*"))
        for name in ("one", "two")
    ]
    assert listings[0] == listings[1]
    lines = [json.loads(line)["images"] for line in (folder / "two" / "records.jsonl").read_text().splitlines()]
    assert lines == sorted(set(lines))
    assert lines[-1] == 320
    assert (folder / "two" / "report.html").exists()


@pytest.mark.slow
def test_only_the_first_process_writes_and_the_others_say_where_the_run_is(ran, folder):
    first, (told, exists) = ran["elsewhere"]
    assert first == str(folder / "own0")
    assert told.startswith(f"The run is finished. Process 0 has written it to {folder / 'own1'}, which process 1, on ")
    assert not exists


@pytest.mark.slow
def test_the_same_call_again_finds_it_finished(ran, folder):
    assert ran["again"] == ran["two"]


@pytest.mark.slow
def test_what_cannot_be_done_is_told_in_every_process_and_leaves_nothing_behind(ran, folder):
    assert ran["uneven"][0].startswith("A batch of 15 images cannot be shared evenly by 2 processes.")
    assert ran["uneven"][0] == ran["uneven"][1]
    assert not (folder / "uneven").exists()
    assert len(set(ran["one GPU"])) == 1
    assert not (folder / "gpu").exists()


@pytest.mark.slow
def test_a_number_that_is_not_finite_in_one_takes_both_back(ran, folder):
    assert ran["spoilt"] == [[str(folder / "spoilt"), True]] * 2
    fault = json.loads((folder / "spoilt" / "nonfinite.json").read_text())
    assert len(fault["batch"]) == 16
    events = (folder / "spoilt" / "events.jsonl").read_text()
    assert "Rolled back to 0 turns, learning rate halved." in events


# --- torchrun -------------------------------------------------------------------------------------------------------

IMAGES = 64_000


def command(out, *launcher, images=IMAGES):
    options = {"recipe": "dcgan", "size": 16, "seed": 2, "device": "cpu", "images": images, "out": out}
    settings = {"width": 2, "latent": 8, "batch_size": 16, "checkpoint_seconds": 0.3, "snapshots": 2, "trials": 0}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, *launcher, "-m", "cardigan", "train", "digits", *words]


def newest(out):
    names = [path.name[5:] for path in (out / "checkpoints").glob("step-*")]
    return max((int(name) for name in names if name.isdigit()), default=-1)


def started(out):
    """Two processes that train and have saved something new."""
    before = newest(out)
    process = subprocess.Popen(
        command(out, *TORCHRUN), env=os.environ | ONE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while newest(out) <= max(before, 0):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def ended(process):
    try:
        _, told = process.communicate(timeout=200)
    finally:
        process.kill()
        process.wait()
    return process.returncode, told


def workers(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def kill_one(process, out, *, first):
    chief = json.loads((out / ".lock").read_text())["pid"]
    others = [pid for pid in workers(process) if pid != chief]
    assert len(others) == 1
    os.kill(chief if first else others[0], signal.SIGKILL)


@pytest.mark.usefixtures("heard_signals")
@pytest.mark.timeout(900)
def test_stopped_killed_and_finished_by_another_number_of_processes(tmp_path):
    out = tmp_path / "run"
    process = started(out)
    process.send_signal(signal.SIGINT)
    code, told = ended(process)
    assert code != 0
    assert told.count("all is saved in") == 1, told
    assert told.count("Ctrl-C again to stop at once") == 1
    steps = [newest(out)]

    for first in (False, True):
        process = started(out)
        kill_one(process, out, first=first)
        code, told = ended(process)
        assert code != 0
        assert told.count("Another process of this run has ended, so this one ends too.") == 1, told
        assert "the same command goes on from there, with as many processes as you like." in told
        assert told.count("Resumed after") == 1
        steps.append(newest(out))
    assert 0 < steps[0] < steps[1] < steps[2] < IMAGES // 16

    # Alone, then together again, each time to an end that is near: what matters is that it goes on.
    images = 16 * steps[-1]
    for launcher, change in (((), "processes was 2, is 1."), (TORCHRUN, "processes was 1, is 2.")):
        last = [*command(out, *launcher, images=images + 320), "--resume"]
        done = subprocess.run(last, env=os.environ | ONE, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(f"Resumed after {images:,} images") == 1
        assert change in done.stderr
        assert "From here on the same seed decides, but not the same bits" in done.stderr
        images += 320
        lines = [json.loads(line)["images"] for line in (out / "records.jsonl").read_text().splitlines()]
        assert lines == sorted(set(lines))
        assert lines[-1] == images
    assert not (out / ".lock").exists()
    assert not list(out.rglob("*.partial-*"))


@pytest.mark.timeout(300)
def test_a_users_mistake_is_told_once(tmp_path):
    words = [
        sys.executable,
        *TORCHRUN,
        "-m",
        "cardigan",
        "train",
        "digits",
        "--recipe",
        "dgcan",
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(words, env=os.environ | ONE, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode != 0
    assert done.stderr.count("There is no recipe 'dgcan'. Did you mean 'dcgan'?") == 1
    assert "exitcode  : 2" in done.stderr
    assert not (tmp_path / "run").exists()
