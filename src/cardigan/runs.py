"""A run that was trained, or is being trained: open it, draw from it, look at it."""

import hashlib
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from cardigan import recipes
from cardigan.contents import Opened, contents
from cardigan.contracts import GeneratorNetwork
from cardigan.data.degrade import parse
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.paths import path_of
from cardigan.picture_files import read_picture
from cardigan.pixels import to_float
from cardigan.randomness import generator as random_generator
from cardigan.recipes import Recipe
from cardigan.report.page import Contents, write
from cardigan.request import pick_device
from cardigan.restoring import restore
from cardigan.sample import draw, is_model, latents_for, load_generator
from cardigan.settings import resolve
from cardigan.training import checkpoint as checkpoints
from cardigan.training.ema import settled

STANDING = 1_024
"""Images on which the normalisation of an averaged generator is measured, as for one that is published."""
BATCH = 64
"""Images that are drawn, or measured on, at once; a multiple of the chunks in which they are drawn."""


def load(path: str | Path) -> "Model":
    """Open a run's folder, or the ``generator/`` of one, which works without its run.

    Returns:
        A :class:`Run`, or a :class:`Model` of a generator alone.

    Raises:
        CardiganError: if it is neither.
    """
    path = path_of(path)
    return Model(path) if is_model(path) else Run(path)


class Model:
    """A published generator in a folder.

    Args:
        path: the folder.

    Raises:
        CardiganError: if it holds no generator.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path_of(path)
        self._loaded: dict[tuple[Path, str], Opened] = {}
        if type(self) is Model:
            self._opened()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def generator(self) -> GeneratorNetwork:
        """The generator, in evaluation mode: ``(latents, labels) -> images`` in [-1, 1]."""
        return self._opened()[0]

    @property
    def classes(self) -> list[str]:
        """The names of the classes that can be asked for; empty for an unconditional model."""
        return list(self._opened()[1].get("classes", {}))

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of the generator: its SHA-256, its classes, after how many images."""
        return self._opened()[1]

    @property
    def remark(self) -> str:
        """What to know of the generator before its images are judged; "" for one that was published at the end."""
        return ""

    @property
    def value_range(self) -> str:
        """The range of values of the pictures that were trained on, where they had more than 8 bits; else ""."""
        return self.facts.get("value_range") or ""

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
            CardiganError: if there is no generator yet, or an argument cannot be met.
        """
        blocks = self.samples(count, seed=seed, label=label, truncation=truncation, device=device)
        return np.concatenate(list(blocks))

    def samples(
        self,
        count: int,
        *,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> Iterator[np.ndarray]:
        """Draw images as :meth:`sample` does, in blocks of a few, so that they need not fit into the memory at once.

        Returns:
            Blocks of uint8 (N, H, W, C), at least one; it is empty if ``count`` is 0.

        Raises:
            CardiganError: if there is no generator yet, or an argument cannot be met; before the first block.
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
        labels = self._labels(facts, count, seed=seed, label=label)
        parts = (slice(start, start + BATCH) for start in range(0, max(count, 1), BATCH))
        return (draw(network, latents[part], None if labels is None else labels[part]) for part in parts)

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
        network, facts = self._opened(self._faithful() if faithful else None, device=device)
        if "degrade" not in facts:
            raise CardiganError(
                f"{self.path} draws images and restores none. Type: cardigan sample {self.path}\n"
                f"To restore, first type: cardigan train PHOTOS --recipe restore"
            )
        pixels = picture if isinstance(picture, np.ndarray) else read_picture(path_of(picture))
        return restore(network, pixels, degradation=parse(facts["degrade"]), on_tile=on_tile)

    def _opened(self, folder: Path | None = None, *, device: torch.device | str = "cpu") -> Opened:
        """The generator in a folder, by default in this one, on a device; and its facts."""
        key = folder or self.path, str(device)
        if key not in self._loaded:
            self._loaded[key] = load_generator(key[0], device=device)
        return self._loaded[key]

    def _faithful(self) -> Path:
        """Where the generator from before adversarial training lies."""
        raise CardiganError(f"{self.path} is a generator alone. Only its whole run can restore with --faithful.")

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


