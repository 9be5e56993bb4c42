"""Duplicates: samples that show the same, and how many different ones there are, as birthdays tell.

Among 23 people two share a birthday as often as not, so two that do tell that a year has some hundreds of days, and not
millions. In the same way pairs of duplicates among samples tell how many different images a generator makes.

Source: *Do GANs Learn the Distribution? Some Theory and Empirics*, Arora, Risteski and Zhang, 2018; the interval:
*Fiducial Limits for the Poisson Distribution*, Garwood, 1936; that collisions are about Poisson: *Two Moments Suffice
for Poisson Approximations: The Chen-Stein Method*, Arratia, Goldstein and Gordon, 1989.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import heap
from cardigan.metrics.pairs import Pairs, Places, strips

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Duplicates:
    """Samples that lie close to each other.

    Attributes:
        groups: places of samples that are duplicates, or duplicates of duplicates; the largest group first, each
            ascending.
        collisions: pairs of duplicates, each counted once.
        count: of samples that were compared.
    """

    groups: tuple[tuple[int, ...], ...]
    collisions: int
    count: int


def duplicates(features: npt.ArrayLike, *, threshold: float, chunk: int = 1024) -> Duplicates:
    """Find near duplicates among samples, in memory that does not grow with pairs.

    Args:
        features: (N, F) of samples, drawn at random and not chosen.
        threshold: the distance up to which two are duplicates, in units of the features. What it should be is a matter
            of the features: look at some pairs, or take what few pairs of real images lie within.
        chunk: vectors that are compared with as many others at once; it changes memory and time, not what is found.

    Raises:
        CardiganError: if there are less than two samples, a value is not finite, the threshold is no finite distance
            above 0, or chunk is less than 1.

    Example:
        >>> duplicates([[0.0], [5.0], [0.1], [0.2], [5.1]], threshold=0.15)
        Duplicates(groups=((0, 2, 3), (1, 4)), collisions=3, count=5)
    """
    samples = heap("generated", features, least=2)
    if not 0 < threshold < math.inf or chunk < 1:
        raise CardiganError(
            f"Duplicates lie within a distance above 0, and 1 vector or more is compared at once; got "
            f"threshold={threshold:g}, chunk={chunk}. For identical features give a tiny threshold, such as 1e-6."
        )
    pairs, count = Pairs(samples, samples), len(samples)
    limit = np.array(np.nextafter(np.square(float(threshold)), np.inf))
    names, collisions = np.arange(count), 0
    for rows in strips(count, chunk):
        for columns in strips(count, chunk):
            if columns.start < rows.start:
                continue
            close = pairs.closer(rows, columns, limit)
            mine, other = np.nonzero(np.triu(close, 1) if rows == columns else close)
            collisions += len(mine)
            _join(names, mine + rows.start, other + columns.start)
    members = np.argsort(names, kind="stable")
    edges = np.flatnonzero(np.diff(names[members])) + 1
    groups = [tuple(group.tolist()) for group in np.split(members, edges) if len(group) > 1]
    return Duplicates(tuple(sorted(groups, key=lambda group: (-len(group), group))), collisions, count)


def _join(names: Places, mine: Places, other: Places) -> None:
    """Give both of each pair, and all of their groups, the smaller of their names: the first member's, in place."""
    while True:
        one, two = names[mine], names[other]
        differ = one != two
        if not differ.any():
            return
        np.minimum.at(names, np.maximum(one, two)[differ], np.minimum(one, two)[differ])
        while (shorter := names[names] != names).any():
            names[shorter] = names[names[shorter]]


@dataclass(frozen=True)
class Support:
    """How many different images a generator makes, if it makes all of them equally often.

    Where some are made more often than others, collisions are theirs for the most part, and all numbers here are of
    equally frequent images that would collide as often: there are more than that in truth.

    Attributes:
        samples: that were compared.
        collisions: pairs of duplicates among them.
        estimate: of the number of images; None without any collision.
        low: it is this or more, at the level of confidence.
        high: it is this or less; None without any collision.
        confidence: that low and high are right, both together.
    """

    samples: int
    collisions: int
    estimate: float | None
    low: float
    high: float | None
    confidence: float

    @property
    def sentence(self) -> str:
        """What was found, in plain words.

        Example:
            >>> print(support(1000, 0).sentence)
            No two of 1,000 samples are duplicates: the generator probably makes more than 135,000 different images.
        """
        if self.estimate is None or self.high is None:
            return (
                f"No two of {self.samples:,} samples are duplicates: the generator probably makes more than "
                f"{_rounded(self.low)} different images."
            )
        pairs = "1 pair is a duplicate" if self.collisions == 1 else f"{self.collisions:,} pairs are duplicates"
        images = "image" if _rounded(self.estimate) == "1" else "different images"
        return (
            f"Among {self.samples:,} samples {pairs}, as if the generator made about "
            f"{_rounded(self.estimate)} {images} ({_rounded(self.low)} to {_rounded(self.high)} at "
            f"{self.confidence:.0%} confidence)."
        )


def support(samples: int, collisions: int, *, confidence: float = CONFIDENCE) -> Support:
    """How many different images there are, from how many pairs of samples are duplicates.

    Of S equally frequent images, n samples have n (n - 1) / 2S such pairs on average, and their number is about Poisson
    while there are few samples beside images. The interval is the exact one for a Poisson number, both tails alike.

    Args:
        samples: that were drawn at random and compared, n.
        collisions: pairs of duplicates among them, such as ``duplicates`` counts.
        confidence: of the interval, between 0 and 1.

    Raises:
        CardiganError: if there are less than 2 samples, more collisions than pairs, or confidence is no share.

    Example:
        >>> found = support(23, 1)
        >>> found.estimate, round(found.low), round(found.high)
        (253.0, 45, 9993)
        >>> support(23, 0).high is None
        True
    """
    pairs = samples * (samples - 1) // 2
    if samples < 2 or not 0 <= collisions <= pairs:
        raise CardiganError(
            f"Of 2 samples or more, 0 or more pairs are duplicates and no more than there are; got {collisions} of "
            f"{pairs} pairs of {samples} samples."
        )
    if not 0 < confidence < 1:
        raise CardiganError(f"Confidence lies between 0 and 1, got {confidence:g}. Usual is confidence={CONFIDENCE}.")
    tail = (1 - confidence) / 2
    most = _mean_at(lambda mean: _at_most(collisions, mean) > tail, collisions)
    low = max(1.0, pairs / most)
    if not collisions:
        return Support(samples, 0, None, low, None, confidence)
    least = _mean_at(lambda mean: 1 - _at_most(collisions - 1, mean) < tail, collisions)
    return Support(samples, collisions, pairs / collisions, low, pairs / least, confidence)


def _mean_at(holds: Callable[[float], bool], near: int) -> float:
    """The mean of a Poisson number up to which something holds, by halving."""
    low, high = 0.0, near + 40 * math.sqrt(near + 1) + 800
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return high


def _at_most(count: int, mean: float) -> float:
    """The chance that a Poisson number with that mean is ``count`` or less."""
    far = 50 * math.sqrt(mean + 1) + 100  # further from the mean, chances are beyond double precision
    if mean <= 0 or count > mean + far:
        return 1.0
    down = np.arange(count, max(0, min(count, mean) - far), -1, dtype=np.float64)
    top = count * math.log(mean) - mean - math.lgamma(count + 1)
    return min(1.0, float(np.exp(top + np.concatenate([[0.0], np.cumsum(np.log(down / mean))])).sum()))


def _rounded(number: float) -> str:
    """Three digits that count."""
    return f"{float(f'{number:.3g}'):,.0f}"
