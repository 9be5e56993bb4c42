"""How good after a minute of one core? A small race on MNIST; the long ones are run by ``benchmarks/quality.py``."""

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

ARMS = ("tutorial:mlp", "auto")
POINTS = (10.0, 30.0, 60.0)


def rows(plan: Plan) -> Iterator[Row]:
    """Scores at each point, and when ours was where the tutorial is at the end."""
    path = None if plan.data is None else plan.data / "mnist.npz"
    if path is None or not path.exists():
        plan.skipped.append("quality: no mnist.npz was given (--data FOLDER, or make bench DATA=FOLDER)")
        return
    points, steps, samples = ((1.0, 2.0), 10, 60) if plan.quick else (POINTS, 600, 2_000)
    images = images_of("mnist", path)
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
            yield Row(f"MNIST after {point:g} s of one core", "KID", {arm: [line["score"]]}, more=False, note=note)
    theirs, mine = ([(line["seconds"], line["score"]) for line in found[arm]] for arm in ARMS)
    seconds, exact = reached(mine, theirs[-1][1])
    if seconds < float("inf"):
        yield Row(
            f"MNIST: to the tutorial's score after {points[-1]:g} s",
            "s",
            {"tutorial": [theirs[-1][0]], "auto": [seconds]},
            more=False,
            note="of one core's own time" + ("" if exact else "; sooner than that, since that is the first look"),
            short="MNIST: to the tutorial's score after a minute",
        )
