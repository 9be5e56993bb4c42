"""A score card, and a comparison of several, as texts for a terminal."""

import math

from cardigan.data.words import counted
from cardigan.evaluation.card import Score, ScoreCard
from cardigan.evaluation.ranking import Ranking

NAMES = {
    "kid": "kernel distance (KID) x 1,000",
    "fd": "Fréchet distance (FD)",
    "fd-infinity": "Fréchet distance (FD-infinity)",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "authenticity": "authenticity",
    "is": "Inception Score (IS)",
}
TIMES = {"kid": 1_000.0}
BETTER = {"low": "lower is better", "high": "higher is better", "near": "near that of real images is healthy"}
PLACES = 4
"""Decimal places that are shown at most."""
WORST = 5
"""Classes that are named."""


def title(score: Score, extractor: str) -> str:
    """What a score is called; FID is Inception's Fréchet distance and nothing else's.

    Example:
        >>> title(Score("fd", 1.0, None, None, "low"), "inception")
        'Fréchet distance (FID)'
    """
    name = NAMES.get(score.metric, score.metric)
    return name.replace("(FD", "(FID") if extractor == "inception" else name


def number(value: float | None, metric: str) -> str:
    """A value as it is shown: three digits that count.

    Example:
        >>> number(0.012345, "kid"), number(0.98765, "recall"), number(1234.5, "fd"), number(None, "fd")
        ('12.3', '0.988', '1,234', 'not given')
    """
    if value is None:
        return "not given"
    shown = TIMES.get(metric, 1.0) * value
    return _rounded(shown, _places(shown, 3))


def valued(score: Score) -> str:
    """A value with its spread, to the second digit of the spread: more would be chance.

    Example:
        >>> valued(Score("kid", 0.012345, 0.00042, None, "low")), valued(Score("fd", 1234.5, 31.4, None, "low"))
        ('12.35 ± 0.42', '1,234 ± 31')
        >>> valued(Score("recall", 0.5, 0.0, None, "high")), valued(Score("fd", None, None, None, "low"))
        ('0.500 ± 0', 'not given')
    """
    if score.value is None or not score.spread:
        return number(score.value, score.metric) + " ± 0" * (score.spread == 0)
    times = TIMES.get(score.metric, 1.0)
    places = _places(times * score.spread, 2)
    return f"{_rounded(times * score.value, places)} ± {_rounded(times * score.spread, places)}"


def _places(value: float, digits: int) -> int:
    """Decimal places that show so many digits that count, :data:`PLACES` at most."""
    return 0 if not value else min(PLACES, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def _rounded(value: float, places: int) -> str:
    return f"{round(value, places) + 0.0:,.{places}f}"


def told(card: ScoreCard) -> str:
    """A score card in lines: the alarms, the scores, what else was found, how was measured."""
    extractor = card.protocol.extractor
    lines = [f"{card.subject}, through {extractor}", ""]
    lines += [f"  WARNING, {finding.name}: {finding.text}" for finding in card.alarms]
    lines += [""] * bool(card.alarms)
    names = [title(score, extractor) for score in card.scores]
    width = max(map(len, names), default=0)
    for score, name in zip(card.scores, names, strict=True):
        floor = "" if score.floor is None else f"; real images {number(score.floor, score.metric)}"
        lines.append(f"  {name:<{width}}   {valued(score)}{floor}   ({BETTER[score.better]})")
        lines.append(f"  {'':<{width}}   {score.note}")
    lines += ["", *(f"  {line}" for line in _classes(card))] if card.classes else []
    lines += ["", *(f"  {finding.name}: {finding.text}" for finding in card.notes)] if card.notes else []
    lines += ["", *(f"  {line}" for line in protocol_lines(card))]
    return "\n".join(lines)


def protocol_lines(card: ScoreCard) -> list[str]:
    """How was measured, in words."""
    protocol = card.protocol
    height, width, channels = protocol.shape
    parts = f"{protocol.parts} parts of " if protocol.parts > 1 else ""
    origin = ["weights as they came" if protocol.weights == "as given" else f"{protocol.weights} weights"]
    origin += [] if protocol.truncation is None else [f"truncation {protocol.truncation:g}"]
    origin += [] if protocol.labels in ("none", "as given") else [f"classes {protocol.labels}"]
    origin += [] if not protocol.seeds else [f"seed {protocol.seeds[0]}"]
    fewer = f", {protocol.compared:,} of each where their number counts" * (protocol.compared < protocol.generated)
    return [
        f"{parts}{protocol.generated:,} samples{fewer} ({', '.join(origin)}) against "
        f"{protocol.real:,} {protocol.reference} images, {height}x{width}, {channels} channel{'s' * (channels > 1)}",
        f"extractor {protocol.digest[:12]} on {protocol.device}: {protocol.preprocessing}",
        f"k = {protocol.neighbours} for precision, recall, density and coverage; {protocol.points} points for the line "
        f"to FD-infinity",
        f"protocol {protocol.digest_of_all[:12]}: compare with nothing that was measured by another one",
        *card.because,
    ]


def ranked(ranking: Ranking) -> str:
    """A comparison in lines."""
    lines = []
    metric = ranking.metric
    for place, card in enumerate(ranking.cards, start=1):
        score = card.score(metric)
        alarms = ", ".join(finding.name for finding in card.alarms)
        name = title(score, card.protocol.extractor)
        lines.append(f"{place}. {card.subject}: {name} {valued(score)}" + (f"   WARNING: {alarms}" if alarms else ""))
    protocol = ranking.cards[0].protocol.digest_of_all[:12]
    way = BETTER[ranking.cards[0].score(metric).better]
    return "\n".join([*lines, f"{way.capitalize()}. All by protocol {protocol}.", *ranking.remarks])


def _classes(card: ScoreCard) -> list[str]:
    """The classes that were drawn worst."""
    known = sorted(((value, name) for name, value in card.classes.items() if value is not None), reverse=True)
    if not known:
        return [f"None of {counted(len(card.classes), 'class', 'classes')} has enough images to be measured by itself."]
    worst = ", ".join(f"{name} ({number(value, 'kid')})" for value, name in known[:WORST])
    best = f"; best {known[-1][1]} ({number(known[-1][0], 'kid')})" if len(known) > WORST else ""
    few = len(card.classes) - len(known)
    return [
        f"KID x 1,000 to the training images of each class, the worst first: {worst}{best}"
        + (f"; {few} with too few images" if few else "")
    ]
