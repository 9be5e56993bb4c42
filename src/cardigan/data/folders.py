"""Folders of images, read with all their sub-folders."""

import hashlib
import os
import stat
from functools import partial
from pathlib import Path

from cardigan.data.decode import BadImage
from cardigan.data.items import Source
from cardigan.data.layout import HIDDEN, LINKS, SPECIAL, Listing, is_hidden, laid_out
from cardigan.data.words import printable
from cardigan.errors import CardiganError


def folder(path: Path) -> Source:
    """A folder, read with all its sub-folders; links are not followed and pipes and devices never opened."""
    listing = Listing()
    digest = hashlib.sha256(os.fsencode(path.resolve()))
    _walk(path, "", listing, digest)
    return laid_out(str(path), listing, digest.hexdigest())


def _walk(folder: Path | str, prefix: str, listing: Listing, digest: "hashlib._Hash") -> None:
    """List everything below a folder, sorted by name; ``prefix`` is its name relative to the root."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        if not prefix:
            raise CardiganError(
                f"The folder {printable(str(folder))} cannot be read: {problem.strerror}. Check its rights."
            ) from None
        listing.rejected.append((prefix, f"the folder cannot be read: {problem.strerror}"))
        return
    for entry in listed:
        name = prefix + entry.name
        if entry.is_symlink():
            listing.ignored[LINKS] += 1
        elif entry.is_dir(follow_symlinks=False):
            if is_hidden(entry.name):
                listing.ignored[HIDDEN] += 1
            else:
                listing.folders.append(name)
                _walk(entry.path, f"{name}/", listing, digest)
        elif not entry.is_file(follow_symlinks=False):
            listing.ignored[SPECIAL] += 1
        elif listing.wants(name):
            status = entry.stat(follow_symlinks=False)
            listing.found.append((name, partial(_read, entry.path, status.st_size, status.st_mtime_ns)))
            digest.update(repr((name, status.st_size, status.st_mtime_ns)).encode())


def _read(path: str, size: int, modified: int) -> bytes:
    """The bytes of a file that is still the one that was listed."""
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116  (a string per file, not a Path, saves memory)
    except FileNotFoundError:
        raise BadImage("disappeared after the folder was listed") from None
    if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (size, modified):
        raise BadImage("changed after the folder was listed")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()
