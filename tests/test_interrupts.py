"""Signals: once, finish the step and save; a second Ctrl-C, leave at once; the exit code says which it was."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cardigan.interrupts import InterruptedRunError, Interrupts

pytestmark = pytest.mark.usefixtures("heard_signals")

IMAGES = 9_600


def raised(*numbers):
    """What is remembered after these signals, in a block of its own."""
    with Interrupts() as interrupts:
        for number in numbers:
            signal.raise_signal(number)
        return interrupts.number


def test_nothing_is_remembered_without_a_signal():
    assert raised() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_is_remembered(number, capfd):
    assert raised(number) == number
    told = capfd.readouterr().err
    assert ("Finishing the step and saving; Ctrl-C again to stop at once." in told) == (number == signal.SIGINT)


def test_the_first_of_two_signals_decides():
    assert raised(signal.SIGTERM, signal.SIGTERM) == signal.SIGTERM
    assert raised(signal.SIGHUP, signal.SIGTERM) == signal.SIGHUP
    assert raised(signal.SIGINT, signal.SIGTERM) == signal.SIGINT


def test_what_listened_before_listens_again():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        raised(signal.SIGTERM)
        assert heard == []
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_ignored_signal_stays_ignored(number):
    """nohup ignores a closed terminal; a script's shell ignores Ctrl-C for its background jobs."""
    signal.signal(number, signal.SIG_IGN)
    assert raised(number) is None
    assert signal.getsignal(number) is signal.SIG_IGN


def test_an_ignored_ctrl_c_does_not_stop_the_command(tmp_path):
    """The terminal sends Ctrl-C to background jobs too; they were started to go on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = start(tmp_path / "run", images=1_600)
    try:
        deadline = time.monotonic() + 120
        while newest(tmp_path / "run") < 0:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, told
    assert "Ctrl-C" not in told


def test_in_another_thread_it_does_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with Interrupts() as interrupts:
            seen.append((interrupts.number, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_exit_code_is_the_one_that_shells_know(number, code):
    assert InterruptedRunError(number, "saved").exit_code == code
    assert str(InterruptedRunError(number, "saved")) == "saved"


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_ctrl_c_leaves_at_once(first):
    lines = [
        "import signal",
        "from cardigan.interrupts import Interrupts",
        "with Interrupts():",
        f"    signal.raise_signal(signal.{first})",
        "    print('still here', flush=True)",
        "    signal.raise_signal(signal.SIGINT)",
        "    print('never reached', flush=True)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130
    assert done.stdout == "still here\n"
    assert "Stopped at once. Work since the last checkpoint is lost." in done.stderr


# --- the real command line ------------------------------------------------------------------------------------------


def command(out, images):
    options = {"recipe": "dcgan", "size": 16, "seed": 2, "device": "cpu", "images": images, "out": out}
    settings = {"width": 2, "latent": 8, "batch_size": 16, "checkpoint_seconds": 0.05, "snapshots": 2}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "cardigan", "train", "digits", *words]


def start(out, *, images=IMAGES):
    # One thread: more gain nothing on networks so small, and wait for each other where others work too.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(out, images), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def newest(out):
    steps = [path.name for path in (out / "checkpoints").glob("step-*") if path.name[5:].isdigit()]
    return max((int(name[5:]) for name in steps), default=-1)


def stop(out, number):
    """Start, wait for a checkpoint that was not there before, send a signal; the exit code and what was said."""
    before, process = newest(out), start(out)
    try:
        deadline = time.monotonic() + 120
        while newest(out) <= max(before, 0):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, told


def test_signals_stop_the_command_and_the_same_command_finishes_it(tmp_path):
    """Ctrl-C, then SIGTERM, then kill -9, then to the end: the bits of the run that nobody stopped."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    reference = start(whole)
    steps = []
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)):
        found, told = stop(parts, number)
        assert found == code, told
        assert "Traceback" not in told
        assert ("all is saved in" in told) == (number != signal.SIGKILL)
        assert ("Ctrl-C again to stop at once" in told) == (number == signal.SIGINT)
        steps.append(newest(parts))
    assert 0 < steps[0] < steps[1] <= steps[2] < IMAGES // 16
    last = start(parts)
    _, told = last.communicate(timeout=200)
    assert last.returncode == 0, told
    _, other = reference.communicate(timeout=200)
    assert reference.returncode == 0, other
    assert "Resumed after" in told
    assert "Resumed after" not in other
    name = Path("generator") / "model.safetensors"
    assert (parts / name).read_bytes() == (whole / name).read_bytes()
    lines = [json.loads(line)["images"] for line in (parts / "records.jsonl").read_text().splitlines()]
    assert lines == sorted(set(lines))
    assert lines[-1] == IMAGES
    texts = [json.loads(line)["text"] for line in (parts / "events.jsonl").read_text().splitlines()]
    assert sum(text.startswith("Resumed after") for text in texts) == 3
    assert not (parts / ".lock").exists()
