"""Trials: a restoration measured on held-out images while it trains, and what follows: which generator to keep."""

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cardigan.clock import Progress
from cardigan.contracts import GeneratorNetwork
from cardigan.data import Store
from cardigan.data.degrade import Degradation
from cardigan.data.holding import Places
from cardigan.durable import replace_durably
from cardigan.folder import read_lines
from cardigan.metrics.fidelity import psnr
from cardigan.metrics.texture import sliced_wasserstein
from cardigan.pixels import to_float, to_uint8
from cardigan.randomness import generator
from cardigan.recipes import Compromise, Recipe
from cardigan.sample import draw

KEYS = frozenset({"images", "seconds", "budget", "stage", "steps", "psnr", "texture"})
"""What a measurement consists of."""
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


@dataclass(frozen=True)
class Budget:
    """What a run may spend: one of the two is None.

    Args:
        images: drawn from the data.
        minutes: of training.
    """

    images: int | None
    minutes: float | None

    def share(self, *, images: int, seconds: float) -> float:
        """The share of it that is spent, 0 to 1 and a little beyond.

        Example:
            >>> Budget(None, 2.0).share(images=64, seconds=30.0)
            0.25
        """
        return images / self.images if self.images else seconds / (60 * (self.minutes or 0.0))


class Trials:
    """The measurements of one run, kept in ``trials.jsonl``.

    Args:
        path: of the file.
        held_out: what to measure on.
        recipe: its stages say when to measure; the generators of the last one compete, by the recipe's choice, and
            must beat the one from before it.
        budget: of the run. Under another one than before, the generators of the last stage begin to compete anew.
        images: where the run stands; measurements beyond it are dropped.
        stored: images seen by the generators of the last stage that are put aside; if the best is not among them, that
            stage's measurements are dropped.
    """

    def __init__(
        self,
        path: Path,
        held_out: HeldOut,
        recipe: Recipe,
        *,
        budget: Budget,
        images: int = 0,
        stored: Container[int] = (),
    ) -> None:
        self.path, self.held_out, self.rule, self.budget = path, held_out, recipe.choice or Compromise(), budget
        self._last_stage = recipe.course[-1].name
        found = [line for line in read_lines(path) if line.keys() >= KEYS]
        now = [budget.images, budget.minutes]
        self.lines = [
            line
            for line in found
            if line["images"] <= images and (line["budget"] == now or not self.is_last(line["stage"]))
        ]
        if self.kept and self.kept["images"] not in stored:
            self.lines = [line for line in self.lines if not self.is_last(line["stage"])]
        told = "".join(map(_text, self.lines))
        if path.exists() and path.read_text(encoding="utf-8") != told:  # a line cut short goes too
            replace_durably(path, told.encode())
        starts = [0.0, *(stage.until for stage in recipe.course)]
        last = self.lines[-1] if self.lines else None
        measured = budget.share(images=last["images"], seconds=last["seconds"]) if last else -1.0
        self._moments = [
            moment
            for start, stage in zip(starts, recipe.course, strict=False)
            for moment in moments(start, stage.until, stage.trials)
            if moment > measured
        ]

    def due(self, progress: Progress) -> bool:
        """Whether the generator is to be measured; one that has not moved since is not measured again."""
        moved = not self.lines or progress.steps["generator"] > self.lines[-1]["steps"]
        return moved and bool(self._moments) and self._spent(progress) >= self._moments[0]

    def is_last(self, stage: str) -> bool:
        """Whether it is the stage whose generators compete."""
        return stage == self._last_stage

    def take(self, network: GeneratorNetwork, progress: Progress, *, stage: str) -> dict[str, Any]:
        """Measure a generator. The measurement counts at once, and is written down by :meth:`write`.

        Args:
            network: published, in evaluation mode.
            progress: the clock.
            stage: the stage it comes from.

        Returns:
            The measurement.
        """
        spent = self._spent(progress)
        self._moments = [moment for moment in self._moments if moment > spent]
        restored = draw(network, self.held_out.source)
        pairs = zip(restored, self.held_out.true, strict=True)
        line = {
            "images": progress.images,
            "seconds": progress.seconds,
            "budget": [self.budget.images, self.budget.minutes],
            "stage": stage,
            "steps": progress.steps["generator"],
            "psnr": float(np.mean([psnr(mine, true) for mine, true in pairs])),
            # The finest level, where blur is; coarser ones hardly differ between generators.
            "texture": sliced_wasserstein(restored, self.held_out.true)[0],
        }
        self.lines.append(line)
        return line

    def write(self, line: dict[str, Any]) -> None:
        """Write a measurement down, once its generator is put aside: a kill in between leaves it to be taken again."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text(line))

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
            why = f"none of {len(last)} measured in the last stage was better"
            why = why if last else "the last stage was too short to measure one"
            return f"Kept the generator from before the last stage ({told(before[-1])}): {why}."
        seen = f"Kept the generator of {kept['images']:,} images: {told(kept)}"
        return f"{seen}; before the last stage {told(before[-1])}." if before else f"{seen}."

    def _spent(self, progress: Progress) -> float:
        return self.budget.share(images=progress.images, seconds=progress.seconds)

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
