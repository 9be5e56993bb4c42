"""How the learning rate moves: functions from the share of the budget that is spent (0 to 1) to a multiplier.

They end with the budget, whether it is counted in images or in minutes.
"""

from collections.abc import Callable

Schedule = Callable[[float], float]


def constant(multiplier: float = 1.0) -> Schedule:
    """No change.

    Example:
        >>> constant()(0.7), constant(0.2)(0.7)
        (1.0, 0.2)
    """
    return lambda spent: multiplier


def linear(*, to: float = 0.0, start: float = 0.0) -> Schedule:
    """Full until ``start`` of the budget is spent, then a straight fall to ``to`` at its end.

    Example:
        >>> schedule = linear(to=0.1, start=0.5)
        >>> schedule(0.25), schedule(0.75), round(schedule(1.0), 3)
        (1.0, 0.55, 0.1)
    """

    def schedule(spent: float) -> float:
        place = min(max((spent - start) / (1.0 - start), 0.0), 1.0)
        return 1.0 + (to - 1.0) * place

    return schedule
