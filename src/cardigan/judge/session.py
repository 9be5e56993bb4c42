"""What is asked of whom, and in which order: a plan, made before the first answer and a pure function of its seed.

A plan names pictures and shows none. Every rater is asked about the same pictures, each once, in an order of their own;
what is told to a rater is never what a picture is, but in practice, whose pictures are others.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from cardigan.errors import CardiganError
from cardigan.randomness import derive

Task = Literal["real-or-fake", "preference"]
Part = Literal["practice", "check", "judged"]

FORMAT = 1
"""Raise it when the same plan would be asked otherwise: answers to the two must not be mixed."""
COUNT = 100
"""Pictures or pairs that are judged, if nothing else is asked for."""
FEWEST, MOST = 10, 1000
"""Of them. Of fewer, someone who looks may well give the same answer to all."""
PRACTICE = 2
"""Pictures of each kind, or pairs, that are practised on."""
CHECK_EVERY, FEWEST_CHECKS = 20, 3
"""One check for so many that are judged, and the least of them."""
FAILED = 2
"""Checks answered wrongly that exclude a rater."""
FASTEST = 0.25
"""Seconds. Nobody sees, decides and presses a key in less; a rater whose median is below does not look."""

_NAME = re.compile(r"\w[\w .-]{0,23}")


@dataclass(frozen=True)
class Trial:
    """One question.

    Args:
        part: ``"practice"``, told afterwards and not counted; ``"check"``, whose answer is plain; or ``"judged"``.
        left: the picture, or the left one of a pair, by name: its kind and a number.
        right: the other one of a pair, else "".
        expected: the right answer, "" where there is none.
    """

    part: Part
    left: str
    right: str = ""
    expected: str = ""

    @property
    def options(self) -> tuple[str, str]:
        """What the left and the right answer mean.

        Example:
            >>> Trial("judged", "fake 3").options, Trial("judged", "B 7", "A 7").options
            (('real', 'fake'), ('B', 'A'))
        """
        return (kind(self.left), kind(self.right)) if self.right else ("real", "fake")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is fixed before the first answer.

    Args:
        task: ``"real-or-fake"``, one picture at a time, or ``"preference"``, samples of two runs in pairs.
        runs: their names, one or two; the first is A.
        generators: SHA-256 of their generators: answers about another one belong to another plan.
        count: pictures or pairs that are judged.
        seed: of samples and orders.
        known: training images that can be practised on, ``PRACTICE`` at most.
        notes: what should be known of the pictures.

    Example:
        >>> plan = Plan(task="real-or-fake", runs=("faces",), generators=("",), count=10, seed=0)
        >>> [trial.part for trial in plan.trials("ann")][:3], len(plan.trials("ann"))
        (['practice', 'practice', 'practice'], 16)
        >>> plan.trials("ann") == plan.trials("ann"), plan.trials("ann") == plan.trials("bob")
        (True, False)
    """

    task: Task
    runs: tuple[str, ...]
    generators: tuple[str, ...]
    count: int
    seed: int
    known: int = 0
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not FEWEST <= self.count <= MOST:
            what = "pictures" if self.task == "real-or-fake" else "pairs"
            raise CardiganError(f"The number of {what} to judge is {self.count}, expected {FEWEST} to {MOST:,}.")

    @property
    def key(self) -> str:
        """A name for the plan's files; plans that ask otherwise have another."""
        told = json.dumps(asdict(self) | {"notes": ()}, sort_keys=True)
        return f"{self.task}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    @property
    def checks(self) -> int:
        """How many checks there are."""
        return max(FEWEST_CHECKS, round(self.count / CHECK_EVERY))

    @property
    def real(self) -> int:
        """How many of the pictures that are judged are real."""
        return self.count // 2 if self.task == "real-or-fake" else 0

    @property
    def rules(self) -> tuple[str, ...]:
        """Which answers count; stated before there are any."""
        pictures = self.task == "real-or-fake"
        each = "pictures" if pictures else "pairs"
        return (
            f"Only raters who answered everything count: {self.count} {each} and {self.checks} checks.",
            f"Whoever gets {FAILED} or more of the checks wrong is left out.",
            f"Whoever always {'gives the same answer' if pictures else 'chooses the same side'} is left out.",
            f"Whoever takes less than {FASTEST:g} seconds for most answers is left out.",
            "Everyone who is left out is named with the reason.",
        )

    def trials(self, rater: str) -> tuple[Trial, ...]:
        """All questions to one rater in order: practice, then what is judged with checks strewn in."""
        rng = np.random.default_rng(derive(self.seed, f"judge {self.key} {rater}"))
        asked = list(self._pictures() if self.task == "real-or-fake" else self._pairs(rng))
        practice, checks, judged = ([each for each in asked if each.part == part] for part in _PARTS)
        return *_shuffled(practice, rng), *_strewn(checks, _shuffled(judged, rng), rng)

    def _pictures(self) -> Iterator[Trial]:
        fakes = self.count - self.real
        yield from (Trial("practice", f"known {place}", expected="real") for place in range(self.known))
        yield from (Trial("practice", f"fake {fakes + place}", expected="fake") for place in range(PRACTICE))
        yield Trial("practice", "noise 0", expected="fake")
        yield from (Trial("check", f"noise {1 + place}", expected="fake") for place in range(self.checks))
        yield from (Trial("judged", f"real {place}", expected="real") for place in range(self.real))
        yield from (Trial("judged", f"fake {place}", expected="fake") for place in range(fakes))

    def _pairs(self, rng: np.random.Generator) -> Iterator[Trial]:
        obvious = PRACTICE + self.checks
        for place, swapped in enumerate(_sides(obvious, rng)):
            # Whose picture lies beside the noise says nothing, so both runs take turns.
            pair = f"{'AB'[place % 2]} {self.count + place}", f"noise {place}"
            part = "practice" if place < PRACTICE else "check"
            yield Trial(part, *(pair[::-1] if swapped else pair), expected=kind(pair[0]))
        for place, swapped in enumerate(_sides(self.count, rng)):
            pair = f"A {place}", f"B {place}"
            yield Trial("judged", *(pair[::-1] if swapped else pair))


