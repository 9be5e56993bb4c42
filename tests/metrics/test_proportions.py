"""Proportions beside tables, closed forms, scipy-free brute force, and simulated people."""

import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.metrics.proportions import (
    answers_for_equivalence,
    answers_needed,
    answers_needed_each,
    binomial_test,
    bootstrap_raters,
    correlation_within,
    design_effect,
    fewest_significant,
    wilson,
)


@pytest.mark.parametrize(("trials", "half"), [(100, 0.096), (200, 0.069), (400, 0.049), (1000, 0.031)])
def test_the_half_widths_at_half_are_those_of_the_tables(trials, half):
    low, high = wilson(trials // 2, trials)
    assert (high - low) / 2 == pytest.approx(half, abs=0.0005)
    assert low + high == pytest.approx(1)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (1, 10), (37, 100), (99, 100), (10, 10)])
def test_the_ends_of_an_interval_are_the_shares_that_a_score_test_just_rejects(successes, trials):
    # What the interval is by its definition; the code uses the solved quadratic.
    z = NormalDist().inv_cdf(0.975)
    low, high = wilson(successes, trials)
    for end in (low, high):
        if 0 < end < 1:
            assert abs(successes / trials - end) / math.sqrt(end * (1 - end) / trials) == pytest.approx(z)
    assert (low == 0.0) == (successes == 0)
    assert (high == 1.0) == (successes == trials)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).binomial(60, 0.3, 4000)
    held = [low <= 0.3 <= high for low, high in (wilson(int(draw), 60) for draw in draws)]
    assert 0.93 < np.mean(held) < 0.97
    narrow, wide = wilson(18, 60, confidence=0.5), wilson(18, 60)
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


@pytest.mark.parametrize("trials", [1, 2, 7, 20])
@pytest.mark.parametrize("chance", [0.5, 0.3])
def test_the_exact_test_is_the_sum_over_what_is_as_improbable(trials, chance):
    part = Fraction(str(chance))
    table = [math.comb(trials, k) * part**k * (1 - part) ** (trials - k) for k in range(trials + 1)]
    for successes in range(trials + 1):
        exact = sum(each for each in table if each <= table[successes])
        assert binomial_test(successes, trials, chance=chance) == pytest.approx(float(exact))


def test_the_exact_test_bears_many_answers():
    assert binomial_test(50_000, 100_000) == pytest.approx(1)
    assert binomial_test(51_000, 100_000) == pytest.approx(2.6e-10, rel=0.05)


@pytest.mark.parametrize(("trials", "fewest"), [(100, 61), (200, 115), (400, 221), (1000, 532)])
def test_the_smallest_significant_count_is_that_of_the_tables(trials, fewest):
    assert fewest_significant(trials) == fewest
    assert binomial_test(fewest, trials) < 0.05 <= binomial_test(fewest - 1, trials)


def test_few_answers_are_never_significant():
    assert [fewest_significant(trials) for trials in (1, 5, 6)] == [None, None, 6]


@pytest.mark.parametrize(
    ("share", "answers"), [(0.75, 29), (0.70, 47), (0.65, 85), (0.60, 194), (0.55, 783), (0.52, 4904)]
)
def test_the_answers_needed_are_those_of_the_tables(share, answers):
    assert answers_needed(share) == answers
    assert answers_needed(1 - share) == answers


@pytest.mark.parametrize(("share", "below"), [(0.65, 0.08), (0.60, 0.05), (0.55, 0.02)])
def test_the_answers_needed_find_the_difference_as_often_as_promised(share, below):
    # Counts are whole, so the exact test is stricter than planned for, the more so the fewer answers there are.
    trials = answers_needed(share)
    limit = fewest_significant(trials)
    found = np.random.default_rng(0).binomial(trials, share, 100_000) >= limit
    assert 0.8 - below < found.mean() < 0.81


def test_two_models_need_379_answers_each():
    assert answers_needed_each(0.190, 0.276) == answers_needed_each(0.276, 0.190) == 379


def test_equivalence_takes_as_many_answers_as_both_tests_need():
    assert answers_for_equivalence(0.05) == 857
    assert answers_for_equivalence(0.05, power=0.9) == 1083
    # Both one-sided tests at once, on simulated counts of guessers.
    for power in (0.8, 0.9):
        trials = answers_for_equivalence(0.05, power=power)
        shares = np.random.default_rng(0).binomial(trials, 0.5, 200_000) / trials
        reach = 0.05 - NormalDist().inv_cdf(0.95) * np.sqrt(shares * (1 - shares) / trials)
        assert (np.abs(shares - 0.5) < reach).mean() == pytest.approx(power, abs=0.012)


def test_a_design_effect_says_what_answers_of_one_person_cost():
    assert design_effect(50, 0.05) == pytest.approx(3.45)
    assert design_effect(1, 0.9) == design_effect(50, 0.0) == 1.0


def test_the_correlation_of_simulated_people_is_found():
    # A beta-binomial's intraclass correlation is 1 / (a + b + 1).
    rng = np.random.default_rng(0)
    shares = rng.beta(2.0, 2.0, 4000)
    sizes = rng.integers(20, 60, 4000)
    assert correlation_within(rng.binomial(sizes, shares), sizes) == pytest.approx(0.2, abs=0.01)
    assert correlation_within(rng.binomial(sizes, 0.4), sizes) == pytest.approx(0.0, abs=0.005)
    assert correlation_within([1, 1], [1, 1]) == 0.0


def test_people_are_drawn_and_not_answers():
    # Ten persons who always say the same: the answers say nothing of more than ten.
    wide = bootstrap_raters([100] * 5 + [0] * 5, [100] * 10, rng=np.random.default_rng(0))
    assert wide == (pytest.approx(0.2), pytest.approx(0.8))
    alike = bootstrap_raters([50] * 10, [100] * 10, rng=np.random.default_rng(0))
    assert alike == (0.5, 0.5)
    again = [bootstrap_raters([1, 5, 9], [10, 10, 10], rng=np.random.default_rng(3)) for _ in range(2)]
    assert again[0] == again[1]


def test_a_bootstrap_of_many_people_is_as_wide_as_theory_says():
    rng = np.random.default_rng(0)
    low, high = bootstrap_raters(rng.binomial(40, 0.3, 200), [40] * 200, rng=rng)
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(0.3 * 0.7 / 8000), rel=0.15)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        (lambda: wilson(3, 0), "got 3 of 0"),
        (lambda: wilson(3, 2), "got 3 of 2"),
        (lambda: wilson(-1, 2), "got -1 of 2"),
        (lambda: wilson(1, 2, confidence=95), "confidence is 95, expected more than 0 and less than 1"),
        (lambda: binomial_test(1, 2, chance=0), "chance is 0, expected more than 0"),
        (lambda: answers_needed(0.5), "are 0.5 and 0.5, expected two different ones"),
        (lambda: answers_needed(1.5), "are 1.5 and 0.5, expected two different ones"),
        (lambda: answers_needed_each(0.2, 0.2), "no number of answers tells equal ones apart"),
        (lambda: answers_for_equivalence(5), "margin is 5, expected"),
        (lambda: correlation_within([1], [2]), "Answers of two persons or more are needed"),
        (lambda: bootstrap_raters([1, 2], [3], rng=np.random.default_rng(0)), "got counts for 2 and 1"),
    ],
)
def test_what_cannot_be_counted_is_told(mistake, told):
    with pytest.raises(CardiganError, match=told):
        mistake()
