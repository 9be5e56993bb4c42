"""Features that were found once: kept by the images' content, the extractor's digest, its preprocessing and the device.

They lie in the folder of prepared images (``$CARDIGAN_CACHE``), below ``features/``, an ``.npz`` for each heap of
images. A file that is damaged is made again; those unused for longest give way when there are more than
:data:`MOST` bytes; :func:`clear` removes them all, and so does deleting the folder.
"""

import hashlib
import io
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from cardigan.data.cache import cache_folder
from cardigan.data.store import fingerprint
from cardigan.durable import replace_durably
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, check

FORMAT = 1
"""Part of every name: raise it when the same extractor would be kept otherwise."""
MOST = 4 * 2**30
"""Bytes that all features together may take."""


def seen(extractor: Extractor, images: Pixels, *, device: str = "cpu", cache: str | Path | None = None) -> Seen:
    """What an extractor says of images, from the cache if it has looked at the very same ones before.

    Where nothing can be written, the features are found all the same and not kept.

    Args:
        extractor: the extractor.
        images: uint8 (N, H, W, C).
        device: kind of the device that it runs on, on which what it says depends a little.
        cache: the folder of prepared images; None for the usual one.

    Raises:
        CardiganError: what :meth:`Extractor.see` raises.

    Example:
        >>> import tempfile
        >>> from cardigan.evaluation.extractors_arithmetic import gradients
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = seen(gradients(), np.zeros((2, 8, 8, 1), np.uint8), cache=folder)
        ...     clear(folder) > 0, found.features.shape
        (True, (2, 440))
    """
    check(images)
    path = _folder(cache) / f"{_key(extractor, images, device)}.npz"
    found = _kept(path, extractor, len(images))
    if found is not None:
        return found
    found = extractor.see(images)
    buffer = io.BytesIO()
    if found.probabilities is None:
        np.savez(buffer, features=found.features)
    else:
        np.savez(buffer, features=found.features, probabilities=found.probabilities)
    with suppress(OSError):  # a cache saves time; that it cannot be kept is no reason to fail
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_durably(path, buffer.getvalue())
        _bound(path)
    return found


def clear(cache: str | Path | None = None) -> int:
    """Remove all features that are kept, and what writers that were cut short have left.

    Args:
        cache: the folder of prepared images; None for the usual one.

    Returns:
        The bytes that this frees.
    """
    freed = 0
    for path in _folder(cache).glob("*.npz*"):
        with suppress(FileNotFoundError):
            freed += path.stat().st_size
            path.unlink()
    return freed


def _folder(cache: str | Path | None) -> Path:
    return cache_folder(cache) / "features"


def _key(extractor: Extractor, images: Pixels, device: str) -> str:
    parts = [str(FORMAT), fingerprint(images, None, ()), extractor.digest, extractor.preprocessing, device]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _kept(path: Path, extractor: Extractor, count: int) -> Seen | None:
    """What a file holds, or None if there is none that is whole. A zip knows the check sums of its members."""
    try:
        # Given a path, numpy would leave the file open where it turns out to be damaged.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            features = file["features"]
            probabilities = file["probabilities"] if extractor.classes else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shapes = [(features, (count, extractor.width)), (probabilities, (count, extractor.classes))]
    if any(part is not None and (part.shape, part.dtype) != (shape, np.float32) for part, shape in shapes):
        return None
    with suppress(OSError):
        os.utime(path)
    return Seen(features, probabilities)


def _bound(newest: Path) -> None:
    """Let those that were unused for longest go, but never the one that was just written."""
    files = [(path.stat(), path) for path in newest.parent.glob("*.npz*")]
    total = sum(facts.st_size for facts, _ in files)
    for facts, path in sorted(files, key=lambda each: each[0].st_mtime):
        if total <= MOST:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= facts.st_size
