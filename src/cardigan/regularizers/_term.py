"""What the terms of this folder have in common."""

from typing import Any

from cardigan.checks import check_not_negative
from cardigan.contracts import check_term


class WeightedTerm:
    """A term with a weight. It refuses a weight, an interval or a player that cannot be, when it is made."""

    weight: Any

    def __post_init__(self) -> None:
        check_not_negative("weight", self.weight, of=type(self).__name__, instead=1.0)
        check_term(self)
