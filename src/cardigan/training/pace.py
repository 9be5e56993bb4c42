"""Which way of running the networks is quickest here: measured on the training itself, and undone.

For budgets in time alone. There speed decides how far a training gets, and no two runs are alike to the last bit; a
training of so many images stays a function of its seed.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from warnings import catch_warnings

import torch

from cardigan.clock import StepRecord
from cardigan.contracts import Batches, Turn
from cardigan.layers import channels_first
from cardigan.training.checkpoint import Copy
from cardigan.training.loop import PLAYERS, Training
from cardigan.training.precision import Precision, Way, knows, usual
from cardigan.training.state import Checkpoint, restore
from cardigan.training.verdicts import NonFiniteError

ROUNDS, TURNS = 3, 3
"""Each way is timed so often, in turn with the others, over so many turns; one more before them is not timed."""
SHARE = 0.02
"""Of the time that is left, measuring takes no more than about this; if it would, nothing is measured."""
LONG = 3 * 60 * 60
"""Seconds that have to be left for what takes minutes to get ready, beside the measuring: compiling."""
MARGIN = 1.05
"""A way has to be so many times as quick as the plain one to be taken: less may be noise."""
SLACK = 0.05, 0.1
"""The first turn's losses may differ from the plain way's by so much, plus so much of themselves."""


@dataclass(frozen=True)
class Pace:
    """What measuring has come to.

    Args:
        way: the quickest.
        gain: how many times as quick as the first of the ways it is.
    """

    way: Way
    gain: float


def ways(precision: Precision | None, *, bfloat16: bool, compiling: bool, device: torch.device) -> tuple[Way, ...]:
    """The ways that come into question, the plain one first.

    Args:
        precision: what the user asked for; None leaves it open.
        bfloat16: whether the recipe was seen to learn as well with it.
        compiling: whether there is time to get ready for a minute or two. On a CPU nothing is compiled.
        device: where the training runs.

    Example:
        >>> [str(way) for way in ways(None, bfloat16=True, compiling=True, device=torch.device("cpu"))]
        ['float32', 'bfloat16']
    """
    cuda, precisions = device.type == "cuda", list[Precision]([precision or usual(device)])
    if precision is None and bfloat16 and knows("bfloat16", device):
        precisions.append("bfloat16")
    return tuple(
        Way(each, compiled) for compiled in ([False, True] if cuda and compiling else [False]) for each in precisions
    )


def run_as(training: Training, way: Way) -> None:
    """Have the networks run in that way from now on; weights and all that is saved of them stay as they are."""
    training.compute_in(way.precision)
    training.way = way
    if not way.channels_last:
        training.arithmetic = _in_usual_order(training.arithmetic)
    twice = any(term.player == "discriminator" for term in training.gan.terms)
    for player in PLAYERS:
        network = training.gan.network(player)
        network.__dict__.pop("_compiled_call_impl", None)  # what compile() sets; nothing public takes it back
        if way.compiled and not (twice and player == "discriminator"):
            # Shapes hold for a whole training; and random numbers are those of the plain way.
            network.compile(dynamic=False, options={"fallback_random": True})


def _in_usual_order(
    arithmetic: Callable[[], AbstractContextManager[object]],
) -> Callable[[], AbstractContextManager[object]]:
    """The same context, in which maps lie in the usual order."""

    @contextmanager
    def both() -> Iterator[None]:
        with channels_first(), arithmetic():
            yield

    return both


def quickest(
    training: Training, batches: Batches, players: Turn, candidates: Sequence[Way], *, seconds: float
) -> Pace | None:
    """Measure ways of running the networks, leave the training as it was, and have it run in the quickest.

    A way that fails, whose first losses are not nearly those of the plain one, or that is not clearly quicker, is not
    taken.

    Args:
        training: alone, not one of several processes.
        batches: where real images come from.
        players: who plays in the turns to come; here they do in every turn.
        candidates: the ways, two or more; the first is the plain one.
        seconds: that are left to train.

    Returns:
        The quickest; or None if measuring would take too long, or the plain way fails. Then nothing has changed.
    """
    plain, *others = candidates
    rehearsal, chosen = _Rehearsal(training, batches, players), plain
    run_as(training, plain)
    try:
        # The first turn takes longer than those that follow; it decides only where even few like it would be too many.
        for count in (4, len(candidates) * (1 + ROUNDS * (1 + TURNS))):
            if count * (turn := rehearsal.seconds(1)) > SHARE * seconds:
                return None
        expected, best = rehearsal.losses(), {plain: math.inf}
        for way in others:
            with _leaving_out(way, best):
                best[way] = math.inf
                run_as(training, way)
                if not _alike(rehearsal.losses(), expected) or not (way.compiled or rehearsal.seconds(1) < 2 * turn):
                    del best[way]
        for _ in range(ROUNDS):
            for way in list(best):
                with _leaving_out(way, best) if way != plain else nullcontext():
                    run_as(training, way)
                    rehearsal.back()
                    rehearsal.seconds(1)
                    best[way] = min(best[way], rehearsal.seconds(TURNS))
        way = min(best, key=lambda each: best[each])
        chosen = way if best[plain] >= MARGIN * best[way] else plain
        return Pace(chosen, best[plain] / best[chosen])
    except NonFiniteError:  # of the plain way: training itself will come to it, and say so
        return None
    finally:
        rehearsal.back()
        run_as(training, chosen)


@contextmanager
def _leaving_out(way: Way, best: dict[Way, float]) -> Iterator[None]:
    """Try a way; if it fails, it is out. Compilers fail and warn in ways of their own."""
    try:
        with catch_warnings(action="ignore"):
            yield
    except Exception:
        best.pop(way, None)


class _Rehearsal:
    """The turns that are next, to be taken again and again from the same place."""

    def __init__(self, training: Training, batches: Batches, players: Turn) -> None:
        self.training, self.batches, self.players = training, batches, players
        copy = Copy.of(training, {})
        self._start = Checkpoint(Path(), copy.state["turns"], copy.state, copy.files)

    def back(self) -> None:
        """To where it began."""
        restore(self.training, self._start)

    def seconds(self, turns: int) -> float:
        """What so many turns take.

        Raises:
            NonFiniteError: if one of their steps was not finite.
        """
        self._wait()
        began = time.perf_counter()
        for _ in range(turns):
            self._turn()
        self._wait()
        taken = time.perf_counter() - began
        self.training.judge()
        return taken

    def losses(self) -> dict[str, float]:
        """Those of the first turn."""
        self.back()
        record = self._turn()
        self.training.judge()
        return {name: float(value) for name, value in record.losses.items()}

    def _turn(self) -> StepRecord:
        return self.training.turn(self.batches, lambda progress: self.players)

    def _wait(self) -> None:
        if self.training.device.type != "cpu":
            torch.accelerator.synchronize(self.training.device)


def _alike(found: dict[str, float], expected: dict[str, float]) -> bool:
    """Whether losses are nearly what they should be."""
    at_all, of_it = SLACK
    return all(abs(found[name] - value) <= at_all + of_it * abs(value) for name, value in expected.items())
