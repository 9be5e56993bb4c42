"""From the bytes of one file to uint8 pixels, or to a reason why not.

Nothing is repaired in silence: whatever had to be done to an image (turned upright, painted over a background, reduced
to 8 bits) is a note that the scan counts, and whatever cannot be read in full is refused with a reason.

The bytes come from strangers. A file's first bytes choose one of six decoders and no other code ever sees the file,
and the size in its header is checked before a single pixel is decoded.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.words import printable
from cardigan.errors import CardiganError

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width, in pixels."""

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MIN_SIDE = 8
"""Pixels on the short side below which there is nothing to learn from."""
MAX_ASPECT = 10
"""Long side over short side above which a crop keeps almost nothing of the picture."""

ALPHA = "transparent parts painted over with the background"
MARKED = "marked as AI-generated"

_ORIENTATION, _SOFTWARE = 0x0112, 0x0131
_DECODERS: tuple[tuple[str, Callable[[bytes], bool], Callable[[io.BytesIO], ImageFile.ImageFile]], ...] = (
    ("JPEG", lambda head: head.startswith(b"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    ("PNG", lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    ("WEBP", lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP", WebPImagePlugin.WebPImageFile),
    ("GIF", lambda head: head.startswith((b"GIF87a", b"GIF89a")), GifImagePlugin.GifImageFile),
    ("TIFF", lambda head: head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), TiffImagePlugin.TiffImageFile),
    ("BMP", lambda head: head.startswith(b"BM"), BmpImagePlugin.BmpImageFile),
)


class BadImage(CardiganError):  # noqa: N818  (it is a verdict on a file, and reads as one)
    """An image that is not used; the message is the reason."""


@dataclass(frozen=True)
class Decoded:
    """One image, read in full.

    Args:
        pixels: uint8 (H, W, C), the first frame, upright, in sRGB or grey.
        mode: how the file stored its pixels, in Pillow's words, such as ``"RGB"`` or ``"I;16"``.
        format: the file's format by its content, such as ``"PNG"``; ``"array"`` for what was no file.
        notes: what was done to it.
    """

    pixels: Pixels
    mode: str
    format: str
    notes: tuple[str, ...] = ()


def decode(data: bytes, settings: DataSettings = DEFAULTS, *, any_shape: bool = False) -> Decoded:
    """Read an image in full: PNG, JPEG, WebP, BMP, GIF or TIFF.

    Args:
        data: the whole file.
        settings: ``channels``, ``background`` and ``max_megapixels`` are read. With ``channels=None`` a grey image
            gives one channel and a coloured one three.
        any_shape: take images too small or too long to train on.

    Raises:
        BadImage: with the reason, if the file is no such image, is damaged, or is of no use for training.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (12, 9), "red").save(file, "PNG")
        >>> decode(file.getvalue()).pixels.shape
        (9, 12, 3)
    """
    name, opener = _decoder(data)
    notes: list[str] = []
    try:
        image = opener(io.BytesIO(data))
        _check_size(image.height, image.width, settings, any_shape=any_shape)
        mode = image.mode
        if getattr(image, "is_animated", False):
            notes.append("animation or several pages: the first frame is used")
        # A TIFF turns itself while it loads, so its tag must be read before; other formats may hold it at the end.
        orientation = _tag(image, _ORIENTATION) if name == "TIFF" else None
        image.load()
        if _is_marked(data, image):
            notes.append(MARKED)
        if (orientation or _tag(image, _ORIENTATION)) in range(2, 9):
            notes.append("turned upright as its EXIF tag says")
        upright = _upright(image)
        if name == "PNG" and data[24:25] == b"\x10" and mode != "I;16":
            notes.append("16 bits a channel reduced to 8")
        pixels = _pixels(_eight_bits(upright, image.info.get("icc_profile"), notes), settings, notes)
    except BadImage:
        raise
    except Exception as problem:  # decoders raise almost anything on damaged files
        kind = "cut short" if "truncated" in str(problem).lower() or isinstance(problem, EOFError) else "damaged"
        raise BadImage(f"{kind} {name} file ({printable(str(problem)) or type(problem).__name__})") from problem
    return Decoded(pixels, mode, name, tuple(notes))


def from_array(pixels: Pixels, settings: DataSettings = DEFAULTS) -> Decoded:
    """Bring pixels that were no file through the same rules; those of the right channels are kept byte for byte.

    Args:
        pixels: uint8 (H, W) or (H, W, C) with 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA channels.
        settings: as for :func:`decode`.

    Raises:
        BadImage: if the image is of no use for training.

    Example:
        >>> from_array(np.zeros((8, 8), np.uint8), DataSettings(channels=3)).pixels.shape
        (8, 8, 3)
    """
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width, channels = pixels.shape
    _check_size(height, width, settings)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    if channels == settings.channels or (settings.channels is None and channels in (1, 3)):
        return Decoded(pixels, mode, "array")
    notes: list[str] = []
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    return Decoded(_pixels(image, settings, notes), mode, "array", tuple(notes))


