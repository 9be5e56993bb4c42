"""Values that a part is given, refused in words where they cannot work."""

import math
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any

from cardigan.discovery import suggestion
from cardigan.errors import CardiganError


def check(name: str, value: Any, fits: Callable[[Any], bool], expected: str, instead: Any, *, of: str = "") -> None:
    """Refuse what is not a number, or one that does not fit.

    Args:
        name: of the value, as the user types it.
        value: what the user gave.
        fits: whether a number will do; it is False for what is not a number (NaN).
        expected: in words.
        instead: a value to type.
        of: the part that was given the value.

    Raises:
        CardiganError: naming the value, what was expected, and what to type instead.

    Example:
        >>> check("weight", 2, lambda value: value > 0, "a number above 0", 1.0)
        >>> check("weight", -2, lambda value: value > 0, "a number above 0", 1.0, of="R1")
        Traceback (most recent call last):
        ...
        cardigan.errors.CardiganError: R1: weight is -2, expected a number above 0. Type weight=1.0.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not fits(value):
        owner = f"{of}: " if of else ""
        raise CardiganError(f"{owner}{name} is {value!r}, expected {expected}. Type {name}={instead}.")


def check_not_negative(name: str, value: Any, *, of: str, instead: Any) -> None:
    """Refuse what is not a finite number from 0 up.

    Raises:
        CardiganError: see :func:`check`.
    """
    check(name, value, lambda given: 0 <= given < math.inf, "a finite number, at least 0", instead, of=of)


def check_count(name: str, value: Any, *, of: str, least: int = 1, instead: Any) -> None:
    """Refuse what is not a whole number from ``least`` up.

    Raises:
        CardiganError: see :func:`check`.
    """
    whole = isinstance(value, Integral)
    check(name, value, lambda given: whole and given >= least, f"a whole number, at least {least}", instead, of=of)


def check_choice(name: str, value: Any, known: Collection[str], *, of: str = "") -> None:
    """Refuse what is not one of the words that are known.

    Raises:
        CardiganError: naming the value, the nearest word and all of them.

    Example:
        >>> check_choice("player", "generatr", ("discriminator", "generator"))
        Traceback (most recent call last):
        ...
        cardigan.errors.CardiganError: player is 'generatr'. Did you mean 'generator'? Known: discriminator, generator.
    """
    if not isinstance(value, str) or value not in known:
        owner, near = f"{of}: " if of else "", suggestion(value, list(known)) if isinstance(value, str) else ""
        raise CardiganError(f"{owner}{name} is {value!r}.{near} Known: {', '.join(known)}.")
