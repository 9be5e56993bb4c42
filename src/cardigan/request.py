"""What the user asks for, checked as a whole before any work."""

import math
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch

from cardigan import recipes
from cardigan.data import DataSettings, Source, scan
from cardigan.data.given import NAME
from cardigan.errors import CardiganError
from cardigan.layers import doublings, nearest
from cardigan.paths import path_of
from cardigan.settings import RunSettings, Settings, resolve
from cardigan.spelling import unknown_device

PIECES = (96, 64, 48, 32)
"""Sides of the pieces that images are cut into, where the user gives none; the first that suits is taken."""
LONG = 120
"""Minutes from which a CPU is given images of 128 pixels, which have four times the pixels of those of 64."""
SHORT = 10
"""Minutes below which a GPU is given no more than that."""


@dataclass(frozen=True)
class Request:
    """The arguments of :func:`cardigan.train` that decide what a run is.

    Example:
        >>> Request("digits", size=(64, 96), minutes=1).command()
        'cardigan train digits --size 64x96 --minutes 1'
    """

    source: str
    recipe: str = "auto"
    size: int | tuple[int, int] | None = None
    images: int | None = None
    minutes: float | None = None
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width, None to choose."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def to_dict(self) -> dict[str, Any]:
        """JSON values, settings as text so that ``"0.5"`` from a command line equals ``0.5`` from Python."""
        sides = list(self.sides) if self.sides else None
        return asdict(self) | {"size": sides, "settings": {key: _text(value) for key, value in self.settings.items()}}

    def command(self) -> str:
        """The command line that asks for the same."""
        words = ["cardigan", "train", *([] if self.source == NAME else [self.source])]
        size = "x".join(map(str, self.size)) if isinstance(self.size, tuple) else self.size
        options = {
            "--recipe": None if self.recipe == "auto" else self.recipe,
            "--size": size,
            "--images": self.images,
            "--minutes": None if self.minutes is None else f"{self.minutes:g}",
            "--seed": self.seed or None,
        }
        words += [word for name, value in options.items() if value is not None for word in (name, str(value))]
        words += [word for key, value in self.settings.items() for word in ("--set", f"{key}={_text(value)}")]
        # What is in memory has no name to type; the rest of the line is how to ask for it.
        return shlex.join(words) if self.source != NAME else f"cardigan.train(images, ...)  # {shlex.join(words)}"


def _text(value: Any) -> str:
    """A setting's value as one types it."""
    return str(value).lower() if isinstance(value, bool | None) else str(value)


def check(request: Request, *, device: str) -> Settings:
    """Everything that can be known to be wrong before any work, all at once.

    Raises:
        CardiganError: with one line for each problem.
    """
    if request.recipe not in recipes.names():
        recipes.find(request.recipe)
    settings, problems = resolve(request.recipe, request.settings)
    if request.images is not None and request.minutes is not None:
        problems.append("--images and --minutes exclude each other: give one budget.")
    if request.images is not None and request.images < 1:
        problems.append(f"--images is {request.images}, expected at least 1.")
    if request.minutes is not None and not 0 < request.minutes < math.inf:
        problems.append(f"--minutes is {request.minutes:g}, expected more than 0.")
    if request.sides and not all(4 <= side <= 1024 for side in request.sides):
        typed = "x".join(map(str, request.size)) if isinstance(request.size, tuple) else request.size
        problems.append(f"--size is {typed}, expected 4 to 1024 pixels.")
    elif request.sides and settings:
        problems += _size_problems(request, settings)
    try:
        pick_device(device)
    except CardiganError as error:
        problems.append(str(error))
    if problems or settings is None:
        raise CardiganError("\n".join(problems))
    return settings


def _size_problems(request: Request, settings: Settings) -> list[str]:
    """Why the recipe cannot draw the size asked for, found by building its networks without weights.

    A recipe that chooses by the data is tried on little of it and on much: it is asked again once the data is open.
    """
    height, width = request.sides or (0, 0)
    channels = settings.data.channels
    try:
        check_size(request.recipe, height, width, channels)
    except CardiganError as error:
        return [str(error)]
    problems = []
    for count in (0, 1):
        task = recipes.Task(height, width, channels or 3, classes=2, count=count)
        try:
            with torch.device("meta"):
                recipes.prepare(request.recipe, task, seed=request.seed, **settings.recipe)
            return []
        except CardiganError as error:
            problems.append(str(error))
    return problems[:1]


