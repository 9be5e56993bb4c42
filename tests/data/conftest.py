"""What the tests of the data share: images as files, folders and zips of them, and made-up sources."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cardigan.data import Item, Source, open_source
from cardigan.errors import CardiganError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shared():
    """The path of a shared data set."""

    def find(name):
        if not (SHARED / name).exists():
            pytest.skip(f"the shared data set {name} is not here")
        return SHARED / name

    return find


@pytest.fixture
def png():
    """A small image as a file."""

    def encode(colour="red", size=(16, 16)):
        file = io.BytesIO()
        Image.new("RGB", size, colour).save(file, "PNG")
        return file.getvalue()

    return encode


@pytest.fixture
def tree(png):
    """A folder of files."""

    def write(root, *names, content=None):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png() if content is None else content)
        return root

    return write


@pytest.fixture
def zipped(png):
    """A zip of images."""

    def write(path, *names, **options):
        with zipfile.ZipFile(path, "w", **options) as file:
            for name in names:
                file.writestr(name, png())
        return path

    return write


@pytest.fixture
def message():
    """What opening a source fails with."""

    def fail(text):
        with pytest.raises(CardiganError) as caught:
            open_source(text)
        return str(caught.value)

    return fail


@pytest.fixture
def made():
    """A source of arrays: those that are given, or as many as asked for, which differ unless ``pixels`` says so."""

    def different(index):
        return np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8)

    def make(images, labels=None, classes=(), *, pixels=different, remarks=(), key="key"):
        if isinstance(images, int):
            reads = [lambda index=index: pixels(index) for index in range(images)]
        else:
            reads = [lambda image=image: image for image in images]
        items = tuple(Item(str(at), read, labels[at] if labels else None) for at, read in enumerate(reads))
        return Source("made", "made up", items, key, tuple(classes), tuple(remarks))

    return make


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def noise(seed, size=(32, 24), mode="RGB"):
    shape = (size[1], size[0], len(mode)) if len(mode) > 1 else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(noise(4), "JPEG", exif=exif)


def software():
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "cardigan 0.1.0")
    return encoded(noise(5), pnginfo=text)


WIDE = encoded(Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32) * 85))


ZOO = {  # name -> (bytes, the reason or None, the notes)
    "animated.gif": (
        encoded(noise(1), "GIF", save_all=True, append_images=[noise(2)]),
        None,
        ("palette expanded", "animation or several pages: the first frame is used"),
    ),
    "bomb.png": (encoded(Image.new("1", (9000, 9000))), "9000x9000 is 81 megapixels", ()),
    "clear.png": (
        encoded(noise(3, mode="RGBA")),
        None,
        ("transparent parts painted over with the background",),
    ),
    "cmyk.jpg": (encoded(noise(6).convert("CMYK"), "JPEG"), None, ("CMYK converted to RGB",)),
    "cut.jpg": (encoded(noise(7), "JPEG")[:600], "cut short JPEG file", ()),
    "empty.png": (b"", "empty file (0 bytes)", ()),
    "good.png": (encoded(noise(8)), None, ()),
    "good-copy.bmp": (encoded(noise(8), "BMP"), None, ()),
    "grey.png": (encoded(noise(9, mode="L")), None, ()),
    "line.png": (encoded(Image.new("L", (300, 8))), "8x300 is too long to crop", ()),
    "nan.tif": (encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), "holds NaN", ()),
    "ours.png": (software(), None, ("marked as AI-generated",)),
    "page.jpg": (b"<!doctype html><p>Not found", "looks like HTML", ()),
    "really-a-png.jpg": (encoded(noise(10)), None, ("PNG under another ending",)),
    "turned.jpg": (turned(), None, ("turned upright as its EXIF tag says",)),
    "wide.png": (WIDE, None, ("0 to 65,535 scaled to 8 bits",)),
    "x\n\u202egpj.png": (encoded(Image.new("L", (1, 1))), "1x1 is too small", ()),
}


@pytest.fixture(params=["folder", "zip"])
def zoo(request, tmp_path):
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "zoo.zip", "w") as file:
            for name, (data, _, _) in {**ZOO, ".DS_Store": (b"x", 0, 0), "notes.txt": (b"x", 0, 0)}.items():
                file.writestr(name, data)
        return open_source(tmp_path / "zoo.zip")
    (tmp_path / "zoo").mkdir()
    for name, (data, _, _) in {**ZOO, ".DS_Store": (b"x", 0, 0), "notes.txt": (b"x", 0, 0)}.items():
        (tmp_path / "zoo" / name).write_bytes(data)
    return open_source(tmp_path / "zoo")


@pytest.fixture
def animals():
    """What is in the zoo: name -> (bytes, the reason or None, the notes)."""
    return ZOO
