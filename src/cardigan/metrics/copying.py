"""Copying: are samples new pictures, or training images given back? Calibrated on images that training never saw.

How far a sample lies from its nearest training image proves nothing by itself: blurred or average-looking pictures lie
nearer to everything than sharp new photos do. A copy is near to *one* training image and no nearer to the others, so
what is judged is a ratio: the distance to the nearest training image over that to the 5th nearest. Blur moves both. A
sample whose ratio is below 1/2 is called a *twin* of that image; the 5th, so that a training image that lies about in
up to four versions still has twins.

Real images have twins, too: burst shots, duplicates. So twins of samples are counted against twins of real images, the
held-out ones and each training image among the others, by Fisher's exact test. Whoever draws held-out images at random
makes both kinds alike, and the second kind gives few-shot sets, with ten images held out, the numbers to say anything.
The verdict takes both significance and size: p below 0.001, and a share of twins that exceeds that of either kind of
real images by 2 % of samples. Half a percent is enough where that share is then at least twice as large: of 5,000
samples, 1 % copies are named, while samples of dense classes alone, which have more twins than others, are not.

Neighbours are sought among all training images. Only the real images whose twins are counted may be some of them: few
tell how often real images are twins, but a copy is near to the one image that it is a copy of.

Three older measures are given beside it and decide nothing. Two compare plain distances with those of held-out images
and call blur copying; the third, whether held-out images are nearest as often as their number lets expect, is safe from
blur and exact, but blind to rare copies unless there are about as many images held out as learnt from.

A sample is judged in the space of its descriptors. What is no twin there, such as a copied face before another
background, is not found.

Source: the ratio after *Extracting Training Data from Diffusion Models*, Carlini et al., 2023; distances against
held-out images after *A Non-Parametric Test to Detect Data-Copying in Generative Models*, Meehan, Chaudhuri and
Dasgupta, 2020, of which this is the test without cells; the exact test: *Statistical Methods for Research Workers*,
Fisher, 5th edition, 1934.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.neighbours import Numbers, Places, Vectors, fit, nearest, neighbours, vectors

NEIGHBOUR = 5
"""The training image, by nearness, whose distance is the yardstick for that of the nearest."""
TWIN = 0.5
"""A ratio below this makes a twin."""
SIGNIFICANCE = 0.001
EXCESS, SMALL_EXCESS = 0.02, 0.005
"""The share of samples by which twins must exceed those among real images; a small excess is enough where it is also as
large as the share among real images."""
SEARCHED = 300_000
"""Training images that are searched; of more, so many are drawn by lot. Their descriptors take about 1 GiB."""
CALIBRATED = 2_000
"""Held-out images, and training images, whose twins are counted at most, evenly spread."""
CLOSEST = 0.05
"""The share of held-out images that mark what counts as close."""
FEWEST_HELD_OUT = 5
"""With fewer, whether the generator copies is not judged."""


@dataclass(frozen=True, eq=False)
class Copying:
    """What a search for copies found. Without enough held-out images, what needs them is None.

    Attributes:
        distances: of each sample to its nearest training image (N,), in units of the descriptor.
        places: which training image that is (N,).
        ratios: of each sample (N,), from 0, a perfect copy, to 1.
        twins: share of samples that are twins, 0 to 1.
        copies: the verdict.
        expected: share of real images that are twins, of held-out or of training ones, whichever is larger.
        p_value: of as many twins or more, were samples twins as often as real images are.
        detectable: the smallest share of copies that would have been called copying; None also if not even all would.
        closer: share of samples that lie closer to training images than all but about 5 % of held-out images do.
        closer_expected: the share that lies so close among new images.
        closer_p_value: of Mann and Whitney's one-sided rank test of samples' distances against held-out ones.
        nearer: share of samples that are nearer to a training image than to any held-out one.
        nearer_expected: that share if it made no difference which images were learnt from.
    """

    distances: Numbers
    places: Places
    ratios: Numbers
    twins: float
    copies: bool | None = None
    expected: float | None = None
    p_value: float | None = None
    detectable: float | None = None
    closer: float | None = None
    closer_expected: float | None = None
    closer_p_value: float | None = None
    nearer: float | None = None
    nearer_expected: float | None = None

    @property
    def order(self) -> Places:
        """The samples, the most like a copy first: what a gallery shows beside their training images."""
        return np.argsort(self.ratios, kind="stable")

    @property
    def sentence(self) -> str:
        """What was found, in plain words."""
        count = len(self.ratios)
        twins = round(self.twins * count)
        which = "is a twin" if twins == 1 else "are twins"
        found = f"{twins:,} of {count:,} samples ({self.twins:.1%}) {which} of one training image"
        if self.expected is None or self.p_value is None:
            return (
                f"Whether the generator copies cannot be tested without at least {FEWEST_HELD_OUT} held-out images. "
                f"{found}; how many real images would be is not known."
            )
        chance = "p < 0.0001" if self.p_value < 1e-4 else f"p = {self.p_value:.2g}"
        against = f"{found}, against {self.expected:.1%} of real images ({chance})"
        if self.copies:
            return f"The generator copies: {against}."
        if self.p_value < SIGNIFICANCE:
            return f"Hardly any copying: {against}. Look at those few."
        if self.twins - self.expected >= _margin(self.expected):
            return f"Perhaps copying: {against}, too few to be sure. Draw more samples."
        blind = "Any copying" if self.detectable is None else f"Copying of less than {self.detectable:.1%} of samples"
        return f"No evidence of copying: {against}. {blind} would not have been noticed."


def copying(
    samples: npt.ArrayLike,
    training: npt.ArrayLike,
    held_out: npt.ArrayLike | None = None,
    *,
    mirrored: npt.ArrayLike | None = None,
    searched: float = 1.0,
    chunk: int = 1024,
) -> Copying:
    """Search samples for copies of training images, and say whether there are more than chance explains.

    Args:
        samples: descriptors (N, D) of samples, drawn at random and not chosen.
        training: descriptors (M, D) of the training images, at least 6: of all, or of as many as memory allows.
        held_out: descriptors (H, D) of images that were set aside at random; fewer than 5 are taken for none.
        mirrored: descriptors (M, D) of the training images mirrored left to right, in the same order. With them a
            mirrored copy is a copy, and neighbours of real images are sought in both orientations as well.
        searched: the share of the training images that ``training`` is, above 0 to 1. Copies of the others are not
            seen, so more copies have to be there to be noticed.
        chunk: vectors that are compared with as many others at once.

    Raises:
        CardiganError: if there are no samples or less than 6 training images, shapes do not fit, or a value is not
            finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> training, held_out, new = rng.normal(size=(3, 100, 16))
        >>> copying(new, training, held_out).copies
        False
        >>> print(copying(training + 0.01, training, held_out).sentence)
        The generator copies: 100 of 100 samples (100.0%) are twins of one training image, against 0.0% of real images \
