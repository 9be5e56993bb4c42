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
from cardigan.metrics.texture import sliced_wasserstein
from cardigan.scoring import evaluate

SIDE = 64
EXTRACTORS = ("gradients", "pixels", "inception", "dinov2")
TEXTURE = "texture"
PAIRS, PAIRS_SIDE = 32, 96
"""What a restoration is measured on while it trains."""


def rows(plan: Plan) -> Iterator[Row]:
    """Generated files against real ones."""
    count = 60 if plan.quick else 1_000
    wanted = [name for name in EXTRACTORS if plan.wants(name)]
    parts = len(wanted) + plan.wants(TEXTURE)
    if plan.wants(TEXTURE):
        ours, theirs = (pixels(PAIRS, PAIRS_SIDE, PAIRS_SIDE, 3, seed=seed) for seed in (1, 2))

        def compared() -> float:
            sliced_wasserstein(ours, theirs)
            return PAIRS

        found = rates({"cardigan": compared}, plan, seconds=plan.seconds / parts)
        yield row(
            "texture of restorations", found, note=f"sliced Wasserstein distance of {PAIRS} pairs of {PAIRS_SIDE} px"
        )
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

            found = rates({"cardigan": measured}, plan, seconds=plan.seconds / parts)
            yield row(
                f"cardigan evaluate, through {name}",
                found,
                note=f"{count} images of {SIDE} px against {count}: KID, precision, recall and their kin, with spread",
            )
