"""Precision, recall, density and coverage, side by side with the ``prdc`` package of the authors of the latter two.

    pip install prdc
    python benchmarks/manifold.py --images 10000 --features 2048 --rounds 5

Each measurement is a process of its own, with the same features, and they take turns. Prints seconds and peak memory of
each, process and features included, the ratio of medians, and how far apart the numbers are. ``prdc`` compares
single-precision distances, so that what lies at the edge of a ball may fall to either side.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import statistics
import subprocess
import sys
import time

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
from bench.inside import peak

NAMES = ("precision", "recall", "density", "coverage")


def features(images: int, length: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What networks' features are like: not negative, many of them 0, and going together. float32 (images, length)."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((64, length), dtype=np.float32) / 8

    def heap(spread: float) -> np.ndarray:
        found = (spread * rng.standard_normal((images, 64), dtype=np.float32)) @ directions
        found += 0.5 * rng.standard_normal(found.shape, dtype=np.float32)
        return np.maximum(found, 0, out=found)

    return heap(1.0), heap(0.9)


def measure(ours: bool, images: int, length: int, k: int, seed: int) -> dict[str, float]:
    """In this process: the four numbers, seconds, and MiB at the peak."""
    real, fake = features(images, length, seed)
    if ours:
        from cardigan.metrics.manifold import manifold

        began = time.perf_counter()
        found = vars(manifold(real, fake, k=k))
    else:
        from prdc import compute_prdc

        with contextlib.redirect_stdout(io.StringIO()):
            began = time.perf_counter()
            found = compute_prdc(real, fake, nearest_k=k)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "peak": peak(), **{name: float(found[name]) for name in NAMES}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="of each kind")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("cardigan", "prdc"), help="measure once, in this process, and print JSON")
    given = parser.parse_args()
    if given.only:
        found = measure(given.only == "cardigan", given.images, given.features, given.k, given.seed)
        print(json.dumps(found))
        return
    if importlib.util.find_spec("prdc") is None:
        sys.exit("There is nothing to compare with. Install it with: pip install prdc")
    table: dict[str, list[dict[str, float]]] = {"cardigan": [], "prdc": []}
    for turn in range(given.rounds):
        for name in sorted(table, reverse=bool(turn % 2)):
            command = [sys.executable, __file__, *sys.argv[1:], "--only", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            table[name].append(json.loads(done.stdout))
            print(f"{name:>8}: {table[name][-1]['seconds']:8.2f} s {table[name][-1]['peak']:8.0f} MiB", flush=True)
    middle = {name: statistics.median(row["seconds"] for row in rows) for name, rows in table.items()}
    print(f"prdc takes {middle['prdc'] / middle['cardigan']:.2f} times as long (medians of {given.rounds})")
    for name in NAMES:
        first, second = (table[side][0][name] for side in ("cardigan", "prdc"))
        print(
            f"{name:>10}: {first:.6f} and {second:.6f}, {'equal' if first == second else f'{first - second:+.1e} off'}"
        )


if __name__ == "__main__":
    main()
