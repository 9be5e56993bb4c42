"""Trials: a restoration measured on held-out images while it trains, and what follows: which generator to keep."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cardigan.contracts import GeneratorNetwork
from cardigan.data import Store
from cardigan.data.degrade import Degradation
from cardigan.data.holding import Places
from cardigan.folder import read_lines
from cardigan.metrics.fidelity import psnr
from cardigan.metrics.texture import sliced_wasserstein
from cardigan.pixels import to_float, to_uint8
from cardigan.randomness import generator
from cardigan.recipes import Compromise, Recipe
from cardigan.sample import draw

MOST = 32
"""Held-out images that are restored in each trial."""


@dataclass(frozen=True)
class HeldOut:
    """Images that are measured on, and what a generator starts from.

    Args:
        true: uint8 (N, H, W, C).
        source: (N, C, H, W) in [-1, 1], degraded.
        unseen: they are not trained on.
    """

    true: np.ndarray
    source: Tensor
    unseen: bool

    @property
    def given(self) -> np.ndarray:
        """The degraded images as pixels, uint8 (N, H, W, C)."""
        return to_uint8(self.source).numpy()

    @staticmethod
    def of(store: Store, places: Places, degradation: Degradation, *, seed: int) -> "HeldOut":
        """Evenly chosen among ``places``; among all images if there are none."""
        unseen = len(places) > 0
        places = places if unseen else np.arange(len(store))
        chosen = places[np.linspace(0, len(places) - 1, min(MOST, len(places))).round().astype(np.int64)]
        true = np.array(store.images[chosen])
        clean = to_float(torch.from_numpy(true))
        return HeldOut(true, degradation(clean, rng=generator(seed, "held-out degradation", 0)), unseen)


class Trials:
    """The measurements of one run, kept in ``trials.jsonl``.

    Args:
        path: of the file.
        held_out: what to measure on.
        recipe: its stages say when to measure; the generators of the last one compete, by the recipe's choice, and
            must beat the one from before it.
        images: where the run stands; measurements beyond it are dropped.
    """

    def __init__(self, path: Path, held_out: HeldOut, recipe: Recipe, *, images: int = 0) -> None:
        self.path, self.held_out, self.rule = path, held_out, recipe.choice or Compromise()
        self._last_stage = recipe.course[-1].name
        self.lines = [line for line in read_lines(path) if line["images"] <= images]
        path.write_text("".join(map(_text, self.lines)), encoding="utf-8")
        starts = [0.0, *(stage.until for stage in recipe.course)]
        measured = self.lines[-1]["spent"] if self.lines else -1.0
        self._moments = [
            moment
            for start, stage in zip(starts, recipe.course, strict=False)
            for moment in moments(start, stage.until, stage.trials)
            if moment > measured
        ]

    def due(self, spent: float, *, steps: int) -> bool:
        """Whether the generator is to be measured.

        Args:
            spent: the share of the budget that is spent.
            steps: the generator's own so far; one that has not moved since is not measured again.
        """
        moved = not self.lines or steps > self.lines[-1]["steps"]
        return moved and bool(self._moments) and spent >= self._moments[0]

    def is_last(self, stage: str) -> bool:
        """Whether it is the stage whose generators compete."""
        return stage == self._last_stage

    def take(self, network: GeneratorNetwork, *, images: int, spent: float, stage: str, steps: int) -> bool:
        """Measure a generator.

        Args:
            network: published, in evaluation mode.
            images: images seen.
            spent: the share of the budget that is spent.
            stage: the stage it comes from.
            steps: the generator's own so far.

        Returns:
            Whether it is the best of the last stage so far.
        """
        self._moments = [moment for moment in self._moments if moment > spent]
        restored = draw(network, self.held_out.source)
        pairs = zip(restored, self.held_out.true, strict=True)
        line = {
            "images": images,
            "spent": spent,
            "stage": stage,
            "steps": steps,
            "psnr": float(np.mean([psnr(mine, true) for mine, true in pairs])),
            # The finest level, where blur is; coarser ones hardly differ between generators.
            "texture": sliced_wasserstein(restored, self.held_out.true)[0],
        }
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text(line))
        return self.kept is line

    @property
    def kept(self) -> dict[str, Any] | None:
        """The measurement of the last stage's generator to keep; None for the one from before it."""
        before, last = self._sides()
        if not before:
            return last[-1] if last else None
        place = self.rule.best(_numbers(before[-1]), list(map(_numbers, last)))
        return None if place is None else last[place]

    @property
    def done(self) -> bool:
        """Whether the rule expects nothing better."""
        before, last = self._sides()
        return bool(before and last) and self.rule.done(_numbers(before[-1]), list(map(_numbers, last)))

    @property
    def verdict(self) -> str:
        """Which generator is kept, and what was measured, in words."""
        before, last = self._sides()
        kept = self.kept
        told = lambda line: f"PSNR {line['psnr']:.2f} dB, texture distance {line['texture']:.4g}"  # noqa: E731
        if kept is None:
            why = f"none of {len(last)} measured in the last stage was better" if last else "there was no last stage"
            return f"Kept the generator from before the last stage ({told(before[-1])}): {why}."
        seen = f"Kept the generator of {kept['images']:,} images: {told(kept)}"
        return f"{seen}; before the last stage {told(before[-1])}." if before else f"{seen}."

    def _sides(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What was measured before the last stage, and in it."""
        return [line for line in self.lines if not self.is_last(line["stage"])], [
            line for line in self.lines if self.is_last(line["stage"])
        ]


def _numbers(line: dict[str, Any]) -> tuple[float, float]:
    return line["psnr"], line["texture"]


def moments(start: float, end: float, count: int) -> Iterator[float]:
    """The shares of the budget at which a stage is measured, the last at its end.

    Example:
        >>> list(moments(0.5, 1.0, 2))
        [0.75, 1.0]
    """
    return (start + (end - start) * (place + 1) / count for place in range(count))


def _text(line: dict[str, Any]) -> str:
    return json.dumps(line) + "\n"
