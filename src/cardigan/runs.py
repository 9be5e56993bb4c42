"""A run that was trained, or is being trained: open it, draw from it, look at it."""

import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardigan.contents import Opened, contents
from cardigan.contracts import GeneratorNetwork
from cardigan.data.degrade import parse
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.paths import path_of
from cardigan.picture_files import read_picture
from cardigan.randomness import generator as random_generator
from cardigan.report.page import Contents, write
from cardigan.request import pick_device
from cardigan.restoring import restore
from cardigan.sample import draw, latents_for, load_generator


def load(path: str | Path) -> "Run":
    """Open a run's folder.

    Raises:
        CardiganError: if it is none.
    """
    return Run(path)


class Run:
    """A run's folder, opened.

    Args:
        path: the folder.

    Raises:
        CardiganError: if it has no configuration.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(path_of(path))
        self.config: dict[str, Any] = self.folder.read_config()
        self._loaded: dict[tuple[Path, str], Opened] = {}

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    @property
    def records(self) -> list[dict[str, Any]]:
        """What happened, one dictionary for each line of ``records.jsonl``."""
        return self.folder.read_records()

    @property
    def generator(self) -> GeneratorNetwork:
        """The published generator, in evaluation mode: ``(latents, labels) -> images`` in [-1, 1]."""
        return self._opened()[0]

    @property
    def classes(self) -> list[str]:
        """The names of the classes that can be asked for; empty for an unconditional model."""
        return list(self._opened()[1].get("classes", {}))

    @property
    def facts(self) -> dict[str, Any]:
        """What the published generator's ``config.json`` says: its SHA-256, its classes, after how many images."""
        return self._opened()[1]

    @property
    def device(self) -> str:
        """The device that the run trained on if this machine has it, else ``"cpu"``."""
        try:
            return pick_device(self.config["device"])
        except CardiganError:
            return "cpu"

    def labels(self, count: int, *, seed: int = 0) -> np.ndarray:
        """The classes of what :meth:`sample` draws if no class is asked for, int64 (count,).

        Raises:
            CardiganError: if the model has no classes.
        """
        found = self._labels(self.facts, count, seed=seed, label=None)
        if found is None:
            raise CardiganError(f"{self.path} was trained without classes, so its images have no labels.")
        return found.numpy()

    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> np.ndarray:
        """Draw images.

        Args:
            count: how many.
            seed: of the draw; the same seed draws the same images, and more of them begin with the same.
            label: a class: its number, or as text its name or number; None draws the classes as often as in the data.
            truncation: below 1, latents nearer to the middle: less variety, fewer failures.
            device: where the generator runs. The same latents give the same images on each device, up to rounding.

        Returns:
            uint8 (count, H, W, C).

        Raises:
            CardiganError: if nothing was published yet, or an argument cannot be met.
        """
        if count < 0:
            raise CardiganError(f"The number of images must not be negative, got {count}.")
        if not 0.0 < truncation <= 1.0:
            raise CardiganError(f"truncation is {truncation}, expected more than 0 and at most 1 (1 changes nothing).")
        network, facts = self._opened(device=device)
        if "degrade" in facts:
            raise CardiganError(
                f"{self.path} restores images ({facts['degrade']}) and draws none on its own. Type: cardigan restore "
                f"{self.path} IMAGE"
            )
        latents = latents_for(network, count, seed=seed, truncation=truncation)
        return draw(network, latents, self._labels(facts, count, seed=seed, label=label))

    def restore(
        self,
        picture: np.ndarray | str | Path,
        *,
        faithful: bool = False,
        device: str = "cpu",
        on_tile: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Restore one picture of any size.

        Args:
            picture: a file, or uint8 (H, W) or (H, W, C).
            faithful: by the generator from before the game: softer, and nearer to the truth pixel by pixel.
            device: where the network runs.
            on_tile: called with the number of parts that are done and of all.

        Returns:
            uint8 (H, W, C), larger where the run learned to enlarge.

        Raises:
            CardiganError: if the run does not restore, nothing was published yet, or the picture cannot be read.
        """
        network, facts = self._opened(self.folder.pretrained if faithful else None, device=device)
        if "degrade" not in facts:
            raise CardiganError(
                f"{self.path} draws images and restores none. Type: cardigan sample {self.path}\n"
                f"To restore, first type: cardigan train PHOTOS --recipe restore"
            )
        pixels = picture if isinstance(picture, np.ndarray) else read_picture(path_of(picture))
        return restore(network, pixels, degradation=parse(facts["degrade"]), on_tile=on_tile)

    def report(self) -> Path:
        """Write ``report.html`` anew and return its path."""
        return write(self._contents(), self.path)

    def _opened(self, folder: Path | None = None, *, device: torch.device | str = "cpu") -> Opened:
        """A published generator, by default the one that was kept, on a device; and its facts."""
        folder = folder or self.folder.generator
        key = folder, str(device)
        if key not in self._loaded:
            if not (folder / "config.json").exists():
                if folder == self.folder.pretrained and (self.folder.generator / "config.json").exists():
                    raise CardiganError(
                        f"{self.path} has no generator from before the game: {folder.name}/ is missing. Restore "
                        f"without --faithful, by the generator that was kept."
                    )
                soft = folder != self.folder.pretrained and (self.folder.pretrained / "config.json").exists()
                raise CardiganError(
                    f"{self.path} has no generator yet: training has not finished. Run its train command again; it "
                    f"goes on where it stopped." + soft * " The generator before the game is there: restore --faithful."
                )
            self._loaded[key] = load_generator(folder, device=device)
        return self._loaded[key]

    @staticmethod
    def _labels(facts: dict[str, Any], count: int, *, seed: int, label: str | int | None) -> torch.Tensor | None:
        counts: dict[str, int] = facts.get("classes", {})
        names = list(counts)
        if not names:
            if label is not None:
                raise CardiganError(f"label is {label!r}, but this model was trained without classes.")
            return None
        if label is None:
            weights = torch.tensor([float(value) for value in counts.values()])
            rows = [
                torch.multinomial(weights, 1, generator=random_generator(seed, "sample labels", place))
                for place in range(count)
            ]
            return torch.cat(rows) if rows else torch.zeros(0, dtype=torch.int64)
        # File systems compose accents in two ways, and so do keyboards.
        alike = [unicodedata.normalize("NFC", name) for name in names]
        wanted = unicodedata.normalize("NFC", str(label))
        if isinstance(label, str) and wanted in alike:
            return torch.full((count,), names.index(label) if label in names else alike.index(wanted))
        if str(label).isdecimal() and int(label) < len(names):
            return torch.full((count,), int(label))
        raise CardiganError(f"There is no class {label!r}. Known: {', '.join(names)}.")

    def _contents(self) -> Contents:
        device, pretrained = self.device, self.folder.pretrained
        kept = self._opened(device=device)
        before = self._opened(pretrained, device=device) if (pretrained / "config.json").exists() else None
        return contents(self.folder, self.config, kept, before=before, sample=partial(self.sample, device=device))
