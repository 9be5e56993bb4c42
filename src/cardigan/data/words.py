"""How messages of this room speak: names that are safe to print, counts with their nouns, lists with an end."""

import math
import unicodedata
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt


def printable(name: str) -> str:
    r"""A name that is safe to print: control, right-to-left, newline and undecodable characters are escaped.

    Example:
        >>> print(printable("cat\n\u202egpj.exe"))
        cat\n\u202egpj.exe
    """
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else character
        for character in name
    )


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with the words that agree with it.

    Args:
        number: how many.
        one: the words after a 1.
        many: the words after any other number; by default ``one`` and an s.

    Example:
        >>> counted(1, "image"), counted(2000, "image"), counted(1, "file is", "files are")
        ('1 image', '2,000 images', '1 file is')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sides(size: tuple[int, int]) -> str:
    """A size as it is typed after ``--size``: height x width.

    Example:
        >>> sides((48, 64))
        '48x64'
    """
    return f"{size[0]}x{size[1]}"


def significant(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, and never as a power of ten.

    Example:
        >>> significant(12_204.0), significant(0.000134), significant(-2.0), significant(1.2e-5), significant(1e-12)
        ('12,200', '0.000134', '-2', '0.000012', '0')
    """
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    places = 0 if not rounded else min(9, max(0, digits - 1 - math.floor(math.log10(abs(rounded)))))
    text = f"{rounded:,.{places}f}"
    return (text.rstrip("0").rstrip(".") if places else text) if float(text.replace(",", "")) else "0"


def counts(table: Mapping[str, int]) -> str:
    """A table of counts on one line.

    Example:
        >>> counts({"RGB": 1200, "L": 3})
        'RGB 1,200, L 3'
    """
    return ", ".join(f"{name} {number:,}" for name, number in table.items())


def first(texts: Iterable[str], most: int = 5) -> str:
    """The first few of a list, and how many more there are.

    Example:
        >>> first(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    texts = list(texts)
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def offenders(values: npt.NDArray[np.integer], wrong: npt.NDArray[np.bool_]) -> str:
    """The first values that are wrong, with their places.

    Example:
        >>> offenders(np.array([0, 9, -7]), np.array([False, True, True]))
        '9 at 1, -7 at 2'
    """
    return first(f"{values[index]} at {index}" for index in np.flatnonzero(wrong))
