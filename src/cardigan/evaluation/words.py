"""A score card, and a comparison of several, as texts for a terminal."""

from cardigan.evaluation.card import Ranking, Score, ScoreCard

NAMES = {
    "kid": "kernel distance (KID) x 1,000",
    "fd": "Fréchet distance (FD)",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "authenticity": "authenticity",
    "is": "inception score (IS)",
}
TIMES = {"kid": 1_000.0}
ARROWS = {"low": "lower is better", "high": "higher is better"}


def title(score: Score, extractor: str) -> str:
    """What a score is called; FID is Inception's Fréchet distance and nothing else's.

    Example:
        >>> title(Score("fd", 1.0, None, None, "low"), "inception")
        'Fréchet distance (FID)'
    """
    name = NAMES.get(score.metric, score.metric)
    return name.replace("(FD)", "(FID)") if extractor == "inception" else name


def number(value: float | None, metric: str) -> str:
    """A value as it is shown.

    Example:
        >>> number(0.01234, "kid"), number(None, "fd")
        ('12.34', 'not given')
    """
    if value is None:
        return "not given"
    return f"{TIMES.get(metric, 1.0) * value:,.4g}"


def spread(score: Score) -> str:
    """The spread as it is shown, or nothing."""
    return "" if score.spread is None else f"± {number(score.spread, score.metric)}"


def told(card: ScoreCard) -> str:
    """A score card in lines."""
    protocol = card.protocol
    lines = [f"{card.subject}, through {protocol.extractor}"]
    lines += [f"  {line}" for line in protocol_lines(card)]
    width = max(len(title(score, protocol.extractor)) for score in card.scores)
    for score in card.scores:
        value = f"{number(score.value, score.metric)} {spread(score)}".strip()
        floor = "" if score.floor is None else f"   training images: {number(score.floor, score.metric)}"
        lines.append(f"\n  {title(score, protocol.extractor):<{width}}   {value}{floor}   ({ARROWS[score.better]})")
        lines.append(f"  {'':<{width}}   {score.note}")
    lines.append("")
    for finding in card.findings:
        lines.append(f"  {'WARNING' if finding.alarm else 'note'}, {finding.name}: {finding.text}")
    if not card.alarms:
        lines.append("  No trick was found: no copies, repeats, missing classes or compression.")
    return "\n".join(lines)


def protocol_lines(card: ScoreCard) -> list[str]:
    """How was measured, in words."""
    protocol = card.protocol
    height, width, channels = protocol.shape
    parts = f"{protocol.parts} parts of " if protocol.parts > 1 else ""
    origin = [] if protocol.truncation is None else [f"truncation {protocol.truncation:g}"]
    origin += [] if not protocol.seeds else [f"seed {protocol.seeds[0]}"]
    return [
        f"{parts}{protocol.generated:,} samples ({', '.join([protocol.weights, *origin])}) against {protocol.real:,} "
        f"{protocol.reference} images, {height}x{width}, {channels} channel{'s' * (channels > 1)}",
        f"extractor {protocol.digest[:12]}; {protocol.preprocessing}",
        f"protocol {protocol.digest_of_all[:12]}",
        *card.because,
    ]


def ranked(ranking: Ranking) -> str:
    """A comparison in lines."""
    lines = []
    metric = ranking.metric
    for place, card in enumerate(ranking.cards, start=1):
        score = card.score(metric)
        alarms = ", ".join(finding.name for finding in card.alarms)
        lines.append(
            f"{place}. {card.subject}: {title(score, card.protocol.extractor)} {number(score.value, metric)} "
            f"{spread(score)}".rstrip()
            + (f"   WARNING: {alarms}" if alarms else "")
        )
    protocol = ranking.cards[0].protocol.digest_of_all[:12]
    return "\n".join([*lines, f"All by protocol {protocol}.", *ranking.remarks])
