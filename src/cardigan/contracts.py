"""The nouns that all rooms share. Imports nothing of ours.

*A GAN is a generator, a discriminator and an objective; a run is a GAN, batches and turns; everything else watches.*

Everywhere: logits are raw (no sigmoid in a discriminator) and **high means real**; losses take ``real=`` and ``fake=``
by keyword and return one value per logit, unreduced.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""

Box = tuple[float, float, float, float]
"""A part of an image: top, left, height and width, as shares of its sides."""

Player = Literal["discriminator", "generator"]
Turn = tuple[Player, ...]
"""The players that act, in order, on one batch and its one set of fakes. Whose turn it is, is a value."""


class GeneratorNetwork(nn.Module):
    """What a generator promises beside being a module: ``(source, labels) -> images`` (B, C, H, W) in [-1, 1].

    Attributes:
        latent: length of its latents; 0 if it starts from images, of the shape of those it gives.
        classes: number of classes it draws, 0 for none.
        shape: channels, height and width of its images.
        arguments: the keyword arguments that build it again.
    """

    latent: int
    classes: int
    shape: Shape
    arguments: dict[str, Any]

    @property
    def source(self) -> tuple[int, ...]:
        """The shape of what one image starts from."""
        return (self.latent,) if self.latent else self.shape

    def scales(self, source: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """The images, and after them smaller ones of the same, if the discriminator is to be shown several scales."""
        return (self(source, labels),)


class DiscriminatorNetwork(nn.Module):
    """What a discriminator promises: ``(images, labels) -> logits`` (B, K), raw, high meaning real.

    Attributes:
        classes: number of classes it judges, 0 for none.
        arguments: the keyword arguments that build it again.
        independent: an image's logit depends on no other image, so real and fake may be shown in one batch: quicker.
        reads_scales: it judges the smaller images that a generator draws beside the full ones.
    """

    classes: int
    arguments: dict[str, Any]
    independent: bool = False
    reads_scales: bool = False

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and the maps (B, F, h, w) they were made from, the last one last, for terms that read more.

        Args:
            images: (B, C, H, W) in [-1, 1].
            labels: their classes, (B,), or None.
            *smaller: the same images at smaller scales, from a generator that draws several.
        """
        return self(images, labels, *smaller), []


@dataclass(frozen=True)
class Batch:
    """What one turn reads.

    Args:
        real: images, float32 (B, C, H, W) in [-1, 1].
        labels: the class of each real image, int64 (B,), or None for data without classes.
        source: what the generator starts from; None means latents drawn from the GAN's prior.
        indices: where each image lies in its store, int64 (B,), to name it when something goes wrong.
    """

    real: Tensor
    labels: Tensor | None = None
    source: Tensor | None = None
    indices: Tensor | None = None


class Batches(Protocol):
    """A source of batches: the batch is a function of the clock, so there is nothing to save or to rewind."""

    @property
    def batch_size(self) -> int:
        """Images in each batch."""
        ...

    def at(self, images: int) -> Batch:
        """The batch that is drawn when ``images`` images have been seen."""
        ...


