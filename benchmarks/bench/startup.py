"""How long until something happens: ``cardigan --help``, the first step, and a run that is over at once."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.alternation import Plan, in_turn
from bench.inside import measured
from bench.table import Row
from bench.tutorials import load


def rows(plan: Plan) -> Iterator[Row]:
    """Whole processes, from outside."""
    share = plan.seconds / 4
    if plan.wants("help"):
        arms = {
            "import torch": process([sys.executable, "-c", "import torch"], plan),
            "cardigan": process([sys.executable, "-m", "cardigan", "--help"], plan),
        }
        found = in_turn(arms, rounds=plan.rounds, seconds=share)
        yield Row("cardigan --help", "s", found, more=False, note="beside importing torch, which it does without")
    for name in ("mlp", "dcgan"):
        if plan.wants(name):
            yield first_step(name, plan, seconds=share)
    if plan.wants("run"):
        with tempfile.TemporaryDirectory() as folder:
            yield whole_run(Path(folder), plan, seconds=share)


def process(words: list[str], plan: Plan) -> Callable[[], float]:
    """Run a command and tell how many seconds it took."""
    environment = os.environ | {"OMP_NUM_THREADS": str(plan.threads)}

    def timed() -> float:
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True, env=environment)
        return time.perf_counter() - start

    return timed


def first_step(name: str, plan: Plan, *, seconds: float) -> Row:
    """From nothing to the end of the first step."""
    tutorial = load(name)
    batch = 4 if plan.quick else tutorial.batch

    def side(which: str) -> float:
        return measured(name, which, steps=1, batch=batch, threads=plan.threads)["seconds"]

    arms = {"tutorial": lambda: side("tutorial"), tutorial.recipe: lambda: side("ours")}
    return Row(
        f"{tutorial.title}: from nothing to the end of the first step",
        "s",
        in_turn(arms, rounds=min(plan.rounds, 3), seconds=seconds),
        more=False,
        note="the tutorial without torchvision's import",
    )


def whole_run(folder: Path, plan: Plan, *, seconds: float) -> Row:
    """A run of one batch by the command line, all that a run leaves behind included."""
    count = iter(range(10**6))

    def train() -> float:
        words = ["train", "digits", "--recipe", "vanilla", "--images", "64", "--out", str(folder / str(next(count)))]
        return process([sys.executable, "-m", "cardigan", *words], plan)()

    train()  # prepares the digits
    found = in_turn({"cardigan": train}, rounds=min(plan.rounds, 3), seconds=seconds)
    return Row(
        "cardigan train digits --recipe vanilla --images 64",
        "s",
        found,
        more=False,
        note="one step; checkpoint, samples, scores and report included",
    )
