"""One side, alone in a process of its own: what it holds and when its first step is done.

Whoever starts it measures from outside, so that both sides pay for starting Python and for their own imports, and for
nothing of the other's. Data are the same bytes on both sides.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def measured(name: str, side: str, *, steps: int, batch: int, threads: int) -> dict[str, float]:
    """Train in a process of its own.

    Args:
        name: of a tutorial.
        side: ``tutorial`` or ``ours``.
        steps: to take.
        batch: images in each.
        threads: of PyTorch.

    Returns:
        ``seconds`` from before the process to the end of its last step, and ``peak`` in MiB.
    """
    began = time.time()
    words = [sys.executable, str(HERE), "inside", name, side, "--steps", str(steps), "--batch", str(batch)]
    done = subprocess.run([*words, "--threads", str(threads)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{side} {name} alone in a process failed: {done.stderr[-1000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": told["ended"] - began, "peak": told["peak"]}


def main(words: list[str]) -> None:
    """Take some steps and tell what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("side", choices=("tutorial", "ours"))
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args(words)
    {"tutorial": as_printed, "ours": by_ours}[arguments.side](arguments)
    print(json.dumps({"ended": time.time(), "peak": peak()}))


def peak() -> float:
    """MiB that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's number begins with the peak of the process that started this one
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def as_printed(arguments: argparse.Namespace) -> None:
    """Nothing of ours is imported; each batch is made of bytes when it is asked for, as a loader would."""
    import contextlib
    import os

    import numpy as np
    import torch

    from bench.pictures import pixels
    from bench.tutorials import load

    torch.set_num_threads(arguments.threads)
    tutorial = load(arguments.name)
    torch.use_deterministic_algorithms(tutorial.deterministic)
    stored = pixels(2 * arguments.batch, tutorial.size, tutorial.size, tutorial.channels)

    class Loader:
        def __len__(self):
            return 2

        def __iter__(self):
            for part in np.split(stored, 2):
                images = torch.from_numpy(part).permute(0, 3, 1, 2).contiguous().float().div(127.5).sub(1)
                yield images, torch.arange(len(part)) % max(tutorial.classes, 1)

    iterations = tutorial.loop(Loader(), *tutorial.networks())
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        for _ in range(arguments.steps):
            next(iterations)


def by_ours(arguments: argparse.Namespace) -> None:
    """The recipe of the same mathematics."""
    from cardigan.tuning import tune_process

    tune_process()  # as the command line does
    import numpy as np
    import torch

    from bench.pictures import pixels
    from cardigan import recipes
    from cardigan.data.batches import batches
    from cardigan.data.store import Store
    from cardigan.recipes import Task
    from cardigan.training.loop import Training

    torch.set_num_threads(arguments.threads)
    size, channels, classes, name = SHAPES[arguments.name]
    count = 2 * arguments.batch
    labels = np.arange(count) % classes if classes else None
    store = Store.from_arrays(pixels(count, size, size, channels), labels)
    recipe = recipes.prepare(name, Task(size, size, channels, classes=classes, count=count), batch_size=arguments.batch)
    training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=0)
    drawn = batches(store, batch_size=arguments.batch)
    for _ in range(arguments.steps):
        training.turn(drawn, recipe.turns)


SHAPES = {
    "mlp": (28, 1, 0, "vanilla-as-printed"),
    "cgan": (28, 1, 10, "cgan-as-printed"),
    "dcgan": (64, 3, 0, "dcgan-as-printed"),
    "fastgan": (64, 3, 0, "fastgan-tutorial-as-printed"),
    "wgan": (64, 3, 0, "basic"),
}
"""Of each tutorial: size, channels, classes and our recipe, so that ours need not import theirs; a test compares."""
