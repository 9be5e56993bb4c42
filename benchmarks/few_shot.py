"""Few images, little time: how near each recipe comes to images it never saw.

    python benchmarks/few_shot.py pokemon-256.zip --network mobilenetv2-imagenet.npz \\
        --recipes dcgan fastgan-lite fastgan-lite:augmentation=off --minutes 10 --seeds 3

Every fifth image of the archive (by name) is held out and never shown to any recipe. Each recipe trains on the others
for ``--minutes`` from each seed, recipes in turn so that a drifting machine is fair to all; ``--jobs 2`` trains two at
a time, each on its share of the cores. On a machine that does other work beside, minutes are fair to nobody: ``--pace``
measures in alternation how many images each recipe takes in so many minutes of a core's own time, and prints the
recipes with that number behind an @; given so, a recipe trains for as many images, however long that takes.

A training whose folder holds a finished run is not done again, nor is its score, so that rows can be added later. Of
1,000 samples each it reports the kernel distance (KID, times 1,000) to the held-out images in MobileNetV2's features,
from the averaged weights that a run publishes and from the trained ones themselves, with the distance of the training
images beside it as a floor. These are numbers for comparison with each other, not with published ones.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

SAMPLES = 1_000
EVERY = 5
PACED = 5
"""Times that each recipe's pace is measured."""


def split(archive: Path, folder: Path) -> tuple[Path, Path]:
    """Training and held-out images as two folders."""
    parts = folder / "training", folder / "held-out"
    if not folder.exists():
        with zipfile.ZipFile(archive) as file:
            names = sorted(name for name in file.namelist() if not name.endswith("/"))
            for place, name in enumerate(names):
                path = parts[place % EVERY == 0] / Path(name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read(name))
    return parts


def train(data: Path, entry: str, seed: int, arguments: argparse.Namespace, threads: int) -> subprocess.Popen:
    """A training of its own process, begun."""
    name, given, images = parsed(entry)
    command = [sys.executable, "-m", "cardigan", "train", str(data), "--recipe", name]
    command += ["--images", images] if images else ["--minutes", str(arguments.minutes)]
    command += ["--size", str(arguments.size), "--seed", str(seed)]
    command += ["--out", str(run_folder(arguments, entry, seed)), *(word for text in given for word in ("--set", text))]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"}
    return subprocess.Popen(command, env=environment)


def parsed(entry: str) -> tuple[str, list[str], str]:
    """NAME:KEY=VALUE,...@IMAGES in its parts."""
    words, _, images = entry.partition("@")
    name, _, settings = words.partition(":")
    return name, ["hold_out=0", *filter(None, settings.split(","))], images


