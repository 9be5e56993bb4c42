"""From a folder of JPEG files, loader included: the first pass over them, and those after it.

torchvision has no build that loads beside a CPU's torch everywhere, so the tutorial's loader is written out: Pillow's
``Resize``, ``CenterCrop``, ``ToTensor`` and ``Normalize`` in a plain data set, and PyTorch's loader with two workers.
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.alternation import Plan, in_turn
from bench.elsewhere import Elsewhere
from bench.pictures import photos
from bench.sides import deterministic, quietly, task_of
from bench.table import Row
from bench.tutorials import Tutorial, load
from cardigan import recipes
from cardigan.data import DataSettings, open_source, prepare
from cardigan.data.batches import batches
from cardigan.training.loop import Training, fit

GOAL = 2.2
WORKERS = 2
"""As printed."""


class PrintedImageFolder(Dataset[tuple[Tensor, int]]):
    """``ImageFolder`` with the tutorial's transforms: every file decoded each time that it is asked for.

    Args:
        root: holds class folders.
        size: the shorter side is resized to it, and the middle is kept.
    """

    def __init__(self, root: Path, size: int) -> None:
        self.paths, self.size = sorted(root.glob("*/*.jpg")), size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        with self.paths[place].open("rb") as file:
            picture = Image.open(file).convert("RGB")
        scale = self.size / min(picture.size)
        picture = picture.resize([int(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
        left, top = ((side - self.size) // 2 for side in picture.size)
        picture = picture.crop((left, top, left + self.size, top + self.size))
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
        return image.sub_(0.5).div_(0.5), 0


def rows(plan: Plan) -> Iterator[Row]:
    """The DCGAN tutorial from a folder, and ours from the same one."""
    tutorial = load("dcgan")
    batch, count = (4, 8) if plan.quick else (tutorial.batch, 4 * tutorial.batch)
    with tempfile.TemporaryDirectory() as place:
        root = photos(Path(place) / "faces", count)
        with Elsewhere(plan.threads) as other:
            arms = {
                "tutorial": lambda: other.do(passes_printed, "dcgan", root, batch),
                tutorial.recipe: lambda: passes_ours(tutorial, root, batch),
            }
            found = in_turn(arms, rounds=plan.rounds, seconds=plan.seconds)
    for at, (name, short) in enumerate(
        [("the first pass, from JPEG files", ""), ("a later pass", "DCGAN, 64 px, from a JPEG folder, a later pass")]
    ):
        values = {arm: [count / seconds[at] for seconds in each] for arm, each in found.items()}
        told = f"{count} photos of 178 x 218 pixels, batch {batch}"
        yield Row(
            f"DCGAN, 64 px: {name}",
            "images/s",
            values,
            goal=GOAL if at else None,
            note=told + ("" if at else "; ours reads every file once, checks it and keeps its pixels"),
            short=short,
        )


def clocked(work: Callable[[], object], times: int) -> list[float]:
    """The seconds of each time."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return found


def passes_printed(name: str, root: Path, batch: int) -> list[float]:
    """The seconds of the first and of the second pass."""
    tutorial = load(name)
    loader = DataLoader(PrintedImageFolder(root, tutorial.size), batch_size=batch, shuffle=True, num_workers=WORKERS)
    steps = math.ceil(len(loader.dataset) / batch)  # pyright: ignore[reportArgumentType]
    iterations = tutorial.loop(loader, *tutorial.networks())

    def one_pass() -> None:
        with quietly(), deterministic(tutorial.deterministic):
            for _ in range(steps):
                next(iterations)

    return clocked(one_pass, 2)


def passes_ours(tutorial: Tutorial, root: Path, batch: int) -> list[float]:
    """The same by ours; preparing the store belongs to the first pass, and nothing is left of earlier ones."""
    started = []

    def first_pass() -> None:
        with tempfile.TemporaryDirectory() as cache:
            source = open_source(str(root / "photos"))
            store = prepare(source, size=(tutorial.size, tutorial.size), settings=DataSettings(), cache=cache)
            recipe = recipes.prepare(tutorial.recipe, task_of(store), batch_size=batch)
            training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=0)
            drawn = batches(store, batch_size=batch)
            records = fit(training, drawn, turns=recipe.turns, schedule=recipe.schedule, images=10**12)
            started.append((records, math.ceil(len(store) / batch)))
            more()

    def more() -> None:
        records, steps = started[0]
        for _ in range(steps):
            next(records)

    return [*clocked(first_pass, 1), *clocked(more, 1)]
