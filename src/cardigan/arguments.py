"""What is typed on a command line, as values."""

import re

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


def count(text: str | None) -> int | None:
    """``500k`` or ``2M`` as a number.

    Raises:
        CardiganError: if it is none.

    Example:
        >>> count("500k"), count("64")
        (500000, 64)
    """
    if text is None:
        return None
    unit = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
    try:
        return int(float(text[:-1] if unit > 1 else text.replace("_", "")) * unit)
    except (ValueError, OverflowError):
        raise CardiganError(f"--images is {text!r}, expected a number such as 500000, 500k or 2M.") from None