(p < 0.0001).
    """
    ours, learnt = vectors("samples", samples), vectors("training images", training)
    variants = [learnt] if mirrored is None else [learnt, vectors("mirrored training images", mirrored)]
    unseen = None if held_out is None else vectors("held-out images", held_out)
    _check(ours, learnt, variants, unseen)
    near, places = neighbours(ours, variants, NEIGHBOUR, chunk)
    ratios = _ratios(near)
    twins = ratios < TWIN
    alone = Copying(near[:, 0], places[:, 0], ratios, float(twins.mean()))
    if unseen is None or len(unseen) < FEWEST_HELD_OUT:
        return alone
    some = _evenly(len(learnt))
    new, _ = neighbours(unseen[_evenly(len(unseen))], variants, NEIGHBOUR, chunk)
    old, _ = neighbours(learnt[some], variants, NEIGHBOUR, chunk, own=some)
    real = [_ratios(new) < TWIN, _ratios(old) < TWIN]
    expected = max(float(kind.mean()) for kind in real)
    among, known, count = int(sum(kind.sum() for kind in real)), len(new) + len(old), len(ours)

    def fires(found: int) -> bool:
        return (
            found / count - expected >= _margin(expected) and _excess_p_value(found, count, among, known) < SIGNIFICANCE
        )

    least = bisect_left(range(count + 1), True, key=fires)
    rank = max(1, math.floor(CLOSEST * (len(new) + 1)))
    plain, _ = nearest(ours, learnt, chunk=chunk)
    other, _ = nearest(ours, unseen, chunk=chunk)
    return Copying(
        distances=alone.distances,
        places=alone.places,
        ratios=ratios,
        twins=alone.twins,
        copies=fires(int(twins.sum())),
        expected=expected,
        p_value=_excess_p_value(int(twins.sum()), count, among, known),
        detectable=least / count / searched if least <= count * searched else None,
        closer=float((near[:, 0] < np.sort(new[:, 0])[rank - 1]).mean()),
        closer_expected=rank / (len(new) + 1),
        closer_p_value=_smaller_p_value(near[:, 0], new[:, 0]),
        nearer=float((plain < other).mean()),
        nearer_expected=len(learnt) / (len(learnt) + len(unseen)),
    )


def _evenly(count: int) -> Places:
    """The places of :data:`CALIBRATED` images, evenly spread; all where there are no more."""
    return np.linspace(0, count - 1, min(count, CALIBRATED)).round().astype(np.int64)


def _margin(expected: float) -> float:
    """By how much the share of twins must exceed that of real images."""
    return min(EXCESS, max(SMALL_EXCESS, expected))


def _ratios(near: Numbers) -> Numbers:
    """Nearest over 5th nearest, (N,); where five lie on the very spot, none of them stands out, and it is 1."""
    return np.divide(near[:, 0], near[:, -1], out=np.ones(len(near)), where=near[:, -1] > 0)


def _excess_p_value(found: int, count: int, among: int, known: int) -> float:
    """Fisher's exact test, one-sided: ``found`` or more of ``count``, where ``among`` of ``known`` have it, too."""
    logarithms = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + known + 1)))])

    def ways(chosen: Places | int, size: int) -> Numbers:
        return logarithms[size] - logarithms[chosen] - logarithms[size - np.asarray(chosen)]

    total = found + among
    cases = np.arange(found, min(count, total) + 1)
    chances = np.exp(ways(cases, count) + ways(total - cases, known) - ways(total, count + known))
    return min(1.0, float(chances.sum()))


