"""The formats of image files that are read: an allow-list, and what is said of all others.

A file's first bytes choose its format, and no other decoder ever sees the file. The endings only say which files of a
folder are looked at.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from cardigan.errors import CardiganError, MissingExtraError

HEAD = 64
"""Bytes at the start of a file that tell its format."""

Opener = Callable[[io.BytesIO], ImageFile.ImageFile]


class BadImage(CardiganError):  # noqa: N818  (it is a verdict on a file, and reads as one)
    """An image that is not used; the message is the reason."""


@dataclass(frozen=True)
class Format:
    """A format that is read.

    Args:
        name: in Pillow's words.
        title: as people write it.
        endings: of its files, the usual one first.
        accepts: tells from a file's first :data:`HEAD` bytes whether it is of this format.
        open: reads the header of a file.
        feature: what Pillow must have been built with, in its own words; "" for nothing.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    accepts: Callable[[bytes], bool]
    open: Opener
    feature: str = ""


def _brands(head: bytes) -> set[bytes]:
    """The brands of a file in the ISO media container, which HEIC, AVIF and videos share; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    size = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}


def _is_avif(head: bytes) -> bool:
    return not _brands(head).isdisjoint((b"avif", b"avis"))


def _is_heif(head: bytes) -> bool:
    kinds = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
    return not _is_avif(head) and not _brands(head).isdisjoint(kinds)


def _is_bmp(head: bytes) -> bool:
    # Two letters are too little for a file without an ending: the size of the second header is known too.
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)


def _open_heif(file: io.BytesIO) -> ImageFile.ImageFile:
    try:
        from pillow_heif import HeifImageFile  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise BadImage(str(MissingExtraError("HEIC, the photo format of telephones,", extra="heif"))) from None
    return HeifImageFile(file)


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")

FORMATS = (
    Format(
        "PNG", "PNG", (".png", ".apng"), lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile
    ),
    Format(
        "JPEG",
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
        lambda head: head.startswith(b"\xff\xd8\xff"),
        JpegImagePlugin.JpegImageFile,
    ),
    Format(
        "WEBP",
        "WebP",
        (".webp",),
        lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
        WebPImagePlugin.WebPImageFile,
        "webp",
    ),
    Format("BMP", "BMP", (".bmp", ".dib"), _is_bmp, BmpImagePlugin.BmpImageFile),
    Format("GIF", "GIF", (".gif",), lambda head: head.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    Format("TIFF", "TIFF", (".tif", ".tiff"), lambda head: head.startswith(_TIFF), TiffImagePlugin.TiffImageFile),
    Format(
        "PPM",
        "PNM",
        (".ppm", ".pgm", ".pbm", ".pnm"),
        lambda head: re.match(rb"P[1-6]\s+[0-9#]", head) is not None,
        PpmImagePlugin.PpmImageFile,
    ),
    Format("AVIF", "AVIF", (".avif",), _is_avif, AvifImagePlugin.AvifImageFile, "avif"),
    Format(
        "JPEG2000",
        "JPEG 2000",
        (".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c"),
        lambda head: head.startswith(_JP2),
        Jpeg2KImagePlugin.Jpeg2KImageFile,
        "jpg_2000",
    ),
    Format("HEIF", "HEIC", (".heic", ".heif", ".hif"), _is_heif, _open_heif),
)
"""What is read, in the order in which it is asked. Each is safe: the header gives a size before pixels are decoded."""

EXTENSIONS = tuple(ending for each in FORMATS for ending in each.endings)
"""The endings of files that are taken for images."""
TITLES = ", ".join(each.title for each in FORMATS[:-1]) + f" or {FORMATS[-1].title}"
"""The formats, for a message."""

OTHER_PICTURES = {
    ".jxl": "JPEG XL",
    ".svg": "SVG",
    ".psd": "Photoshop",
    ".xcf": "GIMP",
    ".tga": "Targa",
    ".ico": "icons",
    ".dds": "DDS",
    ".exr": "OpenEXR",
    ".hdr": "Radiance",
    ".pfm": "float maps",
    ".pcx": "PCX",
    ".dcm": "DICOM",
    ".nii": "NIfTI",
    ".eps": "PostScript",
    ".ai": "Illustrator",
    ".pdf": "PDF",
    **dict.fromkeys(
        (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"), "raw photos of cameras"
    ),
}
"""Endings of pictures that are not read, and what they are. Raw photos would pass for TIFF, and show a thumbnail."""


def usual_endings(name: str) -> tuple[str, ...]:
    """The endings that files of a format have.

    Example:
        >>> usual_endings("TIFF"), usual_endings("array")
        (('.tif', '.tiff'), ())
    """
    return next((each.endings for each in FORMATS if each.name == name), ())


def is_image(head: bytes) -> bool:
    r"""Whether a file is an image that is read, by its first :data:`HEAD` bytes.

    Example:
        >>> is_image(b"\xff\xd8\xff\xe0"), is_image(b"PK\3\4")
        (True, False)
    """
    return any(each.accepts(head[:HEAD]) for each in FORMATS)


def format_of(data: bytes) -> Format:
    """The one format whose decoder is shown a file. Pillow's own ``open`` would warn of sizes through global state.

    Raises:
        BadImage: with what it seems to be, if it is of no format that is read.
    """
    if not data:
        raise BadImage("empty file (0 bytes)")
    for each in FORMATS:
        if each.accepts(data[:HEAD]):
            if each.feature and not features.check(each.feature):
                raise BadImage(
                    f"{each.title} is not read by the Pillow that is installed. Type: pip install --upgrade pillow"
                )
            return each
    text = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise BadImage("looks like HTML: a web page was saved in place of the image")
    for start, what in ((b"<?xml", "XML or SVG"), (b"<svg", "SVG"), (b"%pdf", "PDF"), (b"%!ps", "PostScript")):
        if text.startswith(start):
            raise BadImage(f"looks like {what}; expected {TITLES}")
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        raise BadImage(f"looks like JPEG XL; expected {TITLES}")
    if _brands(data[:HEAD]):
        raise BadImage(f"looks like a video; expected {TITLES}")
    raise BadImage(f"not an image of a format that is read here: {TITLES}")
