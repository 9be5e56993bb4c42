"""How quickly samples are measured: the whole score card, through each extractor that is on this machine."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.alternation import Plan, rates, row
from bench.pictures import pixels
from bench.table import Row
from cardigan.errors import CardiganError
from cardigan.evaluation.extractors import extractor
from cardigan.scoring import evaluate

SIDE = 64
EXTRACTORS = ("gradients", "pixels", "inception", "dinov2")


def rows(plan: Plan) -> Iterator[Row]:
    """Generated files against real ones."""
    count = 60 if plan.quick else 1_000
    wanted = [name for name in EXTRACTORS if plan.wants(name)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for part, seed in (("drawn", 1), ("real", 2)):
            np.savez(folder / f"{part}.npz", images=pixels(count, SIDE, SIDE, 3, seed=seed))
        for name in wanted:
            try:
                if name not in ("pixels", "gradients"):
                    extractor(name)
            except CardiganError as problem:
                plan.skipped.append(f"evaluation through {name}: {str(problem).partition('. ')[0]}")
                continue

            def measured(name: str = name) -> float:
                evaluate(folder / "drawn.npz", against=str(folder / "real.npz"), features=name)
                return count

            found = rates({"cardigan": measured}, plan, seconds=plan.seconds / len(wanted))
            yield row(
                f"cardigan evaluate, through {name}",
                found,
                note=f"{count} images of {SIDE} px against {count}: KID, precision, recall and their kin, with spread",
            )
