"""Zips and tars of images. They come from strangers: nothing is extracted, and what could do harm is left alone."""

import bz2
import gzip
import io
import lzma
import os
import posixpath
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from cardigan.data.cache import cache_folder
from cardigan.data.formats import HEAD, BadImage
from cardigan.data.items import Source
from cardigan.data.layout import Found, Listing, laid_out
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.words import counted, printable
from cardigan.errors import CardiganError

MAX_MEMBERS = 1_000_000
"""Files in one archive."""
MAX_TOTAL = 2**38
"""Bytes that one archive may unpack to: 256 GiB."""
MAX_MEMBER = 2**29
"""Bytes that one archived file may unpack to: 512 MiB."""
MAX_RATIO = 500
"""Unpacked over packed size of a member of more than 1 MiB; images hardly shrink at all."""

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz")
"""Endings of tar archives that are read."""
_HEADER = 2**24
"""Bytes that one header of a tar may hold."""
_OUT = "its path leads out of the archive"


def archive(path: Path, settings: DataSettings = DEFAULTS) -> Source:
    """A zip, never extracted: its members are read as streams, and the dangerous ones are listed and left alone."""
    listing = Listing()
    opened = _opened(path)
    for member in opened.infolist():
        name = member.filename.replace("\\", "/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        reason = _danger(name, member.file_size)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            reason = reason or "a link or a device"
        elif member.flag_bits & 1:
            reason = reason or "encrypted"
        elif member.file_size > 2**20 and member.file_size > MAX_RATIO * member.compress_size:
            reason = reason or f"unpacks to over {MAX_RATIO} times its size, like a zip bomb"
        if member.is_dir():
            if not reason:
                listing.folders.append(name)
        elif reason:
            listing.rejected.append((name, reason))
        else:
            read = partial(_read, opened, member, member.file_size)
            stamp = (member.file_size, member.CRC)
            listing.add(Found(name, read, stamp), member.file_size, partial(_read, opened, member, HEAD))
    listing.found.sort(key=lambda file: file.name)
    return laid_out(str(path), listing, b"zip", settings)


def _opened(path: Path) -> zipfile.ZipFile:
    """An archive whose table of contents is whole and within the caps."""
    try:
        opened = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise CardiganError(
            f"{printable(str(path))} cannot be read as a zip: {problem}. Expected a whole .zip file; copy it again, or "
            "unpack it and give the folder."
        ) from None
    members = opened.infolist()
    try:
        _check_caps(path, len(members), sum(member.file_size for member in members))
    except CardiganError:
        opened.close()
        raise
    return opened


def _check_caps(path: Path, count: int, total: int) -> None:
    if count > MAX_MEMBERS or total > MAX_TOTAL:
        raise CardiganError(
            f"{printable(str(path))} holds {counted(count, 'file that unpacks', 'files that unpack')} to "
            f"{total / 2**30:,.1f} GiB. Expected at most {MAX_MEMBERS:,} files and {MAX_TOTAL / 2**30:,.0f} GiB; "
            "unpack it yourself and give the folder."
        )


def _danger(name: str, size: int) -> str | None:
    """Why a member is never opened, or None."""
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return _OUT
    if size > MAX_MEMBER:
        return f"unpacks to {size / 2**20:,.0f} MiB, over the limit of {MAX_MEMBER / 2**20:,.0f}"
    return None


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo, size: int) -> bytes:
    try:
        with opened.open(member) as stream:
            return stream.read(size)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError) as problem:
        raise BadImage(f"damaged in the zip ({problem})") from None
    except Exception as problem:  # decompressors have errors of their own
        raise BadImage(f"damaged in the zip ({type(problem).__name__}: {problem})") from None


