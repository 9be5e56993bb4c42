"""Recipes as texts for a terminal."""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields

from cardigan import recipes
from cardigan.data import DataSettings
from cardigan.data.options import FITS
from cardigan.settings import RunSettings


def overview() -> str:
    """Every recipe with its first sentence."""
    names = recipes.names()
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {_doc(name).splitlines()[0]}" for name in names]
    return "\n".join(["Recipes (cardigan train SOURCE --recipe NAME):", *lines, "", "cardigan recipes NAME shows one."])


def details(name: str) -> str:
    """One recipe: what it is, where its numbers come from, what to expect, and its settings with their defaults.

    What the recipe wants of the data is shown instead of what other recipes take.

    Raises:
        CardiganError: if there is no such recipe.

    Example:
        >>> "learning_rate" in details("dcgan")
        True
    """
    own = {key: field.default for key, field in recipes.settings_model(name).model_fields.items()}
    lines = [f"{name}: {_doc(name)}", "", "Settings of this recipe (--set KEY=VALUE):", *_table(own)]
    for title, room in (("Settings of the data", DataSettings), ("Settings of the run", RunSettings)):
        values = {field.name: None if field.default is MISSING else field.default for field in fields(room)}
        wanted = {key: value for key, value in vars(recipes.find(name)).get("DATA", {}).items() if key in values}
        lines += ["", f"{title}:", *_table(values | wanted)]
    place = next(place for place, line in enumerate(lines) if line.startswith("  fit = "))
    lines[place + 1 : place + 1] = [
        "    an image of another shape is",
        *(f"    {key}: {how}" for key, how in FITS.items()),
    ]
    return "\n".join(lines)


def _doc(name: str) -> str:
    return inspect.cleandoc(recipes.find(name).__doc__ or "")


def _table(values: Mapping[str, object]) -> list[str]:
    return [
        f"  {key} = {str(value).lower() if isinstance(value, bool | None) else value}" for key, value in values.items()
    ]
