"""A tutorial's loop in a process of its own, as plain Python runs it.

What is told to an allocator holds for a whole process. Ours is told what the command line tells it, so the other side
works elsewhere, and waits there while it is not its turn.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Self, TypeVar

import torch

from bench.alternation import Work
from bench.sides import printed, served, store_for
from bench.tutorials import load
from cardigan.data.batches import batches

T = TypeVar("T")


class Elsewhere:
    """A process that lives as long as the block, and does what it is asked.

    Args:
        threads: of PyTorch.
    """

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=torch.set_num_threads, initargs=(threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """Let it do this, and wait for the answer."""
        return self.pool.submit(function, *arguments).result()


class There:
    """Work that is done elsewhere, and the processor's time that it took there."""

    def __init__(self, place: Elsewhere, name: str, *, batch: int) -> None:
        self.place, self.name, self.spent = place, name, 0.0
        place.do(_begin, name, batch)

    def __call__(self) -> float:
        images, cpu = self.place.do(_piece, self.name)
        self.spent += cpu
        return images

    def process_time(self) -> float:
        """What it has taken so far, in seconds."""
        return self.spent


_begun: dict[str, Work] = {}
"""In the other process: the loops that go on there."""


def _begin(name: str, batch: int) -> None:
    tutorial = load(name)
    drawn = batches(store_for(tutorial, batch), batch_size=batch, labels=bool(tutorial.classes))
    _begun[name] = printed(tutorial, served(drawn))


def _piece(name: str) -> tuple[float, float]:
    start = time.process_time()
    return _begun[name](), time.process_time() - start
