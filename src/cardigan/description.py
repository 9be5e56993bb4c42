"""What a run's ``config.json`` says: what was asked for, and what it came to."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from cardigan import recipes
from cardigan._version import __version__
from cardigan.data import Store, verdicts, words
from cardigan.data.holding import Split
from cardigan.recipes import Recipe
from cardigan.request import Request, affordable, located, shaped
from cardigan.settings import Settings
from cardigan.training.loop import PLAYERS, Training

DEFAULT_MINUTES = 10.0
"""The budget where neither the user nor the recipe gives one."""


def describe(
    request: Request,
    settings: Settings,
    recipe: Recipe,
    training: Training,
    store: Store,
    split: Split,
    device: str,
) -> dict[str, Any]:
    """What ``config.json`` holds: what was asked for, and what it came to."""
    images, minutes = request.images, request.minutes
    if images is None and minutes is None:
        images = recipe.passes * len(split.training) if recipe.passes else None
        minutes = None if images else DEFAULT_MINUTES
    gan, found = recipe.gan, store.scan
    counts = np.bincount(store.labels, minlength=len(store.classes)) if store.labels is not None else []
    return {
        "version": __version__,
        "torch": torch.__version__,
        "command": request.command(),
        "request": request.to_dict(),
        "budget": {"images": images, "minutes": minutes, "since": None},
        "shape": list(store.shape),
        "device": device,
        "threads": torch.get_num_threads(),
        "resolved": {
            "objective": repr(gan.objective),
            "terms": [repr(term) for term in gan.terms],
            "projections": [repr(projection) for projection in gan.projections],
            "augment": repr(gan.augment),
            "generator": {"model": type(gan.generator).__module__, **gan.generator.arguments},
            "discriminator": {"model": type(gan.discriminator).__module__, **gan.discriminator.arguments},
            "batch_size": recipe.batch_size,
            "optimizers": repr(recipe.optimizers),
            "half_life": recipe.half_life,
            "flip": recipe.flip,
            "degradation": str(recipe.degradation) if recipe.degradation else None,
            "stages": [f"{stage.name} until {stage.until:.0%}" for stage in recipe.stages],
            "choice": repr(recipe.choice) if recipe.choice else None,
        },
        "parameters": {
            player: sum(weight.numel() for weight in gan.network(player).parameters()) for player in PLAYERS
        },
        "because": [
            *recipe.because,
            *_size(request, store, device),
            *_unused_labels(store, recipe),
            *_nothing_held_out(settings, recipe, split),
        ],
        "store": store.names_file.parent.name if store.names_file else "",
        "data": {
            "source": request.source,
            "place": located(request.source),
            "fingerprint": store.fingerprint,
            "count": len(store),
            "held_out": len(split.held),
            "split": split.fingerprint,
            "classes": {name: int(count) for name, count in zip(store.classes, counts, strict=True)},
            "description": found.get("description", ""),
            **({"left out": words.counts(found["ignored"])} if found.get("ignored") else {}),
            "value_range": found.get("value_range"),
            "warnings": [*_copying(settings, recipe, store, split), *found.get("warnings", ())],
            "skipped": [list(entry) for entry in found.get("bad", ())],
        },
    }


def _size(request: Request, store: Store, device: str) -> Iterator[str]:
    if request.sides is None and "ONLY" not in vars(recipes.find(request.recipe)):
        height, width, _ = store.shape
        most = affordable(device, request.minutes)
        budget = "" if request.minutes is None else f" in {request.minutes:g} minutes"
        kind = "CPU" if device == "cpu" else "GPU"
        sizes, why = store.scan.get("sizes", {}), "what the images have"
        common = sizes.get("most common", (height, width))
        if store.scan.get("most_common") != store.scan.get("count") or tuple(common) != (height, width):
            why = f"chosen for images of mostly {common[0]}x{common[1]}"
        shape = shaped((common[0], common[1]), height * width)
        keeps = (
            ""
            if height * common[1] == width * common[0] or store.pieces
            else f"; --size {shape[0]}x{shape[1]} keeps their shape"
        )
        yield (
            f"size={height}x{width}: {why}, up to the {most} pixels that a {kind} is asked for{budget} (--size "
            f"overrules{keeps})."
        )


def _unused_labels(store: Store, recipe: Recipe) -> list[str]:
    if store.labels is None or recipe.gan.generator.classes:
        return []
    return [f"The data has {len(store.classes)} classes, which this recipe does not use."]


def _copying(settings: Settings, recipe: Recipe, store: Store, split: Split) -> Iterator[str]:
    if recipe.degradation is None:
        yield from verdicts.copying(len(store), len(split.held), settings.data.hold_out)


def _nothing_held_out(settings: Settings, recipe: Recipe, split: Split) -> list[str]:
    if recipe.degradation is None or len(split.held):
        return []
    few = f"There are fewer than {verdicts.FEWEST_PHOTOS} photos, so none is held out"
    why = "No photo is held out, as hold_out=0 asks" if settings.data.hold_out == 0 else few
    return [f"{why}: what is measured, and shown as restored, was also trained on."]
