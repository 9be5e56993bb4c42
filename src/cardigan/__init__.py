"""Cardigan trains generative adversarial networks on your own images.

*A GAN is a generator, a discriminator and an objective; a run is a GAN, batches and turns; everything else watches.*

This page is the whole public vocabulary. Names are loaded when they are first used, so that importing the package costs
nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cardigan import augment, features, layers, models, objectives, recipes, regularizers, training
    from cardigan._version import __version__
    from cardigan.clock import Progress, StepRecord
    from cardigan.contracts import GAN, Batch, Normal, Objective, Step
    from cardigan.data import DataSettings, Store, open_source, prepare, scan
    from cardigan.data.batches import batches
    from cardigan.errors import CardiganError
    from cardigan.launch import train
    from cardigan.pixels import to_float, to_uint8
    from cardigan.recipes import build
    from cardigan.runs import Run, load
    from cardigan.scoring import evaluate
    from cardigan.training import Adam, RMSprop, Training, adaptive, alternate, constant, fit, linear, together

__all__ = [
    "GAN",
    "Adam",
    "Batch",
    "CardiganError",
    "DataSettings",
    "Normal",
    "Objective",
    "Progress",
    "RMSprop",
    "Run",
    "Step",
    "StepRecord",
    "Store",
    "Training",
    "__version__",
    "adaptive",
    "alternate",
    "augment",
    "batches",
    "build",
    "constant",
    "evaluate",
    "features",
    "fit",
    "layers",
    "linear",
    "load",
    "models",
    "objectives",
    "open_source",
    "prepare",
    "recipes",
    "regularizers",
    "scan",
    "to_float",
    "to_uint8",
    "together",
    "train",
    "training",
]

_HOMES = {
    "cardigan._version": ["__version__"],
    "cardigan.clock": ["Progress", "StepRecord"],
    "cardigan.contracts": ["GAN", "Batch", "Normal", "Objective", "Step"],
    "cardigan.data": ["DataSettings", "Store", "open_source", "prepare", "scan"],
    "cardigan.data.batches": ["batches"],
    "cardigan.errors": ["CardiganError"],
    "cardigan.launch": ["train"],
    "cardigan.pixels": ["to_float", "to_uint8"],
    "cardigan.recipes": ["build"],
    "cardigan.runs": ["Run", "load"],
    "cardigan.scoring": ["evaluate"],
    "cardigan.training": [
        "Adam",
        "RMSprop",
        "Training",
        "adaptive",
        "alternate",
        "constant",
        "fit",
        "linear",
        "together",
    ],
}
_MODULES = ["augment", "features", "layers", "models", "objectives", "recipes", "regularizers", "training"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"cardigan.{name}")
    for home, residents in _HOMES.items():
        if name in residents:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module 'cardigan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
