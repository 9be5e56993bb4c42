import contextlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from cardigan.data.decode import ALPHA, MARKED, BadImage, decode, from_array, wide_values
from cardigan.data.options import DataSettings
from cardigan.errors import CardiganError


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def colours(size=(16, 12)):
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_keep_every_pixel(format):
    image = decode(encoded(colours(), format))
    assert image.format == format
    assert image.pixels.dtype == np.uint8
    assert image.pixels.shape == (12, 16, 3)
    assert image.notes == ()
    np.testing.assert_array_equal(image.pixels, np.asarray(colours()))


@pytest.mark.parametrize(("format", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_other_formats_are_read(format, options):
    image = decode(encoded(Image.new("RGB", (16, 12), (200, 60, 20)), format, **options))
    assert image.format == format
    assert image.pixels.shape == (12, 16, 3)
    np.testing.assert_allclose(image.pixels[5, 5], (200, 60, 20), atol=4)


def test_grey_stays_one_channel_and_channels_can_be_asked_for():
    grey = encoded(Image.new("L", (8, 9), 77))
    assert decode(grey).pixels.shape == (9, 8, 1)
    assert decode(grey, DataSettings(channels=3)).pixels[0, 0].tolist() == [77, 77, 77]
    assert decode(grey, DataSettings(channels=2)).pixels[0, 0].tolist() == [77, 255]
    assert decode(encoded(Image.new("RGB", (8, 8), "white")), DataSettings(channels=1)).pixels.shape == (8, 8, 1)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_sixteen_bit_ramp_is_scaled_not_clipped(format):
    ramp = np.linspace(0, 65535, 4096).round().astype(np.uint16).reshape(64, 64)
    image = decode(encoded(Image.fromarray(ramp), format))
    np.testing.assert_array_equal(image.pixels[:, :, 0], (ramp / 257).round())
    assert image.pixels.max() == 255
    assert len(np.unique(image.pixels)) == 256
    assert image.notes == ("0 to 65,535 scaled to 8 bits",)
    assert image.span == (0, 65535)


def png16(pixels):
    """A PNG of 16-bit RGB or RGBA, which Pillow reads but cannot write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(pixels, order="<"):
    """An uncompressed TIFF of 16-bit RGB, which Pillow reads but cannot write."""
    height, width, _ = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14)]
    entries += [(277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(data))]
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        padded = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
        table += struct.pack(f"{order}HHI", tag, kind, count) + padded
    start = 14 + len(data)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI3H", 42, start, 16, 16, 16)
    return head + data + table + bytes(4)


@pytest.mark.parametrize(
    "write", [png16, tiff16, lambda pixels: tiff16(pixels, ">")], ids=["PNG", "little TIFF", "big TIFF"]
)
def test_sixteen_bit_colour_keeps_both_bytes(write):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4096, (9, 8, 3), dtype=np.uint16)
    pixels[0, 0] = 0, 4095, 2048
    image = decode(write(pixels), span=lambda: (0.0, 4095.0))
    np.testing.assert_array_equal(image.pixels, np.floor(pixels * (255 / 4095) + 0.5))
    assert image.notes == ("0 to 4,095 scaled to 8 bits",)
    assert image.mode == "RGB"
    values = wide_values(write(pixels))
    assert (values.low, values.high, values.whole) == (0, 4095, True)
    assert decode(write(np.full((8, 8, 3), (65535, 32768, 0)))).pixels[0, 0].tolist() == [255, 128, 0]


def test_sixteen_bit_alpha_is_painted_over():
    image = decode(png16(np.full((8, 8, 4), (65535, 0, 0, 0))))
    assert image.pixels[0, 0].tolist() == [255, 255, 255]
    assert ALPHA in image.notes


def test_only_images_of_more_than_eight_bits_have_wide_values():
    assert wide_values(encoded(colours())) is None
    assert wide_values(encoded(Image.new("L", (8, 8)))) is None
    with pytest.raises(BadImage, match="empty file"):
        wide_values(b"")


def test_a_value_range_spreads_colours_and_leaves_alpha():
    few = Image.new("RGBA", (8, 8), (0, 15, 5, 200))
    settings = DataSettings(value_range="0..15", channels=4)
    assert decode(encoded(few), settings).pixels[0, 0].tolist() == [0, 255, 85, 200]
    assert from_array(np.asarray(few), settings).pixels[0, 0].tolist() == [0, 255, 85, 200]
    assert decode(encoded(few), settings).used == (0, 15)
    grey = encoded(Image.new("L", (8, 8), 15))
    assert decode(grey, DataSettings(value_range="0..15")).pixels[0, 0].tolist() == [255]
    assert decode(grey, DataSettings(value_range="0..4095")).pixels[0, 0].tolist() == [15]  # no byte is as large


def test_wide_integers_follow_an_explicit_rule():
    ramp = np.linspace(0, 65535, 64).astype(np.int32).reshape(8, 8)
    assert decode(encoded(Image.fromarray(ramp), "TIFF")).pixels.max() == 255
    larger = decode(encoded(Image.fromarray(ramp * 2 - 5), "TIFF"))
    assert larger.span == (-5, 131065)
    np.testing.assert_array_equal(larger.pixels, decode(encoded(Image.fromarray(ramp), "TIFF")).pixels)


def test_float_pixels_follow_an_explicit_rule():
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    image = decode(encoded(Image.fromarray(ramp), "TIFF"))
    np.testing.assert_array_equal(image.pixels.ravel(), np.arange(256))
    assert image.notes == ("0 to 1 scaled to 8 bits",)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(ramp * 2 - 1), "TIFF")).pixels, image.pixels)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(ramp * 85 - 80), "TIFF")).pixels, image.pixels)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_pixels_are_refused(value):
    values = np.zeros((8, 8), np.float32)
    values[3, 3] = value
    with pytest.raises(BadImage, match=r"holds NaN or infinite pixels: (nan|inf) at \[3, 3\]"):
        decode(encoded(Image.fromarray(values), "TIFF"))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_becomes_the_colour_it_shows(format):
    image = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), format))
    np.testing.assert_allclose(image.pixels[8, 8], (255, 0, 0), atol=3)
    assert image.mode == "CMYK"
    assert "CMYK converted to RGB" in image.notes


def test_alpha_is_painted_over_the_background():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 255, 255))
    image.putpixel((2, 0), (0, 0, 0, 128))
    white, black = decode(encoded(image)), decode(encoded(image), DataSettings(background="black"))
    assert white.pixels[0, :3].tolist() == [[255, 255, 255], [0, 0, 255], [127, 127, 127]]
    assert black.pixels[0, :3].tolist() == [[0, 0, 0], [0, 0, 255], [0, 0, 0]]
    assert white.notes == (ALPHA,)
    kept = decode(encoded(image), DataSettings(channels=4))
    assert kept.pixels[0, 0].tolist() == [255, 0, 0, 0]
    assert kept.notes == ()


def test_opaque_alpha_is_dropped_without_a_note():
    image = decode(encoded(Image.new("RGBA", (8, 8), (1, 2, 3, 255))))
    assert image.pixels[0, 0].tolist() == [1, 2, 3]
    assert image.notes == ()


def test_grey_alpha_stays_grey_on_grey_and_gains_colour_on_colour():
    data = encoded(Image.new("LA", (8, 8), (10, 0)))
    assert decode(data).pixels[0, 0].tolist() == [255]
    assert decode(data, DataSettings(background="#ff8000")).pixels[0, 0].tolist() == [255, 128, 0]


def test_palette_with_transparency():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([255, 0, 0, 0, 128, 0])
    image.putpixel((0, 0), 0)
    assert decode(encoded(image)).pixels[0, :2].tolist() == [[255, 0, 0], [0, 128, 0]]
    clear = decode(encoded(image, transparency=0))
    assert clear.pixels[0, :2].tolist() == [[255, 255, 255], [0, 128, 0]]
    assert clear.notes == ("palette expanded", ALPHA)


def test_transparent_colour_of_rgb_and_grey():
    rgb = decode(encoded(Image.new("RGB", (8, 8), (9, 9, 9)), transparency=(9, 9, 9)))
    grey = decode(encoded(Image.new("L", (8, 8), 9), transparency=9))
    assert rgb.pixels[0, 0].tolist() == [255, 255, 255]
    assert grey.pixels[0, 0].tolist() == [255]


def test_one_bit_is_expanded():
    image = Image.new("1", (8, 8), 0)
    image.putpixel((3, 0), 1)
    decoded = decode(encoded(image))
    assert decoded.pixels[0, 2:5, 0].tolist() == [0, 255, 0]
    assert decoded.notes == ("1-bit black and white expanded",)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_turns_the_image_upright(format):
    image = Image.new("RGB", (40, 20), "black")
    image.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left half comes to the top
    decoded = decode(encoded(image, format, exif=exif))
    assert decoded.pixels.shape == (40, 20, 3)
    assert decoded.pixels[5, 10].min() > 200
    assert decoded.pixels[35, 10].max() < 50
    assert "turned upright as its EXIF tag says" in decoded.notes


def test_damaged_exif_does_not_spoil_the_picture():
    data = encoded(colours(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert decode(data).pixels.shape == (12, 16, 3)


def test_embedded_profile_is_converted_to_srgb():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    assert decode(encoded(red, icc_profile=srgb.tobytes())).notes == ()
    # The same profile with red and green exchanged, under another name.
    exchanged = srgb.tobytes().replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    exchanged = exchanged.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    green = decode(encoded(red, icc_profile=exchanged))
    np.testing.assert_allclose(green.pixels[0, 0], (30, 200, 30), atol=2)
    assert green.notes == ("colour profile converted to sRGB",)
    for profile in (lab.tobytes(), b"no profile"):
        odd = decode(encoded(red, icc_profile=profile))
        assert odd.pixels[0, 0].tolist() == [200, 30, 30]
        assert odd.notes == ("colour profile passed over: it cannot be used",)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_give_their_first_frame(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    image = decode(encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    np.testing.assert_allclose(image.pixels[8, 8], (255, 0, 0), atol=4)
    assert "animation or several pages: the first frame is used" in image.notes


JPEG, PNG = encoded(colours((64, 64)), "JPEG"), encoded(colours((64, 64)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"\n <!DOCTYPE html><html>404</html>", "looks like HTML: a web page was saved in place of the image"),
        (b"\xef\xbb\xbf<html>", "looks like HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "looks like SVG"),
        (b"%PDF-1.7", "looks like PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "looks like PostScript"),
        (b"\0\0\0\x1cftypmp42", "looks like a video; expected PNG, JPEG, WebP"),
        (b"\xff\x0a rest", "looks like JPEG XL; expected PNG"),
        (
            b"8BPS\0\1",
            "not an image of a format that is read here: PNG, JPEG, WebP, BMP, GIF, TIFF, PNM, AVIF, JPEG 2000 or HEIC",
        ),
        (b"hello", "not an image of a format that is read here"),
        (JPEG[: len(JPEG) // 2], "cut short JPEG file"),
        (PNG[: len(PNG) // 2], "cut short PNG file"),
        (PNG[:20], "PNG file"),
        (JPEG[:3], "JPEG file"),
        (encoded(Image.new("L", (1, 1))), "1x1 is too small: the short side must have at least 8 pixels"),
        (
            encoded(Image.new("L", (8, 200))),
            "200x8 is too long to crop: one side may be at most 10 times the other; cut it into pieces "
            "with --set fit=cut",
        ),
    ],
)
def test_bad_files_are_refused_with_a_reason(data, reason):
    with pytest.raises(BadImage) as caught:
        decode(data)
    assert reason in str(caught.value)
    assert isinstance(caught.value, CardiganError)


def test_bombs_are_refused_by_their_header_without_touching_pillow():
    bomb = encoded(Image.new("1", (10_000, 10_000)))
    assert len(bomb) < 100_000
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    with pytest.raises(BadImage, match=r"10000x10000 is 100 megapixels, over the limit of 64 .*max_megapixels=101"):
        decode(bomb)
    assert decode(bomb, DataSettings(max_megapixels=101)).pixels.shape == (10_000, 10_000, 1)
    with pytest.raises(BadImage, match=r"is 0\.000768 megapixels"):
        decode(encoded(colours((32, 24))), DataSettings(max_megapixels=0.0005))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_huge_text_chunks_are_refused():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 3_000_000, zip=True)
    with pytest.raises(BadImage, match=r"damaged PNG file .*too large"):
        decode(encoded(colours(), pnginfo=text))


@pytest.mark.parametrize("compressed", [False, True])
def test_images_made_by_models_are_noted(compressed):
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x>digitalsourcetype/trainedAlgorithmicMedia</x>", zip=compressed)
    assert decode(encoded(colours(), pnginfo=text)).notes == (MARKED,)
    ours = PngImagePlugin.PngInfo()
    ours.add_text("Software", "Cardigan 0.1.0", zip=compressed)
    assert decode(encoded(colours(), pnginfo=ours)).notes == (MARKED,)
    caption = PngImagePlugin.PngInfo()
    caption.add_text("Description", "a blue cardigan")
    assert decode(encoded(colours(), pnginfo=caption)).notes == ()
    exif = Image.Exif()
    exif[0x0131] = "cardigan 0.1.0"
    assert decode(encoded(colours(), "JPEG", exif=exif)).notes == (MARKED,)


def test_arrays_of_the_right_channels_are_kept_byte_for_byte():
    pixels = np.asarray(colours())
    assert from_array(pixels).pixels is pixels
    assert from_array(pixels[:, :, 0]).pixels.shape == (12, 16, 1)
    clear = from_array(np.zeros((8, 8, 4), np.uint8))
    assert clear.pixels[0, 0].tolist() == [255, 255, 255]
    assert clear.notes == (ALPHA,)
    assert from_array(np.zeros((8, 8, 2), np.uint8), DataSettings(channels=2)).pixels.shape == (8, 8, 2)
    with pytest.raises(BadImage, match="4x4 is too small"):
        from_array(np.zeros((4, 4), np.uint8))


@given(
    st.binary(max_size=200), st.sampled_from([b"", JPEG[:300], PNG[:60], b"RIFF0000WEBP", b"GIF89a", b"II*\0", b"BM"])
)
def test_any_bytes_give_pixels_or_a_reason(tail, head):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(BadImage):
            assert decode(head + tail).pixels.dtype == np.uint8
