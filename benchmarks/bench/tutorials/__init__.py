"""The seed documents' own training, written down as they print it: one file for each.

What had to be mended so that they run at all, and nothing else, is said on top of each file. A loop is a Python
generator that stops after each of its iterations, so that it can take turns with others; what it prints goes to
wherever the caller has sent it.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

NAMES = ("mlp", "cgan", "dcgan", "fastgan", "wgan")

Losses = tuple[Tensor, Tensor]
"""Of the generator and of the discriminator in one iteration; that of a player who did not play is the other's."""


@dataclass(frozen=True)
class Tutorial:
    """One document.

    Args:
        title: what it trains.
        page: where its defects are told, in ``docs/seeds``.
        size: side of its images.
        channels: of its images.
        classes: of its data, 0 for none.
        batch: images in each batch.
        networks: builds generator and discriminator with their first weights.
        loop: ``(dataloader, generator, discriminator)`` to its iterations, without end.
        noise: what one iteration draws first, for as many images: latents, and the classes asked for or None. Only for
            the check that ours is the same mathematics, which draws so too.
        recipe: the recipe of the same mathematics.
        corrected: the recipe that we would use in its place.
        checked: iterations after which the losses of both sides are compared.
        deterministic: whether it asks PyTorch for deterministic algorithms.
        mirrored: its discriminator is low on real images, ours is high.
        cycle: iterations after which the same players play again.
        maps: its generator starts from maps of one pixel, (B, latent, 1, 1), and not from (B, latent).
        double: the losses are compared in double precision: optimizers make steps of what single precision rounds.
    """

    title: str
    page: str
    size: int
    channels: int
    classes: int
    batch: int
    networks: Callable[[], tuple[nn.Module, nn.Module]]
    loop: Callable[..., Iterator[Losses]]
    noise: Callable[[int], tuple[Tensor, Tensor | None]]
    recipe: str
    corrected: str
    checked: int = 3
    deterministic: bool = False
    mirrored: bool = False
    cycle: int = 1
    maps: bool = False
    double: bool = False


def load(name: str) -> Tutorial:
    """The tutorial of that name."""
    return importlib.import_module(f"bench.tutorials.{name}").TUTORIAL


class InMemory:
    """A data loader whose batches are there already: nothing but the training takes time.

    Args:
        batches: images (B, C, H, W) in [-1, 1], and labels (B,).
    """

    def __init__(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)
