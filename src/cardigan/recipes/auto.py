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
FEW = 5_000
"""Pictures below which FastGAN is better: twice as good on 3,600 faces (docs/seeds/fastgan.md)."""


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
    """Every setting overrules the choice; ``r1`` is a setting of quick, so whoever gives it gets quick."""
    few = _is_few(task) and r1 is None
    name, what = "quick", "convolutions with R1"
    if few:
        name = "fastgan-lite" if task.device == "cpu" else "fastgan"
        what = f"made for few pictures, and there are {task.count:,}"
    choices = [
        ("width", width, *_width(task, few)),
        ("learning_rate", learning_rate, *_learning_rate(task, few)),
        ("batch_size", batch_size, *_batch_size(task, few)),
        ("flip", flip, task.channels >= 3, "colour pictures usually may be mirrored; not if they hold text"),
    ]
    settings = {key: choice if given is None else given for key, given, choice, _ in choices}
    because = [f"auto takes the recipe {name} at {task.height}x{task.width} pixels: {what}."]
    because += [
        f"{key}={str(choice).lower()}: {why} (--set {key}=... overrules)."
        for key, given, choice, why in choices
        if given is None and choice
    ]
    if classes_for(task, conditional):
        because.append(
            f"Conditional, since the data has {task.classes} classes (--set conditional=false goes without)."
        )
    own = {} if few else {"r1": r1}
    chosen = recipes.find(name).recipe(task, conditional=conditional, **own, **settings)
    return replace(chosen, because=tuple(because))


def _is_few(task: Task) -> bool:
    """Few pictures, too large for the smallest networks."""
    return 0 < task.count < FEW and min(task.size) > SMALL


def _width(task: Task, few: bool) -> tuple[int, str]:
    if task.device != "cpu":
        return 64, "a GPU affords it"
    if few:
        return 8, "what a CPU affords of it"
    if max(task.size) <= SMALL:
        return 16, "enough for small images"
    if task.minutes is not None and task.minutes < SHORT:
        return 16, f"less than {SHORT} minutes on a CPU"
    return 24, "what a CPU affords at this size"


def _learning_rate(task: Task, few: bool) -> tuple[float, str]:
    if few:
        return (3e-3, "a narrow network learns faster") if task.device == "cpu" else (2e-4, "as published")
    if task.device != "cpu":
        return 5e-4, "a wide network wants it low"
    return (2e-3, "small images") if max(task.size) <= SMALL else (1e-3, "larger images want it lower")


def _batch_size(task: Task, few: bool) -> tuple[int, str]:
    usual, why = (32, "many small steps on a CPU") if task.device == "cpu" else (64, "keeps a GPU busy")
    usual, why = (8, "as published") if few else (usual, why)
    if 0 < task.count < 2 * usual:
        return max(2, task.count // 2), f"there are only {task.count} images"
    return usual, why