def _decoder(data: bytes) -> tuple[str, Callable[[io.BytesIO], ImageFile.ImageFile]]:
    """The one decoder that is shown the file. Pillow's own ``open`` would warn of sizes through global state."""
    if not data:
        raise BadImage("empty file (0 bytes)")
    for name, accepts, opener in _DECODERS:
        if accepts(data[:16]):
            return name, opener
    text = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        raise BadImage("looks like HTML: a web page was saved in place of the image")
    for start, what in ((b"<?xml", "XML or SVG"), (b"<svg", "SVG"), (b"%pdf", "PDF"), (b"%!ps", "PostScript")):
        if text.startswith(start):
            raise BadImage(f"looks like {what}; expected PNG, JPEG, WebP, BMP, GIF or TIFF")
    if data[4:8] == b"ftyp":
        raise BadImage("looks like HEIC, AVIF or a video; expected PNG, JPEG, WebP, BMP, GIF or TIFF")
    raise BadImage("not an image of a format that is read here: PNG, JPEG, WebP, BMP, GIF or TIFF")


def _check_size(height: int, width: int, settings: DataSettings, *, any_shape: bool = False) -> None:
    megapixels = height * width / 1e6
    if megapixels > settings.max_megapixels:
        raise BadImage(
            f"{width}x{height} is {megapixels:.3g} megapixels, over the limit of {settings.max_megapixels:g} "
            f"(raise it with --set max_megapixels={int(megapixels) + 1})"
        )
    if any_shape:
        return
    if min(height, width) < MIN_SIDE:
        raise BadImage(f"{width}x{height} is too small: the short side must have at least {MIN_SIDE} pixels")
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise BadImage(f"{width}x{height} is too long: one side may be at most {MAX_ASPECT} times the other")


def _tag(image: Image.Image, tag: int) -> object:
    """One EXIF tag, or None; a damaged EXIF block does not spoil the picture."""
    try:
        return image.getexif().get(tag)
    except Exception:
        return None


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _is_marked(data: bytes, image: Image.Image) -> bool:
    """Whether the file says that a generator made it: the IPTC's term in its metadata, or our own software tag."""
    if b"trainedAlgorithmicMedia" in data:
        return True
    texts = [(str(key).lower(), str(value)) for key, value in image.info.items() if isinstance(value, str | bytes)]
    if any("trainedAlgorithmicMedia" in value for _, value in texts):
        return True
    software = [value for key, value in texts if key == "software"] + [str(_tag(image, _SOFTWARE) or "")]
    return any("cardigan" in value.lower() for value in software)


def _eight_bits(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Bring any mode to one of L, LA, RGB and RGBA, in sRGB where the file brings a colour profile."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _scaled(np.asarray(image), notes)
    if mode == "CMYK":
        notes.append("CMYK converted to RGB")
        managed = _to_srgb(image, profile, notes) if profile else image
        return managed if managed.mode == "RGB" else image.convert("RGB")
    if mode in ("P", "PA"):
        notes.append("palette expanded")
        image = image.convert("RGBA" if mode == "PA" or image.has_transparency_data else "RGB")
    elif mode == "1":
        notes.append("1-bit black and white expanded")
        image = image.convert("L")
    elif mode in ("L", "RGB"):
        image = image.convert({"L": "LA", "RGB": "RGBA"}[mode]) if "transparency" in image.info else image
    elif mode not in ("LA", "RGBA"):
        notes.append(f"{mode} converted to RGB")
        image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, "RGB"))
    return _to_srgb(image, profile, notes) if profile and image.mode in ("RGB", "RGBA") else image


def _scaled(values: np.ndarray, notes: list[str]) -> Image.Image:
    """Wide grey values to 8 bits by the range of their type, never by the range of the picture."""
    low, high = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        if not (np.isfinite(low) and np.isfinite(high)):
            raise BadImage("holds NaN or infinite pixels")
        if low < 0 or high > 1:
            raise BadImage(f"holds float pixels from {low:g} to {high:g}; only 0 to 1 has a clear meaning")
        notes.append("float 0 to 1 scaled to 8 bits")
        return Image.fromarray((values * 255 + 0.5).astype(np.uint8))
    if low < 0 or high > 65535:
        raise BadImage(f"holds whole numbers from {low:g} to {high:g}; only 0 to 65535 has a clear meaning")
    notes.append("16 bits a channel reduced to 8")
    return Image.fromarray(((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes, notes: list[str]) -> Image.Image:
    """Convert the embedded colour profile to sRGB; an unreadable or unfitting profile is passed over with a note."""
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except Exception:
        converted = None
    notes.append("colour profile converted to sRGB" if converted else "colour profile passed over: it cannot be used")
    return converted or image


def _pixels(image: Image.Image, settings: DataSettings, notes: list[str]) -> Pixels:
    """L, LA, RGB or RGBA to the asked channels; alpha is composited unless it was asked for."""
    if settings.channels in (2, 4):
        image = image.convert("LA" if settings.channels == 2 else "RGBA")
    else:
        mode = image.mode.removesuffix("A")
        if image.mode != mode and image.getchannel("A").getextrema() != (255, 255):
            notes.append(ALPHA)
            canvas = Image.new("RGBA", image.size, (*settings.colour, 255))
            canvas.alpha_composite(image.convert("RGBA"))
            image = canvas
            mode = mode if len(set(settings.colour)) == 1 else "RGB"
        image = image.convert({None: mode, 1: "L", 3: "RGB"}[settings.channels])
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
