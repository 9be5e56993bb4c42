"""How the learning rate moves over the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardigan.errors import CardiganError
from cardigan.training.schedules import check_multiplier, constant, linear

shares = st.floats(0, 1)


@given(shares)
def test_constant_does_not_move(spent):
    assert constant()(spent) == 1.0


@given(to=st.floats(0, 2), start=st.floats(0, 0.9), spent=shares)
def test_linear_is_the_straight_line_between_its_ends(to, start, spent):
    schedule = linear(to=to, start=start)
    assert schedule(0.0) == 1.0
    assert schedule(start) == 1.0
    assert schedule(1.0) == pytest.approx(to)
    assert schedule(7.0) == pytest.approx(to)  # a little beyond the budget it stays at the end
    expected = 1.0 if spent <= start else 1.0 + (to - 1.0) * (spent - start) / (1.0 - start)
    assert schedule(spent) == pytest.approx(expected)


def test_linear_by_default_ends_at_nothing():
    assert [linear()(spent) for spent in (0, 0.25, 0.5, 1)] == [1.0, 0.75, 0.5, 0.0]


REFUSED = {
    "constant: multiplier is -1, expected a finite number, at least 0. Type multiplier=1.0.": lambda: constant(-1),
    "constant: multiplier is inf,": lambda: constant(float("inf")),
    "linear: to is nan,": lambda: linear(to=float("nan")),
    "linear: start is 1, expected a share of the budget, at least 0 and below 1. Type start=0.5.": lambda: linear(
        start=1
    ),
    "schedule is nan, expected a finite number, at least 0, from its function.": lambda: check_multiplier(float("nan")),
    "schedule is -0.5,": lambda: check_multiplier(-0.5),
}


@pytest.mark.parametrize("words", REFUSED)
def test_rates_that_cannot_be_are_refused(words):
    with pytest.raises(CardiganError) as caught:
        REFUSED[words]()
    assert words in str(caught.value)
