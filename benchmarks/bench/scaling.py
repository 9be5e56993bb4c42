"""One process with all cores beside two processes that share them, by the same command line."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.alternation import Plan, in_turn
from bench.pictures import photos
from bench.table import Row

PROCESSES = 2
WIDTH = 32
LIMIT = 300
"""Seconds after which a run is given up."""


class UnsupportedError(Exception):
    """The run failed; the text says how."""


def rows(plan: Plan) -> Iterator[Row]:
    """Training images a second, as the runs record them."""
    count, batch, steps = (16, 4, 4) if plan.quick else (256, 64, 24)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = photos(folder / "faces", count) / "photos"
        runs = iter(range(10**6))

        def speed(processes: int) -> float:
            out = folder / f"run-{next(runs)}"
            return images_per_second(data, out, processes=processes, batch=batch, steps=steps, cache=folder / "cache")

        try:
            speed(1)  # prepares the store
            speed(PROCESSES)
        except UnsupportedError as problem:
            plan.skipped.append(f"scaling: {problem}")
            return
        arms = {"1 process": lambda: speed(1), f"{PROCESSES} processes": lambda: speed(PROCESSES)}
        found = in_turn(arms, rounds=min(plan.rounds, 3), seconds=plan.seconds)
    yield Row(
        f"cardigan train --recipe dcgan --size 64 --set width={WIDTH}: {PROCESSES} processes against 1",
        "images/s",
        found,
        note=f"{os.cpu_count()} cores shared evenly, batch {batch} in all, {steps} steps; on one machine of few cores "
        f"there is little to gain, since one process uses all of them",
    )


def images_per_second(data: Path, out: Path, *, processes: int, batch: int, steps: int, cache: Path) -> float:
    """Train by the command line and read the speed of the records after the first.

    Raises:
        UnsupportedError: if the run fails.
    """
    command = ["train", str(data), "--recipe", "dcgan", "--size", "64", "--images", str(batch * steps)]
    command += ["--out", str(out), "--set", f"batch_size={batch}", "--set", "trials=0", "--set", "hold_out=0"]
    command += ["--set", f"width={WIDTH}", "--set", "snapshots=1"]
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] * (processes > 1)
    threads = max(1, (os.cpu_count() or 1) // processes)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "CARDIGAN_CACHE": str(cache)}
    words = [sys.executable, *launcher, "-m", "cardigan", *command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise UnsupportedError(f"not over after {LIMIT} s") from None
    if done.returncode:
        lines = done.stderr.splitlines() or ["without a word"]
        said = [line for line in lines if "rror" in line] or lines
        what = "several processes are not supported by this version" if processes > 1 else "the run failed"
        raise UnsupportedError(f"{what} ({said[0].strip()[:200]})")
    lines = [json.loads(line) for line in (out / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    first = lines[0] if len(lines) > 1 else {"images": 0, "seconds": 0.0}
    return (lines[-1]["images"] - first["images"]) / (lines[-1]["seconds"] - first["seconds"])
