"""What is typed on a command line, as values."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

from cyclopts import Parameter

from cardigan.errors import CardiganError


def slug(text: str) -> str:
    """A text as a part of a file name.

    Example:
        >>> slug("../Dog 1")
        'Dog-1'
    """
    return re.sub(r"[^\w]+", "-", text).strip("-")


def pairs(texts: list[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dictionary.

    Raises:
        CardiganError: if one has no sign.

    Example:
        >>> pairs(["width=32", "fit=pad"])
        {'width': '32', 'fit': 'pad'}
    """
    for text in texts:
        if "=" not in text:
            raise CardiganError(f"--set {text!r} has no '='. Expected KEY=VALUE, such as --set width=32.")
    return {text.partition("=")[0]: text.partition("=")[2] for text in texts}


def size(text: str | None) -> int | tuple[int, int] | None:
    """``64`` or ``64x96`` as numbers.

    Raises:
        CardiganError: if it is neither.

    Example:
        >>> size("64"), size("64x96")
        (64, (64, 96))
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.isdecimal() for part in parts) or len(parts) > 2:
        raise CardiganError(f"--size is {text!r}, expected a side such as 64, or HEIGHTxWIDTH such as 64x96.")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


_UNITS = {"h": 60.0, "m": 1.0, "s": 1 / 60}
_TIME = r"([0-9.]+(?:e[0-9]+)?)(h|hours?|m|min|mins|minutes?|s|secs?|seconds?|)(?![a-z])"


def count(text: str | None, *, option: str = "--images") -> int | None:
    """``500k``, ``2M`` or ``5e3`` as a whole number.

    Args:
        text: as typed, None if the option was left out.
        option: what it was typed for, for the message.

    Raises:
        CardiganError: if it is none.

    Example:
        >>> count("500k"), count("64"), count("5e3")
        (500000, 64, 5000)
    """
    if text is None:
        return None
    unit = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    try:
        number = float(text[:-1] if unit > 1 else text) * unit
        whole = int(text.replace("_", "")) if re.fullmatch(r"[+-]?[\d_]+", text) else round(number)
        # Half an image is a mistake, and 2.3M is not: only the binary form of 2.3 falls short of a whole number.
        if abs(number - whole) > 1e-6 * max(abs(number), 1.0):
            raise ValueError
    except (ValueError, OverflowError):
        raise CardiganError(f"{option} is {text!r}, expected a whole number such as 64, 500k or 2M.") from None
    return whole


def minutes(text: str) -> float:
    """``10``, ``90s``, ``5m`` or ``1h30m`` in minutes.

    Raises:
        CardiganError: if it is no time, or not more than 0.

    Example:
        >>> minutes("10"), minutes("90s"), minutes("1h30m"), minutes("0.5 hours")
        (10.0, 1.5, 90.0, 30.0)
    """
    written = re.sub(r"\s", "", text.lower())
    parts = re.findall(_TIME, written)
    if re.fullmatch(f"(?:{_TIME})+", written):
        with suppress(ValueError):
            found = sum(float(number) * _UNITS[unit[:1] or "m"] for number, unit in parts)
            if 0 < found < math.inf:
                return found
    raise CardiganError(f"--minutes is {text!r}, expected a time of more than 0, such as 10, 90s or 1h30m.")


def _whole(kind: Any, tokens: Sequence[Any]) -> int | None:
    return count(tokens[0].value, option=tokens[0].keyword or "The number")


Whole = Annotated[int, Parameter(converter=_whole)]
"""An option that takes a whole number; 1.5 is refused, not rounded."""
Minutes = Annotated[float, Parameter(converter=lambda kind, tokens: minutes(tokens[0].value))]
"""An option that takes a time."""
