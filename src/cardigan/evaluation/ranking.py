"""Score cards side by side: ranked where they were measured in the same way, refused where they were not."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cardigan.errors import CardiganError
from cardigan.evaluation.card import Score, ScoreCard

STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Errors of a mean that chance exceeds in 5 of 100 cases, where the error is estimated from 2, 3, ... 11 values."""


@dataclass(frozen=True)
class Ranking:
    """Score cards of one protocol, the best first.

    Args:
        metric: what they were ranked by.
        cards: in order.
        remarks: what a reader must know.
    """

    metric: str
    cards: tuple[ScoreCard, ...]
    remarks: tuple[str, ...]


def compare(cards: Sequence[ScoreCard], *, metric: str = "kid") -> Ranking:
    """Rank what was measured in the same way.

    Args:
        cards: two or more.
        metric: to rank by.

    Raises:
        CardiganError: if protocols differ, naming the fields; if there are less than two cards; if one of them has no
            such score, or it is one that ranks nothing.
    """
    if len(cards) < 2:
        raise CardiganError(
            f"A comparison takes two runs or score cards at least, got {len(cards)}. Type: cardigan compare RUN OTHER"
        )
    first = cards[0]
    for other in cards[1:]:
        if differing := first.protocol.differences(other.protocol):
            told = "; ".join(f"{name}: {_short(mine)} and {_short(theirs)}" for name, mine, theirs in differing)
            raise CardiganError(
                f"{first.subject} and {other.subject} were not measured in the same way, so their numbers cannot be "
                f"ranked. They differ in {told}. Measure both again with the same --features, --against, --count and "
                f"--seed."
            )
    for card in cards:
        known = {score.metric: score for score in card.scores if score.value is not None}
        if metric not in known:
            raise CardiganError(
                f"{card.subject} has no score {metric!r}. Expected one of those it has: {', '.join(known) or 'none'}."
            )
        if known[metric].better == "near":
            ways = ", ".join(name for name, score in known.items() if score.better != "near")
            raise CardiganError(
                f"{metric} ranks nothing: neither more nor less of it is better. Expected one of {ways}."
            )
    sign = 1 if first.score(metric).better == "low" else -1
    ranked = sorted(cards, key=lambda card: sign * (card.score(metric).value or 0.0))
    return Ranking(metric, tuple(ranked), tuple(_remarks(ranked, metric)))


def _remarks(ranked: Sequence[ScoreCard], metric: str) -> list[str]:
    remarks = []
    for better, worse in itertools.pairwise(ranked):
        differ = apart(better.score(metric), worse.score(metric))
        if differ is None:
            remarks.append(
                f"Whether {better.subject} and {worse.subject} differ by more than chance is not known: they were "
                f"measured in one part, without a spread."
            )
        elif not differ:
            remarks.append(f"{better.subject} and {worse.subject} are within noise of each other.")
    if len(set(map(_ways, ranked))) > 1:
        told = "; ".join(f"{card.subject} in {_ways(card)}" for card in ranked)
        remarks.append(f"These were not trained in the same way, so part of a difference may come from that: {told}.")
    for card in ranked:
        remarks += [f"{card.subject}: {finding.text}" for finding in card.alarms]
    remarks.append(
        "Each run is one training: that one recipe beats another takes three seeds of each or more, with spreads that "
        "do not overlap."
    )
    return remarks


def apart(one: Score, other: Score) -> bool | None:
    """Whether two scores differ by more than chance explains in 95 of 100 cases; None where no spread is known.

    Both were measured on the same real images, and the same part of both has the same seed. So the parts are compared
    one by one, and what moves both alike does not count. Cards of earlier versions have no values of parts: there the
    bound is twice the spread of the difference of two independent parts. Another choice of real images would move the
    difference as well, and that is in neither.

    Example:
        >>> near, far = (Score("kid", value, 0.1, None, "low") for value in (1.0, 1.2))
        >>> apart(near, far), apart(near, Score("kid", 2.0, 0.1, None, "low"))
        (False, True)
        >>> easy = Score("kid", 1.1, 0.5, None, "low", parts=(0.6, 1.1, 1.6))
        >>> apart(easy, Score("kid", 1.2, 0.5, None, "low", parts=(0.7, 1.2, 1.71)))
        True
    """
    if one.value is None or other.value is None or one.spread is None or other.spread is None:
        return None
    count = len(one.parts)
    if count > 1 and count == len(other.parts):
        differences = np.subtract(one.parts, other.parts)
        error = float(differences.std(ddof=1)) / count**0.5
        return abs(float(differences.mean())) > STUDENT[min(count - 1, len(STUDENT)) - 1] * error
    return abs(one.value - other.value) > 2 * (one.spread**2 + other.spread**2) ** 0.5


def _ways(card: ScoreCard) -> str:
    """How the networks of a card's generator ran in training, in words."""
    return ", then ".join(card.trained.get("ways") or ["a way that is not known"])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}…{text[-12:]}"
