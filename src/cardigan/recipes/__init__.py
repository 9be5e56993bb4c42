"""Complete ways to train: one file for each recipe, holding one function ``recipe``.

Each file opens with what it is, where its numbers come from, and what to expect. A new recipe is one new file here;
nothing lists it: it is found by its name.
"""

import inspect
import sys
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, create_model

from cardigan import discovery
from cardigan.contracts import GAN
from cardigan.errors import CardiganError
from cardigan.randomness import seeded
from cardigan.recipes._contract import Compromise, Recipe, Stage, Task, classes_for
from cardigan.spelling import setting

__all__ = [
    "Compromise",
    "Recipe",
    "Stage",
    "Task",
    "build",
    "classes_for",
    "find",
    "names",
    "prepare",
    "settings_model",
]


def names() -> list[str]:
    """All recipes, sorted.

    Example:
        >>> "dcgan" in names()
        True
    """
    return discovery.names(sys.modules[__name__])


def find(name: str) -> ModuleType:
    """The recipe's module.

    Raises:
        CardiganError: if there is none; the message names the nearest and lists all.
    """
    return discovery.load(sys.modules[__name__], name)


def settings_model(name: str) -> type[Any]:
    """The recipe's settings as a pydantic model: each keyword of its function, with type and default.

    Example:
        >>> settings_model("dcgan")(width=32).width
        32
    """
    parameters = inspect.signature(find(name).recipe, eval_str=True).parameters.values()
    fields = {
        parameter.name: (parameter.annotation, parameter.default)
        for parameter in parameters
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return create_model(f"Settings of {name}", __config__=ConfigDict(extra="forbid"), **fields)  # pyright: ignore


def prepare(name: str, task: Task, *, seed: int = 0, **settings: Any) -> Recipe:
    """The recipe for a task, its networks started from ``seed``.

    Args:
        name: which recipe.
        task: what it is for.
        seed: of the networks' first weights.
        **settings: the recipe's own; see ``cardigan recipes NAME``.

    Raises:
        CardiganError: if the recipe or a setting is unknown, or the recipe cannot do the task.
    """
    known = list(settings_model(name).model_fields)
    if unknown := [setting(key, known) for key in settings if key not in known]:
        raise CardiganError("\n".join(unknown))
    with seeded(seed, "init"):
        return find(name).recipe(task, **settings)


def build(
    recipe: str,
    *,
    size: int | tuple[int, int],
    channels: int = 3,
    classes: int = 0,
    seed: int = 0,
    **settings: Any,
) -> GAN:
    """A recipe's GAN, networks ready, nothing trained.

    Args:
        recipe: its name; see ``cardigan recipes``.
        size: side of the images in pixels, or (height, width).
        channels: 1 to 4.
        classes: number of classes, 0 for none.
        seed: of the networks' first weights.
        **settings: the recipe's own.

    Raises:
        CardiganError: if the recipe or a setting is unknown, or the recipe cannot do this size.

    Example:
        >>> gan = build("dcgan-as-printed", size=64, channels=3)
        >>> sum(weight.numel() for weight in gan.generator.parameters())
        3576704
    """
    height, width = (size, size) if isinstance(size, int) else size
    task = Task(height, width, channels=channels, classes=classes)
    return prepare(recipe, task, seed=seed, **settings).gan
