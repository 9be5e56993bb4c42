import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.report import Contents, page, render, write

RNG = np.random.default_rng(0)
HOSTILE = "<script>alert(1)</script>\"'&"
VOID = {"meta", "link", "img", "input", "br"}


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def record(images, **changes):
    losses = {"discriminator/adversarial": 1.0, "discriminator/r1": 0.1, "generator/adversarial": 0.5}
    logits = {"real": 0.5, "fake": -0.5}
    whole = {"images": images, "seconds": images / 10, "images_per_second": 10.0, "losses": losses, "logits": logits}
    return whole | changes


def full(**changes):
    contents = Contents(
        title="my run",
        summary=[("Recipe", "dcgan")],
        settings={"size": 8, "optimizer": {"rate": 2e-4}},
        data={"count": 12345, "size": [8, 8], "classes": {"cat": 3, "dog": 9}, "warnings": ["small"], "skipped": []},
        real=pixels(16, 8, 8, 3),
        generated=pixels(16, 8, 8, 3),
        snapshots=[(seen, pixels(18, 18, 3)) for seen in (0, 1000, 2000)],
        interpolation=pixels(2, 5, 8, 8, 3),
        per_class=pixels(2, 4, 8, 8, 3),
        class_names=["cat", "dog"],
        records=[record(1000), record(2000)],
        notes=["Resumed at 1,000 images."],
        command="cardigan train photos",
        version="9.9.9",
    )
    return dataclasses.replace(contents, **changes)


