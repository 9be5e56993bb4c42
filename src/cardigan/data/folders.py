"""Folders of images, read with all their sub-folders."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cardigan.data.formats import EXTENSIONS, HEAD, BadImage
from cardigan.data.items import Source
from cardigan.data.layout import HIDDEN, LINKS, SPECIAL, Found, Listing, is_hidden, laid_out
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.words import counted, printable
from cardigan.errors import CardiganError


def folder(path: Path, settings: DataSettings = DEFAULTS) -> Source:
    """A folder, read with all its sub-folders; pipes and devices are never opened.

    The folder may be a link itself. Links in it are followed where they stay inside it; those that lead out are
    followed with ``links=follow`` only, and those that lead back to a folder above them never.
    """
    return files(str(path), path, None, settings)


def files(name: str, root: Path, chosen: Iterable[str] | None, settings: DataSettings = DEFAULTS) -> Source:
    """Some files and folders below a folder, or all of them.

    Args:
        name: what the user called them.
        root: the folder.
        chosen: names of files and folders directly or further below it; None for all that it holds.
        settings: as for :func:`~cardigan.data.sources.open_source`.
    """
    walk = _Walk(os.path.realpath(root), settings.links == "follow")
    if chosen is None:
        walk.into(str(root), "", ())
    else:
        for each in sorted(set(chosen)):
            walk.take(os.path.join(root, each), each, ())  # noqa: PTH118
    walk.say_links()
    key = os.fsencode(walk.root) if chosen is None else os.fsencode(walk.root) + b" some files"
    return laid_out(name, walk.listing, key, settings)


@dataclass
class _Walk:
    """A walk through a folder.

    Args:
        root: the named folder, as the system calls it.
        follow: whether links that lead out of it are followed.
    """

    root: str
    follow: bool
    listing: Listing = field(default_factory=Listing)
    followed: set[str] = field(default_factory=set)
    """Folders that a link has led to; a second link to the same is left alone, so that no web of links grows."""
    out: list[tuple[str, str]] = field(default_factory=list)
    """(name, where it leads to) of links that lead out."""

    def into(self, folder: str, prefix: str, above: tuple[str, ...]) -> None:
        """List everything below a folder, sorted by name.

        Args:
            folder: its path.
            prefix: its name relative to the root, with a slash at its end.
            above: the folders that lie above it, as the system calls them.
        """
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entry.name for entry in entries)
        except OSError as problem:
            if not prefix:
                raise CardiganError(
                    f"The folder {printable(folder)} cannot be read: {problem.strerror}. Check its rights."
                ) from None
            self.listing.rejected.append((prefix, f"the folder cannot be read: {problem.strerror}"))
            return
        chain = (*above, os.path.realpath(folder))
        for name in listed:
            self.take(os.path.join(folder, name), prefix + name, chain)  # noqa: PTH118

    def take(self, path: str, name: str, above: tuple[str, ...]) -> None:
        """List one file, or everything below one folder."""
        try:
            status = os.lstat(path)
            linked = stat.S_ISLNK(status.st_mode)
            if linked and is_hidden(name.rpartition("/")[2]):
                self.listing.ignored[HIDDEN] += 1
                return
            if linked:
                path, there = os.path.realpath(path), path
                status = os.stat(there)  # noqa: PTH116
        except OSError as problem:
            if name.lower().endswith(EXTENSIONS):
                self.listing.rejected.append((name, f"a link to nothing, or unreadable: {problem.strerror}"))
            else:
                self.listing.ignored["links to nothing"] += 1
            return
        if linked and not self.follow and os.path.commonpath((self.root, path)) != self.root:
            self.listing.ignored[LINKS] += 1
            self.out.append((name, path))
        elif stat.S_ISDIR(status.st_mode):
            self._folder(path, name, above, linked)
        elif not stat.S_ISREG(status.st_mode):
            self.listing.ignored[SPECIAL] += 1
        else:
            read = partial(_read, path, status.st_size, status.st_mtime_ns)
            self.listing.add(
                Found(name, read, (status.st_size, status.st_mtime_ns)), status.st_size, partial(_head, path)
            )

    def _folder(self, path: str, name: str, above: tuple[str, ...], linked: bool) -> None:
        if is_hidden(name.rpartition("/")[2]):
            self.listing.ignored[HIDDEN] += 1
        elif linked and (path in above or path == self.root):
            self.listing.ignored["links that lead back to a folder above them"] += 1
        elif linked and path in self.followed:
            self.listing.ignored["links to a folder that another link led to"] += 1
        else:
            if linked:
                self.followed.add(path)
            self.listing.folders.append(name)
            self.into(path, f"{name}/", above)

    def say_links(self) -> None:
        """Tell where the links lead that were not followed."""
        if self.out and self.listing.found:
            name, target = self.out[0]
            many = counted(len(self.out), "link leads", "links lead")
            self.listing.remarks.append(
                f"{many} out of the folder, and what lies there is left out: {printable(name)} -> {printable(target)}. "
                "To follow: --set links=follow"
            )


def _head(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(HEAD)


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
