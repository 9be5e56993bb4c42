"""``--set KEY=VALUE``: one flat list of keys for data, run and recipe, all checked at once before any work."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from cardigan import recipes
from cardigan.data import DataSettings
from cardigan.errors import CardiganError
from cardigan.spelling import setting
from cardigan.training.precision import Precision


@dataclass(frozen=True)
class RunSettings:
    """How a run computes and keeps itself; may change from sitting to sitting. Every field: ``--set KEY=VALUE``."""

    checkpoint_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Seconds of training between checkpoints: what a crash can cost, and the time that one takes to write."""
    snapshots: Annotated[int | None, Field(ge=1, le=1000)] = None
    """Pictures of the same latents through training. None leaves it to the budget: 24, less where that would take more
    than 1 % of it."""
    trials: Annotated[int | None, Field(ge=0, le=1000)] = None
    """How often a generator that draws is scored while it trains, so that the best is kept; 0 for never, and then the
    last is kept. None leaves it to the budget: 10 times, less where that would take more than 3 % of it."""
    score_features: str | None = None
    """What those scores look through, as ``cardigan evaluate --features`` reads it. None takes a quick look that needs
    no network; a network is slower and sees more."""
    precision: Precision | None = None
    """What the networks multiply: ``float32`` exactly; ``tf32`` rounded to 11 binary digits in convolutions, on NVIDIA
    GPUs of compute capability 8.0 and later; ``bfloat16`` rounded to 8. Weights keep float32. None is ``tf32`` where
    the device knows it, as in PyTorch, else ``float32``. On a budget in minutes it may be ``bfloat16``, where that is
    measured to be quicker here and the recipe was seen to learn as well with it."""
    pace: bool = True
    """On a budget in minutes, measure which way of running the networks is quickest; false takes the plain one."""
    self_check: bool | None = None
    """Compare the fast paths of the device with the plain path before training, once for each device, driver, torch,
    recipe and batch, and do without those that differ. None does so on all devices but CPUs."""
    tensorboard: bool = False
    """Also write TensorBoard events into the run's folder; needs the extra ``tensorboard``."""


@dataclass(frozen=True)
class Settings:
    """Settings sorted by whom they concern, every value checked.

    Args:
        data: how images are read.
        run: how the run keeps itself.
        recipe: the recipe's own, only those that were given.
    """

    data: DataSettings
    run: RunSettings
    recipe: dict[str, Any]


def resolve(recipe: str, given: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    """Sort and check settings.

    Args:
        recipe: whose settings are known beside those of data and run.
        given: values by key, as text or already typed; the text ``none`` means None.

    Returns:
        The settings, None if anything is wrong; and all that is wrong, one sentence each.

    Example:
        >>> settings, problems = resolve("dcgan", {"width": "32", "labels": "false"})
        >>> settings.recipe, settings.data.labels
        ({'width': 32}, False)
        >>> resolve("dcgan", {"widht": "32"})[1]
        ["There is no setting 'widht'. Did you mean 'width'?"]
    """
    model = recipes.settings_model(recipe)
    # What a recipe wants of the data holds where the user says nothing else.
    given = {**vars(recipes.find(recipe)).get("DATA", {}), **given}
    rooms = {
        "data": (TypeAdapter(DataSettings), {field.name for field in fields(DataSettings)}),
        "run": (TypeAdapter(RunSettings), {field.name for field in fields(RunSettings)}),
        "recipe": (TypeAdapter(model), set(model.model_fields)),
    }
    made, problems = _sorted(rooms, given)
    if problems:
        return None, problems
    chosen = made["recipe"].model_dump(exclude_unset=True)
    return Settings(made["data"], made["run"], chosen), []


def resolve_data(given: Mapping[str, Any]) -> tuple[DataSettings | None, list[str]]:
    """As :func:`resolve`, where only the settings of the data are known.

    Example:
        >>> resolve_data({"chanels": "1"})[1]
        ["There is no setting 'chanels'. Did you mean 'channels'?"]
    """
    rooms = {"data": (TypeAdapter(DataSettings), {field.name for field in fields(DataSettings)})}
    made, problems = _sorted(rooms, given)
    return None if problems else made["data"], problems


def _sorted(rooms: Mapping[str, tuple[Any, set[str]]], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The settings of each room, and all that is wrong."""
    known = sorted(set().union(*(names for _, names in rooms.values())))
    values = {key: None if value == "none" else value for key, value in given.items()}
    problems = [setting(key, known) for key in values if key not in known]
    made: dict[str, Any] = {}
    for room, (adapter, names) in rooms.items():
        try:
            made[room] = adapter.validate_python({key: value for key, value in values.items() if key in names})
        except ValidationError as error:
            problems += [_sentence(fault) for fault in error.errors()]
    return made, problems


def _sentence(fault: Any) -> str:
    """One of pydantic's errors in our words."""
    own = fault.get("ctx", {}).get("error")
    if isinstance(own, CardiganError):
        return str(own)
    key = ".".join(map(str, fault["loc"]))
    wanted = fault["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{key} is {fault['input']!r}, expected {wanted}."
