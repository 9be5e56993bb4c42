"""The run's one clock, and what is recorded at each of its ticks."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor

from cardigan.contracts import Player, Turn


@dataclass
class Progress:
    """The run's one clock.

    Args:
        images: images drawn from the data so far.
        turns: turns taken so far.
        seconds: seconds of training so far, over all sittings.
        steps: steps taken by each player.
        last: the players of the last turn, () before the first.
        streak: how many turns in a row had these players.
        smoothed: a running mean of each player's adversarial loss, for turns that adapt to it.
    """

    images: int = 0
    turns: int = 0
    seconds: float = 0.0
    steps: dict[Player, int] = field(default_factory=lambda: {"discriminator": 0, "generator": 0})
    last: Turn = ()
    streak: int = 0
    smoothed: dict[Player, Tensor | float] = field(default_factory=dict)

    def copy(self) -> "Progress":
        """The clock as it stands."""
        return replace(self, steps=dict(self.steps), smoothed=dict(self.smoothed))


Turns = Callable[[Progress], Turn]
"""Whose turn is next, as a function of the clock."""


@dataclass(frozen=True)
class StepRecord:
    """What happened in one turn. Holds tensors: reading a number out of one may stall a GPU, so watchers read rarely.

    Args:
        progress: the clock after the turn, a copy that stands still.
        losses: every named loss, such as ``"discriminator/adversarial"``, as a scalar tensor.
        logits: the mean logit of ``"real"`` and ``"fake"`` images, as scalar tensors.
        gauges: other numbers, such as the probability of an adaptive augmentation, as scalar tensors.
    """

    progress: Progress
    losses: dict[str, Tensor]
    logits: dict[str, Tensor]
    gauges: dict[str, Tensor] = field(default_factory=dict)

    def __str__(self) -> str:
        losses = ", ".join(f"{name} {float(value):.3g}" for name, value in self.losses.items())
        return f"{self.progress.images} images | {losses}"
