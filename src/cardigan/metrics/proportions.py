"""Proportions: how sure one may be of a share of answers, and how many answers it takes to be sure.

The formulas take answers to be independent. Those of one person are not quite: :func:`design_effect` says what that
costs, and :func:`bootstrap_raters` draws people instead of answers. They are written for answers of people, and serve
any counts.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Interval = tuple[float, float]

LEVEL = 0.05
"""A result that chance alone gives less often than this is called significant."""
POWER = 0.8
"""How often a difference that is there should be found."""


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    """The range of shares that a count of successes leaves plausible; never below 0 or above 1.

    Args:
        successes: from 0 to ``trials``.
        trials: at least 1.
        confidence: how often such a range holds the true share, more than 0 and less than 1.

    Raises:
        CardiganError: if the counts or the confidence cannot be.

    Source: *Probable Inference, the Law of Succession, and Statistical Inference*, Wilson, 1927.

    Example:
        >>> [round(end, 4) for end in wilson(50, 100)]
        [0.4038, 0.5962]
    """
    _check(successes, trials)
    z = _quantile(1 - (1 - _inside("confidence", confidence)) / 2)
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    # At the ends the formula gives exactly 0 and 1, and floating point nearly so.
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == trials else middle + half)


def binomial_test(successes: int, trials: int, *, chance: float = 0.5) -> float:
    """The exact two-sided test: how often chance alone gives a count that is as improbable as this, or more so.

    Args:
        successes: from 0 to ``trials``.
        trials: at least 1.
        chance: the share that is expected if nothing but chance is at work, more than 0 and less than 1.

    Returns:
        The p value, 0 to 1.

    Raises:
        CardiganError: if the counts or the chance cannot be.

    Example:
        >>> round(binomial_test(61, 100), 4), round(binomial_test(60, 100), 4)
        (0.0352, 0.0569)
    """
    _check(successes, trials)
    probabilities = _binomial(trials, _inside("chance", chance))
    # A relative margin, for the two tails of a symmetric case differ in their last digits.
    return min(1.0, float(probabilities[probabilities <= probabilities[successes] * (1 + 1e-7)].sum()))


def fewest_significant(trials: int, *, level: float = LEVEL) -> int | None:
    """The smallest count, of answers between two, that differs significantly from guessing; None where none does.

    Args:
        trials: at least 1.
        level: of significance, two-sided.

    Raises:
        CardiganError: if an argument cannot be.

    Example:
        >>> [fewest_significant(trials) for trials in (5, 100, 200, 400, 1000)]
        [None, 61, 115, 221, 532]
    """
    _check(0, trials)
    tails = np.cumsum(_binomial(trials, 0.5)[::-1])[::-1]
    found = np.flatnonzero(2 * tails < _inside("level", level))
    return int(found[0]) if len(found) else None


def answers_needed(share: float, *, chance: float = 0.5, level: float = LEVEL, power: float = POWER) -> int:
    """How many answers it takes to tell a true share from chance, by the normal approximation.

    The exact test is stricter, for counts are whole: where less than about 200 answers are needed, it finds the
    difference some percent less often than planned.

    Args:
        share: the true share, 0 to 1, that one wants to find.
        chance: what it is told from, more than 0 and less than 1.
        level: of the test, two-sided.
        power: how often the difference is to be found.

    Raises:
        CardiganError: if the share is the chance, or an argument cannot be.

    Source: *Statistical Methods for Rates and Proportions*, Fleiss, Levin and Paik, 2003, without correction for
    continuity.

    Example:
        >>> [answers_needed(share) for share in (0.75, 0.70, 0.65, 0.60, 0.55, 0.52)]
        [29, 47, 85, 194, 783, 4904]
    """
    _told_apart(share, chance)
    by_chance = _quantile(1 - _inside("level", level) / 2) * math.sqrt(_inside("chance", chance) * (1 - chance))
    by_truth = _quantile(_inside("power", power)) * math.sqrt(share * (1 - share))
    return math.ceil(((by_chance + by_truth) / (share - chance)) ** 2)


def answers_needed_each(first: float, second: float, *, level: float = LEVEL, power: float = POWER) -> int:
    """How many answers on each of two things it takes to tell their true shares apart, by the normal approximation.

    Args:
        first: a true share, 0 to 1.
        second: the other.
        level: of the test, two-sided.
        power: how often the difference is to be found.

    Raises:
        CardiganError: if the shares are the same, or an argument cannot be.

    Source: *Statistical Methods for Rates and Proportions*, Fleiss, Levin and Paik, 2003, without correction for
    continuity.

    Example:
        >>> answers_needed_each(0.190, 0.276)
        379
    """
    _told_apart(first, second)
    pooled = (first + second) / 2
    by_chance = _quantile(1 - _inside("level", level) / 2) * math.sqrt(2 * pooled * (1 - pooled))
    by_truth = _quantile(_inside("power", power)) * math.sqrt(first * (1 - first) + second * (1 - second))
    return math.ceil(((by_chance + by_truth) / (first - second)) ** 2)


def answers_for_equivalence(margin: float, *, share: float = 0.5, level: float = LEVEL, power: float = POWER) -> int:
    """How many answers it takes to show that a share *is* what it seems to be, within a margin: two one-sided tests.

    A difference that is not significant shows no such thing. Both tests must succeed, so each gets half of the risk of
    failing: planning with ``power`` for one of them, as is often seen, yields less for both.

    Args:
        margin: how far the share may lie from ``share``, more than 0.
        share: where the truth lies, more than 0 and less than 1.
        level: of each test, one-sided.
        power: how often equivalence is to be shown where it holds exactly.

    Raises:
        CardiganError: if an argument cannot be.

    Source: *A Comparison of the Two One-Sided Tests Procedure and the Power Approach for Assessing the Equivalence of
    Average Bioavailability*, Schuirmann, 1987; the number: *Sample Size Calculations in Clinical Research*, Chow, Shao
    and Wang, 2008.

    Example:
        >>> answers_for_equivalence(0.05), answers_for_equivalence(0.05, power=0.9)
        (857, 1083)
    """
    z = _quantile(1 - _inside("level", level)) + _quantile((1 + _inside("power", power)) / 2)
    return math.ceil((z / _inside("margin", margin)) ** 2 * _inside("share", share) * (1 - share))


def design_effect(each: float, correlation: float) -> float:
    """By how much more answers are needed where each person gives several, and those are alike.

    Args:
        each: answers a person, 1 or more.
        correlation: of two answers of one person, see :func:`correlation_within`.

    Source: *Survey Sampling*, Kish, 1965.

    Example:
        >>> round(design_effect(50, 0.05), 2)
        3.45
    """
    return 1 + (each - 1) * correlation


def correlation_within(successes: Sequence[int], trials: Sequence[int]) -> float:
    """How alike the answers of one person are, beside those of others: the intraclass correlation, 0 at least.

    Args:
        successes: of each person, two persons at least.
        trials: of each person.

    Returns:
        0, answers of one person are as different as those of many, to 1, each person answers always the same.

    Raises:
        CardiganError: if there is one person only, or the counts cannot be.

    Source: the analysis of variance estimator, *Estimating Intraclass Correlation for Binary Data*, Ridout, Demétrio
    and Firth, 1999.

    Example:
        >>> correlation_within([0, 10], [10, 10]), correlation_within([5, 5], [10, 10])
        (1.0, 0.0)
    """
    right, sizes = _people(successes, trials)
    people, total = len(sizes), sizes.sum()
    shares, share = right / sizes, right.sum() / total
    between = float((sizes * (shares - share) ** 2).sum()) / (people - 1)
    within = float((sizes * shares * (1 - shares)).sum()) / max(float(total - people), 1.0)
    size = float(total - (sizes**2).sum() / total) / (people - 1)
    whole = between + (size - 1) * within
    return max(0.0, (between - within) / whole) if whole > 0 else 0.0


def bootstrap_raters(
    successes: Sequence[int],
    trials: Sequence[int],
    *,
    rng: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """The range of shares that remains plausible if other people had been asked: persons are drawn again and again.

    Args:
        successes: of each person, two persons at least. With fewer than about ten the range is too narrow.
        trials: of each person.
        rng: draws.
        confidence: how much of the resamples the range holds.
        resamples: how often all are drawn, with replacement.

    Raises:
        CardiganError: if there is one person only, or the counts cannot be.

    Source: percentiles, *Bootstrap Methods: Another Look at the Jackknife*, Efron, 1979; over raters as in *HYPE: A
    Benchmark for Human eYe Perceptual Evaluation of Generative Models*, Zhou et al., 2019.

    Example:
        >>> low, high = bootstrap_raters([30, 40, 50], [100, 100, 100], rng=np.random.default_rng(0))
        >>> low, high
        (0.3, 0.5)
    """
    right, sizes = _people(successes, trials)
    outside = (1 - _inside("confidence", confidence)) / 2
    drawn = rng.integers(len(sizes), size=(resamples, len(sizes)))
    shares = right[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [outside, 1 - outside])
    return float(low), float(high)


def _binomial(trials: int, chance: float) -> npt.NDArray[np.float64]:
    """The probability of each count, (trials + 1,)."""
    counts = np.arange(trials + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    ways = factorials[-1] - factorials - factorials[::-1]
    return np.exp(ways + counts * math.log(chance) + (trials - counts) * math.log1p(-chance))


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _check(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise CardiganError(f"Expected one trial or more and from 0 to all successes, got {successes} of {trials}.")


def _inside(name: str, value: float) -> float:
    if not 0.0 < value < 1.0:
        raise CardiganError(f"{name} is {value}, expected more than 0 and less than 1.")
    return value


def _told_apart(share: float, other: float) -> None:
    if not (0.0 <= share <= 1.0 and 0.0 <= other <= 1.0) or share == other:
        raise CardiganError(
            f"The shares to tell apart are {share} and {other}, expected two different ones from 0 to 1; no number of "
            f"answers tells equal ones apart."
        )


def _people(successes: Sequence[int], trials: Sequence[int]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    if len(trials) < 2 or len(successes) != len(trials):
        raise CardiganError(
            f"Answers of two persons or more are needed, counted for each; got counts for {len(successes)} and "
            f"{len(trials)}."
        )
    for right, size in zip(successes, trials, strict=True):
        _check(right, size)
    return np.array(successes, dtype=np.int64), np.array(trials, dtype=np.int64)
