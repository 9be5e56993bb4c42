"""Scores on the page: what would make them worthless first, then the numbers."""

import html

import numpy as np
import pytest

from cardigan.report.page import Contents, render
from cardigan.report.scores import Row, Scores

HOSTILE = "<script>alert(1)</script>\"'&"
SCORES = Scores(
    alarms=["5 of 10 classes are left out.", "The generator copies."],
    rows=[
        Row("kernel distance (KID) x 1,000", "12 ± 1", "0.5", "lower is better", "unbiased, so read it first"),
        Row("recall", "0.5", "", "higher is better"),
    ],
    classes=[("cat", "30", 1.0), ("dog", "10", 0.25)],
    notes=["No two of 3,000 samples are duplicates."],
    how=["Measured 2026-01-02 through gradients.", "protocol 012345"],
)


def page(scores):
    images = np.zeros((4, 16, 16, 3), np.uint8)
    return render(Contents(title="run", real=images, generated=images, scores=scores))


def section(scores):
    return page(scores).partition('<section id="scores">')[2].partition("</section>")[0]


def test_without_a_card_there_is_no_section():
    assert 'id="scores"' not in page(None)
    assert "How good is it?" not in page(None)


def test_alarms_stand_before_the_numbers():
    told = section(SCORES)
    assert told.count('<p class="alarm">') == 2
    places = [told.index(text) for text in ("How good is it?", "5 of 10 classes", "The generator copies.", "12 ± 1")]
    assert places == sorted(places)
    assert '<p class="alarm">' not in section(Scores(rows=SCORES.rows))


def test_each_score_has_its_floor_and_its_way():
    told = section(SCORES)
    for text in (
        '<b>Kernel distance (KID) x 1,000</b> <span class="way">lower is better</span><br>Unbiased, so read it first.'
        "</th><td>12 ± 1</td><td>0.5</td>",
        '<b>Recall</b> <span class="way">higher is better</span></th><td>0.5</td><td>not known</td>',
        "<td>Samples</td><td>Real images</td>",
        "<li>No two of 3,000 samples are duplicates.</li>",
        "<li>protocol 012345</li>",
        '<td>dog</td><td class="count">10</td><td class="share"><i style="width: 25.0%"></i></td>',
    ):
        assert text in told, text


@pytest.mark.parametrize(("count", "unfolded"), [(12, True), (13, False)])
def test_many_classes_are_folded(count, unfolded):
    told = section(Scores(classes=[(str(place), "1", 0.5) for place in range(count)]))
    assert ("<details open>" in told) == unfolded
    assert "Each class by itself" in told
    assert "Each class by itself" not in section(Scores(rows=SCORES.rows))


def test_a_card_that_cannot_be_shown_says_why_and_shows_nothing():
    told = section(Scores(problem="The score card is about an earlier generator."))
    assert '<p class="found">The score card is about an earlier generator.</p>' in told
    assert "<table" not in told
    assert "<details" not in told
    assert '<p class="found">' not in section(SCORES)


def test_every_text_is_escaped():
    row = Row(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    told = section(
        Scores(
            problem=HOSTILE,
            alarms=[HOSTILE],
            rows=[row],
            classes=[(HOSTILE, HOSTILE, 0.5)],
            notes=[HOSTILE],
            how=[HOSTILE],
        )
    )
    assert "<script>" not in told
    assert told.count(html.escape(HOSTILE).replace("&#x27;", "&#39;").replace("&quot;", "&#34;")) == 11


def test_it_stands_before_the_search_for_copies():
    whole = page(SCORES)
    assert whole.index('id="images"') < whole.index('id="scores"') < whole.index('id="use"')
