"""Zips of images. They come from strangers: nothing is extracted, and what could do harm is listed and left alone."""

import hashlib
import re
import stat
import zipfile
from functools import partial
from pathlib import Path

from cardigan.data.decode import BadImage
from cardigan.data.items import Source
from cardigan.data.layout import Listing, laid_out
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


def archive(path: Path) -> Source:
    """A zip, never extracted: its members are read as streams, and the dangerous ones are listed and left alone."""
    listing = Listing()
    digest = hashlib.sha256()
    opened = _opened(path)
    for member in opened.infolist():
        name = member.filename.replace("\\", "/")
        reason = _danger(member, name)
        if member.is_dir():
            if not reason:
                listing.folders.append(member.filename)
        elif reason:
            listing.rejected.append((name, reason))
        elif listing.wants(name):
            listing.found.append((name, partial(_read, opened, member)))
            digest.update(repr((name, member.file_size, member.CRC)).encode())
    listing.found.sort(key=lambda pair: pair[0])
    return laid_out(str(path), listing, digest.hexdigest())


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
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL:
        opened.close()
        raise CardiganError(
            f"{printable(str(path))} holds {counted(len(members), 'file that unpacks', 'files that unpack')} to "
            f"{total / 2**30:,.1f} GiB. Expected at most {MAX_MEMBERS:,} files and {MAX_TOTAL / 2**30:,.0f} GiB; "
            "unpack it yourself and give the folder."
        )
    return opened


def _danger(member: zipfile.ZipInfo, name: str) -> str | None:
    """Why a member is never opened, or None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    if member.flag_bits & 1:
        return "encrypted"
    if member.file_size > MAX_MEMBER:
        return f"unpacks to {member.file_size / 2**20:,.0f} MiB, over the limit of {MAX_MEMBER / 2**20:,.0f}"
    if member.file_size > 2**20 and member.file_size > MAX_RATIO * member.compress_size:
        return f"unpacks to over {MAX_RATIO} times its size, like a zip bomb"
    return None


def _read(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with opened.open(member) as stream:
            return stream.read(member.file_size)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError) as problem:
        raise BadImage(f"damaged in the zip ({problem})") from None
    except Exception as problem:  # decompressors have errors of their own
        raise BadImage(f"damaged in the zip ({type(problem).__name__}: {problem})") from None
