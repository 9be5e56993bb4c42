"""What ``make bench`` asks, and how much of its time each question may take."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.alternation import Plan
from bench.table import Row


@dataclass(frozen=True)
class Question:
    """One file of this folder.

    Args:
        title: what is asked.
        share: minutes of the half hour that two cores are given.
        names: what of it can be asked for alone.
    """

    title: str
    share: float
    names: tuple[str, ...] = ()


TUTORIALS = ("mlp", "cgan", "dcgan", "fastgan", "wgan")
QUESTIONS = {
    "steps": Question("How quick is a step?", 8, (*TUTORIALS, "fastai", "torchgan", "lightweight-gan")),
    "limits": Question("How quick could a step be?", 1.5, TUTORIALS),
    "operations": Question("How many operations is a turn?", 0.1, TUTORIALS),
    "folder": Question("And from a folder of JPEG files?", 5.5),
    "memory": Question("How much memory?", 2.5, TUTORIALS),
    "startup": Question("How long until something happens?", 2, ("help", "mlp", "dcgan", "run")),
    "checkpoint": Question("What does a checkpoint cost?", 0.5, ("mlp", "dcgan")),
    "sampling": Question("How quick is drawing?", 0.5, ("mlp", "dcgan")),
    "evaluation": Question("How quick is measuring?", 1, ("gradients", "pixels", "inception", "dinov2", "texture")),
    "scaling": Question("What do two processes bring?", 2),
    "storing": Question("How quickly are files read?", 1),
    "quality": Question("How good after so many seconds?", 4),
}


def measure(name: str) -> Callable[[Plan], Iterator[Row]]:
    """The function that answers a question; only its file is imported."""
    return importlib.import_module(f"bench.{name}").rows