def check_size(recipe: str, height: int, width: int, channels: int | None) -> None:
    """Refuse images that a recipe is not written for: those that reproduce a document draw what it draws.

    Args:
        recipe: its name.
        height: of the images.
        width: of the images.
        channels: of the images, None while they are not known.

    Raises:
        CardiganError: if the recipe names a size and it is another one.
    """
    only = vars(recipes.find(recipe)).get("ONLY")
    if only is None:
        return
    asked = (height, width, channels)
    if any(None not in (wanted, given) and wanted != given for wanted, given in zip(only, asked, strict=True)):
        kind = {None: "", 1: ", grey", 3: ", RGB"}[only[2]]
        mend = " --set channels=1" if only[2] == 1 else ""
        those = f"{height}x{width}" + (f" with {channels} channels" if channels else "")
        corrected = recipe.removesuffix("-as-printed").removesuffix("-tutorial")
        other = f", or --recipe {corrected}" if _can_double((height, width)) else ""
        raise CardiganError(
            f"{recipe} is written for images of {only[0]}x{only[1]} pixels{kind}; these are {those}. Try --size "
            f"{only[0]}{mend}{other}."
        )


def pick_device(device: str) -> str:
    """The device to train on.

    Args:
        device: ``"auto"`` takes a GPU where there is one.

    Raises:
        CardiganError: if the device asked for is unknown or absent.

    Example:
        >>> pick_device("cpu")
        'cpu'
    """
    kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(kind for kind, present in kinds.items() if present)
    kind, _, number = device.partition(":")
    if kind not in kinds or (number and not number.isdecimal()):
        raise CardiganError(unknown_device(device))
    if not kinds[kind] or (kind == "cuda" and number and int(number) >= torch.cuda.device_count()):
        present = ", ".join(name for name, there in kinds.items() if there)
        raise CardiganError(f"--device {device} is not present on this machine. Present: {present}. Try --device auto.")
    return device