class Reader(HTMLParser):
    """Collects elements and text, and insists that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.elements, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(html):
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


def sections(html):
    return [attributes["id"] for attributes in read(html).all("section")]


def embedded(attributes):
    with Image.open(io.BytesIO(base64.b64decode(attributes["src"].removeprefix("data:image/webp;base64,")))) as image:
        return np.asarray(image.convert("RGBA"))


def test_sections_come_in_order():
    assert sections(render(full())) == ["images", "classes", "learning", "interpolation", "data", "settings", "use"]


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({"per_class": None}, "classes"),
        ({"interpolation": None}, "interpolation"),
        ({"data": {}}, "data"),
        ({"snapshots": [], "records": []}, "learning"),
        ({"settings": {}, "command": ""}, "settings"),
        ({"real": pixels(0, 8, 8, 3), "generated": pixels(0, 8, 8, 3)}, "images"),
    ],
)
def test_what_is_not_given_has_no_section(changes, gone):
    before, after = sections(render(full())), sections(render(full(**changes)))
    assert [name for name in before if name != gone] == after


def test_the_least_contents_make_a_page():
    html = render(Contents(title="bare", real=pixels(1, 4, 4, 1), generated=pixels(1, 4, 4, 1)))
    assert sections(html) == ["images", "use"]


def test_the_page_loads_nothing():
    html = render(full())
    assert set(re.findall(r"https?://[^\"' ]*", html)) <= {"http://www.w3.org/2000/svg"}
    reader = read(html)
    assert all(attributes["src"].startswith("data:image/webp") for attributes in reader.all("img"))
    assert [attributes["href"] for attributes in reader.all("link")] == ["data:,"]
    assert not any("src" in attributes for attributes in reader.all("script"))
    assert "url(" not in html
    assert "@import" not in html


def test_the_policy_allows_this_script_alone():
    html = render(full())
    policy = next(m["content"] for m in read(html).all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_hostile_text_is_escaped_everywhere():
    html = render(
        full(
            title=HOSTILE,
            summary=[(HOSTILE, HOSTILE)],
            settings={HOSTILE: {HOSTILE: HOSTILE}},
            data={HOSTILE: HOSTILE, "classes": {HOSTILE: 1}, "warnings": [HOSTILE], "skipped": [[HOSTILE, HOSTILE]]},
            class_names=[HOSTILE, HOSTILE],
            records=[record(1, losses={HOSTILE: 1.0, f"generator/{HOSTILE}": 2.0})],
            notes=[HOSTILE],
            command=HOSTILE,
            version=HOSTILE,
        )
    )
    assert html.count("<script") == 1
    assert "alert(1)" in html
    reader = read(html)
    assert HOSTILE in reader.text
    assert f"Generated images of {HOSTILE}" in [attributes["alt"] for attributes in reader.all("img")]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_real_and_generated_keep_their_pixels_at_one_scale(channels):
    contents = full(real=pixels(9, 8, 8, channels), generated=pixels(30, 8, 8, channels))
    both = read(render(contents)).all("img")[:2]
    assert both[0]["width"] == both[1]["width"] == str(3 * 8 + 2)
    for attributes, images in zip(both, (contents.real, contents.generated), strict=True):
        shown = embedded(attributes)
        np.testing.assert_array_equal(shown[:8, :8, 0], images[0, ..., 0])
        np.testing.assert_array_equal(shown[18:, 18:, 0], images[8, ..., 0])
        assert (shown[:, 8, 3] == 0).all(), "the page shows through the gaps"


def test_only_small_images_are_pixelated():
    assert {each.get("class") for each in read(render(full())).all("img")} == {"pixels"}
    large = full(real=pixels(2, 64, 64, 3), generated=pixels(2, 64, 64, 3), per_class=None, interpolation=None)
    assert {each.get("class") for each in read(render(large)).all("img")} == {None}


def test_snapshots_play_in_order_with_their_clock():
    reader = read(render(full()))
    frames = [each for each in reader.all("img") if each["alt"].startswith("Samples after")]
    assert [each["alt"] for each in frames] == [f"Samples after {n} images seen" for n in ("0", "1,000", "2,000")]
    slider = reader.all("input")[0]
    assert (slider["min"], slider["max"]) == ("0", "2")
    assert not read(render(full(snapshots=full().snapshots[:1]))).all("input"), "nothing to scrub through"


def test_many_snapshots_are_thinned():
    snapshots = [(seen, pixels(10, 10, 1)) for seen in range(500)]
    labels = [each["alt"] for each in read(render(full(snapshots=snapshots))).all("img") if "after" in each["alt"]]
    assert len(labels) == page.MOST_FRAMES
    assert (labels[0], labels[-1]) == ("Samples after 0 images seen", "Samples after 499 images seen")


def test_charts_follow_the_losses():
    html = render(full(records=[record(1, losses={"discriminator/a": 1.0, "extra": None}), record(2, logits=None)]))
    titles = re.findall(r"<svg[^>]*><title>(.*?)</title>", html)
    assert titles == ["Discriminator: a, adversarial, r1", "Generator: adversarial", "Other losses: extra",
                      "Mean logits: real, fake", "Speed"]  # fmt: skip


def test_words_and_numbers_a_reader_expects():
    text = " ".join(read(render(full())).text)
    expected = ["8 × 8 images (colour), after 2,000 images seen in 3 min 20 s", "12,345", "optimizer.rate", "0.0002"]
    expected += ["cardigan sample RUN", 'cardigan.load("RUN").sample(16)', "Cardigan 9.9.9", "Resumed at"]
    for words in expected:
        assert words in text


def test_a_typical_page_is_small():
    smooth = np.linspace(0, 255, 64).astype(np.uint8)
    faces = np.broadcast_to(smooth[:, None, None], (64, 64, 64, 3)) // 2 + pixels(64, 64, 64, 3) // 16
    sheet = np.tile(faces[0], (8, 8, 1))
    html = render(full(real=faces, generated=faces, snapshots=[(seen, sheet) for seen in range(30)]))
    assert len(html) < 3_000_000


def test_write_leaves_the_page_and_the_animation_and_nothing_else(tmp_path):
    contents = full()
    path = write(contents, tmp_path / "run")
    assert sorted(each.name for each in path.parent.iterdir()) == ["progress.webp", "report.html"]
    assert path.read_text(encoding="utf-8") == render(contents)
    with Image.open(path.parent / "progress.webp") as film:
        assert film.n_frames == 3


def test_a_page_that_fails_leaves_the_old_one(tmp_path):
    path = write(full(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(CardiganError, match="shape"):
        write(full(real=pixels(8, 8, 3)), tmp_path)
    with pytest.raises(TypeError, match="uint8"):
        write(full(real=np.zeros((4, 8, 8, 3))), tmp_path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["progress.webp", "report.html"]


# --- restorations --------------------------------------------------------------------------------------------------


def trial(images, stage="content", **changes):
    return {"images": images, "stage": stage, "psnr": 25.0, "texture": 0.3, "best": False} | changes


def restoration(count=5, **changes):
    columns = [(name, pixels(count, 24, 16, 3)) for name in ("as given", "before the game", "restored", "true")]
    nothing = np.zeros((0,), np.uint8)
    whole = {
        "real": nothing,
        "generated": nothing,
        "per_class": None,
        "interpolation": None,
        "comparison": columns,
        "trials": [trial(1000), trial(1500, "game"), trial(2000, "game", best=True)],
    }
    return full(**(whole | changes))


def test_a_restoration_shows_its_columns_first_and_nothing_that_it_has_not():
    html = render(restoration())
    assert sections(html) == ["comparison", "learning", "data", "settings", "use"]
    assert [each["alt"].rpartition(": ")[2] for each in read(html).all("img")[:4]] == [
        "as given",
        "before the game",
        "restored",
        "true",
    ]
    assert sections(render(restoration(trials=[], records=[], snapshots=[]))) == [
        "comparison",
        "data",
        "settings",
        "use",
    ]


def test_a_restoration_beside_generated_images_shows_both():
    assert sections(render(full(comparison=restoration().comparison)))[:3] == ["comparison", "images", "classes"]


def test_each_row_shows_one_picture_pixel_for_pixel():
    contents = restoration()
    shown = [embedded(each) for each in read(render(contents)).all("img")[:4]]
    for sheet, (_, images) in zip(shown, contents.comparison, strict=True):
        assert sheet.shape == (5 * 24 + 4, 16, 4)
        for place, image in enumerate(images):
            np.testing.assert_array_equal(sheet[25 * place : 25 * place + 24, :, :3], image)


def test_a_restoration_speaks_of_itself():
    html = render(restoration())
    text = " ".join(read(html).text)
    expected = [
        "A generator that restores images (colour), after 2,000 images seen",
        "As given, before the game, restored",
    ]
    expected += ["The same pictures restored again", "cardigan restore RUN photo.jpg", "# uint8 [height, width, 3]"]
    for words in expected:
        assert words in text
    assert "sample RUN" not in text
    assert HOSTILE in read(render(restoration(comparison=[(HOSTILE, pixels(1, 8, 8, 3))]))).text


def test_trials_are_drawn_before_the_losses():
    titles = re.findall(r"<svg[^>]*><title>(.*?)</title>", render(restoration()))
    assert titles[:2] == ["Fidelity: content, game, kept", "Texture: content, game, kept"]
    assert titles[2].startswith("Discriminator")


@pytest.mark.parametrize("page_of", [full, restoration])
def test_what_was_not_recorded_leaves_no_marks_and_what_was_no_number_does(page_of):
    """A player that rests, or a penalty that is due now and then, against a loss that overflowed."""
    resting = [record(1000, losses={"generator/content": 0.1}, logits={}), record(2000)]
    assert "not a number" not in render(page_of(records=resting))
    broken = [*resting, record(3000, losses={"generator/content": None}), record(4000)]
    assert "not a number" in render(page_of(records=broken))


def test_gauges_have_a_chart_of_their_own():
    gauges = {"augmentation probability": 0.25, "overfitting": 0.5}
    html = render(full(records=[record(1, gauges=gauges), record(2, gauges=gauges)]))
    assert "Gauges: augmentation probability, overfitting" in re.findall(r"<svg[^>]*><title>(.*?)</title>", html)
