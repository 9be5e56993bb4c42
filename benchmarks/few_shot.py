"""Few images, little time: how near each recipe comes to images it never saw.

    python benchmarks/few_shot.py pokemon-256.zip --network mobilenetv2-imagenet.npz \\
        --recipes dcgan:width=32 fastgan:width=16 --minutes 10 --seeds 3

Every fifth image of the archive (by name) is held out and never shown to any recipe. Each recipe trains on the others
for ``--minutes`` from each seed, recipes in turn so that a drifting machine is fair to all; ``--jobs 2`` trains two at
a time, each on its share of the cores. A training whose folder holds a finished run is not done again, so that rows can
be added later. Of 2,000 samples each it reports the kernel distance (KID, times 1,000) to the held-out images in
MobileNetV2's features, from the averaged weights that a run publishes and from the trained ones themselves, with the
distance of the training images beside it as a floor. These are numbers for comparison with each other, not with
published ones.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

SAMPLES = 2_000
EVERY = 5


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
    recipe, _, settings = entry.partition(":")
    given = ["hold_out=0", *filter(None, settings.split(","))]
    command = [sys.executable, "-m", "cardigan", "train", str(data), "--recipe", recipe]
    command += ["--size", str(arguments.size), "--minutes", str(arguments.minutes), "--seed", str(seed)]
    command += ["--out", str(run_folder(arguments, entry, seed)), *(word for text in given for word in ("--set", text))]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000"}
    return subprocess.Popen(command, env=environment)


def run_folder(arguments: argparse.Namespace, entry: str, seed: int) -> Path:
    name = entry.replace(":", "-").replace("/", "-").replace(",", "-")
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
        generator = as_trained(run)
        result = {
            "kid": distance(run.sample(SAMPLES, seed=1)),
            "kid_as_trained": distance(draw(generator, latents_for(generator, SAMPLES, seed=1))),
            "images": run.records[-1]["images"],
        }
        print(
            f"{entry} seed {seed}: KID x 1,000 {result['kid']:.1f}, {result['kid_as_trained']:.1f} without the average, "
            f"{result['images']:,} images seen",
            flush=True,
        )
        results.setdefault(entry, {})[seed] = result
    floor = distance(training[:SAMPLES])
    for entry, seeds in results.items():
        middle, raw = (
            statistics.median(result[key] for result in seeds.values()) for key in ("kid", "kid_as_trained")
        )
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
    parser.add_argument(
        "--recipes", nargs="+", metavar="NAME:KEY=VALUE,...", default=["dcgan:width=32", "fastgan:width=16"]
    )
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/few-shot"))
    arguments = parser.parse_args()
    parts = split(arguments.data, arguments.out / f"{arguments.data.stem}-data")
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
