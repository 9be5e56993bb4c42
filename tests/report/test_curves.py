import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from cardigan.report import chart
from cardigan.report.curves import COLOURS, LEFT, RIGHT, WIDTH, Axis, short, ticks

SVG = "{http://www.w3.org/2000/svg}"


def draw(series, **labels):
    return chart(series, **{"title": "Losses", "x_label": "images seen", "y_label": "loss"} | labels)


def lines(svg):
    """The points of each data line, in pixels."""
    paths = [each.get("d") for each in ElementTree.fromstring(svg).iter(f"{SVG}path") if each.get("stroke-linecap")]
    found = [re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path) for path in paths if "h0" in path]
    return [[(float(x), float(y)) for x, y in each] for each in found]


def texts(svg):
    return [each.text for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_known_point_lies_on_its_pixel():
    svg = draw({"loss": [(1000, 0.0), (1500, 5.0), (2000, 10.0)]})
    (start, middle, end), *_ = lines(svg)
    assert start[0] == LEFT
    assert end[0] == WIDTH - RIGHT
    assert middle == (pytest.approx((start[0] + end[0]) / 2), pytest.approx((start[1] + end[1]) / 2))
    assert start[1] > end[1], "SVG counts downwards"
    marks = {each.text: float(each.get("y")) - 4 for each in ElementTree.fromstring(svg).iter(f"{SVG}text")}
    assert start[1] == pytest.approx(marks["0"], abs=0.11)
    assert end[1] == pytest.approx(marks["10"], abs=0.11)


def test_gaps_split_the_line_and_are_marked():
    svg = draw({"loss": [(0, 1.0), (1, 2.0), (2, float("nan")), (3, 1.0), (4, float("inf")), (5, 1.5)]})
    assert svg.count('class="missing"') == 2
    assert svg.count("h0") == 3
    assert "not a number" in svg
    assert "nan" not in svg
    assert "inf" not in svg


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(3, 0.5)],
        [(3, float("nan"))],
        [(float("nan"), 1.0)],
        [(x, 7.0) for x in range(5)],
        [(x, 0.0) for x in range(50)],
        [(0, -1e308), (1, 1e308)],
        [(0, 1e-12), (1, 2e-12)],
        [(x, 1e9 + x) for x in range(100)],
    ],
)
def test_odd_series_are_drawn_without_complaint(points):
    svg = draw({"loss": points})
    ElementTree.fromstring(svg)
    assert not re.search(r"[ \"](nan|inf)", svg)


def test_nothing_recorded_says_so():
    assert "nothing recorded" in texts(draw({}))
    assert "nothing recorded" in texts(draw({"loss": []}))


def test_spikes_are_cut_and_marked_but_a_trend_is_not():
    calm = [(x, 1 + 0.1 * np.sin(x)) for x in range(500)]
    spiked = [*calm[:250], (250, 1e6), *calm[251:]]
    svg = draw({"loss": spiked})
    assert svg.count('class="above"') == 1
    assert "beyond the scale" in svg
    heights = [y for _, y in lines(svg)[0]]
    assert np.ptp(heights) > 100, "the calm part still fills the chart"
    assert 'class="above"' not in draw({"loss": [(x, float(x)) for x in range(500)]})


def test_long_series_are_thinned_and_keep_their_extremes():
    rng = np.random.default_rng(0)
    points = [(x, float(y)) for x, y in enumerate(rng.normal(size=20_000))]
    raw, average = lines(draw({"loss": points}))
    assert len(raw) <= 300
    assert len(average) <= 300
    assert np.ptp([y for _, y in average]) < np.ptp([y for _, y in raw]) / 3


def test_points_may_come_in_any_order():
    assert lines(draw({"a": [(2, 1.0), (0, 0.0), (1, 3.0)]})) == lines(draw({"a": [(0, 0.0), (1, 3.0), (2, 1.0)]}))


def test_all_text_is_escaped_and_colours_are_told_apart():
    hostile = "<script>alert('1')</script>&"
    svg = draw({hostile + str(index): [(0, index), (1, index)] for index in range(10)}, title=hostile, x_label=hostile)
    assert "<script" not in svg
    root = ElementTree.fromstring(svg)
    assert root.find(f"{SVG}title").text.startswith(hostile)
    strokes = {(each.get("stroke"), each.get("stroke-dasharray")) for each in root.iter(f"{SVG}path")}
    assert len(strokes - {("currentColor", None)}) >= 9
    assert len(set(COLOURS)) == 8


def test_images_seen_are_counted_in_thousands_and_millions():
    found = texts(draw({"loss": [(0, 0.0), (2_000_000, 1.0)]}))
    assert {"500k", "1M", "1.5M", "2M"} <= set(found)
    assert {"0", "0.2", "0.4", "0.6", "0.8", "1"} <= set(found)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 8.9), (1e-9, 3e-9), (155, 156), (0, 1_234_567)])
def test_ticks_are_round_inside_and_read_differently(low, high):
    values = ticks(low, high)
    assert 3 <= len(values) <= 8
    assert low <= values[0] < values[-1] <= high * (1 + 1e-9)
    read = [short(value, step=values[1] - values[0]) for value in values]
    assert len(set(read)) == len(read)


def test_an_axis_holds_what_is_beyond_it():
    axis = Axis(0, 10, start=100, stop=0)
    assert [axis(value) for value in (-5, 0, 2.5, 10, 99)] == [100, 100, 75, 0, 0]
