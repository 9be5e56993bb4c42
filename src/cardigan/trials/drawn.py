"""A generator that draws, scored on noise of its own while it trains: how far its images lie from real ones."""

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cardigan.contracts import GeneratorNetwork
from cardigan.data import Store
from cardigan.data.holding import Places, Split
from cardigan.data.words import significant
from cardigan.evaluation.extractors import extractor
from cardigan.evaluation.extractors_contract import Extractor, Values
from cardigan.evaluation.measure import FEWEST_HELD_OUT
from cardigan.metrics.kernel import jackknife, leave_out, with_error
from cardigan.randomness import derive, generator
from cardigan.recipes import Stage
from cardigan.sample import draw, latents_for
from cardigan.trials.ledger import Budget, Line, Lines
from cardigan.trials.quick import NAME, quick

SAMPLES, FEWEST_SAMPLES = 500, 100
SAMPLE_PIXELS = 250 * 128 * 128
"""Of large images fewer are drawn and compared, for drawing takes most of the time: together no more pixels."""
FEWEST_REAL = 20
"""With fewer real images than that nothing is scored."""
TRIALS, FEWEST_TRIALS, SHORT = 10, 3, 2.0
"""Scores over a budget; the least that make a choice, and all there are in less than so many minutes."""
DRAWN = 0.1
"""Samples, as a share of a budget in images, that all scores together may draw: drawing one takes less than a tenth of
training on one."""
LEARNT_PIXELS = 10_000 * 64 * 64
"""Of the training images that a named extractor may learn from, together."""
TIMES = 1_000
"""As KID is told."""
GROUPS, DIGITS = 20, 9
"""Groups of samples and real images that are left out in turn, and the digits to which those scores are noted."""
SURE, WORSE, DIVERGED = 2.0, 3.0, 0.5
"""Spreads of a difference by which the best must beat the last to be kept instead; by which a generator is much worse
than the best, and the share of the best score that it must be worse by as well."""


