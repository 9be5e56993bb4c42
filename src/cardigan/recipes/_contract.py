"""What goes into a recipe and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from cardigan.contracts import GAN, Player, Turns
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
class Recipe:
    """A GAN and how to train it, with the reasons.

    Args:
        gan: the networks, freshly started, with objective and regularizers.
        batch_size: images in each batch.
        optimizers: one for both players, or one for each.
        turns: whose turn is next.
        schedule: how the learning rate moves over the budget.
        half_life: of the averaged generator, in images; 0 publishes the trained weights themselves.
        passes: passes over the data when the user gives no budget; None leaves it to a budget of minutes.
        flip: mirror real images left and right half of the time.
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
    because: tuple[str, ...] = ()


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
