"""The most memory that a training holds at once, each side alone in a process of its own."""

from collections.abc import Iterator

from bench.alternation import Plan, in_turn
from bench.inside import measured
from bench.table import Row
from bench.tutorials import NAMES, load

DEFAULT = ("mlp", "dcgan")
ROUNDS = 3


def rows(plan: Plan) -> Iterator[Row]:
    """A row for each tutorial; the two that stand for small and large networks unless others are named."""
    wanted = [name for name in NAMES if name in (plan.names or DEFAULT)]
    for name in wanted:
        tutorial = load(name)
        batch, steps = (4, 1) if plan.quick else (tutorial.batch, tutorial.cycle + 1)

        def side(which: str, name: str = name, batch: int = batch, steps: int = steps) -> float:
            return measured(name, which, steps=steps, batch=batch, threads=plan.threads)["peak"]

        arms = {"tutorial": lambda side=side: side("tutorial"), tutorial.recipe: lambda side=side: side("ours")}
        rounds = min(plan.rounds, ROUNDS)
        yield Row(
            f"{tutorial.title}: peak memory",
            "MiB",
            in_turn(arms, rounds=rounds, seconds=plan.seconds / len(wanted)),
            more=False,
            goal=1.0,
            note=f"resident, of the whole process, after {steps} steps",
            short="peak memory, DCGAN, 64 px" if name == "dcgan" else "",
        )
