"""Score cards side by side: ranked where they were measured in the same way, refused where they were not."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cardigan.errors import CardiganError
from cardigan.evaluation.card import Score, ScoreCard


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
    """Whether two scores differ by more than twice the spread of their difference; None where no spread is known.

    Example:
        >>> near, far = (Score("kid", value, 0.1, None, "low") for value in (1.0, 1.2))
        >>> apart(near, far), apart(near, Score("kid", 2.0, 0.1, None, "low"))
        (False, True)
    """
    if one.value is None or other.value is None or one.spread is None or other.spread is None:
        return None
    return abs(one.value - other.value) > 2 * (one.spread**2 + other.spread**2) ** 0.5


def _ways(card: ScoreCard) -> str:
    """How the networks of a card's generator ran in training, in words."""
    return ", then ".join(card.trained.get("ways") or ["a way that is not known"])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}…{text[-12:]}"
