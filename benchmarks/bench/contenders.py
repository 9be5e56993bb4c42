"""Who takes part in a race: a recipe, a tutorial as printed, another library. Each knows the seconds it has spent."""

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from bench.images import Images
from bench.peers import PEERS, Peer
from bench.sides import deterministic, quietly
from bench.tutorials import NAMES, load
from cardigan import recipes, settings
from cardigan.arguments import pairs
from cardigan.data.batches import batches
from cardigan.data.store import Store
from cardigan.pixels import to_float, to_uint8
from cardigan.recipes import Task
from cardigan.sample import draw, latents_for
from cardigan.training.loop import Training


class Contender(ABC):
    """Trains step by step.

    Attributes:
        seconds: of a core's own time, spent in training.
        images: real ones that were trained on.
    """

    def __init__(self) -> None:
        self.seconds, self.images = 0.0, 0

    def step(self) -> None:
        """Train a little, and add what it took."""
        start = time.process_time()
        self.images += self._train()
        self.seconds += time.process_time() - start

    @abstractmethod
    def _train(self) -> int:
        """A step; how many images that were."""

    @abstractmethod
    def sample(self, count: int) -> np.ndarray:
        """uint8 (count, H, W, C), of the size of the race."""

    def close(self) -> None:  # noqa: B027  (most hold nothing)
        """Let go of what is held."""


class Recipe(Contender):
    """One of ours; its learning rate falls over the budget.

    Args:
        entry: NAME or NAME:KEY=VALUE,...
        images: of the race.
        seed: of all randomness.
        budget: in seconds.
    """

    def __init__(self, entry: str, images: Images, *, seed: int, budget: float) -> None:
        super().__init__()
        name, _, given = entry.partition(":")
        found, problems = settings.resolve(name, pairs(list(filter(None, given.split(",")))))
        if found is None:
            raise SystemExit("\n".join(problems))
        store = Store.from_arrays(images.train, images.labels)
        task = Task(*store.shape, classes=len(store.classes), count=len(store), minutes=budget / 60)
        self.recipe, self.seed, self.budget = recipes.prepare(name, task, seed=seed, **found.recipe), seed, budget
        self.classes = self.recipe.gan.generator.classes
        self.training = Training(
            self.recipe.gan, optimizers=self.recipe.optimizers, half_life=self.recipe.half_life, seed=seed
        )
        self.drawn = batches(
            store, batch_size=self.recipe.batch_size, seed=seed, flip=self.recipe.flip, labels=bool(self.classes)
        )

    def _train(self) -> int:
        self.training.set_rates(self.recipe.schedule(min(self.seconds / self.budget, 1.0)))
        self.training.turn(self.drawn, self.recipe.turns)
        return self.drawn.batch_size

    def sample(self, count: int) -> np.ndarray:
        network = self.training.published(self.drawn)
        labels = torch.arange(count) % self.classes if self.classes else None
        return draw(network, latents_for(network, count, seed=self.seed + 1), labels)


class Printed(Contender):
    """A tutorial's loop.

    Args:
        name: of the tutorial.
        images: of the race; they are resized where the tutorial draws another size.
        seed: of its random numbers.
    """

    def __init__(self, name: str, images: Images, *, seed: int) -> None:
        super().__init__()
        self.tutorial, self.side = load(name), images.train.shape[1]
        if images.train.shape[3] != self.tutorial.channels:
            raise SystemExit(f"tutorial:{name} draws {self.tutorial.channels} channels, not {images.train.shape[3]}.")
        torch.manual_seed(seed)
        np.random.seed(seed)
        self.pixels, self.labels, self.served = images.train, images.labels, 0
        self.networks = self.tutorial.networks()
        self.iterations = self.tutorial.loop(self, *self.networks)
        self.chance = torch.get_rng_state(), np.random.get_state()

    def __len__(self) -> int:
        return -(-len(self.pixels) // self.tutorial.batch)

    def __iter__(self):
        """Batches as a loader would give them, whole passes in a new order."""
        for places in np.array_split(np.random.permutation(len(self.pixels)), len(self)):
            real = to_float(torch.from_numpy(self.pixels[places]))
            if self.side != self.tutorial.size:
                real = F.interpolate(real, size=(self.tutorial.size,) * 2, mode="bilinear", antialias=True)
            labels = np.zeros(len(places), np.int64) if self.labels is None else self.labels[places]
            self.served = len(places)
            yield real, torch.from_numpy(labels)

    def _train(self) -> int:
        # The others draw random numbers, too; each goes on where it was.
        torch.set_rng_state(self.chance[0])
        np.random.set_state(self.chance[1])
        with quietly(), deterministic(self.tutorial.deterministic):
            next(self.iterations)
        self.chance = torch.get_rng_state(), np.random.get_state()
        return self.served

    @torch.no_grad()
    def sample(self, count: int) -> np.ndarray:
        """In training mode, as printed, so that it moves the running statistics as it does there."""
        parts = []
        with quietly():
            for _ in range(-(-count // 64)):
                latents, labels = self.tutorial.noise(64)
                source = latents[:, :, None, None] if self.tutorial.maps else latents
                drawn = self.networks[0](source) if labels is None else self.networks[0](source, labels)
                drawn = drawn.view(64, self.tutorial.channels, self.tutorial.size, self.tutorial.size)
                if self.side != self.tutorial.size:
                    drawn = F.interpolate(drawn, size=(self.side,) * 2, mode="bilinear", antialias=True)
                parts.append(to_uint8(drawn))
        return torch.cat(parts)[:count].numpy()


class Other(Contender):
    """Another library in a process of its own.

    Args:
        name: of the peer.
        command: what starts a Python that has it.
        images: of the race.
        seed: of its random numbers.
    """

    def __init__(self, name: str, command: str, images: Images, *, seed: int) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "images.npy"
        np.save(path, images.train)
        self.cycle = PEERS[name].cycle
        self.peer = Peer(name, command, batch=PEERS[name].batch, threads=1, data=path, seed=seed)
        if self.peer.trouble:
            raise SystemExit(f"peer:{name}: {self.peer.trouble}")

    def step(self) -> None:
        """Train a little; the other process tells what it took."""
        told = self.peer.ask(train=self.cycle)
        self.images += told["images"]
        self.seconds += told["cpu"]

    def _train(self) -> int:
        return int(self.peer.train(self.cycle))

    def sample(self, count: int) -> np.ndarray:
        path = Path(self.folder.name) / "drawn.npy"
        self.peer.ask(sample=count, path=str(path))
        return np.load(path, allow_pickle=False)

    def close(self) -> None:
        self.peer.__exit__()
        self.folder.cleanup()


def contender(entry: str, images: Images, *, seed: int, budget: float, peers: Mapping[str, str]) -> Contender:
    """Who is meant by ``NAME:KEY=VALUE,...``, ``tutorial:NAME`` or ``peer:NAME``.

    ``@SECONDS`` behind a recipe is a budget of its own, in place of ``budget``.
    """
    entry, _, own = entry.partition("@")
    kind, _, name = entry.partition(":")
    if kind == "tutorial":
        if name not in NAMES:
            raise SystemExit(f"There is no tutorial {name!r}; expected one of {', '.join(NAMES)}.")
        return Printed(name, images, seed=seed)
    if kind == "peer":
        if name not in PEERS or name not in peers:
            raise SystemExit(f"peer:{name} needs --peer {name}=PYTHON, with one of {', '.join(PEERS)}.")
        return Other(name, peers[name], images, seed=seed)
    return Recipe(entry, images, seed=seed, budget=float(own or budget))
