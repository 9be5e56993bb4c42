"""Samples beside training images, as a page shows them."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from cardigan.report.copying import Likeness, Neighbour, Pair, gallery
from cardigan.report.page import Contents, render

RNG = np.random.default_rng(0)
HOSTILE = "<script>alert(1)</script>\"'&"


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def likeness(side=16, groups=2, pairs=3, **changes):
    def pair():
        beside = [
            Neighbour(pixels(side, side, 3), "cat/7.jpg", "by pixels, 7 levels"),
            Neighbour(pixels(side, side, 3), "cat/8.jpg", "by forms, 0.2", mirrored=True),
        ]
        return Pair(pixels(side, side, 3), "sample", beside)

    shown = [(f"Group {number}", "About it.", [pair() for _ in range(pairs)]) for number in range(groups)]
    whole = Likeness(
        verdict="No evidence.",
        measures=[("Twins", "1.0%", "0.5%", "The verdict rests on this.")],
        remarks=["Compared with some."],
        groups=shown,
    )
    return dataclasses.replace(whole, **changes)


def page(shown):
    images = pixels(4, 16, 16, 3)
    return render(Contents(title="run", real=images, generated=images, likeness=shown))


def shown(picture):
    payload = base64.b64decode(picture.uri.removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(payload)) as image:
        return np.asarray(image.convert("RGB"))


def test_nothing_gives_nothing():
    assert gallery(None) == []
    assert gallery(Likeness(verdict="Untested.")) == []
    assert 'id="copying"' not in page(None)


def test_each_picture_stands_first_and_keeps_its_pixels():
    given = likeness()
    groups = gallery(given)
    assert [title for title, _, _ in groups] == ["Group 0", "Group 1"]
    for (_, _, rows), (_, _, pairs) in zip(groups, given.groups, strict=True):
        for row, pair in zip(rows, pairs, strict=True):
            assert [each.told for each in row] == [
                "sample",
                "Training image cat/7.jpg",
                "Training image cat/8.jpg, mirrored",
            ]
            assert [each.caption for each in row] == ["sample", "by pixels, 7 levels", "by forms, 0.2, mirrored"]
            expected = [pair.pixels, *(each.pixels for each in pair.neighbours)]
            for each, image in zip(row, expected, strict=True):
                np.testing.assert_array_equal(shown(each.picture), image)


@pytest.mark.parametrize(
    ("side", "width", "widest", "pixelated"),
    [(16, 16, 160, True), (60, 60, 120, True), (64, 64, 128, False), (200, 200, 160, False), (512, 256, 160, False)],
)
def test_scale(side, width, widest, pixelated):
    picture = gallery(likeness(side, groups=1, pairs=1))[0][2][0][1].picture
    assert (picture.width, picture.height, picture.widest, picture.pixelated) == (width, width, widest, pixelated)


def test_many_large_pictures_are_all_compressed():
    sizes = []
    for side in (16, 256):
        pictures = [each.picture for _, _, rows in gallery(likeness(side, groups=1)) for row in rows for each in row]
        lossless = {b"VP8L" in base64.b64decode(each.uri.partition(",")[2])[:20] for each in pictures}
        sizes.append(sum(len(each.uri) for each in pictures))
        assert lossless == {side == 16}
    assert sizes[1] < 9 * 256 * 256 * 3 / 2


def test_the_page_says_it_in_words():
    html = page(likeness())
    assert '<p class="found">No evidence.</p>' in html
    assert '<p class="alarm">No evidence.</p>' in page(likeness(alarm=True))
    for words in ("Does it copy?", "<td>1.0%</td><td>0.5%</td>", "<li>Compared with some.</li>", "<h3>Group 1</h3>"):
        assert words in html
    assert html.index('id="images"') < html.index('id="copying"') < html.index('id="use"')
    assert "Beside each picture" not in page(likeness(groups=0))
    assert "<table" not in page(likeness(measures=[])).partition('id="copying"')[2].partition("</section>")[0]


def test_hostile_text_is_escaped():
    pair = Pair(pixels(8, 8, 3), HOSTILE, [Neighbour(pixels(8, 8, 3), HOSTILE, HOSTILE)])
    html = page(
        Likeness(
            verdict=HOSTILE,
            measures=[(HOSTILE,) * 4],
            remarks=[HOSTILE],
            groups=[(HOSTILE, HOSTILE, [pair])],
        )
    )
    assert html.count("<script") == 1
    assert html.count("&lt;script&gt;alert(1)") == 14
