"""How the learning rate moves: functions from the share of the budget that is spent (0 to 1) to a multiplier.

They end with the budget, whether it is counted in images or in minutes.
"""

import math
from collections.abc import Callable

from cardigan.checks import check, check_not_negative

Schedule = Callable[[float], float]


def constant(multiplier: float = 1.0) -> Schedule:
    """No change.

    Args:
        multiplier: of the full rate.

    Raises:
        CardiganError: if it is negative or not finite.

    Example:
        >>> constant()(0.7), constant(0.2)(0.7)
        (1.0, 0.2)
    """
    check_not_negative("multiplier", multiplier, of="constant", instead=1.0)
    return lambda spent: multiplier


def check_multiplier(multiplier: float) -> float:
    """What a schedule gave, if a rate can be multiplied by it.

    Raises:
        CardiganError: if it is negative or not a finite number.
    """
    fits, expected = lambda value: 0 <= value < math.inf, "a finite number, at least 0, from its function"
    check("schedule", multiplier, fits, expected, "linear(to=0.0)")
    return multiplier


def linear(*, to: float = 0.0, start: float = 0.0) -> Schedule:
    """Full until ``start`` of the budget is spent, then a straight fall to ``to`` at its end.

    Args:
        to: the multiplier at the end, at least 0.
        start: share of the budget, at least 0 and below 1.

    Raises:
        CardiganError: if a number lies outside its range.

    Example:
        >>> schedule = linear(to=0.1, start=0.5)
        >>> schedule(0.25), schedule(0.75), round(schedule(1.0), 3)
        (1.0, 0.55, 0.1)
    """
    check_not_negative("to", to, of="linear", instead=0.0)
    check(
        "start", start, lambda value: 0 <= value < 1, "a share of the budget, at least 0 and below 1", 0.5, of="linear"
    )

    def schedule(spent: float) -> float:
        place = min(max((spent - start) / (1.0 - start), 0.0), 1.0)
        return 1.0 + (to - 1.0) * place

    return schedule
