"""What a source is: a name, what was understood of it, and its items in a fixed order.

An item knows its name, perhaps its class, and how to get its bytes; nothing is decoded and nothing is extracted here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from cardigan.data.decode import Size
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.values import Range


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source.

    Args:
        name: as the source calls it; may hold anything, so print it through :func:`~cardigan.data.printable`.
        read: gives the file's bytes, or pixels as numbers (H, W) or (H, W, C); raises BadImage or OSError.
        label: index into the source's classes, or None.
    """

    name: str
    read: Callable[[], bytes | npt.NDArray[Any]]
    label: int | None = None


@dataclass(frozen=True)
class Source:
    """Images in a fixed order.

    Args:
        name: what the user called it.
        description: what was understood of it, in words.
        items: the images.
        key: changes whenever the content does; names the store that is made from it.
        classes: the names that labels point to; () for data without classes.
        remarks: what the user should know about how it was read.
        ignored: what was left out and why, with counts.
        rejected: (name, reason) of what looked like an image but was never opened.
        span: the values of its pixels that are black and white, where they are not uint8 and it is known.
        crops: for one large image: gives the source of its crops, from (height, width) or None and the settings.

    Example:
        >>> from cardigan.data.sources import open_source
        >>> source = open_source("digits")
        >>> len(source), source.classes[3], source.items[0].read().shape
        (1797, '3', (16, 16))
    """

    name: str
    description: str
    items: tuple[Item, ...]
    key: str
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    rejected: tuple[tuple[str, str], ...] = ()
    span: Range | None = None
    crops: "Callable[[Size | None, DataSettings], Source] | None" = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def sized(self, size: Size | None, settings: DataSettings = DEFAULTS) -> "Source":
        """The source at a size, (height, width) in pixels; only one large image, cut into crops, depends on it."""
        return self.crops(size, settings) if self.crops else self
