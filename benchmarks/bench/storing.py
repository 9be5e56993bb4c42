"""How quickly JPEG files become a store, and how quickly batches come out of it; beside the tutorial's loader."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from bench.alternation import Plan, rates, row
from bench.folder import WORKERS, PrintedImageFolder
from bench.pictures import photos
from bench.table import Row
from cardigan.data import DataSettings, open_source, prepare
from cardigan.data.batches import batches

SIZE = 64


def rows(plan: Plan) -> Iterator[Row]:
    """A pass of the tutorial's loader, beside the making of a store, and beside a pass over a store."""
    count, batch = (16, 4) if plan.quick else (1024, 128)
    with tempfile.TemporaryDirectory() as place:
        root = photos(Path(place) / "faces", count)

        def made(cache: str) -> object:
            source = open_source(str(root / "photos"))
            return prepare(source, size=(SIZE, SIZE), settings=DataSettings(), cache=cache)

        def preparing() -> float:
            with tempfile.TemporaryDirectory() as cache:
                made(cache)
            return count

        drawn = batches(made(f"{place}/cache"), batch_size=batch)  # pyright: ignore[reportArgumentType]
        clock = iter(range(0, 10**12, batch))

        def reading() -> float:
            return sum(len(drawn.at(next(clock)).real) for _ in range(count // batch))

        loader = DataLoader(PrintedImageFolder(root, SIZE), batch_size=batch, shuffle=True, num_workers=WORKERS)

        def loading() -> float:
            return sum(len(images) for images, _ in loader)

        found = rates({"tutorial": loading, "store": preparing, "batches": reading}, plan, seconds=plan.seconds)
    told = f"{count} photos of 178 x 218 pixels to {SIZE}"
    per_core = [one.rate / (os.cpu_count() or 1) for one in found["store"]]
    yield row(
        "a store is made: decoded, checked, fitted, hashed, written",
        {"tutorial": found["tutorial"], "store": found["store"]},
        note=f"{told}, once for all passes, beside one pass of the tutorial's loader ({WORKERS} workers)",
    )
    yield Row("the same for each core", "images/s", {"store": per_core}, note=f"{torch.get_num_threads()} threads")
    yield row(
        "batches come out of a store",
        {"tutorial": found["tutorial"], "store": found["batches"]},
        note="beside a pass of the tutorial's loader, which decodes every file each time",
    )
