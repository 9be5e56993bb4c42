"""How many of the things that data show a generator makes, and how evenly.

    python benchmarks/modes ring
    python benchmarks/modes grid --seeds 3 --images 300000
    python benchmarks/modes digits mnist.npz --recipes auto:conditional=false vanilla-as-printed --minutes 1
    python benchmarks/modes stacked mnist.npz --recipes quick dcgan-as-printed --minutes 10 --jobs 2

``ring`` and ``grid`` are Gaussians in the plane, played by small networks under different games. ``digits`` and
``stacked`` train recipes by the command line on MNIST's digits, one in a picture or three as its colours, and a
classifier learned here says which of 10 or 1,000 modes the samples show. Recipes take settings and a budget of their
own: ``quick:width=24,batch_size=64@300000`` trains for as many images, however long that takes, which is what a machine
with other work beside needs. ``--jobs 2`` trains two at a time, each on its share of the cores.

Told are the modes found, the divergence of their shares from equal ones (KL, in nats) and the share of good samples:
those near a mode, or those of whose every digit the classifier is sure. Without it a generator that smears itself over
everything would win. Beside them stand as many real samples. A result that is written already is not computed again,
nor is a finished run trained again, so that rows can be added later.
"""

import argparse
import json
import os
import platform
import statistics
from pathlib import Path

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import pictures
import plane
import torch

import cardigan

PLANES, PICTURES = ("ring", "grid"), ("digits", "stacked")


class Results:
    """The rows of one set, by name and seed, written after each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known = json.loads(path.read_text()) if path.exists() else {"rows": {}}

    def add(self, name: str, seed: int, row: dict) -> None:
        facts = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cardigan": cardigan.__version__,
        }
        self.known["rows"].setdefault(name, {})[str(seed)] = row | facts
        self.write()

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.known, indent=1))

    def missing(self, name: str, seed: int) -> bool:
        return str(seed) not in self.known["rows"].get(name, {})

    def show(self, names: list[str]) -> None:
        """Each name's rows as one line: medians over seeds, and the fewest modes in brackets."""
        print(f"\n{'':48} {'modes':>13} {'KL':>7} {'good':>6} {'images':>9} {'CPU s':>6}  seeds")
        told = {"real": [self.known["real"]]} | {name: list(self.known["rows"][name].values()) for name in names}
        for name, rows in told.items():
            modes = f"{_middle(rows, 'found')} ({min(row['found'] for row in rows)})"
            good = _middle(rows, "sure" if "sure" in rows[0] else "quality", ".1%")
            spent = f"{_middle(rows, 'images'):>9} {_middle(rows, 'cpu_seconds', '.0f'):>6}"
            print(f"{name:48} {modes:>13} {_middle(rows, 'divergence', '.3f'):>7} {good:>6} {spent}  {len(rows)}")


def _middle(rows: list[dict], key: str, shape: str = "g") -> str:
    """The median of what rows say, in words; a dash where none says anything."""
    values = [row[key] for row in rows if row.get(key) is not None]
    return format(statistics.median(values), shape) if values else "-"


def in_the_plane(arguments: argparse.Namespace, seeds: range) -> None:
    torch.set_num_threads(arguments.threads or 1)
    results = Results(arguments.out / f"{arguments.set}-{arguments.images}.json")
    results.known["real"] = plane.floor(arguments.set)
    games = arguments.recipes or list(plane.GAMES)
    for seed in seeds:
        for game in games:
            if results.missing(game, seed):
                results.add(game, seed, plane.play(arguments.set, game, images=arguments.images, seed=seed))
    results.show(games)


def in_pictures(arguments: argparse.Namespace, seeds: range) -> None:
    import numpy as np

    kind = arguments.set
    arguments.out.mkdir(parents=True, exist_ok=True)
    with np.load(arguments.data, allow_pickle=False) as arrays:
        data = pictures.source(kind, arguments, arrays)
        judge = pictures.Judge(arguments.out / "classifier.safetensors", arrays)
        results = Results(arguments.out / f"{kind}.json")
        results.known["accuracy"] = judge.accuracy
        if "real" not in results.known:
            results.known["real"] = judge.measure(pictures.real(kind, arrays))
            results.write()
    print(f"The classifier is right on {judge.accuracy:.2%} of the test digits.", flush=True)
    entries = arguments.recipes or ["quick", "dcgan-as-printed"]
    named = {entry: entry if "@" in entry else f"{entry} {arguments.minutes:g} min" for entry in entries}
    plan = [(entry, seed) for seed in seeds for entry in entries if results.missing(named[entry], seed)]
    for start in range(0, len(plan), arguments.jobs):
        part, spent = plan[start : start + arguments.jobs], {}
        open_ones = [
            pair
            for pair in part
            if not (pictures.folder(kind, *pair, arguments) / "generator" / "config.json").exists()
        ]
        running = [(pair, pictures.begin(kind, data, *pair, arguments)) for pair in open_ones]
        for pair, process in running:
            spent[pair] = pictures.finish(process)
        for entry, seed in part:
            row = pictures.score(kind, entry, seed, arguments, judge)
            results.add(named[entry], seed, row | {"cpu_seconds": spent.get((entry, seed))})
            print(f"{named[entry]}, seed {seed}: {json.dumps(row)}", flush=True)
    results.show(list(named.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=PLANES + PICTURES)
    parser.add_argument("data", type=Path, nargs="?", help="mnist.npz, for digits and stacked")
    parser.add_argument("--recipes", nargs="+", metavar="NAME:KEY=VALUE,...@IMAGES", help="or games, in the plane")
    parser.add_argument("--images", type=int, default=300_000, help="points that each game sees, in the plane")
    parser.add_argument("--minutes", type=float, default=10.0, help="for recipes without a number of images")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="of each training; 0 shares the cores")
    parser.add_argument("--out", type=Path, default=Path("runs/modes"))
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    if arguments.set in PLANES:
        return in_the_plane(arguments, seeds)
    if arguments.data is None:
        parser.error(f"{arguments.set} needs mnist.npz")
    return in_pictures(arguments, seeds)


if __name__ == "__main__":
    main()
