"""Arms take turns within one run, so that a machine that drifts is fair to all of them."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.table import Row

T = TypeVar("T")
Work = Callable[[], float]
"""Does a piece of work and tells how many images that were."""

FEWEST = 3
"""Rounds before which a lack of time ends nothing, unless it is a great one."""


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Args:
        rounds: times that each arm has its turn.
        seconds: that a question may take, roughly.
        piece: seconds that an arm works at least in each turn.
        threads: of PyTorch.
        quick: sizes that show that all works, and say nothing.
        names: what to measure of the question; () for all.
        data: a folder with data sets, for what needs real ones.
        peers: other libraries, by name, and the command that starts a Python which has them.
        skipped: what could not be measured, and why; questions add to it.
    """

    rounds: int = 5
    seconds: float = 300.0
    piece: float = 2.0
    threads: int = 1
    quick: bool = False
    names: tuple[str, ...] = ()
    data: Path | None = None
    peers: Mapping[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def wants(self, name: str) -> bool:
        """Whether this is to be measured."""
        return not self.names or name in self.names


@dataclass(frozen=True)
class Spent:
    """What a piece of work took."""

    images: float
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def cpu_rate(self) -> float:
        """Images a second of the processor's time; 0 where the work was done in another process."""
        return self.images / self.cpu if self.cpu > 0.02 * self.seconds else 0.0


def spent(work: Work, pieces: int = 1) -> Spent:
    """Do it, and look at the clocks."""
    process_time = getattr(work, "process_time", time.process_time)  # work that is done elsewhere has its own
    start, cpu = time.perf_counter(), process_time()
    images = sum(work() for _ in range(pieces))
    return Spent(images, time.perf_counter() - start, process_time() - cpu)


def in_turn(arms: Mapping[str, Callable[[], T]], *, rounds: int, seconds: float) -> dict[str, list[T]]:
    """What each arm gave in each round; every second round in reverse order, so that nobody always comes first."""
    found: dict[str, list[T]] = {name: [] for name in arms}
    start = time.perf_counter()
    for done in range(rounds):
        used = time.perf_counter() - start
        if done and (used > 2 * seconds or (done >= FEWEST and used * (done + 1) / done > seconds)):
            break
        for name in list(arms)[:: 1 if done % 2 == 0 else -1]:
            found[name].append(arms[name]())
    return found


def rates(arms: Mapping[str, Work], plan: Plan, *, seconds: float) -> dict[str, list[Spent]]:
    """How quick each arm is, after a piece of work for warming up that is not counted."""
    first = {name: spent(work) for name, work in arms.items()}
    pieces = {name: max(1, math.ceil(plan.piece / one.seconds)) for name, one in first.items()}
    turns = {name: lambda work=work, count=pieces[name]: spent(work, count) for name, work in arms.items()}
    return in_turn(turns, rounds=plan.rounds, seconds=max(seconds - sum(one.seconds for one in first.values()), 0.0))


def row(name: str, found: Mapping[str, list[Spent]], *, unit: str = "images/s", **told: object) -> Row:
    """Rates as a row of a table."""
    cpu = {arm: [one.cpu_rate for one in each] for arm, each in found.items()}
    known = all(all(each) for each in cpu.values())
    values = {arm: [one.rate for one in each] for arm, each in found.items()}
    return Row(name, unit, values, cpu=cpu if known else {}, **told)  # pyright: ignore[reportArgumentType]
