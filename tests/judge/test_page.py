"""The page: complete in itself, and blind."""

import base64
import hashlib
import re

import pytest

from cardigan.judge.page import Page, result_lines


def sources(policy, kind):
    return set(re.search(rf"{kind} '(sha256-[^']+)'", policy).group(1).split())


@pytest.mark.parametrize("task", ["real-or-fake", "preference"])
def test_the_policy_allows_this_script_and_style_alone(plan, task):
    page = Page.of(plan(task), (32, 32))
    text = page.html.decode()
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert sources(page.policy, kind) == {f"sha256-{digest}"}
    assert "unsafe" not in page.policy
    assert not re.search(
        r"\son\w+=|\sstyle=|https?:|//[a-z]", re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    )


def test_the_page_does_not_say_which_runs_are_judged(plan):
    made = plan("preference", runs=("secretive", "furtive"))
    html = Page.of(made, (32, 32)).html.decode()
    assert "secretive" not in html
    assert "furtive" not in html
    assert made.key not in html


def test_it_says_how_many_and_how_long(plan):
    html = Page.of(plan(count=100), (32, 32)).html.decode()
    for words in ("You will see 100 pictures", "Half are real", "About 7 minutes", "5 more pictures are checks"):
        assert words in html
    assert "About half are real" in Page.of(plan(count=11), (32, 32)).html.decode()
    assert "You will see 40 pairs of pictures" in Page.of(plan("preference", 40), (32, 32)).html.decode()


def test_every_rule_stands_on_it(plan):
    made = plan()
    html = Page.of(made, (32, 32)).html.decode()
    assert all(html.count(f"<li>{rule}</li>") == 2 for rule in made.rules)


@pytest.mark.parametrize(("side", "shown"), [(32, True), (63, True), (64, False), (256, False)])
def test_small_pictures_are_shown_in_squares(plan, side, shown):
    assert (b" data-pixelated" in Page.of(plan(), (side, side)).html) == shown


def test_results_are_drawn_from_numbers(desk, answer_all):
    table = desk()
    answer_all(table, "ann", lambda trial: "real" if trial.left == "fake 0" else trial.expected)
    table.begin("bob")
    table.answer("bob", 0, "left", 1.0)
    told = result_lines(table.results("ann"))
    assert told["headline"] == "faces: 10% of 10 answers were wrong."
    assert [share["value"] for share in told["shares"]] == [0.1, 0.2, 0.0]
    assert told["columns"] == ["Wrong answers", "Fake taken for real", "Real taken for fake"]
    assert told["raters"] == [
        {"name": "ann", "counts": ["1 of 10", "1 of 5", "0 of 5"], "left_out": ""},
        {"name": "bob", "counts": [], "left_out": "not finished, 1 of 18 answered"},
    ]