def _smaller_p_value(ours: Numbers, theirs: Numbers) -> float:
    """Mann and Whitney's test that ``ours`` are smaller, by the normal approximation with ties and continuity."""
    few, many = len(ours), len(ours) + len(theirs)
    _, which, ties = np.unique(np.concatenate([ours, theirs]), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[which]
    wins = ranks[:few].sum() - few * (few + 1) / 2
    variance = few * len(theirs) / 12 * (many + 1 - (ties.astype(float) ** 3 - ties).sum() / (many * (many - 1)))
    if variance <= 0:
        return 1.0
    return 0.5 * math.erfc((few * len(theirs) / 2 - wins - 0.5) / math.sqrt(2 * variance))


def _check(ours: Vectors, learnt: Vectors, variants: Sequence[Vectors], unseen: Vectors | None) -> None:
    if len(learnt) <= NEIGHBOUR:
        raise CardiganError(
            f"A search for copies takes at least {NEIGHBOUR + 1} training images, got {len(learnt)}. With so few, look "
            f"at samples and training images side by side."
        )
    fit("training images", learnt, ours)
    if unseen is not None:
        fit("held-out images", unseen, ours)
    if variants[-1].shape != learnt.shape:
        raise CardiganError(
            f"Mirrored training images correspond to training images one by one, got {variants[-1].shape} beside "
            f"{learnt.shape}. Mirror and describe all of them, in the same order."
        )
