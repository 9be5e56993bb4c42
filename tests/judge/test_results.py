"""Results: counted by hand, by the rules that were stated, and called what they are."""

import math

import numpy as np
import pytest

from cardigan.judge.results import analyse
from cardigan.metrics.proportions import binomial_test


def by_hand(hits, trials):
    """Wilson's interval in his own way: the roots of a quadratic."""
    z = 1.959963984540054
    share = hits / trials
    return np.sort(np.roots([1 + z * z / trials, -(2 * share + z * z / trials), share * share])).tolist()


def wrong_at(*numbers):
    """Judges rightly but these pictures."""
    other = {"real": "fake", "fake": "real"}
    return lambda trial: other[trial.expected] if trial.left in numbers else trial.expected


def test_wrong_answers_are_counted_together_and_apart(desk, answer_all):
    table = desk(count=20)
    answer_all(table, "ann", wrong_at("fake 0", "fake 3", "fake 4", "real 7"))
    results = table.results("ann")
    assert [(share.name, share.hits, share.trials) for share in results.shares] == [
        ("Wrong answers", 4, 20),
        ("Fake taken for real", 3, 10),
        ("Real taken for fake", 1, 10),
    ]
    assert results.shares[0].interval == pytest.approx(by_hand(4, 20))
    assert results.p_value == pytest.approx(2 * sum(math.comb(20, k) for k in range(5)) / 2**20)
    assert results.headline == "faces: 20% of 20 answers were wrong."
    assert str(results.shares[0]) == "4 of 20, 20% (95% interval 8% to 42%)"
    told = " ".join(results.sentences)
    assert "Mere guessing gives a result at least this far from 50% in 1.2% of cases: fake was told from real." in told
    assert "You need about 194 answers to tell 60% from 50%, and 783 for 55%. So far: 20." in told
    assert results.label == "Informal: one rater, a self-check."


def test_a_result_that_shows_nothing_says_so(desk, answer_all):
    table = desk(count=20)
    answer_all(
        table, "ann", wrong_at(*(f"fake {place}" for place in range(5)), *(f"real {place}" for place in range(3)))
    )
    told = " ".join(table.results().sentences)
    assert "in 50% of cases, so this does not show that fake can be told from real" in told
    assert "Nor does it show that it cannot: for that, to within 5 points, about 857 answers are needed." in told


def test_fakes_may_look_more_real_than_real(desk, answer_all):
    table = desk(count=20)
    wrong = [f"fake {place}" for place in range(10)] + [f"real {place}" for place in range(9)]
    answer_all(table, "ann", wrong_at(*wrong))
    assert "in less than 0.01% of cases: fake looks more real than real." in " ".join(table.results().sentences)


def test_preferences_are_counted_with_their_side(desk, answer_all):
    table = desk("preference", count=20)
    lefts = [trial.left for trial in table.plan.trials("ann") if trial.part == "judged" and trial.left.startswith("B")]
    answer_all(table, "ann", lambda trial: "B" if trial.left in lefts[:3] else "A")
    first, left = table.results().shares
    assert (first.name, first.hits, first.trials) == ("old preferred", 17, 20)
    assert (left.name, left.hits, left.trials) == ("Left picture preferred", 13, 20)
    assert table.results().headline == "old was preferred in 85% of 20 pairs."
    assert "in 0.26% of cases: old is preferred." in " ".join(table.results().sentences)


def test_the_preferred_run_may_be_the_second(desk, answer_all):
    table = desk("preference", count=20)
    answer_all(table, "ann", lambda trial: "A" if trial.left in ("A 0", "B 0") else "B")
    assert table.results().headline == "new was preferred in 95% of 20 pairs."
    assert ": new is preferred." in " ".join(table.results().sentences)


def test_a_tie_has_no_winner(desk, answer_all):
    table = desk("preference", count=10)
    answer_all(table, "ann", lambda trial: "A" if trial.left[2:] in "01234" else "B")
    assert table.results().headline == "Of 10 pairs, each run was preferred in half."
    assert "at least this far from 50% in 100% of cases, so this shows no preference." in table.results().describe()


