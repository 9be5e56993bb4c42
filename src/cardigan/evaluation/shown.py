"""A run's score card as its report shows it, if it has one; one of an earlier generator is named as what it is."""

from pathlib import Path

from cardigan.errors import CardiganError
from cardigan.evaluation.card import CARD, ScoreCard, load_card
from cardigan.evaluation.words import BETTER, number, protocol_lines, title, valued
from cardigan.report.scores import Row, Scores

LISTED = 50
"""Classes that are shown, the worst."""


def scores_of(folder: Path, generator: str) -> Scores | None:
    """What a report says of a run's scores.

    Args:
        folder: of the run.
        generator: SHA-256 of its published generator.

    Returns:
        None if it was never measured. A card that is damaged or of another generator gives no numbers but the reason.
    """
    path = folder / CARD
    if not path.exists():
        return None
    try:
        card = load_card(path)
    except CardiganError as problem:
        return Scores(problem=str(problem))
    if card.trained.get("generator") != generator:
        return Scores(
            problem="The score card is about an earlier generator of this run, so its numbers are not shown. Measure "
            "again: cardigan evaluate RUN"
        )
    extractor = card.protocol.extractor
    return Scores(
        alarms=[finding.text for finding in card.alarms],
        rows=[
            Row(
                title(score, extractor),
                valued(score),
                "" if score.floor is None else number(score.floor, score.metric),
                BETTER[score.better],
                score.note,
            )
            for score in card.scores
        ],
        classes=_classes(card),
        notes=[finding.text for finding in card.notes],
        how=[f"Measured {card.made[:10]} through {extractor}.", *protocol_lines(card), card.versions],
    )


def _classes(card: ScoreCard) -> list[tuple[str, str, float]]:
    """The worst first; those that could not be measured last."""
    known = {name: value for name, value in card.classes.items() if value is not None}
    most = max([*known.values(), 1e-12])
    rows = [
        (name, number(value, "kid"), max(0.0, value / most))
        for name, value in sorted(known.items(), key=lambda each: -each[1])
    ]
    rows += [(name, "too few images", 0.0) for name, value in card.classes.items() if value is None]
    return rows[:LISTED]
