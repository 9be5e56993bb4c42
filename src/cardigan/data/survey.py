"""The survey: one pass over a source with all cores, in which every file is read, decoded and hashed once."""

import hashlib
import operator
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from cardigan.data.decode import BadImage, Pixels, Size, decode, from_array, wide_values
from cardigan.data.formats import EXTENSIONS, usual_endings
from cardigan.data.items import Item, Source
from cardigan.data.options import DataSettings
from cardigan.data.values import BYTE, NotFiniteError, Range, Values, black_and_white, values_of

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

GREY = "grey stored as RGB"

_CHUNK = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What one file turned out to be; ``reason`` is None unless it cannot be used.

    Args:
        item: the file.
        reason: why it cannot be used.
        size: (height, width) of the upright image.
        channels: of the decoded pixels.
        mode: how the file stored its pixels.
        notes: what was done to it.
        digest: of the decoded pixels; equal for exact copies.
        span: the values that were read as black and white.
        used: the values between which the image lies.
        pixels: uint8 (H, W, C) as the survey's ``fit`` gave them, None without one.
    """

    item: Item
    reason: str | None = None
    size: Size = (0, 0)
    channels: int = 0
    mode: str = ""
    notes: tuple[str, ...] = ()
    digest: bytes = b""
    span: Range = BYTE
    used: Range = BYTE
    pixels: Pixels | None = None


def survey(source: Source, settings: DataSettings, fit: Callable[[Pixels], Pixels] | None = None) -> Iterator[Finding]:
    """Read, decode and hash every item with all cores, in order, holding only a few images at a time.

    Args:
        source: what to read.
        settings: how to read it.
        fit: what to do with the pixels of each image while a core is at it; None forgets them.
    """
    workers = min(32, os.cpu_count() or 1)
    size = 1 if settings.fit == "cut" else _CHUNK  # a photo's pieces may take more memory than the photo
    chunks = (source.items[start : start + size] for start in range(0, len(source), size))
    span = _Span(source, settings)
    pending: deque[Future[list[Finding]]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(workers, thread_name_prefix="survey") as pool:
        # Pillow's remarks on odd metadata are not for the user's eyes; one on the size of an image is an error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        try:
            for chunk in chunks:
                pending.append(pool.submit(_examine_all, chunk, settings, fit, span))
                if len(pending) > workers + 1:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class _Span:
    """Black and white of a whole set. The first image of more than 8 bits asks for it, and only then all are seen."""

    def __init__(self, source: Source, settings: DataSettings) -> None:
        self._source, self._settings = source, settings
        self._lock, self._found = threading.Lock(), source.span

    def __call__(self) -> Range:
        with self._lock:
            if self._found is None:
                with ThreadPoolExecutor(min(32, os.cpu_count() or 1), thread_name_prefix="values") as pool:
                    each = pool.map(partial(_wide_values, settings=self._settings), self._source.items)
                    found = [values for values in each if values is not None]
                self._found = black_and_white(reduce(operator.or_, found)) if found else BYTE
            return self._found


def _wide_values(item: Item, settings: DataSettings) -> Values | None:
    """The values of an image of more than 8 bits; None for others, and for those that cannot be used."""
    try:
        raw = item.read()
        if isinstance(raw, bytes):
            return wide_values(raw, settings)
        return None if raw.dtype == np.uint8 else values_of(raw)
    except (BadImage, OSError, NotFiniteError):
        return None


def _examine_all(
    items: Sequence[Item], settings: DataSettings, fit: Callable[[Pixels], Pixels] | None, span: Callable[[], Range]
) -> list[Finding]:
    return [_examine(item, settings, fit, span) for item in items]


def _examine(
    item: Item, settings: DataSettings, fit: Callable[[Pixels], Pixels] | None, span: Callable[[], Range]
) -> Finding:
    try:
        raw = item.read()
        image = decode(raw, settings, span=span) if isinstance(raw, bytes) else from_array(raw, settings, span=span)
    except BadImage as problem:
        return Finding(item, reason=str(problem))
    except OSError as problem:
        return Finding(item, reason=f"cannot be read: {problem.strerror or problem}")
    ending = PurePosixPath(item.name).suffix.lower()
    notes = image.notes
    if image.format != "array" and ending in EXTENSIONS and ending not in usual_endings(image.format):
        notes = (*notes, f"{image.format} under another ending")
    decoded = image.pixels
    if settings.channels is None and _is_grey(decoded):
        decoded, notes = decoded[:, :, :1], (*notes, GREY)
    digest = hashlib.blake2b(repr(decoded.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(decoded).data)
    height, width, channels = decoded.shape
    return Finding(
        item,
        size=(height, width),
        channels=channels,
        mode=image.mode,
        notes=notes,
        digest=digest.digest(),
        span=image.span,
        used=image.used,
        pixels=fit(decoded) if fit else None,
    )


def _is_grey(pixels: Pixels) -> bool:
    """Whether RGB has no colour at all; the noise of JPEG and a tint of sepia are colours."""
    if pixels.shape[2] != 3:
        return False
    few = pixels[::16, ::16]
    return all(bool((part[:, :, :1] == part[:, :, 1:]).all()) for part in (few, pixels))
