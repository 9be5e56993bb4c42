"""Score cards: numbers together with everything that has to be the same before two of them may be compared."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from cardigan.durable import replace_durably
from cardigan.errors import CardiganError

CARD = "scores.json"
"""A score card's name in a run's folder."""
FORMAT = 2
VERSION = 1
"""Of the measurement: raise it when the same images would get other numbers."""

Better = Literal["low", "high", "near"]


@dataclass(frozen=True)
class Protocol:
    """How was measured.

    Args:
        extractor: what looked at the images.
        digest: SHA-256 of its weights or of its definition.
        preprocessing: how images were brought to it.
        device: kind of the device that it ran on; sums in floating point depend on it a little.
        shape: height, width and channels of the images as they were compared.
        reference: which real images: ``"held-out"`` ones or ``"training"`` images.
        fingerprint: SHA-256 of the real images that were measured against.
        real: how many.
        generated: how many samples in each part.
        compared: how many of them entered scores that depend on their number: no more than there are training images,
            so that the floor is of as many.
        parts: draws, or parts of a folder, that were measured one by one.
        weights: ``"averaged"``, or ``"as given"`` of images that came as files.
        truncation: of the latents; None of images that came as files.
        labels: which classes were drawn: ``"as in the data"``, ``"none"`` or ``"as given"``.
        seeds: of the draws, or of the lots by which files were divided into parts.
        neighbours: which neighbour the balls of precision, recall, density and coverage reach to.
        points: numbers of images through which the Fréchet distance is extrapolated.
        version: of the measurement.
    """

    extractor: str
    digest: str
    preprocessing: str
    device: str
    shape: tuple[int, int, int]
    reference: str
    fingerprint: str
    real: int
    generated: int
    compared: int
    parts: int
    weights: str
    truncation: float | None
    labels: str
    seeds: tuple[int, ...]
    neighbours: int
    points: int
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
        floor: what real images get in the place of samples, as many of them: where perfect samples would be, about.
            None where there are not as many, or none were held out.
        better: which way is better; ``"near"`` the floor is, where neither more nor less is.
        note: what to know when reading it.
        parts: the values of the parts, in order; () in cards of earlier versions.
    """

    metric: str
    value: float | None
    spread: float | None
    floor: float | None
    better: Better
    note: str = ""
    parts: tuple[float, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What was sought that numbers alone would hide, and what came of it.

    Args:
        name: of the trick, ``"copies"``, ``"repeats"``, ``"missing classes"``, or of what limits the numbers.
        text: what was found, in a sentence or two.
        alarm: it makes good scores worthless; else it is worth knowing, and may be good news.
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
        trained: of a run: the SHA-256 of its generator, its data's fingerprint, its recipe, seed and images seen, and
            the "ways" in which its networks ran in training, one for each that a sitting took.
        classes: of a run that draws classes: each one's kernel distance to the training images of that class; None
            where there are too few images of it.
        versions: of the software.
    """

    subject: str
    protocol: Protocol
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    because: tuple[str, ...]
    made: str
    trained: Mapping[str, Any]
    classes: Mapping[str, float | None] = field(default_factory=dict)
    versions: str = ""

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

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The other findings."""
        return tuple(finding for finding in self.findings if not finding.alarm)

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        told = {"format": FORMAT, "protocol_sha256": self.protocol.digest_of_all, **asdict(self)}
        replace_durably(path, json.dumps(told, indent=1).encode())


def load_card(path: Path) -> ScoreCard:
    """A score card that was saved.

    Raises:
        CardiganError: if there is none, it is damaged, or its protocol was changed by hand.
    """
    again = f"Measure again: cardigan evaluate {path.parent if path.name == CARD else 'RUN'}"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise CardiganError(f"{path} is a score card of format {told['format']}, expected {FORMAT}. {again}")
        protocol = Protocol(**told["protocol"] | {name: tuple(told["protocol"][name]) for name in ("shape", "seeds")})
        if told["protocol_sha256"] != protocol.digest_of_all:
            raise CardiganError(f"The protocol in {path} does not match its SHA-256: it was changed. {again}")
        return ScoreCard(
            subject=told["subject"],
            protocol=protocol,
            scores=tuple(Score(**score | {"parts": tuple(score.get("parts", ()))}) for score in told["scores"]),
            findings=tuple(Finding(**finding) for finding in told["findings"]),
            because=tuple(told["because"]),
            made=told["made"],
            trained=dict(told["trained"]),
            classes=dict(told["classes"]),
            versions=told["versions"],
        )
    except FileNotFoundError as error:
        run = (path.parent / "config.json").exists()
        raise CardiganError(
            f"There is no score card {path}. "
            + (f"Measure first: cardigan evaluate {path.parent}" if run else "Name a run's folder, or a score card.")
        ) from error
    except OSError as error:
        raise CardiganError(f"The score card {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CardiganError(f"{path} is damaged, or no score card ({_why(error)}). {again}") from error


def _why(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)
