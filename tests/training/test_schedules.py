"""How the learning rate moves over the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardigan.training.schedules import constant, linear

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