def samples(height: int, width: int) -> int:
    """How many images of that size are drawn for a score, and as many real ones looked at.

    Example:
        >>> [samples(side, side) for side in (28, 64, 128, 256)]
        [500, 500, 250, 100]
    """
    return min(SAMPLES, max(FEWEST_SAMPLES, SAMPLE_PIXELS // (height * width)))


def planned(budget: Budget, count: int, asked: int | None) -> int:
    """How often a generator is scored.

    Args:
        budget: of the run. One in images decides alone, so that two runs of one seed are scored alike.
        count: samples of each score.
        asked: by the user; None leaves it to the budget.

    Example:
        >>> [planned(Budget(images, None), 500, None) for images in (9_600, 20_000, 200_000)]
        [0, 4, 10]
        >>> planned(Budget(None, 1.0), 500, None), planned(Budget(None, 60.0), 500, None)
        (3, 10)
    """
    if asked is not None:
        return asked
    if budget.images is None:
        return TRIALS if (budget.minutes or 0.0) >= SHORT else FEWEST_TRIALS
    affordable = int(DRAWN * budget.images / count)
    return min(TRIALS, affordable) if affordable >= FEWEST_TRIALS else 0


@dataclass(frozen=True, eq=False)
class Drawn:
    """The exam of a generator that draws: the kernel distance (KID) of its samples to real images.

    Args:
        eyes: what looks at images.
        real: what it sees in the real images that are measured against, (N, F).
        against: those images in words, such as "180 held-out images".
        floor: the distance of training images to them; None where they are training images themselves.
        weights: how often each class is drawn, (classes,); None for a generator without classes.
        count: samples of each score.
        seed: of the run. Samples are drawn on streams of their own.
        key: tells measurements that were made in the same way.
        trials: how often it is scored.
        sparing: the number may be lowered where scores take long.
        because: what the user should know before, one sentence each.
    """

    eyes: Extractor
    real: Values
    against: str
    floor: float | None
    weights: Tensor | None
    count: int
    seed: int
    key: str
    trials: int
    sparing: bool
    because: tuple[str, ...] = ()

    @staticmethod
    def of(
        store: Store,
        split: Split,
        *,
        trials: int,
        sparing: bool,
        classes: bool,
        seed: int,
        features: str | None = None,
        device: str = "cpu",
    ) -> "Drawn":
        """Against held-out images, or training images where less than 50 are held out.

        Args:
            store: the data.
            split: what of it is held out.
            trials: how often to score.
            sparing: see above.
            classes: the generator draws classes.
            seed: of the run.
            features: what to look through, as :func:`cardigan.evaluation.extractors.extractor` reads it; None takes
                :func:`cardigan.trials.quick.quick`.
            device: where an extractor's network runs.

        Raises:
            CardiganError: if ``features`` names nothing that can be used.
        """
        count = samples(*store.shape[:2])
        unseen = len(split.held) >= FEWEST_HELD_OUT
        learnt = np.array(store.images[_evenly(split.training, count)])
        if features is None:
            eyes = quick(learnt)
        else:
            known = _evenly(split.training, max(count, LEARNT_PIXELS // (store.shape[0] * store.shape[1])))
            labels = None if store.labels is None else np.array(store.labels[known])
            eyes = extractor(features, images=np.array(store.images[known]), labels=labels, device=device)
        shown = _evenly(split.held, count) if unseen else _evenly(split.training, count)
        real = eyes.describe(np.array(store.images[shown]))
        weights = None
        if classes and store.labels is not None:
            tally = np.bincount(store.labels[split.training], minlength=len(store.classes))
            weights = torch.from_numpy(tally.astype(np.float64))
        told = f"{NAME} 1" if features is None else f"{features} {eyes.digest}"
        key = f"1 {store.fingerprint} {split.fingerprint} {count} {seed} {told}"
        return Drawn(
            eyes=eyes,
            real=real,
            against=f"{len(shown):,} {'held-out' if unseen else 'training'} images",
            floor=with_error(real, eyes.describe(learnt))[0] if unseen else None,
            weights=weights,
            count=count,
            seed=seed,
            key=hashlib.sha256(key.encode()).hexdigest()[:12],
            trials=trials,
            sparing=sparing,
            because=() if unseen else (_few(len(split.held)),),
        )

    def course(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """One stage as long as the budget: all generators compete."""
        return (replace(stages[-1], until=1.0, trials=self.trials),)

    def knows(self, line: Line) -> bool:
        """Whether it was measured on the same samples and images, through the same eyes."""
        return line.keys() >= {"kid", "error"} and line.get("key") == self.key

    def measure(self, network: GeneratorNetwork, *, stream: str = "trial samples") -> Line:
        """The kernel distance "kid" with its standard "error", how it was measured, and the seconds it "took".

        "left" are the distances without each group of samples and real images. Every generator gets the same latents
        and is measured against the same real images, so two scores are compared group by group.
        """
        began = time.monotonic()
        latents = latents_for(network, self.count, seed=derive(self.seed, stream))
        labels = None
        if self.weights is not None:
            rng = generator(self.seed, f"{stream}, classes")
            labels = torch.multinomial(self.weights, self.count, replacement=True, generator=rng)
        kid, left = leave_out(self.real, self.eyes.describe(draw(network, latents, labels)), groups=GROUPS)
        return {
            "kid": kid,
            "error": jackknife(left),
            "left": [float(f"{value:.{DIGITS}g}") for value in left],
            "samples": self.count,
            "against": self.against,
            "through": self.eyes.name,
            "floor": self.floor,
            "key": self.key,
            "took": round(time.monotonic() - began, 3),
        }

    def confirm(self, network: GeneratorNetwork) -> Line:
        """As :meth:`measure`, on noise that nothing was chosen by."""
        return self.measure(network, stream="samples that are reported")

    def best(self, before: Lines, last: Lines) -> int | None:
        """The lowest score; the earlier one of two alike."""
        return min(range(len(last)), key=lambda place: last[place]["kid"], default=None)

    def choice(self, before: Lines, last: Lines) -> int | None:
        """The best one if the last is worse by more than twice the spread of their difference, else the last."""
        best = self.best(before, last)
        return best if best is None or _worse(last[-1], last[best], SURE) else len(last) - 1

    def done(self, before: Lines, last: Lines) -> bool:
        """Never: training goes on, and the best stays put aside."""
        return False

    def warning(self, last: Lines) -> str:
        """Whether the last two are much worse than the best before them."""
        best = self.best((), last[:-2])
        if best is None:
            return ""
        good = last[best]
        fallen = [
            _worse(line, good, WORSE) and line["kid"] - good["kid"] > DIVERGED * abs(good["kid"]) for line in last[-2:]
        ]
        if not all(fallen):
            return ""
        return (
            f"The generator has become worse since {good['images']:,} images, as two scores in a row say. The one of "
            f"then is put aside; training goes on."
        )

    def verdict(self, before: Lines, last: Lines, again: Line | None) -> str:
        """Which generator is kept, its score on other noise, and how it was measured."""
        place, best = self.choice(before, last), self.best(before, last)
        assert place is not None
        assert best is not None
        kept, others = last[place], len(last) - 1
        score = f"{_told(kept)} when it was chosen"
        score = f"{_told(again)} on noise that it was not chosen by ({score})" if again else score
        if place < others:
            why = f"the last, of {last[-1]['images']:,} images, scored {_told(last[-1])}"
        elif best == place:
            why = f"none of {others} measured before scored lower" if others else "it is the only one measured"
        else:
            why = f"the lowest of {others} before, {_told(last[best])} after {last[best]['images']:,}, is within chance"
        floor = "" if self.floor is None else f"; training images score {significant(TIMES * self.floor)}"
        return (
            f"Kept the generator of {kept['images']:,} images: KID x {TIMES:,} {score}; {why}. {self.count} samples "
            f"against {self.against}, through {self.eyes.name}{floor}."
        )


def _evenly(places: Places, count: int) -> Places:
    """``count`` of them, spread evenly, or all if there are fewer."""
    return places[np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(np.int64)]


def _worse(line: Line, best: Line, times: float) -> bool:
    return line["kid"] - best["kid"] > times * difference_error(line, best)


def difference_error(one: Line, other: Line) -> float:
    """How far the difference of two scores would stray from draw to draw of latents and real images.

    Lines of earlier versions have no "left": their scores are taken as independent, which states too much.

    Example:
        >>> one, other = ({"error": 1.0, "left": [level, level + 2.0]} for level in (5.0, 7.0))
        >>> difference_error(one, other), round(difference_error(one, {"error": 1.0}), 2)
        (0.0, 1.41)
    """
    mine, theirs = one.get("left", ()), other.get("left", ())
    if len(mine) < 2 or len(mine) != len(theirs):
        return math.hypot(one["error"], other["error"])
    return jackknife(np.subtract(mine, theirs))


def _told(line: Line) -> str:
    return f"{significant(TIMES * line['kid'])} ± {significant(TIMES * line['error'], 2)}"


def _few(held: int) -> str:
    return (
        f"{held or 'No'} image{'s are' if held > 1 else ' is'} held out, expected {FEWEST_HELD_OUT} or more: while it "
        f"trains, the generator is scored against training images, so that a score cannot tell whether it copies."
    )
