"""The self-checks of this machine's devices: made when something is new, kept beside the prepared images.

What is new is a device, a driver, a version of torch or of this package, a recipe's networks, or a batch. What was
found out before is read from a file, and a path that was dropped then is dropped again.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cardigan._version import __version__
from cardigan.contracts import Batches
from cardigan.course import coming_players
from cardigan.data.cache import cache_folder
from cardigan.durable import replace_durably
from cardigan.recipes import Recipe
from cardigan.training.loop import Training
from cardigan.training.selfcheck import PATHS, STREAMS, Findings, do_without, selfcheck, taken

FOLDER = "device-checks"
"""Where the findings lie, in the folder of prepared images."""
NAMES = (*STREAMS, *(path.name for path in PATHS))
"""Of all paths, in the order in which processes tell each other of them."""


@dataclass(frozen=True)
class DeviceCheck:
    """How a run sees to its device.

    Args:
        wanted: True checks on every device, False on none; None on all but CPUs, whose paths the tests of each version
            check.
        cache: the folder of prepared images; None for the usual one.
        facts: what the run's networks are made of.
        say: told before a check, which may take a while.
    """

    wanted: bool | None = None
    cache: str | Path | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    say: Callable[[str], None] = lambda text: None

    def __call__(self, recipe: Recipe, training: Training, batches: Batches) -> tuple[Batches, Findings | None]:
        """Check the fast paths that a training takes, unless that is known, and have it do without those that differ.

        Of several processes, all have to call it: what one of them drops, all do without.

        Args:
            recipe: whose stages are checked.
            training: as it stands; only what is dropped changes in it.
            batches: where its real images come from.

        Returns:
            The batches to draw from; and what was found, None where nothing was to be checked.
        """
        if self.wanted is False or (self.wanted is None and training.device.type == "cpu"):
            return batches, None
        found = self._known(training, batches) or self._checked(recipe, training, batches)
        here = [int(name in found.dropped) for name in NAMES]
        anywhere = here if training.crew.count == 1 else training.crew.largest(torch.tensor(here)).tolist()
        others = {
            name: "in another process"
            for name, mine, one in zip(NAMES, here, anywhere, strict=True)
            if one and not mine and name in taken(training, batches)
        }
        if others:
            kept = tuple(name for name in found.same if name not in others)
            found = Findings(kept, {**found.dropped, **others}, found.problem)
        return do_without(training, batches, list(found.dropped)), found

    def _checked(self, recipe: Recipe, training: Training, batches: Batches) -> Findings:
        """Compare every stage's fast paths with the plain path; a path stays that is right in all of them."""
        path, game = self._path(training, batches), training.gan
        self.say(f"Comparing the fast paths of {called(training.device)} with the plain one, once.")
        same, dropped, problems = taken(training, batches), {}, []
        for stage in recipe.course:
            training.gan = stage.gan
            found = selfcheck(training, batches, coming_players(stage.turns, training.progress))
            dropped = {**found.dropped, **dropped}
            problems += [found.problem] * bool(found.problem)
            same = [name for name in same if name in found.same]
        training.gan = game
        found = Findings(tuple(same), dropped, problems[0] if problems else "")
        if not found.problem:  # what could not be compared may be, the next time
            facts = {**self._facts(training, batches), "same": found.same, "dropped": dict(dropped)}
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                replace_durably(path, json.dumps(facts, indent=1).encode())
        return found

    def _known(self, training: Training, batches: Batches) -> Findings | None:
        """What was found before, if anything was."""
        try:
            facts = json.loads(self._path(training, batches).read_text(encoding="utf-8"))
            return Findings(tuple(facts["same"]), dict(facts["dropped"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _path(self, training: Training, batches: Batches) -> Path:
        told = json.dumps(self._facts(training, batches), sort_keys=True, default=str)
        return cache_folder(self.cache) / FOLDER / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"

    def _facts(self, training: Training, batches: Batches) -> dict[str, Any]:
        """All that could make another check come to something else."""
        return {
            "device": called(training.device),
            "driver": driver(training.device),
            "torch": torch.__version__,
            "version": __version__,
            "batch": batches.batch_size // training.crew.count,
            "way": str(training.way),
            "paths": taken(training, batches),
            "networks": self.facts,
        }


def called(device: torch.device) -> str:
    """A device, as its maker calls it.

    Example:
        >>> called(torch.device("mps"))
        "this Mac's GPU"
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"cpu": "this CPU", "mps": "this Mac's GPU"}.get(device.type, device.type)


def driver(device: torch.device, told: Path = Path("/proc/driver/nvidia/version")) -> str:
    """What stands between torch and a device: the version of its driver and of its libraries, as far as they tell.

    Args:
        device: which.
        told: where Linux says the version of NVIDIA's driver.
    """
    if device.type == "cuda":
        line = ""
        with suppress(OSError):
            line = told.read_text(encoding="utf-8").partition("\n")[0]
        capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
        return f"{line} CUDA {torch.version.cuda} cuDNN {torch.backends.cudnn.version()} capability {capability}"
    if device.type == "mps":
        return f"macOS {platform.mac_ver()[0]} {platform.machine()}"
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def noted(found: Findings | None) -> dict[str, Any]:
    """Findings as a run's ``config.json`` keeps them.

    Example:
        >>> noted(Findings(("channels last",), {"fused optimizer": "it fails"}))
        {'same': ['channels last'], 'dropped': {'fused optimizer': 'it fails'}}
    """
    if found is None:
        return {}
    told: dict[str, Any] = {"same": list(found.same), "dropped": dict(found.dropped)}
    return told | ({"problem": found.problem} if found.problem else {})
