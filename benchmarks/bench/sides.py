"""The two sides of a comparison: a tutorial's loop and a recipe's training, each as work that can be done in pieces."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from bench.alternation import Work
from bench.pictures import pixels
from bench.tutorials import InMemory, Losses, Tutorial
from cardigan import recipes
from cardigan.contracts import Batch, Batches
from cardigan.data.batches import StoredBatches, batches
from cardigan.data.store import Store
from cardigan.layers import Dropout
from cardigan.randomness import seeded
from cardigan.recipes import Recipe, Task
from cardigan.training.loop import Training, fit

STORED = 6
"""Batches that are held in memory."""


def store_for(tutorial: Tutorial, batch: int) -> Store:
    """Pictures of the tutorial's shape."""
    count = STORED * batch
    images = pixels(count, tutorial.size, tutorial.size, tutorial.channels)
    labels = np.arange(count) % tutorial.classes if tutorial.classes else None
    return Store.from_arrays(images, labels)


def task_of(store: Store) -> Task:
    return Task(*store.shape, classes=len(store.classes), count=len(store))


def served(drawn: Batches, count: int = STORED) -> InMemory:
    """The same batches as a data loader that has made floats of them already."""
    parts = [drawn.at(place * drawn.batch_size) for place in range(count)]
    return InMemory([(part.real, torch.zeros(0) if part.labels is None else part.labels) for part in parts])


def printed(tutorial: Tutorial, loader: InMemory) -> Work:
    """The tutorial's loop, one cycle of its players a piece; what it prints goes nowhere."""
    torch.manual_seed(0)
    iterations = tutorial.loop(loader, *tutorial.networks())

    def work() -> float:
        with quietly(), deterministic(tutorial.deterministic):
            for _ in range(tutorial.cycle):
                next(iterations)
        return tutorial.cycle * len(loader.batches[0][0])

    return work


def ours(recipe: Recipe, drawn: StoredBatches, *, cycle: int = 1) -> Work:
    """A recipe's training, one cycle of its players a piece."""
    training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life)
    records = fit(training, drawn, turns=recipe.turns, schedule=recipe.schedule, images=10**12)

    def work() -> float:
        for _ in range(cycle):
            next(records)
        return cycle * drawn.batch_size

    return work


def same_mathematics(tutorial: Tutorial, store: Store, batch: int) -> Recipe:
    """The recipe that does what the tutorial does, and nothing besides: no average of the weights."""
    found = recipes.prepare(tutorial.recipe, task_of(store), batch_size=batch)
    return replace(found, half_life=0)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Send what is printed to where nothing is kept."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        yield


@contextlib.contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Ask for deterministic algorithms, as the face tutorial does, and stop asking."""
    if wanted:
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        if wanted:
            torch.use_deterministic_algorithms(False)


class SameNoise:
    """Latents and classes drawn as the tutorial draws them."""

    def __init__(self, tutorial: Tutorial) -> None:
        self.tutorial = tutorial

    def __call__(self, labels: Tensor | None, *, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        return self.tutorial.noise(count)


def difference(tutorial: Tutorial, *, batch: int = 16) -> float:
    """From equal weights, images and noise: by how much the losses differ in a few iterations, relative to them.

    The largest of ``|ours - theirs| / max(|theirs|, 0.01)`` over iterations and players.
    """
    kind = torch.float64 if tutorial.double else torch.float32
    with default_dtype(kind):
        store = store_for(tutorial, batch)
        recipe = same_mathematics(tutorial, store, batch)
        recipe.gan.prior = SameNoise(tutorial)
        drawn = Precise(batches(store, batch_size=batch, labels=bool(tutorial.classes)), kind)
        training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=0)
        for projection in recipe.gan.projections:  # the first batch, too, meets weights that are clipped
            projection(recipe.gan.network(projection.player))
        theirs = tutorial.networks()
        for mine, other in zip((recipe.gan.generator, recipe.gan.discriminator), theirs, strict=True):
            copy_weights(mine, other)
        if tutorial.mirrored:
            negate_head(theirs[1])
        for network in (recipe.gan.discriminator, theirs[1]):
            without_dropout(network)
        iterations = tutorial.loop(served(drawn, tutorial.checked), *theirs)
        return max(apart(tutorial, training, drawn, recipe, iterations, turn) for turn in range(tutorial.checked))


def apart(
    tutorial: Tutorial,
    training: Training,
    drawn: Batches,
    recipe: Recipe,
    iterations: Iterator[Losses],
    turn: int,
) -> float:
    """One iteration on each side from the same random state: the largest difference of a player's loss."""
    np.random.seed(turn)
    alike = seeded(training.seed, "layers", training.progress.images)
    with quietly(), deterministic(tutorial.deterministic), alike:
        told: dict[str, float] = dict(zip(("generator", "discriminator"), map(float, next(iterations)), strict=True))
    np.random.seed(turn)
    losses = training.turn(drawn, recipe.turns).losses
    found = {
        player: sum(float(value) for name, value in losses.items() if name.startswith(player))
        for player in training.progress.last
    }
    return max(abs(mine - told[player]) / max(abs(told[player]), 0.01) for player, mine in found.items())


@dataclass(frozen=True)
class Precise:
    """Batches in the precision asked for."""

    drawn: StoredBatches
    kind: torch.dtype

    @property
    def batch_size(self) -> int:
        """Images in each."""
        return self.drawn.batch_size

    def at(self, images: int) -> Batch:
        """The batch that is drawn then."""
        batch = self.drawn.at(images)
        return replace(batch, real=batch.real.to(self.kind))


@contextlib.contextmanager
def default_dtype(kind: torch.dtype) -> Iterator[None]:
    """Make weights and noise of this precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Parameters and buffers, in the order in which both sides define them: from the input to the output."""
    for get in (nn.Module.parameters, nn.Module.buffers):
        with torch.no_grad():
            for theirs, mine in zip(get(target), get(source), strict=True):
                if theirs.shape != mine.shape:
                    raise ValueError(
                        f"{tuple(theirs.shape)} is not {tuple(mine.shape)}: these are not the same networks."
                    )
                theirs.copy_(mine)


def without_dropout(network: nn.Module) -> None:
    """Drop nothing: each side draws its masks in its own way."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.share = 0.0
        elif isinstance(module, nn.Dropout):
            module.p = 0.0


@torch.no_grad()
def negate_head(network: nn.Module) -> None:
    """Turn the logits round."""
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    for weight in last.parameters():
        weight.neg_()
