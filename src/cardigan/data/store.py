"""The store: images of one size, ready to be drawn from, with their labels and their names."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from cardigan.data.arrays import images_in, labels_in
from cardigan.data.decode import Pixels
from cardigan.data.values import to_bytes
from cardigan.data.words import counted, offenders
from cardigan.errors import CardiganError

_BLOCK = 2**24
"""Bytes that are hashed at a time."""


@dataclass(frozen=True, eq=False)
class Store:
    """Images of one size, ready to be drawn from.

    Args:
        images: uint8 (N, H, W, C), read-only; memory-mapped when it was prepared from a source.
        labels: int64 (N,), index into ``classes``, or None.
        classes: the names of the classes; () for data without classes.
        fingerprint: SHA-256 over shape, pixels, labels and classes; the same content has the same fingerprint anywhere.
        scan: the scan that belongs to it, as plain data; {} for arrays.
        source: what the user called the data.
        names_file: a line for each image with the name that its source gave it; None to count the images instead.
        pieces: how many images in a row were cut from each photo, where they were cut; () where each stands alone.

    Example:
        >>> store = Store.from_arrays(np.zeros((3, 8, 8), np.uint8), labels=[0, 1, 1], classes=("no", "yes"))
        >>> len(store), store.shape, store.labels.tolist()
        (3, (8, 8, 1), [0, 1, 1])
    """

    images: Pixels
    labels: npt.NDArray[np.int64] | None
    classes: tuple[str, ...]
    fingerprint: str
    scan: dict[str, Any] = field(default_factory=dict)
    source: str = "arrays"
    names_file: Path | None = None
    pieces: tuple[int, ...] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width, channels = self.shape
        size, kinds = f"{height}x{width}x{channels}", counted(len(self.classes), "class", "classes")
        return f"Store({self.source!r}, {counted(len(self), 'image')} of {size}, {kinds})"

    def blocks(self, places: npt.NDArray[np.integer]) -> Iterator[Pixels]:
        """The images at ``places``, in order, some at a time: uint8 (n, H, W, C) each, 32 MiB or a single image."""
        step = max(1, 2**25 // self.images[:1].nbytes)
        for start in range(0, len(places), step):
            yield np.array(self.images[places[start : start + step]])

    def names(self, indices: Iterable[SupportsIndex]) -> list[str]:
        """The names of some images, such as those of a batch: safe to print, in the order that was asked for.

        They are read from the disk each time, for they are wanted when something goes wrong, and cost nothing before.

        Args:
            indices: places in the store, from 0; a list, an array or a tensor.

        Returns:
            What the source called each image, such as ``"cat/7.jpg"``; ``"image 17"`` where it has no names.

        Raises:
            IndexError: if the store has no such image.

        Example:
            >>> Store.from_arrays(np.zeros((3, 8, 8), np.uint8)).names([2, 0])
            ['image 2', 'image 0']
        """
        wanted = [index(each) for each in indices]
        if wrong := [each for each in wanted if not 0 <= each < len(self)]:
            raise IndexError(
                f"There is no image {wrong[0]} in a store of {counted(len(self), 'image')}, 0 to {len(self) - 1}"
            )
        known: dict[int, str] = {}
        if self.names_file and wanted:
            last, chosen = max(wanted), set(wanted)
            # A cache that was deleted meanwhile must not hide the fault that is being reported.
            with suppress(OSError), self.names_file.open(encoding="utf-8", newline="\n") as lines:
                known = {at: line[:-1] for at, line in enumerate(islice(lines, last + 1)) if at in chosen}
        return [known.get(each, f"image {each}") for each in wanted]

    @staticmethod
    def from_arrays(images: npt.ArrayLike, labels: npt.ArrayLike | None = None, classes: Sequence[str] = ()) -> "Store":
        """A store in memory.

        Args:
            images: uint8 (N, H, W) or (N, H, W, C) with 1 to 4 channels; any other array as
                :func:`~cardigan.data.arrays.images_in` reads it, converted to uint8.
            labels: whole numbers (N,) from 0; others as :func:`~cardigan.data.arrays.labels_in` reads them.
            classes: the names of the classes; by default ``"0"``, ``"1"`` and so on, where there are labels.

        Raises:
            CardiganError: if the arrays do not fit that description.
        """
        pixels = np.asarray(images)
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 2, 3, 4):
            found = images_in(images)
            pixels = to_bytes(found.pixels, found.span) if found.span else found.pixels
        known, names = None, ()
        if labels is not None:
            known, named = _known(labels, len(pixels))
            names = _named(known, classes or named)
        pixels = pixels.view()
        pixels.flags.writeable = False
        return Store(pixels, known, names, fingerprint(pixels, known, names))


def _known(labels: npt.ArrayLike, count: int) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels as whole numbers from 0, one for each image, and the names of their classes where they bring them."""
    given = np.asarray(labels)
    if given.shape != (count,) or given.dtype.kind not in "iu":
        found = labels_in(given, count)
        return found.indices, found.classes
    if (given < 0).any():
        below = counted(int((given < 0).sum()), "label is", "labels are")
        raise CardiganError(
            f"{below} below 0: {offenders(given, given < 0)}. Expected classes counted from 0; leave such "
            "images out, or number the classes again with: np.unique(labels, return_inverse=True)[1]"
        )
    return given.astype(np.int64), ()


def _named(labels: npt.NDArray[np.int64], classes: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes, one for every label that occurs."""
    names = tuple(classes) or tuple(map(str, range(int(labels.max(initial=-1)) + 1)))
    wrong = labels >= len(names)
    if wrong.any():
        have, given = int(wrong.sum()), counted(len(names), "name was", "names were")
        raise CardiganError(
            f"{counted(have, 'label has', 'labels have')} no class: {offenders(labels, wrong)}. {given} given, for "
            f"labels from 0 to {len(names) - 1}. Give a name for every label."
        )
    return names


def fingerprint(images: Pixels, labels: npt.NDArray[np.int64] | None, classes: tuple[str, ...]) -> str:
    """SHA-256 over shape, pixels, labels and classes."""
    digest = hashlib.sha256(json.dumps([list(images.shape), list(classes), labels is not None]).encode())
    step = max(1, _BLOCK // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        digest.update(np.ascontiguousarray(images[start : start + step]).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()
