"""A restoration measured on held-out images while it trains: how accurate it is, and how lifelike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cardigan.contracts import GeneratorNetwork
from cardigan.data import Store
from cardigan.data.degrade import Degradation
from cardigan.data.holding import Places
from cardigan.metrics.fidelity import psnr
from cardigan.metrics.texture import sliced_wasserstein
from cardigan.pixels import to_float, to_uint8
from cardigan.randomness import generator
from cardigan.recipes import Compromise, Stage
from cardigan.sample import draw
from cardigan.trials.ledger import Line, Lines

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
class Restored:
    """The exam of a restoration: PSNR, and the distance in texture. Its noise is none, so nothing is confirmed.

    Args:
        held_out: what to measure on.
        rule: which generator to keep, and when to stop; it must beat the one from before the last stage.
    """

    held_out: HeldOut
    rule: Compromise
    sparing = False

    @property
    def count(self) -> int:
        """Pieces that are restored."""
        return len(self.held_out.true)

    def course(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """As the recipe has it."""
        return tuple(stages)

    def knows(self, line: Line) -> bool:
        """Whether it is a measurement of a restoration."""
        return line.keys() >= {"psnr", "texture"}

    def measure(self, network: GeneratorNetwork) -> Line:
        """ "psnr" in decibels, the mean over images, and the distance in "texture"."""
        restored = draw(network, self.held_out.source)
        pairs = zip(restored, self.held_out.true, strict=True)
        return {
            "psnr": float(np.mean([psnr(mine, true) for mine, true in pairs])),
            # The finest level, where blur is; coarser ones hardly differ between generators.
            "texture": sliced_wasserstein(restored, self.held_out.true)[0],
        }

    def confirm(self, network: GeneratorNetwork) -> Line:
        """Nothing: there is no other noise to measure on."""
        return {}

    def best(self, before: Lines, last: Lines) -> int | None:
        """The rule's choice; the last one where nothing was measured before the last stage."""
        if not before:
            return len(last) - 1 if last else None
        return self.rule.best(_numbers(before[-1]), list(map(_numbers, last)))

    def choice(self, before: Lines, last: Lines) -> int | None:
        """The best one."""
        return self.best(before, last)

    def done(self, before: Lines, last: Lines) -> bool:
        """Whether the rule expects nothing better."""
        return bool(before and last) and self.rule.done(_numbers(before[-1]), list(map(_numbers, last)))

    def warning(self, last: Lines) -> str:
        """Nothing: the rule ends a training that leads nowhere."""
        return ""

    def verdict(self, before: Lines, last: Lines, again: Line | None) -> str:
        """Which generator is kept, and what was measured, in words."""
        place = self.best(before, last)
        told = lambda line: f"PSNR {line['psnr']:.2f} dB, texture distance {line['texture']:.4g}"  # noqa: E731
        if place is None:
            why = f"none of {len(last)} measured in the last stage was better"
            why = why if last else "the last stage was too short to measure one"
            return f"Kept the generator from before the last stage ({told(before[-1])}): {why}."
        seen = f"Kept the generator of {last[place]['images']:,} images: {told(last[place])}"
        return f"{seen}; before the last stage {told(before[-1])}." if before else f"{seen}."


def _numbers(line: Line) -> tuple[float, float]:
    return line["psnr"], line["texture"]
