"""How good after so many seconds: recipes, the tutorials as printed and other libraries, in turn on the same images.

    python benchmarks/quality.py mnist mnist.npz --arms auto vanilla tutorial:mlp tutorial:cgan
    python benchmarks/quality.py cifar10 cifar10-jpeg.npz --eyes mobilenetv2-imagenet.npz --arms auto tutorial:fastgan
    python benchmarks/quality.py faces-64 faces-128.zip --eyes mobilenetv2-imagenet.npz \\
        --arms auto dcgan tutorial:dcgan peer:fastai --peer fastai=/opt/fastai/bin/python --seconds 60 300 900 --seeds 3

Seconds are those of one core's own time, spent in training alone, so that neither drawing and scoring nor whatever else
the machine does is held against anybody; the arms take turns of a few seconds. Our learning rates fall over the whole
of the budget, so that what stands at earlier points is less than a run of that length would give: ``auto@120`` is a run
that was given two minutes, and ends there.

A score is the kernel distance (KID, times 1,000) of samples to images that nobody trained on: for MNIST and
Fashion-MNIST in the features of a small classifier that is learned here and kept, for colour in MobileNetV2's. They are
for comparison with each other. A tutorial that draws 64 pixels is given the images enlarged, and its samples are
brought back to their size. Tutorials draw as they print it, in training mode.

Each arm and seed that is complete is kept and not raced again; so a long race may be stopped, and arms added later, on
the same machine with the same versions. When all asked for are there, the answer is kept in benchmarks/results and
fills its table in docs/benchmarks.md.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import torch
from bench.command import line
from bench.contenders import contender
from bench.eyes import eyes_for
from bench.images import SETS, images_of
from bench.pages import PAGES, fill
from bench.race import middle_curve, points_of, race, reached
from bench.table import RESULTS, Result, Row, machine, now


def answered(name: str, known: dict, arms: Sequence[str], points: Sequence[float]) -> Iterator[Row]:
    """The score of each arm at each point, and how much sooner our arms came to where each other arm ended."""
    about = f"real training images {known['facts']['floor']:.1f}, in {known['facts']['eyes']}"
    for place, point in enumerate(points):
        for arm in arms:
            if point not in points_of(arm, points):
                continue
            lines = [seed[place] for seed in known["rows"][arm].values()]
            note = f"{statistics.median(each['images'] for each in lines):,.0f} images; {about}"
            scores = {arm: [each["score"] for each in lines]}
            yield Row(f"{name} after {point:g} s of one core", "KID", scores, more=False, note=note)
    curves = {arm: middle_curve(known["rows"][arm], points_of(arm, points)) for arm in arms}
    others = [arm for arm in arms if arm.partition(":")[0] in ("tutorial", "peer")]
    for other in others:
        for number, mine in enumerate(arm for arm in arms if arm not in others):
            seconds, exact = reached(curves[mine], curves[other][-1][1])
            if seconds < float("inf"):
                yield Row(
                    f"{name}: to the score of {other} after {points[-1]:g} s",
                    "s",
                    {other: [points[-1]], mine: [seconds]},
                    more=False,
                    note="of medians over seeds"
                    + ("" if exact else "; sooner than that, since that is the first look"),
                    short="" if number else f"{name}: to the score of {other} after {points[-1]:g} s",
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--arms", nargs="+", required=True, metavar="NAME:KEY=VALUE,...@SECONDS | tutorial:NAME | peer:NAME"
    )
    parser.add_argument("--seconds", nargs="+", type=float, default=[10, 30, 60, 120, 300])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--eyes", type=Path, help="mobilenetv2-imagenet.npz, for colour")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="where arms and seeds are kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the answer is kept")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    images = images_of(arguments.set, arguments.data)
    if images.train.shape[3] == 3 and arguments.eyes is None:
        parser.error(f"{arguments.set} needs --eyes mobilenetv2-imagenet.npz")
    points = sorted(arguments.seconds)
    for arm in arguments.arms:
        if "@" in arm and points_of(arm, points)[-1:] != [float(arm.partition("@")[2])]:
            parser.error(f"{arm}: its seconds are not among --seconds {' '.join(f'{point:g}' for point in points)}")
    eyes = eyes_for(arguments.set, images, kept=arguments.out, weights=arguments.eyes)
    path = arguments.out / f"{arguments.set}-{'-'.join(f'{point:g}' for point in points)}.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": {}}
    place = machine(threads=1)
    facts = {"eyes": eyes.told, "floor": round(eyes.floor, 3), "samples": arguments.samples}
    facts |= {key: place[key] for key in ("processor", "torch")}
    if differing := [key for key, value in facts.items() if known.setdefault("facts", facts)[key] != value]:
        told = ", ".join(f"{key} was {known['facts'][key]}, is {facts[key]}" for key in differing)
        sys.exit(f"{path} cannot be added to: {told}. Give another folder: --out FOLDER")
    peers = dict(text.split("=", 1) for text in arguments.peer)
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        missing = [arm for arm in arguments.arms if str(seed) not in known["rows"].get(arm, {})]
        if not missing:
            continue
        print(f"seed {seed}", flush=True)
        arms = {arm: contender(arm, images, seed=seed, budget=points[-1], peers=peers) for arm in missing}
        found = race(arms, points, eyes, samples=arguments.samples)
        for arm, lines in found.items():
            known["rows"].setdefault(arm, {})[str(seed)] = [line | {"commit": place["commit"]} for line in lines]
            arms[arm].close()
        path.write_text(json.dumps(known, indent=1))
    found = list(answered(arguments.set, known, arguments.arms, points))
    for row in found:
        print(line(row))
    Result(f"race-{arguments.set}", found, place, made=now()).write(arguments.results)
    if arguments.results == RESULTS:
        fill(PAGES, RESULTS)


if __name__ == "__main__":
    sys.exit(main())
