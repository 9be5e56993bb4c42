"""Gaussians in the plane: 8 on a ring, 25 on a grid, and games that are to find them all.

A point is shown to the package's networks as a picture of 1x2 pixels with one channel, so that the loop, the losses and
the penalties are those that train pictures. All games play with networks of the same sizes, from the same seeds, on the
same number of points.

Source: *VEEGAN: Reducing Mode Collapse in GANs using Implicit Variational Learning*, Srivastava et al., 2017, for the
mixtures, which here fill -0.8 to 0.8 in their proportions.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch

from cardigan import objectives, regularizers
from cardigan.clock import Turns
from cardigan.contracts import GAN, Batch, Objective, Player, Term
from cardigan.metrics.modes import point_modes
from cardigan.models import mlp
from cardigan.randomness import generator, seeded
from cardigan.training.loop import Training, fit
from cardigan.training.optimizers import Adam, OptimizerSettings
from cardigan.training.schedules import Schedule, constant, linear
from cardigan.training.turns import together

SIZE, LATENT, HIDDEN = (1, 2), 16, (128, 128)
SAMPLES = 10_000


@dataclass(frozen=True)
class Mixture:
    """Round Gaussians, all equally frequent, and batches of points drawn from them: nothing is ever seen twice."""

    centres: np.ndarray
    deviation: float
    batch_size: int = 64
    seed: int = 0

    def at(self, images: int) -> Batch:
        """The batch that is drawn when ``images`` points have been seen, as pictures (B, 1, 1, 2)."""
        rng = generator(self.seed, "points", images)
        which = torch.randint(len(self.centres), (self.batch_size,), generator=rng)
        points = torch.from_numpy(self.centres).float()[which]
        points = points + self.deviation * torch.randn(points.shape, generator=rng)
        return Batch(points[:, None, None, :])


def mixture(name: str, *, batch_size: int = 64, seed: int = 0) -> Mixture:
    """The ``ring`` (deviation a hundredth of its radius) or the ``grid`` (a fortieth of the distance of neighbours)."""
    if name == "ring":
        angles = 2 * np.pi * np.arange(8) / 8
        return Mixture(0.8 * np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.008, batch_size, seed)
    sides = np.linspace(-0.8, 0.8, 5)
    return Mixture(np.stack(np.meshgrid(sides, sides), axis=-1).reshape(-1, 2), 0.01, batch_size, seed)


@dataclass(frozen=True)
class Game:
    """A GAN on points and how it is trained."""

    gan: GAN
    optimizers: OptimizerSettings | Mapping[Player, OptimizerSettings] = field(
        default_factory=lambda: Adam(1e-3, beta1=0.0, beta2=0.99)
    )
    turns: Turns = field(default_factory=together)
    schedule: Schedule = field(default_factory=lambda: linear(to=0.03))
    half_life: float = 10_000


def _generator() -> mlp.Generator:
    return mlp.Generator(size=SIZE, latent=LATENT, hidden=HIDDEN)


def _discriminator(*, dropout: float = 0.0) -> mlp.Discriminator:
    return mlp.Discriminator(size=SIZE, hidden=HIDDEN, dropout=dropout)


def _printed(objective: Objective) -> Game:
    """The tutorial's dropout, optimizer and order, and neither a schedule nor an average."""
    gan = GAN(_generator(), _discriminator(dropout=0.3), objective)
    return Game(gan, Adam(2e-4, beta1=0.5, beta2=0.999), together("generator"), constant(), half_life=0)


def _penalised(objective: Objective, *terms: Term) -> Game:
    return Game(GAN(_generator(), _discriminator(), objective, terms=terms))


def _bounded() -> Game:
    return Game(GAN(_generator(), regularizers.spectral_norm(_discriminator()), objectives.hinge()))


GAMES: dict[str, Callable[[], Game]] = {
    "vanilla as printed": lambda: _printed(objectives.scaled(objectives.non_saturating(), discriminator=0.5)),
    "vanilla as printed, minimax": lambda: _printed(objectives.minimax()),
    "non-saturating": lambda: _penalised(objectives.non_saturating()),
    "non-saturating, R1": lambda: _penalised(objectives.non_saturating(), regularizers.R1(weight=0.001)),
    "relativistic, R1 and R2": lambda: _penalised(
        objectives.relativistic(), regularizers.R1(weight=0.001), regularizers.R2(weight=0.001)
    ),
    "wasserstein, gradient penalty": lambda: _penalised(
        objectives.wasserstein(), regularizers.GradientPenalty(weight=0.1)
    ),
    "hinge, spectral norm": _bounded,
}
"""The printed tutorial's games (as taught, and with the generator's loss of its formula) and ours."""


def play(name: str, game: str, *, images: int, seed: int) -> dict:
    """One training and what came of it."""
    points = mixture(name, seed=seed)
    with seeded(seed, "init"):
        played = GAMES[game]()
    training = Training(played.gan, optimizers=played.optimizers, half_life=played.half_life, seed=seed)
    began, worked = time.perf_counter(), time.process_time()
    for _ in fit(training, points, turns=played.turns, schedule=played.schedule, images=images):
        pass
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    drawn = training.published(points)(torch.randn(SAMPLES, LATENT, generator=generator(seed, "sample")))
    found = point_modes(drawn.detach().flatten(1).numpy(), points.centres, deviation=points.deviation)
    return asdict(found) | {"images": images, "seconds": seconds, "cpu_seconds": cpu}


def floor(name: str) -> dict:
    """The same of points of the mixture itself."""
    points = mixture(name, batch_size=SAMPLES, seed=1)
    return asdict(point_modes(points.at(0).real.flatten(1).numpy(), points.centres, deviation=points.deviation))
