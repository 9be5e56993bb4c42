"""The curve of a generator's score through training."""

import re

from cardigan.report.charts import score_charts


def score(images, kid, **changes):
    told = {"images": images, "kid": kid, "floor": 0.001, "samples": 500, "against": "180 held-out images"}
    return told | {"through": "a quick look", "best": False} | changes


TRIALS = [
    score(100, 0.03),
    score(200, 0.01, best=True),
    score(300, 0.02),
    score(200, 0.014, again=True, best=True),
]


def heights(svg):
    """The vertical place of each dot, in the order they are drawn."""
    return [float(y) for y in re.findall(r'd="M[0-9.]+ ([0-9.]+)h0" stroke-width="5"', svg)]


def test_the_curve_shows_what_was_kept_twice_and_what_training_images_score():
    ((svg, caption),) = score_charts(TRIALS)
    assert "<title>Score: while training, kept, kept, on other noise, training images</title>" in svg
    assert "KID x 1,000" in svg
    assert caption.startswith("How far 500 samples are from 180 held-out images, through a quick look: the kernel ")
    chosen, again = heights(svg)
    assert again < chosen, "the lucky score lies below the other"
    assert ">30<" in svg, "thousandfold"
    assert len(re.findall(r"L[0-9.]+ [0-9.]+", svg)) >= 4, "a line through three scores, and one for training images"


def test_before_anything_is_kept_and_without_a_floor_the_curve_stands_alone():
    ((svg, _),) = score_charts([score(100, 0.03, floor=None), score(200, 0.01, floor=None)])
    assert "<title>Score: while training</title>" in svg
    assert score_charts([]) == []


def test_a_score_that_is_missing_is_a_mark():
    ((svg, _),) = score_charts([score(100, 0.03), score(200, None), score(300, 0.02)])
    assert svg.count('class="missing"') == 1
