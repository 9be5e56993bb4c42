"""The nouns that all rooms share. Imports only the words in which a value is refused.

*A GAN is a generator, a discriminator and an objective; a run is a GAN, batches and turns; everything else watches.*

Everywhere: logits are raw (no sigmoid in a discriminator) and **high means real**; losses take ``real=`` and ``fake=``
by keyword and return one value per logit, unreduced.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from cardigan.checks import check, check_choice, check_count
from cardigan.errors import CardiganError

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""

Box = tuple[float, float, float, float]
"""A part of an image: top, left, height and width, as shares of its sides."""

Player = Literal["discriminator", "generator"]
PLAYERS: tuple[Player, ...] = get_args(Player)
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


@runtime_checkable
class FastBatches(Batches, Protocol):
    """Batches that come to the device by a fast path, and can come by a plain one."""

    @property
    def path(self) -> str:
        """What the fast path is called; "" if there is none."""
        ...

    def plainly(self) -> Batches:
        """The same batches by the plain path."""
        ...


class Prior(Protocol):
    """Where latents come from, and which classes the generator is asked for."""

    def __call__(self, labels: Tensor | None, *, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw ``count`` latents (count, latent) and the classes to draw, given the classes of the real batch."""
        ...


@dataclass(frozen=True)
class Normal:
    """Latents from a standard normal; the generator is asked for the classes that the data shows.

    Args:
        latent: length of each latent, at least 1.

    Raises:
        CardiganError: if ``latent`` is not a whole number above 0.

    Example:
        >>> latents, labels = Normal(8)(None, count=4, rng=torch.Generator().manual_seed(0))
        >>> latents.shape, labels
        (torch.Size([4, 8]), None)
    """

    latent: int

    def __post_init__(self) -> None:
        check_count("latent", self.latent, of="Normal", instead=128)

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
        boundary: the logit of a discriminator that is undecided; above it an image counts as real. None where one logit
            alone says nothing of real or fake.

    Raises:
        CardiganError: if a loss cannot be called, or the boundary is not a finite number.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[..., Tensor] | None
    paired: bool = False
    separable: bool = False
    name: str = "objective"
    boundary: float | None = 0.0

    def __post_init__(self) -> None:
        for player in PLAYERS:
            loss = getattr(self, player)
            if not callable(loss) and (player == "discriminator" or loss is not None):
                raise CardiganError(
                    f"The {player}'s loss of Objective is {loss!r}, expected a function (real=, fake=) -> Tensor of "
                    f"the logits' shape. Type {player}=lambda *, real, fake: ..."
                )
        if self.boundary is not None:
            check("boundary", self.boundary, lambda value: abs(value) < torch.inf, "a finite logit or None", 0.0)

    @property
    def in_halves(self) -> bool:
        """Whether real and fake logits may be judged apart: a loss that reads more than logits needs both at once."""
        return self.separable and type(self).__call__ is Objective.__call__

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
        smaller: the generated images at smaller scales, if the generator draws several.
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
    smaller: Sequence[Tensor] = ()


class Term(Protocol):
    """A regularizer that is added to one player's loss; multiplied by ``every``, so that laziness costs no strength.

    A term, like a projection or an augmentation, may have ``check_gan(gan)``. It is called when a GAN is made with it,
    and raises a CardiganError if the part cannot work in that GAN.
    """

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
        """See the logits of real images, (B, K), after a step of the discriminator on ``images`` images.

        They are measured from the objective's boundary, if it has one: above 0 an image counts as real.
        """
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
        terms: regularizers added to a player's loss, such as R1. The terms of one player have different names.
        projections: regularizers that act on the weights after a step, such as weight clipping.
        augment: what real and fake images pass through on the way to the discriminator.
        prior: where latents come from; by default a standard normal of the generator's ``latent`` size.

    Attributes:
        training: the :class:`~cardigan.Training` that was last made of it; None before. Copies have none.

    Raises:
        CardiganError: if a part is of the wrong kind, or cannot work beside the others.

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
    training: Any = field(default=None, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"training": None}

    def __post_init__(self) -> None:
        self.terms = _all_of("terms", self.terms)
        self.projections = _all_of("projections", self.projections)
        latent = getattr(self.generator, "latent", None)
        if self.prior is None and latent:
            self.prior = Normal(latent)
        self.check()

    def check(self) -> None:
        """Refuse parts that cannot work; called when the GAN is made, and again when training begins.

        Raises:
            CardiganError: saying which part, and what to type.
        """
        for player in PLAYERS:
            check_network(player, self.network(player))
        if not isinstance(self.objective, Objective):
            raise CardiganError(f"objective is {_shown(self.objective)}, expected one such as objectives.hinge().")
        for term in self.terms:
            check_term(term)
        _check_names(self.terms)
        for projection in self.projections:
            kind = "projections holds", "one such as regularizers.WeightClipping()"
            _check_part(*kind, projection, has=("player",))
            check_choice("player", projection.player, PLAYERS, of=type(projection).__name__)
        _check_part("augment is", 'a function of images such as augment.diffaugment("color")', self.augment)
        if self.prior is not None:
            _check_part("prior is", "one such as Normal(128)", self.prior)
        for part in (*self.terms, *self.projections, self.augment):
            if check_gan := getattr(part, "check_gan", None):
                check_gan(self)

    def network(self, player: Player) -> nn.Module:
        """The network that ``player`` moves."""
        return self.generator if player == "generator" else self.discriminator

    def to(self, device: torch.device | str) -> "GAN":
        """Move both networks, and an augmentation that is a module, to ``device``, in place."""
        for module in (self.generator, self.discriminator, self.augment):
            if isinstance(module, nn.Module):
                module.to(device)
        return self