def pace(data: Path, arguments: argparse.Namespace) -> None:
    """Print each entry with the images that it takes in ``--minutes`` of one core's own time, measured in turn."""
    import torch

    from cardigan import recipes
    from cardigan import settings as known
    from cardigan.arguments import pairs
    from cardigan.data import DataSettings, open_source, prepare
    from cardigan.data.batches import batches
    from cardigan.recipes import Task
    from cardigan.training import Training

    torch.set_num_threads(1)
    store = prepare(open_source(str(data)), size=(arguments.size, arguments.size), settings=DataSettings())
    task = Task(*store.shape, count=len(store), minutes=arguments.minutes)
    playing, seconds = {}, {entry: [] for entry in arguments.recipes}
    for entry in arguments.recipes:
        name, given, _ = parsed(entry)
        settings, problems = known.resolve(name, pairs(given))
        if settings is None:
            sys.exit("\n".join(problems))
        recipe = recipes.prepare(name, task, **settings.recipe)
        training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life)
        stream = batches(store, batch_size=recipe.batch_size, flip=recipe.flip)
        training.turn(stream, recipe.turns)  # the first one also compiles and fills caches
        playing[entry] = training, stream, recipe
    for _ in range(PACED):
        for entry, (training, stream, recipe) in playing.items():
            turns = max(1, 64 // recipe.batch_size)
            start = time.process_time()
            for _ in range(turns):
                training.turn(stream, recipe.turns)
            seconds[entry].append((time.process_time() - start) / (turns * recipe.batch_size))
    for entry, found in seconds.items():
        print(
            f"{entry}@{60 * arguments.minutes / statistics.median(found):.0f}  ({1 / statistics.median(found):.1f}/s)"
        )


def run_folder(arguments: argparse.Namespace, entry: str, seed: int) -> Path:
    name = entry.replace(":", "-").replace("/", "-").replace(",", "-").replace("@", "-")
    return arguments.out / f"{arguments.data.stem}-{arguments.size}-{name}-{seed}"


def score(arguments: argparse.Namespace, parts: tuple[Path, Path], plan: list[tuple[str, int]]) -> dict:
    import numpy as np
    import torch
    from mobilenet import MobileNetV2

    import cardigan
    from cardigan.data import DataSettings, open_source, prepare
    from cardigan.metrics.kernel import kernel_distance
    from cardigan.sample import draw, latents_for
    from cardigan.training.checkpoint import newest
    from cardigan.training.ema import settled

    network = MobileNetV2(arguments.network)

    def features(images):
        return network.pooled(cardigan.to_float(torch.from_numpy(np.array(images)))).numpy()

    def distance(images):
        return 1000 * kernel_distance(real, features(images), rng=np.random.default_rng(0))[0]

    def as_trained(run):
        """The generator as the last step left it, without the average over its past."""
        checkpoint, _ = newest(run.folder.checkpoints)
        state = checkpoint.files["generator"]
        spectral = {"spectral": True} if any("parametrizations" in name for name in state) else {}
        generator = type(run.generator)(**run.generator.arguments | spectral)
        generator.load_state_dict(state)
        return settled(generator, [(torch.randn(64, generator.latent), None) for _ in range(16)])

    size = (arguments.size, arguments.size)
    training, held_out = (prepare(open_source(str(part)), size=size, settings=DataSettings()).images for part in parts)
    real, results = features(held_out), {}
    for entry, seed in plan:
        run = cardigan.load(run_folder(arguments, entry, seed))
        kept = run.folder.path / f"few-shot-{SAMPLES}.json"
        if not kept.exists():
            generator = as_trained(run)
            result = {
                "kid": distance(run.sample(SAMPLES, seed=1)),
                "kid_as_trained": distance(draw(generator, latents_for(generator, SAMPLES, seed=1))),
                "images": run.records[-1]["images"],
            }
            kept.write_text(json.dumps(result))
        result = json.loads(kept.read_text())
        kid, raw = result["kid"], result["kid_as_trained"]
        print(f"{entry} seed {seed}: KID x 1,000 {kid:.1f}, {raw:.1f} without the average", flush=True)
        results.setdefault(entry, {})[seed] = result
    floor = distance(training[:SAMPLES])
    for entry, seeds in results.items():
        middle, raw = (statistics.median(result[key] for result in seeds.values()) for key in ("kid", "kid_as_trained"))
        print(f"{entry}: median {middle:.1f} of {len(seeds)}, {raw:.1f} without the average (training: {floor:.1f})")
    machine = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
    }
    asked = {key: str(value) for key, value in vars(arguments).items()}
    return {
        "asked": asked,
        "held_out": len(held_out),
        "floor": floor,
        "results": results,
        "torch": torch.__version__,
        **machine,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--network", type=Path, required=True, help="mobilenetv2-imagenet.npz")
    parser.add_argument("--recipes", nargs="+", metavar="NAME:KEY=VALUE,...@IMAGES", default=["dcgan", "fastgan-lite"])
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--pace", action="store_true", help="measure paces only")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/few-shot"))
    arguments = parser.parse_args()
    parts = split(arguments.data, arguments.out / f"{arguments.data.stem}-data")
    if arguments.pace:
        pace(parts[0], arguments)
        return
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    plan = [(entry, seed) for seed in seeds for entry in arguments.recipes]
    threads = max((os.cpu_count() or 1) // arguments.jobs, 1)
    open_ones = [pair for pair in plan if not (run_folder(arguments, *pair) / "generator" / "config.json").exists()]
    for start in range(0, len(open_ones), arguments.jobs):
        pairs = open_ones[start : start + arguments.jobs]
        running = [train(parts[0], entry, seed, arguments, threads) for entry, seed in pairs]
        if any(process.wait() for process in running):
            sys.exit("A training failed; see above.")
    result = score(arguments, parts, plan)
    name = f"{arguments.data.stem}-{arguments.size}.json"
    (arguments.out / name).write_text(json.dumps(result, indent=1))
    print(f"Written to {arguments.out / name}")


if __name__ == "__main__":
    main()