class Prior(Protocol):
    """Where latents come from, and which classes the generator is asked for."""

    def __call__(self, labels: Tensor | None, *, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw ``count`` latents (count, latent) and the classes to draw, given the classes of the real batch."""
        ...


@dataclass(frozen=True)
class Normal:
    """Latents from a standard normal; the generator is asked for the classes that the data shows.

    Example:
        >>> latents, labels = Normal(8)(None, count=4, rng=torch.Generator().manual_seed(0))
        >>> latents.shape, labels
        (torch.Size([4, 8]), None)
    """

    latent: int

    def __call__(self, labels: Tensor | None, *, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw ``count`` latents, shape (count, latent); the labels pass through."""
        return torch.randn(count, self.latent, generator=rng, device=rng.device), labels


@dataclass(frozen=True)
class Objective:
    """An adversarial game: two losses over the same logits, high meaning real.

    Args:
        discriminator: ``(real=, fake=) -> Tensor`` of the logits' shape.
        generator: ``(real=, fake=) -> Tensor`` of the logits' shape; ``real`` is None unless ``paired``. None: the
            generator learns from its terms alone, and the discriminator is not asked.
        paired: the generator's loss also reads the logits of real images, so they must be computed.
        separable: the discriminator's loss is one of real logits plus one of fake ones; either may come first, alone.
        name: what the objective is called in records and reports, with its numbers.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[..., Tensor] | None
    paired: bool = False
    separable: bool = False
    name: str = "objective"

    def __call__(self, step: "Step") -> Tensor:
        """The loss of the step's player; an objective that reads more than logits overrides this."""
        loss = self.discriminator if step.player == "discriminator" else self.generator
        assert loss is not None, "a generator without a game is not asked for its loss"
        return loss(real=step.real_logits, fake=step.fake_logits)

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Step:
    """What one player saw in its turn; terms and observers read it.

    Args:
        player: whose step this is.
        real: the real images, (B, C, H, W) in [-1, 1], before augmentation.
        fake: the generated images, likewise; detached from the generator in the discriminator's step.
        shown: the real images as the discriminator saw them, augmented; None where nobody showed them.
        maps: what the discriminator made of them, as its ``examine`` tells; () where no term of its player is due.
        labels: the classes of the real images, (B,), or None.
        fake_labels: the classes that the generator was asked for, (B,), or None.
        real_logits: the discriminator on the augmented real images, (B, K); None where nobody asked for them.
        fake_logits: the discriminator on the augmented fakes, (B, K); None where the generator learns without a game.
        source: what the generator started from.
        gan: the networks, for terms that call them.
    """

    player: Player
    real: Tensor
    fake: Tensor
    labels: Tensor | None
    fake_labels: Tensor | None
    real_logits: Tensor | None
    fake_logits: Tensor | None
    source: Tensor
    gan: "GAN"
    shown: Tensor | None = None
    maps: Sequence[Tensor] = ()


class Term(Protocol):
    """A regularizer that is added to one player's loss; multiplied by ``every``, so that laziness costs no strength."""

    @property
    def name(self) -> str:
        """The loss's name in records."""
        ...

    @property
    def player(self) -> Player:
        """Whose loss it joins."""
        ...

    @property
    def every(self) -> int:
        """Steps of that player, not of the run, between two calls."""
        ...

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,), weight included."""
        ...


class Projection(Protocol):
    """A regularizer that acts on one player's weights after each of its steps."""

    @property
    def player(self) -> Player:
        """Whose weights it changes."""
        ...

    def __call__(self, network: nn.Module) -> None:
        """Change the weights in place."""
        ...


class Augment(Protocol):
    """A change made to every image on its way into the discriminator, real and fake alike; differentiable."""

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in, images of the same shape out."""
        ...


@runtime_checkable
class Adaptive(Protocol):
    """An augmentation that learns from the game how much to do; a module, so that checkpoints keep its buffers."""

    def observe(self, real_logits: Tensor, *, images: int) -> None:
        """See the logits of real images, (B, K), after a step of the discriminator on ``images`` images."""
        ...

    def gauges(self) -> dict[str, Tensor]:
        """Scalars to be recorded."""
        ...


@dataclass(frozen=True)
class Unchanged:
    """The augmentation that does nothing."""

    def __call__(self, images: Tensor) -> Tensor:
        """The images themselves."""
        return images


@dataclass
class GAN:
    """A generator, a discriminator and an objective, with what regularizes them.

    Args:
        generator: ``(source, labels) -> images`` (B, C, H, W) in [-1, 1]; has ``latent`` and ``classes``.
        discriminator: ``(images, labels) -> logits`` (B, K), high meaning real.
        objective: the adversarial game.
        terms: regularizers added to a player's loss, such as R1.
        projections: regularizers that act on the weights after a step, such as weight clipping.
        augment: what real and fake images pass through on the way to the discriminator.
        prior: where latents come from; by default a standard normal of the generator's ``latent`` size.

    Example:
        >>> from cardigan import models, objectives
        >>> gan = GAN(models.mlp.Generator(size=8, latent=4), models.mlp.Discriminator(size=8), objectives.hinge())
        >>> gan.generator(torch.zeros(2, 4), None).shape
        torch.Size([2, 1, 8, 8])
    """

    generator: GeneratorNetwork
    discriminator: DiscriminatorNetwork
    objective: Objective
    terms: Sequence[Term] = ()
    projections: Sequence[Projection] = ()
    augment: Augment = Unchanged()
    prior: Prior | None = None

    def __post_init__(self) -> None:
        if self.prior is None:
            self.prior = Normal(self.generator.latent)

    def network(self, player: Player) -> nn.Module:
        """The network that ``player`` moves."""
        return self.generator if player == "generator" else self.discriminator

    def to(self, device: torch.device | str) -> "GAN":
        """Move both networks, and an augmentation that is a module, to ``device``, in place."""
        for module in (self.generator, self.discriminator, self.augment):
            if isinstance(module, nn.Module):
                module.to(device)
        return self
