"""What goes into a recipe and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from cardigan.clock import Turns
from cardigan.contracts import GAN, Player
from cardigan.data.degrade import Degradation
from cardigan.errors import CardiganError
from cardigan.training.optimizers import OptimizerSettings
from cardigan.training.schedules import Schedule, constant
from cardigan.training.turns import together

BatchSize = Annotated[int, Field(ge=2)]
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Target = Annotated[float, Field(allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Task:
    """What a recipe is asked for.

    Args:
        height: of the images, in pixels.
        width: of the images, in pixels.
        channels: 1 to 4.
        classes: number of classes in the data, 0 for none.
        count: images in the data.
        device: the kind of device that trains: ``"cpu"``, ``"cuda"`` or ``"mps"``.
        minutes: the budget, if it is one of minutes.

    Example:
        >>> Task(28, 28).size
        (28, 28)
    """

    height: int
    width: int
    channels: int = 1
    classes: int = 0
    count: int = 0
    device: str = "cpu"
    minutes: float | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


@dataclass(frozen=True)
class Stage:
    """A part of a run that plays a game of its own. Networks, optimizers and the average go on through all of them.

    Args:
        name: in records and reports.
        until: the share of the budget at which it ends.
        gan: the recipe's networks, under this stage's objective and terms.
        turns: whose turn is next.
        schedule: how the learning rate moves over the stage.
        trials: how often the generator is measured on held-out images, the last time at the end.
    """

    name: str
    until: float
    gan: GAN
    turns: Turns = field(default_factory=together)
    schedule: Schedule = field(default_factory=constant)
    trials: int = 0


@dataclass(frozen=True)
class Compromise:
    """Which of a restoration's generators to keep, and when to stop looking for a better one.

    Adversarial training buys texture with pixel-wise accuracy (*The Perception-Distortion Tradeoff*, Blau and
    Michaeli, 2018). Kept is the generator of the last stage whose held-out images have the most lifelike texture,
    among those that cost no more than ``price``; if all cost more, the one from before that stage.

    Args:
        price: decibels of held-out PSNR that texture may cost.
        patience: trials without a better generator after which training stops.

    Example:
        >>> rule = Compromise(price=1.0, patience=2)
        >>> before, trials = (30.0, 9.0), [(29.5, 6.0), (29.1, 5.0), (28.5, 4.0), (28.8, 5.5)]
        >>> rule.best(before, trials), rule.done(before, trials)
        (1, True)
    """

    price: float = 1.0
    patience: int = 8

    def best(self, before: tuple[float, float], trials: Sequence[tuple[float, float]]) -> int | None:
        """The place of the best trial, None for the generator from before.

        Args:
            before: PSNR and distance in texture at the end of the stage before.
            trials: likewise, one for each trial of the last stage.
        """
        allowed = [
            (distance, place)
            for place, (psnr, distance) in enumerate(trials)
            if psnr >= before[0] - self.price and distance < before[1]
        ]
        return min(allowed)[1] if allowed else None

    def done(self, before: tuple[float, float], trials: Sequence[tuple[float, float]]) -> bool:
        """Whether the last ``patience`` trials brought nothing better."""
        best = self.best(before, trials)
        return len(trials) - 1 - (-1 if best is None else best) >= self.patience


@dataclass(frozen=True)
class Recipe:
    """A GAN and how to train it, with the reasons.

    Args:
        gan: the networks, freshly started, with objective and regularizers.
        batch_size: images in each batch.
        optimizers: one for both players, or one for each.
        turns: whose turn is next.
        schedule: how the learning rate moves over the budget.
        half_life: of the averaged generator, in images that its own steps saw; 0 publishes the trained weights
            themselves.
        passes: passes over the data when the user gives no budget; None leaves it to a budget of minutes.
        flip: mirror real images left and right half of the time.
        degradation: what is done to the images that the generator starts from; None if it starts from latents.
        stages: the parts of the run, in order; () for one stage with the turns and the schedule above.
        choice: which of the generators measured in the last stage is kept; None keeps the last.
        bfloat16: whether it was seen to learn as well with such products (docs/log.md), so that a budget in minutes may
            take them where they are quicker.
        because: why these choices, one sentence each; shown to the user.
    """

    gan: GAN
    batch_size: int
    optimizers: OptimizerSettings | Mapping[Player, OptimizerSettings]
    turns: Turns = field(default_factory=together)
    schedule: Schedule = field(default_factory=constant)
    half_life: float = 20_000
    passes: int | None = None
    flip: bool = False
    degradation: Degradation | None = None
    stages: tuple[Stage, ...] = ()
    choice: Compromise | None = None
    bfloat16: bool = False
    because: tuple[str, ...] = ()

    @property
    def course(self) -> tuple[Stage, ...]:
        """The stages, one at least."""
        return self.stages or (Stage("training", 1.0, self.gan, self.turns, self.schedule),)


def classes_for(task: Task, conditional: bool | None) -> int:
    """The classes a recipe trains with.

    Args:
        task: tells how many there are.
        conditional: None takes them where there are any; True demands them; False goes without.

    Raises:
        CardiganError: if classes are demanded and the data has none.

    Example:
        >>> classes_for(Task(28, 28, classes=10), None), classes_for(Task(28, 28, classes=10), False)
        (10, 0)
    """
    if conditional and not task.classes:
        raise CardiganError(
            "conditional=true needs data with classes, and this data has none. Put the images into one folder for each "
            "class, or leave the setting out."
        )
    return 0 if conditional is False else task.classes
