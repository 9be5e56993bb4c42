"""From the bytes of one file to uint8 pixels, or to a reason why not.

Nothing is repaired in silence: whatever had to be done to an image (turned upright, painted over a background, scaled
to 8 bits) is a note that the scan counts, and whatever cannot be read in full is refused with a reason.

The bytes come from strangers. A file's first bytes choose one decoder, as :mod:`~cardigan.data.formats` lists them, and
no other code ever sees the file. The size in its header is checked before a single pixel is decoded.
"""

import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from cardigan.data.formats import BadImage, Opener, format_of
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.values import BYTE, NotFiniteError, Range, Values, black_and_white, to_bytes, used, values_of
from cardigan.data.words import printable

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width, in pixels."""

MIN_SIDE = 8
"""Pixels on the short side below which there is nothing to learn from."""
MAX_ASPECT = 10
"""Long side over short side above which a crop keeps almost nothing of the picture."""

ALPHA = "transparent parts painted over with the background"
MARKED = "marked as AI-generated"

_ORIENTATION, _SOFTWARE = 0x0112, 0x0131


@dataclass(frozen=True)
class Decoded:
    """One image, read in full.

    Args:
        pixels: uint8 (H, W, C), the first frame, upright, in sRGB or grey.
        mode: how the file stored its pixels, in Pillow's words, such as ``"RGB"`` or ``"I;16"``.
        format: the file's format by its content, such as ``"PNG"``; ``"array"`` for what was no file.
        notes: what was done to it.
        span: the values that were read as black and as white.
        used: the values between which the image lies, a few of its pixels aside.
    """

    pixels: Pixels
    mode: str
    format: str
    notes: tuple[str, ...] = ()
    span: Range = BYTE
    used: Range = BYTE


def decode(
    data: bytes,
    settings: DataSettings = DEFAULTS,
    *,
    any_shape: bool = False,
    span: Callable[[], Range] | None = None,
) -> Decoded:
    """Read an image in full, of any format in :data:`~cardigan.data.formats.FORMATS`.

    Args:
        data: the whole file.
        settings: ``channels``, ``background``, ``value_range`` and ``max_megapixels`` are read. With ``channels=None``
            a grey image gives one channel and a coloured one three.
        any_shape: take images too small or too long to train on.
        span: gives the black and the white of the set that the image belongs to. It is asked only for an image of more
            than 8 bits, and only where ``value_range`` is None. Without it, whole numbers run from 0 to 65535.

    Raises:
        BadImage: with the reason, if the file is no such image, is damaged, or is of no use for training.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (12, 9), "red").save(file, "PNG")
        >>> decode(file.getvalue()).pixels.shape
        (9, 12, 3)
    """
    kind = format_of(data)
    name = kind.name
    notes: list[str] = []
    try:
        image = kind.open(io.BytesIO(data))
        _check_size(image.height, image.width, settings, any_shape=any_shape)
        mode = image.mode
        if getattr(image, "is_animated", False):
            notes.append("animation or several pages: the first frame is used")
        # A TIFF turns itself while it loads, so its tag must be read before; other formats may hold it at the end.
        orientation = _tag(image, _ORIENTATION) if name == "TIFF" else None
        wide = _wide(image, data, kind.open)
        image.load()
        if _is_marked(data, image):
            notes.append(MARKED)
        if (orientation or _tag(image, _ORIENTATION)) in range(2, 9):
            notes.append("turned upright as its EXIF tag says")
        upright, profile = _upright(image), image.info.get("icc_profile")
        if wide is None:
            if name == "PNG" and data[24:25] == b"\x10":
                notes.append("16 bits a channel reduced to 8")
            black_white = BYTE
            extent, eight = _spread(_eight_bits(upright, profile, notes), settings)
        else:
            black_white = _chosen(wide, settings, span)
            notes.append(_scaled(black_white))
            extent, eight = used(wide), _eight_bits(_image(to_bytes(wide, black_white)), profile, notes)
        pixels = _pixels(eight, settings, notes)
    except BadImage:
        raise
    except Exception as problem:  # decoders raise almost anything on damaged files
        how = "cut short" if "truncated" in str(problem).lower() or isinstance(problem, EOFError) else "damaged"
        raise BadImage(f"{how} {kind.title} file ({printable(str(problem)) or type(problem).__name__})") from problem
    return Decoded(pixels, mode, name, tuple(notes), black_white, extent)


def wide_values(data: bytes, settings: DataSettings = DEFAULTS) -> Values | None:
    """The values of an image of more than 8 bits; None for any other, whose pixels are not even read.

    Raises:
        BadImage: if the image cannot be read.
    """
    opener = format_of(data).open
    try:
        image = opener(io.BytesIO(data))
        _check_size(image.height, image.width, settings)
        wide = _wide(image, data, opener)
        return None if wide is None else _values(wide)
    except BadImage:
        raise
    except Exception as problem:
        raise BadImage(str(problem)) from problem


def from_array(
    pixels: npt.NDArray[Any], settings: DataSettings = DEFAULTS, *, span: Callable[[], Range] | None = None
) -> Decoded:
    """Bring pixels that were no file through the same rules; uint8 of the right channels is kept byte for byte.

    Args:
        pixels: (H, W) or (H, W, C) with 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA channels; uint8 or other numbers.
        settings: as for :func:`decode`.
        span: as for :func:`decode`.

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
    plain = channels == settings.channels or (settings.channels is None and channels in (1, 3))
    notes: list[str] = []
    if pixels.dtype != np.uint8:
        black_white, extent = _chosen(pixels, settings, span), used(pixels)
        notes.append(_scaled(black_white))
        image = _image(to_bytes(pixels, black_white))
    elif plain and not _applies(settings):
        return Decoded(pixels, mode, "array", used=(float(pixels.min()), float(pixels.max())))
    else:
        black_white, (extent, image) = BYTE, _spread(_image(pixels), settings)
    return Decoded(_pixels(image, settings, notes), mode, "array", tuple(notes), black_white, extent)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _check_size(height: int, width: int, settings: DataSettings, *, any_shape: bool = False) -> None:
    megapixels = height * width / 1e6
    if megapixels > settings.max_megapixels:
        raise BadImage(
            f"{height}x{width} is {megapixels:.3g} megapixels, over the limit of {settings.max_megapixels:g} "
            f"(raise it with --set max_megapixels={int(megapixels) + 1})"
        )
    if any_shape:
        return
    if min(height, width) < MIN_SIDE:
        raise BadImage(f"{height}x{width} is too small: the short side must have at least {MIN_SIDE} pixels")
    if settings.fit == "crop" and max(height, width) > MAX_ASPECT * min(height, width):
        raise BadImage(
            f"{height}x{width} is too long to crop: one side may be at most {MAX_ASPECT} times the other; cut it into "
            "pieces with --set fit=cut, or show all of it with --set fit=pad"
        )


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


