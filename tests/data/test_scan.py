import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cardigan.data import scan as scan_function
from cardigan.data.decode import DataSettings
from cardigan.data.scan import scan, survey
from cardigan.data.sources import Item, Source, open_source

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


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
    "line.png": (encoded(Image.new("L", (300, 8))), "300x8 is too long", ()),
    "nan.tif": (encoded(Image.fromarray(np.full((8, 8), np.nan, np.float32)), "TIFF"), "holds NaN", ()),
    "ours.png": (software(), None, ("marked as AI-generated",)),
    "page.jpg": (b"<!doctype html><p>Not found", "looks like HTML", ()),
    "really-a-png.jpg": (encoded(noise(10)), None, ("PNG under another ending",)),
    "turned.jpg": (turned(), None, ("turned upright as its EXIF tag says",)),
    "wide.png": (WIDE, None, ("16 bits a channel reduced to 8",)),
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


def made(count, *, labels=None, classes=(), pixels=None, remarks=()):
    """A source of arrays that all differ, unless ``pixels`` says otherwise."""
    draw = pixels or (lambda index: np.random.default_rng(index).integers(0, 256, (8, 8), dtype=np.uint8))
    items = tuple(
        Item(f"{index}", lambda index=index: draw(index), labels[index] if labels else None) for index in range(count)
    )
    return Source("made", "made up", items, "key", tuple(classes), tuple(remarks))


def test_every_animal_of_the_zoo_gets_its_verdict(zoo):
    findings = {finding.item.name: finding for finding in survey(zoo, DataSettings())}
    assert findings.keys() == ZOO.keys()
    for name, (_, reason, notes) in ZOO.items():
        if reason is None:
            assert findings[name].reason is None, name
            assert set(findings[name].notes) == set(notes), name
        else:
            assert findings[name].reason.startswith(reason), name
    assert findings["turned.jpg"].size == (32, 24)
    assert findings["good.png"].digest == findings["good-copy.bmp"].digest


def test_the_scan_of_the_zoo(zoo):
    calls = []
    found = scan(zoo, on_progress=lambda done, total: calls.append((done, total)))
    good = [name for name, (_, reason, _) in ZOO.items() if reason is None]
    assert calls == [(done, len(ZOO)) for done in range(1, len(ZOO) + 1)]
    assert (found.files, found.count, found.kept, found.channels) == (len(ZOO), len(good), len(good) - 1, 3)
    assert found.duplicates == (("good-copy.bmp", "good.png"),)
    assert found.ignored == {"hidden or system": 1, ".txt": 1}
    assert dict(found.bad)["x\\n\\u202egpj.png"].startswith("1x1 is too small")
    assert found.modes == {"RGB": 5, "P": 1, "RGBA": 1, "CMYK": 1, "L": 1, "I;16": 1}
    assert found.sizes["most common"] == (24, 32)
    assert found.refusals == ()
    said = "\n".join(found.warnings)
    assert "Only 9 images: the model will very likely copy them." in said
    assert "7 files cannot be used and are left out: bomb.png (9000x9000" in said
    assert "and 2 more. To stop instead: --set on_bad=stop" in said
    assert "1 of 10 images are exact copies of another and are left out." in said
    assert "1 of 10 images are transparent in places and painted over with white" in said
    assert "1 of 10 images are marked as AI-generated" in said


def test_the_summary_fits_a_terminal_and_the_config(zoo):
    found = scan(zoo)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()
    for part in ("10 of 17 files can be used, 9 are kept", "classes   none", "warning", "unusable", "ignored"):
        assert part in text
    again = json.loads(json.dumps(found.to_dict()))
    assert again["count"] == 10
    assert again["sizes"]["smallest"] == [24, 32]


def test_scan_is_reexported():
    assert scan_function is scan


def test_grey_only_if_all_are_grey():
    assert scan(made(3)).channels == 1
    assert scan(made(3, pixels=lambda index: np.full((8, 8, 3), index, np.uint8))).channels == 3
    assert scan(made(3, pixels=lambda index: np.full((8, 8, 4), index, np.uint8))).channels == 3
    assert scan(made(3), settings=DataSettings(channels=4)).channels == 4


