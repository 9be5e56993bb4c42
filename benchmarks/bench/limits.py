"""How much quicker a step could be: its arithmetic beside the processor's pace, and where its time goes.

No loop of this mathematics is quicker than its multiplications are. Convolutions and products of matrices are counted
as PyTorch does, in floating-point operations, and set beside what the same machine reaches, in turn, where it does
nothing else: a product of two large matrices.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.alternation import Plan, Work, rates, row
from bench.questions import TUTORIALS
from bench.sides import ours, printed, same_mathematics, served, store_for
from bench.table import Row
from bench.tutorials import load
from cardigan.data.batches import batches

SIDE = 2_048
"""Of the large matrices."""
PROFILED = 3
KINDS = {
    "products and convolutions": ("conv", "mm", "mv", "dot", "linear"),
    "the optimizer and the check that all is finite": ("adam", "optimizer", "_foreach"),
    "random numbers": ("bernoulli", "normal_", "random", "uniform", "randperm"),
    "normalisation": ("batch_norm", "native_group_norm"),
}
"""What an operation is, by words in its name; the first that fits."""
REST = "the rest"


def rows(plan: Plan) -> Iterator[Row]:
    """One for each tutorial: our step of the same mathematics."""
    wanted = [name for name in TUTORIALS if plan.wants(name)]
    for name in wanted:
        tutorial = load(name)
        batch = 4 if plan.quick else tutorial.batch
        store = store_for(tutorial, batch)
        drawn = batches(store, batch_size=batch, labels=bool(tutorial.classes))
        step = ours(same_mathematics(tutorial, store, batch), drawn, cycle=tutorial.cycle)
        theirs = printed(tutorial, served(drawn))
        step()  # optimizers have no state before
        theirs()
        mine, printed_one = operations(step), operations(theirs)
        side = 256 if plan.quick else SIDE
        arms = {
            f"product of matrices of {side:,}": product(side),
            "our step": lambda step=step, mine=mine: step() and mine,
        }
        found = rates(arms, plan, seconds=plan.seconds / len(wanted))
        times = ", ".join(f"{kind} {share:.0%}" for kind, share in spent_on(step).items())
        note = f"the tutorial multiplies {printed_one / mine:.2f} times as much; our time: {times}"
        yield row(f"{tutorial.title}: arithmetic", found, unit="GFLOP/s", note=note)


def operations(work: Work) -> float:
    """Floating-point operations of one piece, in 10**9."""
    with Counting() as counting:
        work()
    return counting.operations / 1e9


class Counting(TorchDispatchMode):
    """Adds up what PyTorch's own formulas say of each operation.

    Its ``FlopCounterMode`` also follows modules, which fails where gradients of parametrized weights are asked for.
    """

    operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.operations += formula(*args, **(kwargs or {}), out_val=found)
        return found


def product(side: int) -> Work:
    """A product of two square matrices, told in 10**9 operations."""
    one, other, into = (torch.rand(side, side) for _ in range(3))

    def work() -> float:
        torch.mm(one, other, out=into)
        return 2 * side**3 / 1e9

    return work


def spent_on(work: Work) -> dict[str, float]:
    """The share of its own time that each kind of operation takes, the largest first."""
    with silent(), profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(PROFILED):
            work()
    found: dict[str, float] = {}
    for event in seen.key_averages():
        name = event.key.lower()
        kind = next((kind for kind, words in KINDS.items() if any(word in name for word in words)), REST)
        found[kind] = found.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(found.values())
    shares = {kind: took / total for kind, took in found.items() if kind != REST and took > 0.01 * total}
    ordered = dict(sorted(shares.items(), key=lambda each: -each[1]))
    return ordered | {REST: 1.0 - sum(ordered.values())}


@contextmanager
def silent() -> Iterator[None]:
    """Send what the profiler's own library announces on the standard error to where nothing is kept."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
