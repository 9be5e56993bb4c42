"""How many operations does a turn send to its device? On a GPU small networks take as long as sending them takes.

The count depends on neither widths nor batches nor the machine. Views, memory without content and reads do not count.
"""

from collections.abc import Iterator
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from bench.alternation import Plan
from bench.sides import store_for, task_of
from bench.table import Row
from bench.tutorials import NAMES, load
from cardigan import recipes
from cardigan.data.batches import batches
from cardigan.training.loop import Training

BATCH = 4


class Counted(TorchDispatchMode):
    """Counts operations that compute something."""

    found = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count one and run it."""
        name = str(operation)
        free = operation.is_view or name.startswith(("profiler.", "aten._unsafe_view", "aten._local_scalar_dense"))
        self.found += not free and "empty" not in name
        return operation(*args, **(kwargs or {}))


def rows(plan: Plan) -> Iterator[Row]:
    """A row for each recipe that takes a tutorial's place."""
    for name in (name for name in NAMES if plan.wants(name)):
        tutorial = load(name)
        store = store_for(tutorial, BATCH)
        recipe = recipes.prepare(tutorial.corrected, task_of(store), batch_size=BATCH)
        training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life)
        drawn = batches(store, batch_size=BATCH, labels=bool(recipe.gan.generator.classes))
        found = []
        for turns in (2, 1):  # the first ones make the optimizers' state
            with Counted() as count:
                for _ in range(turns):
                    training.turn(drawn, recipe.turns)
            found.append(count.found)
        note = f"{' and '.join(training.progress.last)}; the same on every machine"
        yield Row(f"{tutorial.corrected}: a turn", "operations", {"cardigan": found[-1:]}, more=False, note=note)