def tar(path: Path, settings: DataSettings = DEFAULTS) -> Source:
    """A tar, also a compressed one, never extracted to names of its own.

    A compressed one is unpacked once into a nameless temporary file in the cache, when its first image is read.
    """
    listing, places = Listing(), {}
    packed = path.stat()
    content = _Content(path)
    links: list[tuple[str, str]] = []
    with _tar_errors(path), _guarded(path) as stream, tarfile.open(fileobj=stream, mode="r:") as opened:
        while (member := opened.next()) is not None:
            opened.members = []  # pyright: ignore[reportAttributeAccessIssue]  (the library would keep every header)
            name = member.name.replace("\\", "/").removeprefix("./")
            end = member.offset_data + (member.size if member.isreg() else 0)
            _check_caps(path, len(places), end)
            if end > max(2**26, MAX_RATIO * packed.st_size):
                raise CardiganError(
                    f"{printable(str(path))} unpacks to over {MAX_RATIO} times its size, like a bomb. Expected "
                    "images, which hardly shrink; unpack it yourself and give the folder."
                )
            reason = _danger(name, member.size)
            if member.isdir():
                listing.folders += [] if reason or name in ("", ".") else [name]
            elif reason:
                listing.rejected.append((name, reason))
            elif member.islnk() or member.issym():
                target = member.linkname if member.islnk() else posixpath.join(posixpath.dirname(name), member.linkname)
                links.append((name, posixpath.normpath(target.replace("\\", "/"))))
            elif not member.isreg() or member.issparse():
                listing.rejected.append((name, "a device, or a file with holes"))
            else:
                places[name] = (member.offset_data, member.size, int(member.mtime))
                head = stream.read(min(HEAD, member.size)) if member.size else b""
                _add(listing, content, name, places[name], head)
    for name, target in links:
        if target in places:
            _add(listing, content, name, places[target], content.read(*places[target][:2])[:HEAD])
        else:
            listing.rejected.append((name, "a link that leads to no file in the archive"))
    listing.found.sort(key=lambda file: file.name)
    return laid_out(str(path), listing, repr((packed.st_size, packed.st_mtime_ns)).encode(), settings)


def _add(listing: Listing, content: "_Content", name: str, place: tuple[int, int, int], head: bytes) -> None:
    offset, size, _ = place
    listing.add(Found(name, partial(content.read, offset, size), place), size, lambda: head)


@contextmanager
def _tar_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except CardiganError:
        raise
    except Exception as problem:  # decompressors have errors of their own
        raise CardiganError(
            f"{printable(str(path))} cannot be read as a tar: {printable(str(problem)) or type(problem).__name__}. "
            "Expected a whole .tar, or one packed with gzip, bzip2 or xz; copy it again, or unpack it and give the "
            "folder."
        ) from None


class _Guarded(io.RawIOBase):
    """A stream that refuses to be read in pieces so large that only a forged header can ask for them."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError("a header claims to be too large")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset > MAX_TOTAL:
            raise tarfile.ReadError("a member claims to be too large")
        return self._stream.seek(offset)

    def tell(self) -> int:
        return self._stream.tell()


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a tar without its compression, which its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(6)
        file.seek(0)
        openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
        opener = next((each for start, each in openers.items() if head.startswith(start)), None)
        if opener is None:
            yield file
            return
        with opener(file, "rb") as stream:
            yield stream


@contextmanager
def _guarded(path: Path) -> Iterator[_Guarded]:
    with _unpacked(path) as stream:
        yield _Guarded(stream)


class _Content:
    """The bytes of a tar at any place, for many threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from there on.

        Raises:
            BadImage: if the tar is damaged or cut short.
        """
        with self._lock:
            if self._file is None:
                self._file = self._opened()
            self._file.seek(offset)
            found = self._file.read(size)
        if len(found) < size:
            raise BadImage("cut short in the tar")
        return found

    def _opened(self) -> IO[bytes]:
        """The tar itself, or a nameless file with its unpacked bytes."""
        with _tar_errors(self._path), _unpacked(self._path) as stream:
            if not isinstance(stream, gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile):
                return self._path.open("rb")
            root = cache_folder(None)
            with suppress(OSError):
                root.mkdir(parents=True, exist_ok=True)
            room = tempfile.TemporaryFile(dir=root if os.access(root, os.W_OK) else None)  # noqa: SIM115
            left = max(2**26, MAX_RATIO * self._path.stat().st_size)
            while block := stream.read(2**20):
                left -= len(block)
                if left < 0:
                    room.close()
                    raise CardiganError(f"{printable(str(self._path))} unpacks to over {MAX_RATIO} times its size.")
                room.write(block)
            room.flush()
            return room
