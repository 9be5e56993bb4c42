"""How many operations a turn sends to its device: on a GPU small networks take as long as that takes."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cardigan import recipes
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.recipes import Task
from cardigan.training import Training

BATCH = 4


class Counted(TorchDispatchMode):
    """Counts operations that compute: no views, no memory without content, no reads, no marks of the profiler."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        name = str(operation)
        free = operation.is_view or name.startswith(("profiler.", "aten._unsafe_view", "aten._local_scalar_dense"))
        if not free and "empty" not in name:
            self.found[name] += 1
        return operation(*args, **(kwargs or {}))


def counted(name, *, batched=True):
    """Of one turn, after others; how many there are depends neither on the width nor on the batch."""
    recipe = recipes.prepare(name, Task(64, 64, 3), seed=1, width=4, batch_size=BATCH)
    training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=1)
    training.batched = batched
    pixels = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    drawn = batches(Store.from_arrays(pixels), batch_size=BATCH)
    for _ in range(2):
        training.turn(drawn, recipe.turns)
    with Counted() as count:
        training.turn(drawn, recipe.turns)
    return count.found


@pytest.mark.parametrize(("name", "most"), [("dcgan", 190), ("fastgan", 1_500)])
def test_a_turn_is_no_more_than_so_many_operations(name, most):
    found = counted(name)
    assert sum(found.values()) <= most, found.most_common(30)


def test_keeping_buffers_takes_one_operation_for_each_type_of_numbers():
    found = counted("dcgan")
    assert found["aten.copy_.default"] == 0
    assert found["aten._foreach_copy_.default"] <= 8
    assert found["aten.clone.default"] < 10


def test_the_count_counts():
    pair = torch.ones(2)
    with Counted() as count:
        pair.view(1, 2).add(1).add(2)
    assert count.found == {"aten.add.Tensor": 2}


def test_dividing_weights_one_by_one_takes_more():
    assert sum(counted("sngan", batched=False).values()) > sum(counted("sngan").values())
