"""Score cards: numbers together with everything that has to be the same before two of them may be compared."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cardigan.durable import replace_durably
from cardigan.errors import CardiganError

FORMAT = 1
VERSION = 1
"""Of the measurement: raise it when the same images would get other numbers."""


@dataclass(frozen=True)
class Protocol:
    """How was measured.

    Args:
        extractor: what looked at the images.
        digest: SHA-256 of its weights or of its definition.
        preprocessing: how images were brought to it.
        shape: height, width and channels of the images as they were compared.
        reference: which real images: ``"held-out"`` ones or ``"training"`` images.
        fingerprint: SHA-256 of the real images.
        real: how many.
        generated: how many in each part.
        parts: draws, or parts of a folder, that were measured one by one.
        weights: ``"averaged"``, or ``"as given"`` of images that came as files.
        truncation: of the latents; None of images that came as files.
        labels: which classes were drawn: ``"as in the data"``, ``"none"`` or ``"as given"``.
        seeds: of the draws.
        neighbours: for precision and recall.
        version: of the measurement.
    """

    extractor: str
    digest: str
    preprocessing: str
    shape: tuple[int, int, int]
    reference: str
    fingerprint: str
    real: int
    generated: int
    parts: int
    weights: str
    truncation: float | None
    labels: str
    seeds: tuple[int, ...]
    neighbours: int
    version: int = VERSION

    @property
    def digest_of_all(self) -> str:
        """SHA-256 over every field: equal if and only if the protocols are."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def differences(self, other: "Protocol") -> list[tuple[str, Any, Any]]:
        """The fields that differ: name, mine, theirs."""
        pairs = ((field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return [pair for pair in pairs if pair[1] != pair[2]]


@dataclass(frozen=True)
class Score:
    """One number.

    Args:
        metric: its name.
        value: the mean over the parts; None where it would mean nothing, and ``note`` says why.
        spread: standard deviation over the parts; None of a single one.
        floor: the same metric between training images and held-out ones: what perfect samples would get, about.
        better: which way is better.
        note: what to know when reading it.
    """

    metric: str
    value: float | None
    spread: float | None
    floor: float | None
    better: Literal["low", "high"]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """Something that numbers alone would hide.

    Args:
        name: of the trick: ``"copies"``, ``"repeats"``, ``"missing classes"``, ...
        text: what was found, in a sentence or two.
        alarm: it makes good scores worthless.
    """

    name: str
    text: str
    alarm: bool = True


@dataclass(frozen=True)
class ScoreCard:
    """What is known about a generator's images, or a folder of them.

    Args:
        subject: what was measured.
        protocol: how.
        scores: the numbers.
        findings: what they would hide.
        because: why the extractor and the reference were chosen.
        made: when, ISO 8601.
        trained: what the subject was trained on (its data's fingerprint and seed), if that is known.
    """

    subject: str
    protocol: Protocol
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    because: tuple[str, ...]
    made: str
    trained: Mapping[str, Any]

    def score(self, metric: str) -> Score:
        """The score of that name.

        Raises:
            KeyError: if there is none.
        """
        return {score.metric: score for score in self.scores}[metric]

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that make good scores worthless."""
        return tuple(finding for finding in self.findings if finding.alarm)

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        told = {"format": FORMAT, "protocol_sha256": self.protocol.digest_of_all, **asdict(self)}
        replace_durably(path, json.dumps(told, indent=1).encode())


def load_card(path: Path) -> ScoreCard:
    """A score card that was saved.

    Raises:
        CardiganError: if there is none, or it is damaged.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise CardiganError(
                f"{path} is a score card of format {told['format']}, expected {FORMAT}. Measure again: cardigan "
                f"evaluate {path.parent}"
            )
        protocol = told["protocol"] | {name: tuple(told["protocol"][name]) for name in ("shape", "seeds")}
        return ScoreCard(
            subject=told["subject"],
            protocol=Protocol(**protocol),
            scores=tuple(Score(**score) for score in told["scores"]),
            findings=tuple(Finding(**finding) for finding in told["findings"]),
            because=tuple(told["because"]),
            made=told["made"],
            trained=told["trained"],
        )
    except FileNotFoundError as error:
        raise CardiganError(f"There is no score card {path}. Measure first: cardigan evaluate {path.parent}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CardiganError(
            f"The score card {path} is damaged ({error}). Measure again: cardigan evaluate {path.parent}"
        ) from error


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
        CardiganError: if protocols differ, naming the fields; if there are less than two cards, or one of them has no
            such score.
    """
    if len(cards) < 2:
        raise CardiganError(f"A comparison takes two runs or more, got {len(cards)}.")
    first = cards[0]
    for other in cards[1:]:
        if differing := first.protocol.differences(other.protocol):
            told = "; ".join(f"{name}: {_short(mine)} and {_short(theirs)}" for name, mine, theirs in differing)
            raise CardiganError(
                f"{first.subject} and {other.subject} were not measured in the same way, so their numbers cannot be "
                f"ranked. They differ in {told}. Measure both again with the same --features, --count, --seed and "
                f"--against."
            )
    for card in cards:
        known = [score.metric for score in card.scores if score.value is not None]
        if metric not in known:
            raise CardiganError(f"{card.subject} has no score {metric!r}. It has {', '.join(known) or 'none'}.")
    sign = 1 if first.score(metric).better == "low" else -1
    ranked = sorted(cards, key=lambda card: sign * (card.score(metric).value or 0.0))
    return Ranking(metric, tuple(ranked), tuple(_remarks(ranked, metric)))


def _remarks(ranked: Sequence[ScoreCard], metric: str) -> list[str]:
    remarks = []
    for better, worse in itertools.pairwise(ranked):
        if apart(better.score(metric), worse.score(metric)) is False:
            remarks.append(f"{better.subject} and {worse.subject} are within noise of each other.")
    for card in ranked:
        remarks += [f"{card.subject}: {finding.text}" for finding in card.alarms]
    remarks.append(
        "Each run is one training: that one recipe beats another takes three seeds of each or more, with spreads that "
        "do not overlap."
    )
    return remarks


def apart(one: Score, other: Score) -> bool | None:
    """Whether two scores differ by more than twice the spread of their difference; None where no spread is known."""
    if one.value is None or other.value is None or one.spread is None or other.spread is None:
        return None
    return abs(one.value - other.value) > 2 * (one.spread**2 + other.spread**2) ** 0.5


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}…{text[-12:]}"