def check_network(player: Player, network: Any) -> None:
    """Refuse what is no network, or the other player's.

    Raises:
        CardiganError: saying what it is.
    """
    other = DiscriminatorNetwork if player == "generator" else GeneratorNetwork
    if isinstance(network, other):
        raise CardiganError(
            f"The {player} of the GAN is a {other.__name__.removesuffix('Network').lower()}, "
            f"{_kind(network)}. Type GAN(generator=..., discriminator=...)."
        )
    if not isinstance(network, nn.Module):
        raise CardiganError(f"{player} is {_shown(network)}, expected a torch.nn.Module.")


def check_term(term: Any) -> None:
    """Refuse a term that the loop would drop, overwrite or divide by.

    Raises:
        CardiganError: if it lacks what a :class:`Term` has, or its player, interval or name cannot be.
    """
    _check_part("terms holds", "one such as regularizers.R1()", term, has=("name", "player", "every"))
    kind = type(term).__name__
    check_choice("player", term.player, PLAYERS, of=kind)
    check_count("every", term.every, of=kind, instead=1)
    if not isinstance(term.name, str) or not term.name:
        raise CardiganError(f"{kind}: name is {term.name!r}, expected the word under which records show its loss.")
    if term.name == "adversarial":
        raise CardiganError(f"{kind}: name is 'adversarial', which is the objective's own loss. Choose another name.")


def _check_names(terms: Sequence[Term]) -> None:
    """Refuse terms of one player with one name, of which only the last would count."""
    found: dict[tuple[str, str], Term] = {}
    for term in terms:
        before = found.setdefault((term.player, term.name), term)
        if before is not term or sum(each is term for each in terms) > 1:
            raise CardiganError(
                f"Two terms of the {term.player} are named {term.name!r}: {before!r} and {term!r}. Only one would "
                f"count. Leave one out, or give it another name: {type(term).__name__}(..., name={term.name + '_2'!r})."
            )


def _all_of(name: str, parts: Any) -> tuple[Any, ...]:
    """Parts as a tuple, which can be read any number of times."""
    if isinstance(parts, str) or not isinstance(parts, Iterable):
        raise CardiganError(f"{name} is {_shown(parts)}, expected a tuple. Type {name}=(..., ) around it.")
    return tuple(parts)


def _check_part(where: str, expected: str, part: Any, *, has: Sequence[str] = ()) -> None:
    """Refuse what cannot be called, a class where a value of it is meant, and what lacks an attribute."""
    if isinstance(part, type):
        raise CardiganError(f"{where} the class {part.__name__}, expected {expected}. Type {part.__name__}().")
    missing = [name for name in has if not hasattr(part, name)]
    if not callable(part) or missing:
        lacks = f", which has no {' and no '.join(missing)}" if missing else ""
        raise CardiganError(f"{where} {_shown(part)}{lacks}; expected {expected}.")


def _kind(part: Any) -> str:
    """Module and class of a part."""
    return f"{type(part).__module__}.{type(part).__name__}"


def _shown(part: Any) -> str:
    """What somebody gave instead of a part."""
    if isinstance(part, type):
        return f"the class {part.__name__}"
    name = getattr(part, "__name__", None)
    return f"the function {name} (call it: {name}())" if callable(part) and name else repr(part)
