import builtins
import io

import numpy as np
import pytest
from PIL import Image, features

from cardigan.data import BadImage, decode, open_source, scan
from cardigan.data.formats import EXTENSIONS, FORMATS, format_of, is_image


def saved(format, mode="RGB", seed=0, **options):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, format, **options)
    return file.getvalue(), pixels


HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1heic" + bytes(range(64))


@pytest.mark.parametrize(
    ("format", "mode", "options", "lossless"),
    [
        ("PPM", "RGB", {}, True),
        ("PPM", "L", {}, True),
        ("PPM", "1", {}, False),
        ("AVIF", "RGB", {}, False),
        ("JPEG2000", "RGB", {"irreversible": False}, True),
        ("JPEG2000", "RGB", {"no_jp2": True}, True),
        ("DIB", "RGB", {}, None),
    ],
)
def test_formats_beside_the_common_ones(format, mode, options, lossless):
    data, pixels = saved(format, mode, **options)
    if lossless is None:  # a bitmap without a file's header has no mark to know it by
        with pytest.raises(BadImage, match="not an image of a format"):
            decode(data)
        return
    found = decode(data).pixels
    assert found.shape == (16, 24, 1 if mode in ("L", "1") else 3)
    if lossless:
        wanted = pixels if mode == "RGB" else np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
        np.testing.assert_array_equal(found, wanted)


def test_every_ending_belongs_to_one_format():
    assert len(EXTENSIONS) == len(set(EXTENSIONS))
    assert all(ending == ending.lower() and ending[0] == "." for ending in EXTENSIONS)
    assert {".jfif", ".jpe", ".pgm", ".ppm", ".pbm", ".pnm", ".avif", ".jp2", ".heic"} <= set(EXTENSIONS)
    assert [each.name for each in FORMATS if each.feature] == ["WEBP", "AVIF", "JPEG2000"]


@pytest.mark.parametrize(
    "head", [b"BM words", b"P5 is a port", b"P1", b"RIFF1234WAVE", b"\0\0\0\x18ftypmp42", b"", b"II"]
)
def test_words_and_videos_are_no_images(head):
    assert not is_image(head)


def test_usual_and_unusual_endings_and_none_at_all(tmp_path):
    data, _ = saved("JPEG")
    for name in ("a.jfif", "b.JPE", "c", "d.0001", "e.jpg_large", "notes.txt", "raw.cr2", "word"):
        (tmp_path / name).write_bytes(data if name not in ("notes.txt", "word") else b"BM no image at all")
    source = open_source(tmp_path)
    assert [item.name for item in source] == ["a.jfif", "b.JPE", "c", "d.0001", "e.jpg_large"]
    assert source.ignored == {".txt": 1, ".cr2": 1, "without an ending": 1}
    assert source.remarks == (
        "1 picture is of a kind that is not read (raw photos of cameras 1): convert to PNG or JPEG.",
    )
    assert open_source(tmp_path / "c").crops is not None


def test_heic_names_its_extra_under_any_ending(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("a.HEIC", "b.heif", "c.jpg"):
        (tmp_path / name).write_bytes(HEIC)
    found = scan(open_source(tmp_path))
    assert [name for name, _ in found.bad] == ["a.HEIC", "b.heif", "c.jpg"]
    (refusal,) = found.refusals
    assert refusal.count('pip install "cardigan[heif]"') == 1
    assert "a.HEIC, b.heif and 1 more (HEIC, the photo format of telephones, needs a library" in refusal
    assert not [text for text in found.warnings if "cannot be used" in text]


def test_heic_is_read_where_its_library_is(tmp_path):
    library = pytest.importorskip("pillow_heif", reason="the library for HEIC is not installed")
    file = io.BytesIO()
    pixels = np.full((32, 48, 3), (200, 30, 60), np.uint8)
    library.from_pillow(Image.fromarray(pixels)).save(file, quality=95)
    found = decode(file.getvalue())
    assert found.format == "HEIF"
    np.testing.assert_allclose(found.pixels, pixels, atol=6)


def test_a_pillow_without_a_codec_is_named(monkeypatch):
    data, _ = saved("AVIF")
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(
        BadImage, match=r"AVIF is not read by the Pillow that is installed\. Type: pip install --upgrade"
    ):
        format_of(data)