@pytest.mark.parametrize("failed", [1, 2, 3])
def test_whoever_fails_checks_is_left_out(desk, answer_all, failed):
    table = desk(count=10)
    missed = [trial.left for trial in table.plan.trials("ann") if trial.part == "check"][:failed]
    answer_all(table, "ann", checks=lambda trial: "real" if trial.left in missed else trial.expected)
    (rater,) = table.results().raters
    assert rater.left_out == (f"{failed} of 3 checks wrong" if failed >= 2 else "")
    assert bool(table.results().shares) == (failed < 2)


def test_whoever_always_answers_the_same_is_left_out(desk, answer_all):
    table = desk(count=10)
    answer_all(table, "ann", lambda trial: "fake")
    assert table.results().raters[0].left_out == "the same answer to everything"


@pytest.mark.parametrize("side", [0, 1])
def test_whoever_always_chooses_a_side_is_left_out(desk, answer_all, side):
    table = desk("preference", count=10)
    answer_all(table, "ann", lambda trial: trial.options[side])
    answer_all(table, "bob", lambda trial: "A")  # always the same run is a result
    assert [rater.left_out for rater in table.results().raters] == ["the same answer to everything", ""]


def test_whoever_does_not_look_is_left_out(desk, answer_all):
    table = desk(count=10)
    answer_all(table, "ann", seconds=0.24)
    answer_all(table, "bob", seconds=0.25)
    assert [rater.left_out for rater in table.results().raters] == ["0.24 seconds for most answers", ""]


def test_whoever_stops_early_is_left_out_and_named(desk, answer_all):
    table = desk(count=10)
    answer_all(table, "ann")
    table.begin("bob")
    table.answer("bob", 0, "left", 1.0)
    results = table.results()
    assert [rater.left_out for rater in results.raters] == ["", "not finished, 1 of 18 answered"]
    assert results.shares[0].trials == 10
    assert "  bob: left out, not finished, 1 of 18 answered" in results.describe()


def test_several_raters_are_drawn_anew_and_weighed(desk, answer_all):
    table = desk(count=20)
    for number in range(4):
        wrong = [f"fake {place}" for place in range(3 * number)] + [f"real {place}" for place in range(3 * number)]
        answer_all(table, f"rater {number}", wrong_at(*wrong))
    results = table.results()
    assert (results.shares[0].hits, results.shares[0].trials) == (36, 80)
    assert results.label == "Informal: 4 raters, fewer than 10."
    # Persons answer 0, 6, 12 and 18 of 20 wrongly: by the analysis of variance.
    between = 20 * sum((share - 0.45) ** 2 for share in (0, 0.3, 0.6, 0.9)) / 3
    within = 20 * (0.3 * 0.7 + 0.6 * 0.4 + 0.9 * 0.1) / 76
    effect = 1 + 19 * (between - within) / (between + 19 * within)
    assert results.effect == pytest.approx(effect)
    trials = round(80 / effect)
    assert results.p_value == pytest.approx(binomial_test(round(0.45 * trials), trials))
    low, high = results.other_raters
    assert low == pytest.approx(0.12, abs=0.04)
    assert high == pytest.approx(0.78, abs=0.04)
    told = " ".join(results.sentences)
    assert (
        f"So far: 80; as one person's answers are alike (design effect {effect:.1f}), they weigh like {trials}." in told
    )
    assert "too narrow with so few" in told


def test_ten_raters_are_enough_for_more_than_informal(desk, answer_all):
    table = desk(count=10)
    for number in range(10):
        answer_all(table, f"rater {number}", wrong_at("fake 0") if number % 2 else wrong_at())
        assert table.results().label.startswith("Informal") == (number < 9)
    assert table.results().label == "10 raters."
    assert "too narrow" not in " ".join(table.results().sentences)


def test_without_answers_there_is_nothing_to_say(desk):
    table = desk()
    assert table.results().describe() == "There are no answers to count yet."
    assert analyse(table.plan, table.answers).shares == ()


def test_sizes_that_differed_are_told(desk, answer_all, plan):
    table = desk("preference", count=10)
    answer_all(table, "ann")
    noted = plan("preference", 10, notes=("The runs draw pictures of different sizes.",))
    assert "The runs draw pictures of different sizes." in analyse(noted, table.answers).describe()
