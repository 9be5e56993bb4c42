"""What the numbers of pictures mean: which value is black and which is white, for a whole set.

uint8 pixels run from 0 to 255. Wider pixels (16-bit files, floats, arrays of any type) come without such a rule, so the
range is taken from the values of the whole set, and never from one picture: bright and dark pictures stay so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
"""The value that is black and the value that is white."""

BYTE: Range = (0.0, 255.0)
DEPTHS = (8, 10, 12, 14, 16)
"""Bits of a pixel that cameras and scanners use."""
USUAL: frozenset[Range] = frozenset(
    {(0.0, 1.0), (-1.0, 1.0), (-128.0, 127.0), *((0.0, 2.0**bits - 1) for bits in DEPTHS)}
)
"""Ranges whose meaning is clear."""
TAIL = 0.001
"""Share of a picture's pixels, at each end, that do not count as used: hot pixels and borders."""
_SAMPLE = 65_536
"""Pixels of a picture from which its used values are estimated."""
_BLOCK = 2**24
"""Numbers that are looked at together."""


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one picture or of many.

    Args:
        low: the smallest.
        high: the largest.
        whole: all are whole numbers.
    """

    low: float
    high: float
    whole: bool

    def __or__(self, other: "Values") -> "Values":
        return Values(min(self.low, other.low), max(self.high, other.high), self.whole and other.whole)


class NotFiniteError(ValueError):
    """An array holds NaN or infinite values; ``index`` is the first of them."""

    def __init__(self, index: tuple[int, ...], value: float) -> None:
        super().__init__(index, value)
        self.index, self.value = index, value


def values_of(pixels: npt.NDArray[Any]) -> Values:
    """The values of an array of numbers, read in blocks.

    Args:
        pixels: of any shape but empty; bool, whole numbers or floats.

    Raises:
        NotFiniteError: if one is NaN or infinite.

    Example:
        >>> values_of(np.array([[0.0, 0.5]]))
        Values(low=0.0, high=0.5, whole=False)
    """
    low, high, whole = np.inf, -np.inf, True
    for start, block in _blocks(pixels):
        if block.dtype.kind == "f":
            wrong = ~np.isfinite(block)
            if wrong.any():
                place = np.unravel_index(int(wrong.argmax()), block.shape)
                index = tuple(int(each) for each in place)
                raise NotFiniteError((index[0] + start, *index[1:]), float(block[place]))
            whole = whole and bool((block == np.floor(block)).all())
        low, high = min(low, float(block.min())), max(high, float(block.max()))
    return Values(low, high, whole)


def _blocks(pixels: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[Any]]]:
    rows = max(1, _BLOCK // max(1, pixels[:1].size))
    for start in range(0, len(pixels), rows):
        yield start, pixels[start : start + rows]


def black_and_white(values: Values) -> Range:
    """The range that a set of pictures is read over, from all its values.

    Where no usual range fits, it is the values' own: such a reading may be too dark or too pale, but it is in order.

    Example:
        >>> black_and_white(Values(3, 4080, whole=True)), black_and_white(Values(-0.9, 1, whole=False))
        ((0.0, 4095.0), (-1.0, 1.0))
        >>> black_and_white(Values(-80.0, 5.0, whole=False))
        (-80.0, 5.0)
    """
    low, high, whole = values.low, values.high, values.whole
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if -1 <= low < -0.5 and high <= 1:
        return -1.0, 1.0
    if low >= 0 and 63 < high <= 255:
        return BYTE
    if whole and low >= 0 and 255 < high <= 65_535:
        return 0.0, next(2.0**bits - 1 for bits in DEPTHS if high < 2**bits)
    if whole and -128 <= low < -64 and 63 < high <= 127:
        return -128.0, 127.0
    return (low, high) if high > low else (low, low + 1)


def used(pixels: npt.NDArray[Any]) -> Range:
    """The values that a picture uses, without a few of its darkest and lightest pixels.

    Example:
        >>> used(np.arange(10_001))
        (10.0, 9990.0)
    """
    flat = pixels.reshape(-1)
    flat = np.sort(flat[:: max(1, flat.size // _SAMPLE)])
    cut = int(TAIL * flat.size)
    return float(flat[cut]), float(flat[-1 - cut])


def to_bytes(pixels: npt.NDArray[Any], span: Range) -> npt.NDArray[np.uint8]:
    """Pixels of any type as uint8: black is 0 and white 255, and what lies outside is cut off.

    Example:
        >>> to_bytes(np.array([-1.0, 0.0, 1.0, 2.0]), (-1.0, 1.0)).tolist()
        [0, 128, 255, 255]
    """
    low, high = span
    scaled = (pixels.astype(np.float64) - low) * (255 / (high - low))
    return np.clip(np.floor(scaled + 0.5), 0, 255).astype(np.uint8)


def written(span: Range) -> str:
    """A range as it is typed after ``value_range=``.

    Example:
        >>> written((0.0, 4095.0)), written((-1.0, 0.25))
        ('0..4095', '-1..0.25')
    """
    return "..".join(f"{int(value)}" if value == int(value) else f"{value:.6g}" for value in span)


def parsed(text: str) -> Range | None:
    """The range that a text names, None if it names none.

    Example:
        >>> parsed("0..4095"), parsed("-80..5.5"), parsed("5..1"), parsed("12")
        ((0.0, 4095.0), (-80.0, 5.5), None, None)
    """
    try:
        low, high = map(float, text.split(".."))
    except ValueError:
        return None
    return (low, high) if -np.inf < low < high < np.inf else None