def located(source: str) -> str:
    """Where a source lies on this machine: two spellings of one place come to the same text.

    Example:
        >>> located("photos/") == located("./photos") == located("other/../photos")
        True
        >>> located("digits"), located("hub:owner/name")
        ('digits', 'hub:owner/name')
    """
    kind, colon, rest = source.partition(":")
    if source == "digits" or kind == "hub":
        return source
    path = rest if kind == "imagefolder" else source
    return (kind + colon if kind == "imagefolder" else "") + os.path.realpath(path_of(path))


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What two requests disagree on, in words.

    Sizes and budgets are told as they are typed.

    Example:
        >>> differences({"seed": 0, "settings": {"r1": "1"}}, {"seed": 1, "settings": {}})
        ['seed was 0, is 1', 'r1 was 1, is not set']
        >>> differences({"size": [32, 48]}, {"size": [64, 64]})
        ['size was 32x48, is 64x64']
    """

    def told(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return "x".join(map(str, value))
        return "not set" if value is None else value

    def compare(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
        return [
            f"{key} was {told(old.get(key))}, is {told(new.get(key))}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]

    def deciding(settings: dict[str, Any]) -> dict[str, Any]:
        """Without those that only say how a run keeps itself, which may change at any time."""
        return {key: value for key, value in settings.items() if key not in keeping}

    keeping = {field.name for field in fields(RunSettings)}
    inner = compare(deciding(before.get("settings", {})), deciding(now.get("settings", {})))
    return compare({**before, "settings": None}, {**now, "settings": None}) + inner


def choose_size(
    source: Source,
    recipe: str,
    settings: DataSettings,
    device: str,
    *,
    own: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    on_progress: Callable[[int, int], None],
) -> tuple[int, int]:
    """A size that suits the data and the device, where the user gives none.

    What a recipe is written for; for crops of one large image, the largest power of two that it is large enough for;
    where images are cut into pieces, the largest of a few sides that nearly all of them
    reach; else the images' own size if they share one that can be built; else the largest power of two that most images
    reach and the budget affords: up to 64 pixels on a CPU, 128 from two hours on; 256 on a GPU, 128 below ten minutes.
    It is made smaller by a few pixels where the recipe wants a multiple of something.

    Args:
        source: of the images.
        recipe: its name.
        settings: of the data.
        device: that trains.
        own: the recipe's settings that were given; they may decide what the size is a multiple of.
        minutes: the budget, if it is one of minutes.
        on_progress: called with (files done, files in all).

    Returns:
        Height and width.

    Raises:
        CardiganError: if the images cannot be trained on.
    """
    module = recipes.find(recipe)
    only = vars(module).get("ONLY")
    if only is not None:
        return only[0], only[1]
    chosen = _suiting(source, settings, affordable(device, minutes), on_progress)
    multiple_of = vars(module).get("multiple_of")
    multiple = multiple_of(**recipes.settings_model(recipe)(**(own or {})).model_dump()) if multiple_of else 1
    height, width = (max(side // multiple, 1) * multiple for side in chosen)
    return height, width


def shaped(size: tuple[int, int], area: int) -> tuple[int, int]:
    """The sides nearest to an image's shape that networks of convolutions can draw, of about so many pixels.

    Example:
        >>> shaped((90, 160), 64 * 64), shaped((64, 64), 48 * 48)
        ((48, 88), (48, 48))
    """
    scale = math.sqrt(area / (size[0] * size[1]))
    return nearest((max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))


def affordable(device: str, minutes: float | None) -> int:
    """The side of the largest images that a budget is enough for, in pixels.

    Example:
        >>> affordable("cpu", None), affordable("cpu", 240.0), affordable("cuda", None), affordable("cuda", 5.0)
        (64, 128, 256, 128)
    """
    if device == "cpu":
        return 64 if minutes is None or minutes < LONG else 128
    return 256 if minutes is None or minutes >= SHORT else 128


def smaller_size(request: Request, settings: Settings, height: int, width: int) -> tuple[int, int] | None:
    """About half of the sides of images, where the request's recipe can draw that; else None.

    Example:
        >>> request = Request("photos", recipe="dcgan")
        >>> settings = check(request, device="cpu")
        >>> smaller_size(request, settings, 64, 96), smaller_size(request, settings, 4, 4)
        ((32, 48), None)
    """
    sides = shaped((height, width), height * width // 4)
    multiple_of = vars(recipes.find(request.recipe)).get("multiple_of")
    multiple = (
        multiple_of(**recipes.settings_model(request.recipe)(**settings.recipe).model_dump()) if multiple_of else 1
    )
    high, wide = (side // multiple * multiple for side in sides)
    if min(high, wide) < 4 or high * wide >= height * width:
        return None
    return None if _size_problems(replace(request, size=(high, wide)), settings) else (high, wide)


def _suiting(
    source: Source, settings: DataSettings, largest: int, on_progress: Callable[[int, int], None]
) -> tuple[int, int]:
    """What suits the data alone."""
    if source.crops:
        halves = [side for side in (256, 128, 64, 32, 16) if side <= largest]
        side = _cut_from_one(source, settings, PIECES if settings.fit == "cut" else halves)
        return side, side
    found = scan(source, settings=settings, on_progress=on_progress)
    if found.refusals:
        raise CardiganError(" ".join(found.refusals))
    common, median = found.sizes["most common"], found.sizes["median"]
    if settings.fit == "cut":
        side = next((side for side in PIECES if side <= found.reached), PIECES[-1])
        return side, side
    if found.most_common == found.count and max(common) <= largest and _can_double(common):
        return common
    side = next((side for side in (256, 128, 64, 32) if side <= min(largest, *median)), 16)
    return side, side


def _cut_from_one(source: Source, settings: DataSettings, sides: Sequence[int]) -> int:
    """The first side of pieces that one large image is large enough for, else the last."""
    for side in sides:
        with suppress(CardiganError):
            source.sized((side, side), settings)
            return side
    return sides[-1]


def _can_double(size: tuple[int, int]) -> bool:
    try:
        doublings(size)
    except CardiganError:
        return False
    return True
