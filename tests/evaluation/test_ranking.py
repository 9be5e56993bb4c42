"""Comparing score cards: what was measured otherwise is refused, what does not differ is said not to."""

import numpy as np
import pytest

from cardigan.errors import CardiganError
from cardigan.evaluation.card import Score
from cardigan.evaluation.ranking import apart, compare


def message(*arguments, **words):
    with pytest.raises(CardiganError) as caught:
        compare(*arguments, **words)
    return str(caught.value)


def test_lower_is_first_where_low_is_better_and_last_where_high_is(card):
    cards = [card("b", 0.02), card("c", 0.03), card("a", 0.01)]
    assert [each.subject for each in compare(cards).cards] == ["a", "b", "c"]
    recalls = [
        card(name, scores=(Score("recall", value, 0.01, None, "high"),)) for name, value in (("a", 0.2), ("b", 0.4))
    ]
    ranking = compare(recalls, metric="recall")
    assert ([each.subject for each in ranking.cards], ranking.metric) == (["b", "a"], "recall")


def test_an_extrapolated_distance_ranks_below_0_too(card):
    cards = [
        card(name, scores=(Score("fd-infinity", value, 0.5, 0.2, "low"),))
        for name, value in (("a", 0.4), ("b", -0.3), ("c", 9.0))
    ]
    ranking = compare(cards, metric="fd-infinity")
    assert [each.subject for each in ranking.cards] == ["b", "a", "c"]
    assert "b and a are within noise of each other." in ranking.remarks
    other = card("d", scores=cards[0].scores, protocol={"points": 15})
    assert "They differ in points: 2 and 15. Measure both again" in message([cards[0], other], metric="fd-infinity")


def test_another_protocol_is_refused_and_its_fields_are_named(card):
    other = card("runs/b", protocol={"extractor": "inception", "digest": "e" * 64, "generated": 500})
    told = message([card(), card("runs/c"), other])
    assert told.startswith("runs/a and runs/b were not measured in the same way, so their numbers cannot be ranked. ")
    assert "They differ in extractor: pixels (PCA) and inception; digest: " in told
    assert "dddddddddddddddddddddddd…dddddddddddd and eeeeeeeeeeeeeeeeeeeeeeee…eeeeeeeeeeee" in told
    assert "; generated: 1000 and 500. Measure both again with the same --features, --against, --count" in told
    assert "preprocessing" not in told


def test_what_is_within_noise_is_said_to_be(card):
    near = compare([card("a", 0.012, 0.001), card("b", 0.0145, 0.001)])
    assert "a and b are within noise of each other." in near.remarks
    far = compare([card("a", 0.012, 0.001), card("b", 0.015, 0.001)])
    assert not any("within noise" in remark for remark in far.remarks)
    single = compare([card("a", 0.012, None), card("b", 0.015, 0.001)])
    assert single.remarks[0].startswith(
        "Whether a and b differ by more than chance is not known: they were measured in"
    )
    assert any(remark.startswith("Each run is one training:") for remark in far.remarks)


@pytest.mark.parametrize(("distance", "told"), [(2.7, False), (2.9, True), (-2.9, True)])
def test_two_spreads_of_the_difference_are_the_bound(distance, told):
    assert apart(Score("kid", 0.0, 1.0, None, "low"), Score("kid", distance, 1.0, None, "low")) is told


def parted(*values):
    return Score("kid", float(np.mean(values)), float(np.std(values, ddof=1)), None, "low", parts=values)


def test_what_moves_the_parts_of_both_alike_is_no_noise():
    """Parts that stray by 0.5, whose differences stray by 0.01: their error is 0.0058, and 4.3 of that the bound."""
    one = parted(1.0, 1.5, 2.0)
    for shift, told in ((0.03, True), (0.02, False), (-0.03, True)):
        other = parted(0.99 + shift, 1.5 + shift, 2.01 + shift)
        assert apart(one, other) is apart(other, one) is told
    assert apart(one, parted(2.03, 1.53, 1.03)) is False, "part by part they differ in both directions"
    assert apart(one, parted(1.03, 1.53)) is False, "of another number of parts only the spreads are known"
    assert apart(one, one) is False


def test_independent_parts_differ_in_5_of_100_cases():
    """Of 3 parts the bound is that of Student with 2 degrees of freedom."""
    rng = np.random.default_rng(0)
    for parts in (2, 3, 6):
        found = [apart(parted(*rng.normal(size=parts)), parted(*rng.normal(size=parts))) for _ in range(4000)]
        assert np.mean(found) == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize("field", ["value", "spread"])
def test_nothing_is_known_without_both_values_and_spreads(field):
    full, part = {"value": 1.0, "spread": 1.0}, {field: None}
    one, other = (Score("kid", floor=None, better="low", **each) for each in (full, full | part))
    assert apart(one, other) is apart(other, one) is None


def test_alarms_are_repeated_beside_a_rank(card):
    assert "runs/a: Half of them repeat." in compare([card(), card("b", findings=())]).remarks


def test_one_card_is_no_comparison(card):
    for cards, count in (([], 0), ([card()], 1)):
        assert message(cards) == (
            f"A comparison takes two runs or score cards at least, got {count}. Type: cardigan compare RUN OTHER"
        )


def test_a_score_that_is_not_there_or_ranks_nothing(card):
    pair = [card(), card("runs/b")]
    expected = "Expected one of those it has: kid, recall, authenticity."
    assert message(pair, metric="fid") == f"runs/a has no score 'fid'. {expected}"
    assert message(pair, metric="fd") == f"runs/a has no score 'fd'. {expected}"
    assert message(pair, metric="authenticity") == (
        "authenticity ranks nothing: neither more nor less of it is better. Expected one of kid, recall."
    )


def test_another_way_of_training_is_told_and_nothing_is_refused(card):
    plain, other = (
        card(name, trained={"ways": ways})
        for name, ways in (("a", ["float32 on cpu"]), ("b", ["float32 on cpu", "bfloat16, compiled on cuda"]))
    )
    told = "These were not trained in the same way, so part of a difference may come from that: "
    assert (
        f"{told}a in float32 on cpu; b in float32 on cpu, then bfloat16, compiled on cuda."
        in compare([plain, other]).remarks
    )
    assert f"{told}a in float32 on cpu; c in a way that is not known." in compare([plain, card("c")]).remarks
    for cards in ([plain, plain], [card("c"), card("d")]):
        assert not any(remark.startswith(told) for remark in compare(cards).remarks)