class Run(Model):
    """A run's folder, opened.

    Args:
        path: the folder.

    Raises:
        CardiganError: if it has no configuration.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        if is_model(self.path):
            raise CardiganError(
                f"{self.path} is a generator alone, and this needs its whole run. Name the run's folder, or draw "
                f"images: cardigan sample {self.path} --count 3000 --out drawn"
            )
        self.folder = RunFolder(self.path)
        self.config: dict[str, Any] = self.folder.read_config()

    @property
    def records(self) -> list[dict[str, Any]]:
        """What happened, one dictionary for each line of ``records.jsonl``."""
        return self.folder.read_records()

    @property
    def device(self) -> str:
        """The device that the run trained on if this machine has it, else ``"cpu"``."""
        try:
            return pick_device(self.config["device"])
        except CardiganError:
            return "cpu"

    @property
    def value_range(self) -> str:
        """The range of values of the pictures that were trained on, where they had more than 8 bits; else ""."""
        return self.config["data"].get("value_range") or ""

    @property
    def remark(self) -> str:
        """What to know of the generator before its images are judged; "" for one that was published at the end."""
        training, place = self.folder.in_use(), self._kept()
        if place == self.folder.generator and not training:
            return ""
        kinds = {self.folder.generator: "the one published before", self.folder.checkpoints: "the newest average"}
        kind, images = kinds.get(place, "the best so far"), self.facts["images"]
        state = "is still training" if training else "has not finished training"
        mend = "" if training else f" To go on: {self.config['command']} --out {self.path}"
        return f"{self.path} {state}: its generator is {kind}, after {images:,} images.{mend}"

    def report(self) -> Path:
        """Write ``report.html`` anew and return its path."""
        return write(self._contents(), self.path)

    def _kept(self) -> Path:
        """Where the generator lies: published, the best so far, or averaged in the newest checkpoint.

        Raises:
            CardiganError: if there is none.
        """
        best = sorted((path.parent for path in self.folder.best.glob("[0-9]*/config.json")), key=lambda p: int(p.name))
        if is_model(self.folder.generator):
            return self.folder.generator
        return best[-1] if best else self.folder.checkpoints

    def _opened(self, folder: Path | None = None, *, device: torch.device | str = "cpu") -> Opened:
        """A generator of the run, by default the one that was kept, on a device; and its facts."""
        folder = folder or self._kept()
        if folder == self.folder.checkpoints:
            key = folder, str(device)
            if key not in self._loaded:
                self._loaded[key] = self._averaged(device)
            return self._loaded[key]
        return super()._opened(folder, device=device)

    def _averaged(self, device: torch.device | str) -> Opened:
        """The averaged generator of the newest checkpoint, its normalisation measured anew for its weights."""
        saved, _ = checkpoints.newest(self.folder.checkpoints)
        if (saved is None or not saved.state["images"]) and self.folder.in_use():
            raise CardiganError(
                f"{self.path} is still training and has no generator yet: its first checkpoint comes within a minute. "
                f"Type the same command again then."
            )
        if saved is None or not saved.state["images"]:
            raise CardiganError(
                f"{self.path} has no generator yet: nothing was trained. Run its train command again: "
                f"{self.config['command']} --out {self.path}"
            )
        recipe, data = self._recipe(), self.config["data"]
        network = recipe.gan.generator
        try:
            network.load_state_dict(saved.files["average"])
        except RuntimeError as error:
            raise CardiganError(
                f"The newest checkpoint of {self.path} has another generator than {self.folder.config} says: {error}"
            ) from error
        facts = {
            "classes": data["classes"] if network.classes else {},
            "images": saved.state["images"],
            "data": data["fingerprint"],
            "sha256": hashlib.sha256(safetensors.torch.save(saved.files["average"])).hexdigest(),
        }
        if recipe.degradation:
            facts["degrade"] = str(recipe.degradation)
        return settled(network, self._draws(recipe, facts)).to(device), facts

    def _recipe(self) -> Recipe:
        """The run's recipe for its data, with networks that know nothing yet."""
        request, (height, width, channels) = self.config["request"], self.config["shape"]
        settings, problems = resolve(request["recipe"], request["settings"])
        if settings is None:
            raise CardiganError(f"{self.folder.config} asks for what this version cannot do: {' '.join(problems)}")
        task = recipes.Task(
            *(height, width, channels),
            classes=len(self.config["data"]["classes"]),
            count=self.config["data"]["count"],
            device=self.config["device"].partition(":")[0],
            minutes=request["minutes"] if request["images"] is None else None,
        )
        return recipes.prepare(request["recipe"], task, seed=request["seed"], **settings.recipe)

    def _draws(self, recipe: Recipe, facts: dict[str, Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor | None]]:
        """What the normalisation of an averaged generator is measured on: as when it is published, without the data."""
        if recipe.degradation:
            given = np.load(self.folder.samples / "given.npy", allow_pickle=False)
            yield from ((to_float(torch.from_numpy(given[place : place + 1])), None) for place in range(len(given)))
            return
        assert recipe.gan.prior is not None
        seed = self.config["request"]["seed"]
        labels = self._labels(facts, STANDING + recipe.batch_size, seed=seed, label=None)
        for start in range(0, STANDING, recipe.batch_size):
            rng, part = random_generator(seed, "standing statistics", start), slice(start, start + recipe.batch_size)
            yield recipe.gan.prior(None if labels is None else labels[part], count=recipe.batch_size, rng=rng)

    def _faithful(self) -> Path:
        if is_model(self.folder.pretrained):
            return self.folder.pretrained
        raise CardiganError(
            f"{self.path} has no generator from before the game: {self.folder.pretrained.name}/ is "
            f"missing. Restore without --faithful, by the generator that was kept."
        )

    def _contents(self) -> Contents:
        device, pretrained = self.device, self.folder.pretrained
        kept = self._opened(device=device)
        before = self._opened(pretrained, device=device) if (pretrained / "config.json").exists() else None
        return contents(self.folder, self.config, kept, before=before, sample=partial(self.sample, device=device))
