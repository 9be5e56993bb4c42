"""A restoration's columns and the charts of its measurements."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from cardigan.errors import CardiganError
from cardigan.report.restoration import MOST_ROWS, compared, trial_charts

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def shown(picture):
    payload = base64.b64decode(picture.uri.removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(payload)) as image:
        return np.asarray(image.convert("RGB"))


def trial(images, stage="content", **changes):
    return {"images": images, "stage": stage, "psnr": 25.0, "texture": 0.3} | changes


def test_nothing_gives_nothing():
    assert compared([]) == []
    assert trial_charts([]) == []


@pytest.mark.parametrize(
    ("side", "widest", "pixelated"),
    [(8, 248, True), (96, 192, True), (125, 250, True), (126, 126, False), (400, 400, False)],
)
def test_small_pictures_are_enlarged_by_a_whole_number(side, widest, pixelated):
    (column,) = compared([("true", pixels(1, side, side, 1))])
    assert (column.width, column.widest, column.pixelated) == (side, widest, pixelated)


def test_of_many_rows_the_same_evenly_chosen_ones_are_shown_in_each_column():
    numbers = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    for column in compared([("a", numbers), ("b", numbers)]):
        rows = shown(column)[::9, 0, 0].tolist()
        assert len(rows) == MOST_ROWS
        assert rows == list(range(0, 100, 9))


def test_columns_that_are_large_are_all_compressed():
    fine = compared([("noise", pixels(4, 64, 64, 3)), ("flat", np.full((4, 64, 64, 3), 7, np.uint8))])
    assert (shown(fine[1])[:64] == 7).all()
    noise, flat = pixels(6, 300, 300, 3), np.full((6, 300, 300, 3), 7, np.uint8)
    large = compared([("noise", noise), ("flat", flat)])
    assert not np.array_equal(shown(large[0])[:300], noise[0])
    assert b"VP8L" in base64.b64decode(fine[1].uri.partition(",")[2])[:20]
    for column in large:
        assert b"VP8L" not in base64.b64decode(column.uri.partition(",")[2])[:20]


@pytest.mark.parametrize("shape", [(3, 8, 8, 3), (2, 8, 9, 3), (2, 8, 8, 1), (8, 8, 3)])
def test_columns_of_other_shapes_are_told(shape):
    with pytest.raises(CardiganError) as caught:
        compared([("given", pixels(2, 8, 8, 3)), ("true", pixels(*shape))])
    assert str(caught.value) == (
        f"Pictures are compared in columns of one shape (N, H, W, C), got given (2, 8, 8, 3), true {shape}."
    )


def test_a_chart_has_a_line_for_each_stage_and_a_dot_for_what_was_kept():
    trials = [trial(100), trial(200), trial(300, "game"), trial(400, "game", best=True, psnr=24.0, texture=0.1)]
    (fidelity, about), (texture, _) = trial_charts(trials)
    assert "<title>Fidelity: content, game, kept</title>" in fidelity
    assert "<title>Texture: content, game, kept</title>" in texture
    assert "PSNR, dB" in fidelity
    assert about.endswith("High is near.")
    dots = re.findall(r'd="M([0-9.]+) ([0-9.]+)h0" stroke-width="5"', fidelity)
    assert len(dots) == 1
    assert float(dots[0][0]) == 406.0, "the last images seen"
    assert [len(re.findall('stroke-width="5"', svg)) for svg, _ in trial_charts(trials[:3])] == [1, 1], "a lonely trial"
    assert "kept" not in trial_charts(trials[:3])[0][0]


def test_what_the_kept_one_reaches_on_other_images_is_a_dot_and_no_line():
    trials = [trial(100), trial(200, "game", best=True), trial(200, "game", best=True, again=True, psnr=22.0)]
    (fidelity, _), _ = trial_charts(trials)
    assert "<title>Fidelity: content, game, kept, kept, on other images</title>" in fidelity
    without = trial_charts(trials[:2])[0][0]
    assert "<title>Fidelity: content, game, kept</title>" in without


def test_a_measurement_that_is_missing_or_endless_is_a_mark():
    for value in (None, float("inf"), float("nan")):
        fidelity, _ = trial_charts([trial(1), trial(2, psnr=value), trial(3)])[0]
        assert fidelity.count('class="missing"') == 1
