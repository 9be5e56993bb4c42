"""A score card as a report shows it."""

import pytest

from cardigan.evaluation.card import CARD
from cardigan.evaluation.shown import scores_of
from cardigan.evaluation.words import protocol_lines


def test_a_card_becomes_what_a_page_shows(card, tmp_path):
    mine = card()
    mine.save(tmp_path / CARD)
    found = scores_of(tmp_path, "a" * 64)
    assert found.problem == ""
    assert found.alarms == ["Half of them repeat."]
    assert found.notes == ["None copies."]
    rows = [(row.name, row.value, row.floor, row.better, row.about) for row in found.rows]
    assert rows == [
        ("kernel distance (KID) x 1,000", "12.0 ± 1.0", "0.500", "lower is better", "unbiased"),
        ("Fréchet distance (FD)", "not given", "", "lower is better", "not given: too few"),
        ("recall", "0.500 ± 0.010", "0.900", "higher is better", "how varied"),
        ("authenticity", "0.800 ± 0.010", "0.700", "near that of real images is healthy", "copies"),
    ]
    assert found.classes == [
        ("cat", "30.0", 1.0),
        ("dog", "10.0", pytest.approx(1 / 3)),
        ("emu", "too few images", 0.0),
    ]
    assert found.how == ["Measured 2026-01-02 through pixels (PCA).", *protocol_lines(mine), "Cardigan 9"]


def test_classes_that_lie_below_nothing_have_no_bar(card, tmp_path):
    card(classes={"a": -0.001, "b": -0.002}).save(tmp_path / CARD)
    assert scores_of(tmp_path, "a" * 64).classes == [("a", "-1.00", 0.0), ("b", "-2.00", 0.0)]


def test_only_the_worst_of_many_classes_are_shown(card, tmp_path):
    card(classes={str(place): place / 100 for place in range(60)}).save(tmp_path / CARD)
    found = scores_of(tmp_path, "a" * 64).classes
    assert [name for name, _, _ in found] == [str(place) for place in range(59, 9, -1)]


def test_what_was_never_measured_is_nothing(tmp_path):
    assert scores_of(tmp_path, "a" * 64) is None


def test_a_card_of_another_generator_shows_no_number(card, tmp_path):
    card().save(tmp_path / CARD)
    found = scores_of(tmp_path, "b" * 64)
    assert found.problem.startswith("The score card is about an earlier generator of this run, so its numbers are not")
    assert (found.rows, found.alarms, found.notes, found.classes, found.how) == ((), (), (), (), ())


def test_a_damaged_card_shows_why(tmp_path):
    (tmp_path / CARD).write_text("[", encoding="utf-8")
    found = scores_of(tmp_path, "a" * 64)
    assert found.problem.startswith(f"{tmp_path / CARD} is damaged, or no score card (")
    assert found.rows == ()
