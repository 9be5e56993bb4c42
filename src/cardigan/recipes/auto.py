"""Chooses by the data and the device, and says why.

Source: the recipes it chooses from.
Expect: what the chosen recipe says.
"""

from dataclasses import replace

from cardigan import recipes
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight

SMALL = 32
"""Sides up to this many pixels train in a minute on a CPU."""


def recipe(
    task: Task,
    *,
    width: Count | None = None,
    conditional: bool | None = None,
    batch_size: BatchSize | None = None,
    learning_rate: Rate | None = None,
    r1: Weight | None = None,
    flip: bool | None = None,
) -> Recipe:
    """Every setting overrules the choice."""
    side = max(task.size)
    small, cpu = side <= SMALL, task.device == "cpu"
    because = [f"Recipe quick at {task.width}x{task.height} pixels: convolutions with R1, the best known for its cost."]
    chosen = {
        "width": 16 if small else 24 if cpu else 64,
        "learning_rate": 2e-3 if small else 1e-3 if cpu else 5e-4,
        "batch_size": min(32 if cpu else 64, max(2, task.count // 2 or 64)),
        "flip": task.channels >= 3,
        "r1": 0.1 * task.height * task.width / 28**2,
    }
    because.append(
        f"Width {chosen['width']} and learning rate {chosen['learning_rate']:g}: "
        f"{'small images' if small else 'a CPU' if cpu else 'a GPU'}."
    )
    if chosen["flip"]:
        because.append("Mirrored left and right, since colour photos usually may be; --set flip=false if not.")
    if task.classes:
        because.append(f"Conditional: the data has {task.classes} classes; --set conditional=false goes without.")
    if task.count and chosen["batch_size"] < (32 if cpu else 64):
        because.append(f"Batches of {chosen['batch_size']}: the data has only {task.count} images.")
    given = {"width": width, "batch_size": batch_size, "learning_rate": learning_rate, "flip": flip, "r1": r1}
    chosen |= {key: value for key, value in given.items() if value is not None}
    return replace(recipes.find("quick").recipe(task, conditional=conditional, **chosen), because=tuple(because))
