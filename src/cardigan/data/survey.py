"""The survey: one pass over a source with all cores, in which every file is read, decoded and hashed once."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from cardigan.data.decode import BadImage, Pixels, Size, decode, from_array
from cardigan.data.items import Item, Source
from cardigan.data.options import DataSettings

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

_ENDINGS = {"JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
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
        pixels: uint8 (H, W, C) as the survey's ``fit`` gave them, None without one.
    """

    item: Item
    reason: str | None = None
    size: Size = (0, 0)
    channels: int = 0
    mode: str = ""
    notes: tuple[str, ...] = ()
    digest: bytes = b""
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
    pending: deque[Future[list[Finding]]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(workers, thread_name_prefix="survey") as pool:
        # Pillow's remarks on odd metadata are not for the user's eyes; one on the size of an image is an error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        try:
            for chunk in chunks:
                pending.append(pool.submit(_examine_all, chunk, settings, fit))
                if len(pending) > workers + 1:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _examine_all(
    items: Sequence[Item], settings: DataSettings, fit: Callable[[Pixels], Pixels] | None
) -> list[Finding]:
    return [_examine(item, settings, fit) for item in items]


def _examine(item: Item, settings: DataSettings, fit: Callable[[Pixels], Pixels] | None) -> Finding:
    try:
        raw = item.read()
        image = decode(raw, settings) if isinstance(raw, bytes) else from_array(raw, settings)
    except BadImage as problem:
        return Finding(item, reason=str(problem))
    except OSError as problem:
        return Finding(item, reason=f"cannot be read: {problem.strerror or problem}")
    ending = PurePosixPath(item.name).suffix.lower()
    notes = image.notes
    if image.format != "array" and ending and ending not in _ENDINGS.get(image.format, (f".{image.format.lower()}",)):
        notes = (*notes, f"{image.format} under another ending")
    digest = hashlib.blake2b(repr(image.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image.pixels).data)
    height, width, channels = image.pixels.shape
    pixels = fit(image.pixels) if fit else None
    return Finding(item, None, (height, width), channels, image.mode, notes, digest.digest(), pixels)
