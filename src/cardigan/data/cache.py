"""The cache: a folder of prepared stores.

A store lies there as a folder of ``images.u8`` (raw uint8, N x H x W x C), ``names.txt`` (a line for each image),
``labels.npy`` where there are classes, and ``store.json``. It appears under its final name only when it is complete.
"""

import errno
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from cardigan.data.scan import Scan
from cardigan.data.store import Store, fingerprint
from cardigan.data.words import printable
from cardigan.errors import CardiganError
from cardigan.paths import path_of

FORMAT = 4
"""Part of every store's name: raise it when the same source would give another store."""

_ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished store belongs to a process that died."""


def cache_folder(cache: str | Path | None) -> Path:
    """The folder of stores. One that is complete is read even where nothing can be written."""
    if cache is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = os.environ.get("CARDIGAN_CACHE") or Path(base) / "cardigan"
    return path_of(cache)


def check_writable(root: Path) -> None:
    """Make the folder of stores.

    Raises:
        CardiganError: if nothing can be written there.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return
    except OSError as problem:
        raise cannot_write(root, problem) from None


def cannot_write(root: Path, problem: OSError) -> CardiganError:
    """What to say when writing has failed."""
    free = ""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            free = f" {shutil.disk_usage(root).free / 2**30:.1f} GiB are free there."
    return CardiganError(
        f"The prepared images cannot be written to {printable(str(root))}: {problem.strerror or problem}.{free} "
        "Expected a folder with room for them. Choose another with: export CARDIGAN_CACHE=/path/to/folder"
    )


def describe(
    folder: Path,
    scan: Scan,
    shape: tuple[int, ...],
    labels: list[int],
    classes: tuple[str, ...],
    pieces: list[int],
) -> None:
    """Complete a folder in which the images and their names lie already, and see it safe on the disk."""
    images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
    known = np.array(labels, np.int64) if classes else None
    if known is not None:
        np.save(folder / "labels.npy", known)
    facts = {
        "format": FORMAT,
        "source": scan.source,
        "shape": shape,
        "names": (folder / "names.txt").stat().st_size,
        "classes": classes,
        "pieces": pieces,
        "fingerprint": fingerprint(images, known, classes),
        "scan": scan.to_dict(),
    }
    (folder / "store.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    for file in sorted(folder.iterdir()):
        _sync(file)
    _sync(folder)


def open_store(folder: Path) -> Store | None:
    """The store in a folder, or None if there is none that is whole."""
    names = folder / "names.txt"
    try:
        facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        shape, classes, pieces = tuple(facts["shape"]), tuple(facts["classes"]), tuple(facts["pieces"])
        sizes = {"images.u8": np.prod(shape, dtype=np.int64), "names.txt": facts["names"]}
        if facts["format"] != FORMAT or any((folder / file).stat().st_size != size for file, size in sizes.items()):
            return None
        labels = np.load(folder / "labels.npy", allow_pickle=False) if classes else None
        if labels is not None and labels.shape != shape[:1]:
            return None
        images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
        return Store(images, labels, classes, facts["fingerprint"], facts["scan"], facts["source"], names, pieces)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def publish(ready: Path, final: Path) -> Store:
    """Give a finished store its name; if another process was first, use what it made."""
    for _ in range(3):
        try:
            ready.rename(final)
            _sync(final.parent)
        except OSError as problem:
            # ENOENT: another process took ours for damaged in that very moment, and is about to bring its own.
            if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT):
                raise
        if store := open_store(final):
            return store
        # What bears the name is damaged. It is moved away whole, so that no reader meets half of it.
        trash = Path(tempfile.mkdtemp(prefix=f".{final.name}.partial-", dir=final.parent))
        with suppress(FileNotFoundError):
            final.rename(trash / "damaged")
        shutil.rmtree(trash, ignore_errors=True)
    raise CardiganError(
        f"The prepared images in {printable(str(final))} are damaged again and again. Delete that folder, or choose "
        "another place with: export CARDIGAN_CACHE=/path/to/folder"
    )


def sweep(root: Path) -> None:
    """Remove what processes that died have left half made."""
    for path in root.glob(".*.partial-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