def test_sizes_are_summed_up():
    found = scan(made(5, pixels=lambda index: np.full((8 + index // 2, 20 - index), index, np.uint8)))
    assert found.sizes == {"smallest": (8, 19), "median": (9, 18), "largest": (9, 18), "most common": (8, 20)}


def test_one_image_is_refused():
    assert (
        scan(made(1)).refusals[0].startswith("Only 1 image in made can be used; expected at least 2, better hundreds.")
    )


def test_few_images_are_warned_of():
    assert "Only 99 images: the model will very likely copy them. None can be held out" in scan(made(99)).warnings[0]
    assert scan(made(100)).warnings == ()


def test_identical_images_are_refused():
    found = scan(made(512, pixels=lambda index: np.zeros((8, 8), np.uint8)))
    assert found.refusals[0].startswith("All 512 images have the same hash. Expected different images in made")


def test_no_usable_image_is_refused():
    found = scan(made(2, pixels=lambda index: np.zeros((2, 2), np.uint8)))
    assert found.refusals[0].startswith("No image in made can be used: 0 (2x2 is too small")
    assert "can be used" in found.render()


def test_classes_are_counted_and_lonely_ones_refused():
    source = made(5, labels=[0, 0, 1, 2, 2], classes=("cat", "Cat", "dog", "empty"))
    found = scan(source)
    assert found.classes == {"cat": 2, "Cat": 1, "dog": 2, "empty": 0}
    assert found.refusals == (
        "2 classes in made have fewer than 2 images: Cat (1), empty (0). Add images to them or remove them, or train "
        "without classes: --set labels=false",
    )
    assert (
        "Classes whose names differ only by case: cat, Cat. If cat is one class, merge the folders." in found.warnings
    )
    without = scan(source, settings=DataSettings(labels=False))
    assert (without.classes, without.refusals) == ({}, ())


def test_copies_in_two_classes_are_named():
    source = made(6, labels=[0, 0, 0, 1, 1, 1], classes=("a", "b"), pixels=lambda i: np.full((8, 8), i % 4, np.uint8))
    found = scan(source)
    assert found.classes == {"a": 3, "b": 1}
    assert "2 copies lie in another class than the image that they copy." in found.warnings
    kept = scan(source, settings=DataSettings(duplicates="keep"))
    assert kept.classes == {"a": 3, "b": 3}
    assert "2 of 6 images are exact copies of another and are kept, and count double." in kept.warnings


def test_small_images_are_counted_and_refused_above_a_fifth():
    def pixels(index):
        return np.full((16 if index < 8 else 12, 16), index, np.uint8)

    few = scan(made(10, pixels=pixels), size=(16, 16))
    assert few.refusals == ()
    assert "2 of 10 images are smaller than asked and are enlarged, which teaches blur." in few.warnings
    many = scan(made(10, pixels=pixels), size=(32, 32))
    assert many.refusals == (
        "10 of 10 images in made are smaller than 32x32; enlarged, they would teach blur. Type a smaller size, such as "
        "--size 16, or --set allow_upscale=true",
    )
    assert scan(made(10, pixels=pixels), size=(32, 32), settings=DataSettings(allow_upscale=True)).refusals == ()
    assert scan(made(10, pixels=pixels), size=(16, 16), settings=DataSettings(fit="pad")).warnings[1:] == ()


def test_on_bad_stop_refuses():
    source = made(3, pixels=lambda index: np.full((8 if index else 2, 8), index, np.uint8))
    assert (
        scan(source, settings=DataSettings(on_bad="stop"))
        .refusals[0]
        .startswith("1 files in made cannot be used: 0 (8x2 is too small")
    )


def test_unreadable_files_are_listed():
    def draw(index):
        if index == 1:
            raise PermissionError(13, "Permission denied")
        return np.full((8, 8), index, np.uint8)

    found = scan(made(3, pixels=draw, remarks=["A remark."]))
    assert found.bad == (("1", "cannot be read: Permission denied"),)
    assert found.warnings[0] == "A remark."


def test_shared_photos_scan():
    path = SHARED / "superres.zip"
    if not path.exists():
        pytest.skip("the shared data set superres.zip is not here")
    found = scan(open_source(path))
    assert found.count == 98
    assert found.modes == {"RGB": 97, "L": 1}
    assert found.bad == ()
