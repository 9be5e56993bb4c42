"""This process's place among those that a launcher started, as the environment tells it. Brings nothing heavy."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cardigan.interrupts import InterruptedRunError
from cardigan.out_of_memory import TooLittleMemoryError

TRY_AGAIN = 75
"""The exit code of a run that lost a process: EX_TEMPFAIL of sysexits.h, for which the same command may succeed."""


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train together.

    Args:
        number: its number among all, from 0; the launchers call it rank. The first one writes and speaks for all.
        count: how many there are; the launchers call it world size.
        local: its number on its machine, from 0.
        neighbours: how many there are on its machine, itself included.

    Example:
        >>> Place(number=3, count=4, local=1, neighbours=2).speaks
        False
    """

    number: int = 0
    count: int = 1
    local: int = 0
    neighbours: int = 1

    @property
    def speaks(self) -> bool:
        """Whether it is the one that tells the user what concerns all."""
        return self.number == 0


def told(environment: Mapping[str, str] = os.environ) -> Place:
    """The place that torchrun, ``accelerate launch`` or a cluster's operator tells in RANK, WORLD_SIZE and so on.

    Example:
        >>> told({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"})
        Place(number=1, count=2, local=1, neighbours=2)
        >>> told({})
        Place(number=0, count=1, local=0, neighbours=1)
    """

    def number(name: str, default: int) -> int:
        text = environment.get(name, "")
        return int(text) if text.isdecimal() else default

    count = max(number("WORLD_SIZE", 1), 1)
    if count == 1:
        return Place()
    return Place(number("RANK", 0), count, number("LOCAL_RANK", 0), max(number("LOCAL_WORLD_SIZE", 1), 1))


class LostProcessError(InterruptedRunError):
    """Another process of the run has ended or cannot be reached any more, so this one cannot go on.

    Args:
        reason: what the network library said.
        kept: what is safe and how to go on, as far as it is known.
    """

    def __init__(self, reason: str, kept: str = "The same command goes on from the last checkpoint.") -> None:
        super().__init__(0, f"Another process of this run has ended, so this one ends too. {kept} (Told: {reason})")
        self.reason, self.exit_code = reason, TRY_AGAIN


def tells(error: BaseException, place: Place) -> bool:
    """Whether this process is one that tells the user of an error, so that many do not tell the same.

    Example:
        >>> tells(ValueError("no such recipe"), Place(1, 2, 1, 2)), tells(LostProcessError("closed"), Place(1, 2, 1, 2))
        (False, True)
    """
    # The first process may be the one that was lost, so two of each machine tell it.
    if isinstance(error, LostProcessError):
        return place.local < 2
    return place.speaks or isinstance(error, TooLittleMemoryError)  # of which no other process knows
