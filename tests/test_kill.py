"""Killed at any moment, any number of times, a run ends in the bits of the one that nobody disturbed.

``kill -9`` cannot be answered, so all of this rests on what lies on the disk. A driver imports everything once and
forks a child for each life of the run; half of the kills wait until a checkpoint is just being written.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path

import torch

torch.set_num_threads(1)  # a child of a fork must not find threads that its parent had

from cardigan.launch import train
from cardigan.training import checkpoint
from cardigan.training.loop import Training

folder, wanted, images = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(11)


def life(out, seconds, pause=0.0):
    pid = os.fork()
    if pid:
        return pid
    try:
        if pause:  # no machine is so quick that the run ends before the kills do, and no disk that none hits a save
            turn, fsync = Training.turn, os.fsync
            Training.turn = lambda *arguments: (time.sleep(pause), turn(*arguments))[1]
            os.fsync = lambda descriptor: (time.sleep(pause), fsync(descriptor))[1]
        train("digits", recipe="dcgan", images=images, out=out, seed=4, device="cpu", quiet=True, snapshots=4, width=2,
              batch_size=16, latent=8, checkpoint_seconds=seconds)
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(1)


def finished(pid):
    done, status = os.waitpid(pid, os.WNOHANG)
    return None if not done else os.waitstatus_to_exitcode(status)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def partials(run):
    return {path.name for path in (run / "checkpoints").glob("*.partial-*")}


reference, killed = folder / "reference", folder / "killed"
began = time.monotonic()
pid, start = life(reference, 3600), None
while (code := finished(pid)) is None:
    if start is None and (reference / "checkpoints" / "step-000000000").exists():
        start = time.monotonic() - began
    time.sleep(0.001)
assert code == 0, code

def committed():
    names = [path.name[5:] for path in killed.glob("checkpoints/step-*")]
    return max((int(name) for name in names if name.isdigit()), default=-1)


deaths, newest = [], -1
while len(deaths) < wanted:
    old, began, progressed, lived = partials(killed), time.monotonic(), None, 0.0
    # One life in four ends while it starts, one between, two while a checkpoint is being written.
    moment = ("start", "in a save", "any", "in a save")[len(deaths) % 4]
    after = chance.uniform(0.0, start) if moment == "start" else chance.uniform(0.0, 0.4)
    pid = life(killed, 0.05, pause=0.004)
    while (code := finished(pid)) is None:
        lived = time.monotonic() - began
        if progressed is None and (moment == "start" or committed() > newest):
            progressed = lived if moment != "start" else 0.0
        due = progressed is not None and lived >= progressed + after
        if lived > 100 or (due and (moment != "in a save" or partials(killed) - old)):
            break
    if code is not None:
        raise SystemExit(f"a life ended with code {code} after {len(deaths)} kills; at 0, give it more images")
    if moment == "in a save":
        time.sleep(chance.uniform(0.0, 0.02))  # into one file of the save or another
    assert kill(pid) == -signal.SIGKILL
    found, rejected = checkpoint.newest(killed / "checkpoints")
    assert not rejected, rejected
    step = found.step if found else -1
    assert step >= newest, (step, newest)
    newest = step
    saving, trash = bool(partials(killed) - old), bool(list(killed.glob("checkpoints/*.trash-*")))
    deaths.append({"seconds": round(lived, 3), "step": step, "in a save": saving, "trash": trash})

assert os.waitstatus_to_exitcode(os.waitpid(life(killed, 0.05), 0)[1]) == 0
print(json.dumps(deaths))
"""


def kill_often(folder, *, kills, images):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(folder), str(kills), str(images)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def check(folder, deaths, *, kills, images):
    reference, killed = folder / "reference", folder / "killed"
    assert len(deaths) == kills
    name = Path("generator") / "model.safetensors"
    assert (killed / name).read_bytes() == (reference / name).read_bytes()
    for run in (reference, killed):
        lines = [json.loads(line)["images"] for line in (run / "records.jsonl").read_text().splitlines()]
        assert lines == sorted(set(lines))
        assert lines[-1] == images
    # What was left lying about has been cleaned up, and nothing is kept that is not needed.
    steps = sorted(path.name for path in (killed / "checkpoints").iterdir())
    assert len(steps) == 2
    assert all(step.removeprefix("step-").isdigit() for step in steps)
    assert not list(killed.rglob("*.partial-*"))
    assert (killed / "report.html").exists()
    told = [json.loads(line)["text"] for line in (killed / "events.jsonl").read_text().splitlines()]
    assert len(told) > kills // 3
    scored = ("Kept the generator", "The generator has become worse")
    assert all(text.startswith(("Resumed after", "From here on bit for bit", *scored)) for text in told)
    # Kills fell into different moments, and really into saves.
    hits = sum(death["in a save"] for death in deaths)
    assert hits >= kills // 4, hits
    assert len({death["step"] for death in deaths}) > kills // 3
    return hits


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_few_kills(tmp_path):
    deaths = kill_often(tmp_path, kills=6, images=9600)
    check(tmp_path, deaths, kills=6, images=9600)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_and_more(tmp_path):
    deaths = kill_often(tmp_path, kills=60, images=128_000)
    hits = check(tmp_path, deaths, kills=60, images=128_000)
    print(f"{len(deaths)} kills, {hits} inside a save, {sum(death['trash'] for death in deaths)} while pruning")
