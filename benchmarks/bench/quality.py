"""How good after a minute of one core? Small races on grey pictures; ``benchmarks/quality.py`` runs the long ones."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.alternation import Plan
from bench.contenders import contender
from bench.eyes import classifier_eyes
from bench.images import images_of
from bench.race import race, reached
from bench.table import Row

RACES = {"mnist": ("MNIST", "mnist.npz"), "fashion": ("Fashion-MNIST", "fashion-mnist.npz")}
"""Sets by what they are called here: for people, and on the disk."""
ARMS = ("tutorial:mlp", "auto")
POINTS = (10.0, 30.0, 60.0)


def rows(plan: Plan) -> Iterator[Row]:
    """Of each set that was given: scores at each point, and when ours was where the tutorial is at the end."""
    for name, (title, file) in RACES.items():
        if plan.data is None or not (plan.data / file).exists():
            plan.skipped.append(f"quality: no {file} was given (--data FOLDER, or make bench DATA=FOLDER)")
        else:
            yield from raced(name, title, plan.data / file, plan)


def raced(name: str, title: str, path: Path, plan: Plan) -> Iterator[Row]:
    """One race."""
    points, steps, samples = ((1.0, 2.0), 10, 60) if plan.quick else (POINTS, 600, 2_000)
    images = images_of(name, path)
    with tempfile.TemporaryDirectory() as place:
        eyes = classifier_eyes(Path(place) / "classifier.safetensors", images, steps=steps)
    torch.set_num_threads(1)
    try:
        arms = {arm: contender(arm, images, seed=0, budget=points[-1], peers={}) for arm in ARMS}
        found = race(arms, points, eyes, samples=samples)
    finally:
        torch.set_num_threads(plan.threads)
    told = f"KID x 1000 in {eyes.told}; real training images {eyes.floor:.1f}; one seed"
    for place, point in enumerate(points):
        for arm in ARMS:
            line = found[arm][place]
            note = f"{line['images']:,} images; {told}"
            yield Row(f"{title} after {point:g} s of one core", "KID", {arm: [line["score"]]}, more=False, note=note)
    theirs, mine = ([(line["seconds"], line["score"]) for line in found[arm]] for arm in ARMS)
    seconds, exact = reached(mine, theirs[-1][1])
    if seconds < float("inf"):
        yield Row(
            f"{title}: to the tutorial's score after {points[-1]:g} s",
            "s",
            {"tutorial": [theirs[-1][0]], "auto": [seconds]},
            more=False,
            note="of one core's own time" + ("" if exact else "; sooner than that, since that is the first look"),
            short=f"{title}: to the tutorial's score after a minute",
        )