_PARTS: tuple[Part, ...] = ("practice", "check", "judged")


def kind(picture: str) -> str:
    """What a picture is, after its name.

    Example:
        >>> kind("fake 12")
        'fake'
    """
    return picture.partition(" ")[0]


def rater_name(text: str) -> str:
    """What a rater is called in the answers: small letters, so that Ann and ann are one.

    Raises:
        CardiganError: if it is longer than initials or a nickname, or holds other signs; a table program would take
            some of them for formulas.

    Example:
        >>> rater_name(" Ann ")
        'ann'
    """
    name = " ".join(text.split()).casefold()
    if not _NAME.fullmatch(name):
        raise CardiganError(
            "Initials or a nickname have 1 to 24 letters or digits; spaces, points and hyphens may stand between."
        )
    return name


def _shuffled(trials: Sequence[Trial], rng: np.random.Generator) -> list[Trial]:
    return [trials[place] for place in rng.permutation(len(trials))]


def _sides(count: int, rng: np.random.Generator) -> list[bool]:
    """Which pairs are swapped: half of them, by lot."""
    return (rng.permutation(count) % 2 == 1).tolist()


def _strewn(checks: Sequence[Trial], judged: Sequence[Trial], rng: np.random.Generator) -> list[Trial]:
    """Checks among what is judged, one somewhere in each of as many stretches, never first."""
    asked = list(judged)
    ends = np.linspace(1, len(judged) + 1, len(checks) + 1).astype(int)
    for place in reversed(range(len(checks))):
        asked.insert(int(rng.integers(ends[place], max(ends[place] + 1, ends[place + 1]))), checks[place])
    return asked
