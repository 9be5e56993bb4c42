import numpy as np
import pytest
from PIL import Image

from cardigan.data import DataSettings, open_source, prepare, scan
from cardigan.data.survey import survey


def test_every_animal_of_the_zoo_gets_its_verdict(zoo, animals):
    findings = {finding.item.name: finding for finding in survey(zoo, DataSettings())}
    assert findings.keys() == animals.keys()
    for name, (_, reason, notes) in animals.items():
        if reason is None:
            assert findings[name].reason is None, name
            assert set(findings[name].notes) == set(notes), name
        else:
            assert findings[name].reason.startswith(reason), name
    assert findings["turned.jpg"].size == (32, 24)
    assert findings["good.png"].digest == findings["good-copy.bmp"].digest


def test_unreadable_files_are_listed(made):
    def draw(index):
        if index == 1:
            raise PermissionError(13, "Permission denied")
        return np.full((8, 8), index, np.uint8)

    found = scan(made(3, pixels=draw, remarks=["A remark."]))
    assert found.bad == (("1", "cannot be read: Permission denied"),)
    assert found.warnings[0] == "A remark."


def folder(path, pictures, ending="png"):
    """A folder of pictures, which are arrays of any type."""
    path.mkdir()
    for at, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"{at:02}.{ending}")
    return open_source(path)


def ramps(count=6, side=16):
    """Grey ramps, each darker than the one before, from 0 to 255."""
    return [
        (np.arange(side**2).reshape(side, side) * 255.0 / (side**2 - 1)) * (1 - at / (count + 2)) for at in range(count)
    ]


@pytest.mark.parametrize(
    ("scale", "offset", "kind", "ending", "span"),
    [
        (1023 / 255, 0, np.uint16, "png", (0, 1023)),
        (4095 / 255, 0, np.uint16, "png", (0, 4095)),
        (16383 / 255, 0, np.uint16, "tif", (0, 16383)),
        (65535 / 255, 0, np.uint16, "tif", (0, 65535)),
        (1, 0, np.uint16, "png", (0, 255)),
        (10 / 255, 0, np.uint16, "png", (0, 10)),
        (4095 / 255, 0, np.int32, "tif", (0, 4095)),
        (3000 / 255, -1000, np.int32, "tif", (-1000, 2000)),
        (100_000 / 255, 0, np.int32, "tif", (0, 100_000)),
        (1 / 255, 0, np.float32, "tif", (0, 1)),
        (2 / 255, -1, np.float32, "tif", (-1, 1)),
        (1, 0, np.float32, "tif", (0, 255)),
        (85 / 255, -80, np.float32, "tif", (-80, 5)),
    ],
)
def test_a_set_has_one_range_that_is_seen_from_all_its_pictures(tmp_path, scale, offset, kind, ending, span):
    source = folder(
        tmp_path / "wide",
        [
            np.rint(ramp * scale + offset).astype(kind)
            if np.dtype(kind).kind != "f"
            else (ramp * scale + offset).astype(kind)
            for ramp in ramps()
        ],
        ending,
    )
    assert {finding.span for finding in survey(source, DataSettings())} == {span}
    levels = 255 / 10 if span == (0, 10) else 1
    for image, ramp in zip(prepare(source, size=None).images, ramps(), strict=True):  # dark pictures stay dark
        np.testing.assert_allclose(image[..., 0], ramp, atol=levels)
    assert f"{span[0]:,} to {span[1]:,} scaled to 8 bits" in scan(source).notes


def test_images_of_eight_bits_are_decoded_once(tmp_path, monkeypatch):
    source = folder(tmp_path / "plain", [ramp.astype(np.uint8) for ramp in ramps()])
    monkeypatch.setattr("cardigan.data.survey.wide_values", lambda *_: pytest.fail("read again"))
    assert len(list(survey(source, DataSettings()))) == 6


def test_wide_images_beside_others_leave_those_as_they_are(tmp_path):
    pictures = [ramp.astype(np.uint8) for ramp in ramps(3)] + [(ramp * 16).astype(np.uint16) for ramp in ramps(3)]
    images = prepare(folder(tmp_path / "mixed", pictures), size=None, settings=DataSettings(duplicates="keep")).images
    for image, ramp in zip(images, ramps(3) * 2, strict=True):
        np.testing.assert_allclose(image[..., 0], ramp, atol=1.5)


def test_one_hot_pixel_does_not_hide_that_little_is_used(tmp_path):
    dark = [(ramp * 16).astype(np.uint16) for ramp in ramps(30, side=40)]
    dark[3][0, 0] = 65535
    said = "\n".join(scan(folder(tmp_path / "hot", dark)).warnings)
    assert "The images use little of the range from 0 to 65,535: nearly all lie between 0 and " in said


def test_grey_that_is_stored_in_colour_gets_one_channel(tmp_path):
    tmp_path.joinpath("grey").mkdir()
    for at, ramp in enumerate(ramps()):
        Image.fromarray(ramp.astype(np.uint8)).convert("RGB").save(tmp_path / "grey" / f"{at}.jpg")
    source = open_source(tmp_path / "grey")
    found = scan(source)
    assert (found.channels, found.modes, found.notes) == (1, {"RGB": 6}, {"grey stored as RGB": 6})
    assert (
        "6 of 6 images are stored in colour and grey: all are read with one channel. To keep three: --set channels=3"
        in found.warnings
    )
    one, three = prepare(source, size=None), prepare(source, size=None, settings=DataSettings(channels=3))
    assert (one.shape, three.shape) == ((16, 16, 1), (16, 16, 3))
    np.testing.assert_array_equal(np.repeat(one.images, 3, axis=3), three.images)


def tinted(pixels, tint):
    return (np.stack([pixels] * 3, axis=-1) * tint).astype(np.uint8)


@pytest.mark.parametrize("case", ["sepia", "noise", "one pixel"])
def test_nearly_grey_stays_in_colour(made, case):
    pictures = [tinted(ramp, (1, 0.96, 0.86) if case == "sepia" else 1) for ramp in ramps()]
    if case != "sepia":
        for picture in pictures:
            picture[:: 1 if case == "noise" else 99, 5, 0] ^= 1
    assert scan(made(pictures)).channels == 3


def test_a_mixed_set_stays_in_colour_and_tells_its_shares(made):
    grey, colour = [tinted(ramp, 1) for ramp in ramps(6)], [tinted(ramp, (1, 0.5, 0.2)) for ramp in ramps(2)]
    found = scan(made(grey + colour))
    assert found.channels == 3
    assert (
        "6 of the images (75%) are grey and 2 are coloured: all are read in colour. To train on grey only: --set "
        "channels=1"
    ) in found.warnings
    images = prepare(made(grey + colour), size=None).images
    np.testing.assert_array_equal(images, np.stack(grey + colour))
    assert (
        scan(made(grey + colour), settings=DataSettings(channels=1)).warnings
        == scan(made(colour + grey), settings=DataSettings(channels=1)).warnings
    )
