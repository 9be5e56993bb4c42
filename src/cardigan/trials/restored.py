"""A restoration measured on held-out images while it trains: how accurate it is, and how lifelike."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

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

MOST, FEWEST = 32, 8
"""Images that are restored in each trial; the least that a half has to have, or nothing is divided."""


@dataclass(frozen=True)
class HeldOut:
    """Images that generators are chosen on, and what a generator starts from.

    Args:
        true: uint8 (N, H, W, C).
        source: (N, C, H, W) in [-1, 1], degraded.
        unseen: they are not trained on.
        others: the images that the chosen generator is reported on; None where it is on the same.
    """

    true: np.ndarray
    source: Tensor
    unseen: bool
    others: "HeldOut | None" = None

    @property
    def given(self) -> np.ndarray:
        """The degraded images as pixels, uint8 (N, H, W, C)."""
        return to_uint8(self.source).numpy()

    @staticmethod
    def of(store: Store, places: Places, degradation: Degradation, *, seed: int, divided: bool = True) -> "HeldOut":
        """Evenly chosen among ``places``; among all images if there are none.

        Every second photo is one to choose on, and all its pieces with it; the rest are to report on. Where a half has
        less than 8 images, both are done on the same.

        Args:
            store: the data.
            places: of the images that are held out.
            degradation: what is to be undone.
            seed: of the run.
            divided: False for a run that began when both were done on the same images.
        """
        unseen = len(places) > 0
        places = places if unseen else np.arange(len(store))

        def some(chosen: Places, stream: int) -> HeldOut:
            chosen = chosen[np.linspace(0, len(chosen) - 1, min(MOST, len(chosen))).round().astype(np.int64)]
            true = np.array(store.images[chosen])
            clean = to_float(torch.from_numpy(true))
            return HeldOut(true, degradation(clean, rng=generator(seed, "held-out degradation", stream)), unseen)

        photos = np.repeat(np.arange(len(store.pieces)), store.pieces)[places] if store.pieces else places
        second = np.unique(photos, return_inverse=True)[1] % 2 == 1
        if not divided or min(second.sum(), (~second).sum()) < FEWEST:
            return some(places, 0)
        return replace(some(places[~second], 0), others=some(places[second], 1))


@dataclass(frozen=True)
class Restored:
    """The exam of a restoration: PSNR, and the distance in texture.

    The generator that was chosen is measured once more, on images that it was not chosen on.

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

    @property
    def key(self) -> str:
        """Tells on which images was measured."""
        digest = hashlib.sha256(self.held_out.true.tobytes())
        if self.held_out.others:
            digest.update(self.held_out.others.true.tobytes())
        return digest.hexdigest()[:12]

    def knows(self, line: Line) -> bool:
        """Whether it is a measurement of a restoration on these images; lines of earlier versions have no key."""
        told = line.keys() >= {"psnr", "texture"}
        return told and (line["key"] == self.key if "key" in line else self.held_out.others is None)

    def measure(self, network: GeneratorNetwork) -> Line:
        """ "psnr" in decibels, the mean over images, the distance in "texture", and the "key" of the images."""
        return self._measured(network, self.held_out)

    def confirm(self, network: GeneratorNetwork) -> Line:
        """As :meth:`measure`, on the other images; {} where there are none."""
        return self._measured(network, self.held_out.others) if self.held_out.others else {}

    def _measured(self, network: GeneratorNetwork, images: HeldOut) -> Line:
        restored = draw(network, images.source)
        pairs = zip(restored, images.true, strict=True)
        return {
            "psnr": float(np.mean([psnr(mine, true) for mine, true in pairs])),
            # The finest level, where blur is; coarser ones hardly differ between generators.
            "texture": sliced_wasserstein(restored, images.true)[0],
            "key": self.key,
        }

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
        kept, others = before[-1] if place is None else last[place], self.held_out.others
        kind = "held-out" if self.held_out.unseen else "training"
        score = told(kept)
        if again and others:
            score = (
                f"{told(again)} on {len(others.true)} {kind} images that it was not chosen by ({score} on those that "
            )
            score += "it was chosen by)"
        limits = (
            f" It was chosen and measured on the same {self.count} {kind} images, so these numbers are a little too "
            f"good: more photos held out, with --set hold_out, would leave others to measure on."
        )
        limits = "" if others else limits
        if place is None:
            why = f"none of {len(last)} measured in the last stage was better"
            why = why if last else "the last stage was too short to measure one"
            return f"Kept the generator from before the last stage: {score}; {why}.{limits}"
        seen = f"Kept the generator of {kept['images']:,} images: {score}"
        return f"{seen}; before the last stage {told(before[-1])}.{limits}" if before else f"{seen}.{limits}"


def _numbers(line: Line) -> tuple[float, float]:
    return line["psnr"], line["texture"]
