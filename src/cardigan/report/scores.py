"""How good is it? A score card as a page shows it: what good numbers would hide first, then the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A score in words.

    Args:
        name: what it is called.
        value: with its spread.
        floor: what real images get in the place of samples; "" where that is not known.
        better: which way is better.
        about: what to know when reading it.
    """

    name: str
    value: str
    floor: str
    better: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a report says about how good a generator is.

    Args:
        problem: why there are no scores, or none of this generator; "" otherwise.
        alarms: what makes good scores worthless, each in a sentence or two.
        rows: the scores.
        classes: (name, distance, share of the largest one from 0 to 1) of each class, the worst first.
        notes: what else was found, each in a sentence or two.
        how: how was measured, in lines.
    """

    problem: str = ""
    alarms: Sequence[str] = ()
    rows: Sequence[Row] = ()
    classes: Sequence[tuple[str, str, float]] = ()
    notes: Sequence[str] = ()
    how: Sequence[str] = ()
