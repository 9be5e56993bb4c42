"""Does a recipe learn as well with bfloat16? The same images from the same seeds, in both precisions.

    python benchmarks/precision.py mnist mnist.npz --recipes quick --images 120000 --seeds 5
    python benchmarks/precision.py faces-64 faces-128.zip --recipes fastgan-lite --images 8000 \\
        --eyes mobilenetv2-imagenet.npz

Scores are those of quality.py: the kernel distance (KID, times 1,000) of samples to images that nobody trained on. A
recipe says ``bfloat16=True`` where the scores are no worse than chance between seeds would make them; then a budget in
minutes takes it where it is measured to be quicker.
"""

import argparse
import sys
from pathlib import Path

from cardigan.tuning import tune_process

tune_process()  # as the command line does

import numpy as np
import torch
from bench.command import line
from bench.eyes import Eyes, eyes_for
from bench.images import SETS, Images, images_of
from bench.table import RESULTS, Result, Row, machine, now

from cardigan import recipes
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.recipes import Task
from cardigan.sample import draw, latents_for
from cardigan.training.loop import Training, fit
from cardigan.training.precision import Precision


def trained(
    name: str, images: Images, eyes: Eyes, *, precision: Precision, count: int, seed: int, samples: int
) -> float:
    """The score of a recipe after so many images."""
    store = Store.from_arrays(images.train, images.labels)
    task = Task(*store.shape, classes=len(store.classes), count=len(store), minutes=1.0)
    recipe = recipes.prepare(name, task, seed=seed)
    training = Training(
        recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=seed, precision=precision
    )
    drawn = batches(
        store, batch_size=recipe.batch_size, seed=seed, flip=recipe.flip, labels=bool(recipe.gan.generator.classes)
    )
    for _ in fit(training, drawn, turns=recipe.turns, schedule=recipe.schedule, images=count):
        pass
    network = training.published(drawn)
    rng, labels = np.random.default_rng(seed), None
    if network.classes:
        labels = drawn.at(0).labels.new_tensor(rng.integers(network.classes, size=samples))
    return eyes.score(draw(network, latents_for(network, samples, seed=seed), labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=list(SETS))
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipes", nargs="+", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--eyes", type=Path, help="mobilenetv2-imagenet.npz, for colour")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"), help="where a classifier is kept")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the answer is kept")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    images = images_of(arguments.set, arguments.data)
    if images.train.shape[3] == 3 and arguments.eyes is None:
        parser.error(f"{arguments.set} needs --eyes mobilenetv2-imagenet.npz")
    eyes = eyes_for(arguments.set, images, kept=arguments.out, weights=arguments.eyes)
    rows, note = [], f"{eyes.told}; training images score {eyes.floor:.3g}"
    for name in arguments.recipes:
        scores: dict[Precision, list[float]] = {"float32": [], "bfloat16": []}
        for seed in range(arguments.seeds):
            for precision, found in scores.items():
                settings = {"precision": precision, "seed": seed}
                found.append(trained(name, images, eyes, count=arguments.images, samples=arguments.samples, **settings))
                print(f"{name}, seed {seed}, {precision}: {found[-1]:.1f}", flush=True)
        what = f"{arguments.set}, {name}, {arguments.images:,} images"
        rows.append(Row(what, "KID x 1,000", scores, more=False, note=note))
    for row in rows:
        print(line(row))
    Result(f"precision-{arguments.set}", rows, machine(threads=torch.get_num_threads()), made=now()).write(
        arguments.results
    )


if __name__ == "__main__":
    sys.exit(main())
