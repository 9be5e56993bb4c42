"""Chooses by the data, the device and the budget, and says why.

Source: the recipes it chooses from.
Expect: what the chosen recipe says.
"""

from dataclasses import replace

from cardigan import recipes
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight, classes_for

SMALL = 32
"""Sides up to this many pixels train in a minute on a CPU."""
SHORT = 5
"""Minutes below which a CPU is given the smallest network for larger images."""


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
    choices = [
        ("width", width, *_width(task)),
        ("learning_rate", learning_rate, *_learning_rate(task)),
        ("batch_size", batch_size, *_batch_size(task)),
        ("flip", flip, task.channels >= 3, "colour pictures usually may be mirrored; not if they hold text"),
    ]
    settings = {name: choice if given is None else given for name, given, choice, _ in choices}
    because = [f"auto takes the recipe quick at {task.width}x{task.height} pixels: convolutions with R1."]
    because += [
        f"{name}={str(choice).lower()}: {why} (--set {name}=... overrules)."
        for name, given, choice, why in choices
        if given is None and choice
    ]
    if classes_for(task, conditional):
        because.append(
            f"Conditional, since the data has {task.classes} classes (--set conditional=false goes without)."
        )
    chosen = recipes.find("quick").recipe(task, conditional=conditional, r1=r1, **settings)
    return replace(chosen, because=tuple(because))


def _width(task: Task) -> tuple[int, str]:
    if task.device != "cpu":
        return 64, "a GPU affords it"
    if max(task.size) <= SMALL:
        return 16, "enough for small images"
    if task.minutes is not None and task.minutes < SHORT:
        return 16, f"less than {SHORT} minutes on a CPU"
    return 24, "what a CPU affords at this size"


def _learning_rate(task: Task) -> tuple[float, str]:
    if task.device != "cpu":
        return 5e-4, "a wide network wants it low"
    return (2e-3, "small images") if max(task.size) <= SMALL else (1e-3, "larger images want it lower")


def _batch_size(task: Task) -> tuple[int, str]:
    usual = 32 if task.device == "cpu" else 64
    if 0 < task.count < 2 * usual:
        return max(2, task.count // 2), f"there are only {task.count} images"
    return usual, "many small steps on a CPU" if task.device == "cpu" else "keeps a GPU busy"