def _wide(image: ImageFile.ImageFile, data: bytes, opener: Opener) -> npt.NDArray[Any] | None:
    """The upright pixels of an image of more than 8 bits, (H, W) or (H, W, C); None for any other.

    Pillow has no mode for colours of 16 bits and keeps the upper byte. Opened again and told that the bytes lie the
    other way round, it keeps the lower one.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return np.asarray(_upright(image))
    if not image.tile or not re.fullmatch("RGBA?;16[BLN]", _layout(image.tile[0])):
        return None
    upper, lower = opener(io.BytesIO(data)), opener(io.BytesIO(data))
    swapped = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
    for place, tile in enumerate(lower.tile):
        layout = _layout(tile)[:-1] + swapped[_layout(tile)[-1]]
        lower.tile[place] = tile._replace(args=(layout, *tile.args[1:]) if isinstance(tile.args, tuple) else layout)
    high, low = (np.asarray(_upright(each)).astype(np.uint16) for each in (upper, lower))
    return high * 256 + low


def _layout(tile: Any) -> str:
    """How the bytes of a part of a file lie, in Pillow's words."""
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _values(pixels: npt.NDArray[Any]) -> Values:
    try:
        return values_of(pixels)
    except NotFiniteError as problem:
        raise BadImage(f"holds NaN or infinite pixels: {problem.value} at {list(problem.index)}") from None


def _chosen(pixels: npt.NDArray[Any], settings: DataSettings, span: Callable[[], Range] | None) -> Range:
    """Black and white of wide pixels. Whole numbers that belong to no set run over 16 bits, as viewers show them."""
    values = _values(pixels)
    if settings.bounds or span:
        return settings.bounds or (span() if span else BYTE)
    wide = values.whole and values.low >= 0 and 1 < values.high <= 65_535
    return (0.0, 65_535.0) if wide else black_and_white(values)


def _scaled(span: Range) -> str:
    return f"{span[0]:,.6g} to {span[1]:,.6g} scaled to 8 bits"


def _spread(image: Image.Image, settings: DataSettings) -> tuple[Range, Image.Image]:
    """The values that the colours of an 8-bit image use, and the image with ``value_range`` spread over 0 to 255."""
    bands = image.getbands()
    colours = len(bands) - ("A" in bands)
    found = np.array(image.getextrema()).reshape(-1, 2)[:colours]
    extent = float(found.min()), float(found.max())
    if not _applies(settings):
        return extent, image
    table = to_bytes(np.arange(256), settings.bounds or BYTE).tolist()
    return extent, image.point(table * colours + list(range(256)) * (len(bands) - colours))


def _applies(settings: DataSettings) -> bool:
    """Whether 8-bit pixels can have the values of ``value_range``; in a set of mixed depths, only the others may."""
    return settings.bounds is not None and settings.bounds[0] >= 0 and settings.bounds[1] <= 255


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
