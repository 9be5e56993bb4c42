"""What each player does in its turn: pure functions from networks and a batch to named losses and their gradients."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from cardigan.contracts import GAN, Batch, DiscriminatorNetwork, GeneratorNetwork, Player, Step, Term
from cardigan.errors import CardiganError
from cardigan.share import current, in_groups, own, spread
from cardigan.training.buffers import LISTS
from cardigan.training.precision import widened


@dataclass(frozen=True)
class Fakes:
    """What the generator drew for one turn.

    Args:
        images: (B, C, H, W) in [-1, 1], with the generator's graph if the generator plays in this turn.
        source: what they were drawn from.
        labels: the classes that were asked for, or None.
        smaller: the same at smaller scales, if the generator draws several.
    """

    images: Tensor
    source: Tensor
    labels: Tensor | None
    smaller: tuple[Tensor, ...] = ()

    def detached(self) -> "Fakes":
        """The same without the generator's graph."""
        return replace(self, images=self.images.detach(), smaller=tuple(each.detach() for each in self.smaller))


@dataclass(frozen=True)
class Played:
    """The outcome of one player's step, before any weight has moved.

    Args:
        losses: each named loss as a scalar, ``"adversarial"`` being the game itself, if there is one; the player
            minimises their sum.
        logits: of ``"real"`` and ``"fake"`` images, (B, K), detached.
    """

    losses: dict[str, Tensor]
    logits: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """The sum that is differentiated."""
        first, *others = self.losses.values()
        return torch.stack([first, *others]).sum() if others else first


def draw_sources(gan: GAN, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """What the generator starts from, and the classes to draw, for one batch.

    The prior draws for the images of all processes, as it would in one; each takes what is for its own.
    """
    if batch.source is not None:
        return batch.source, batch.labels
    if gan.prior is None:
        raise CardiganError(
            f"The generator {type(gan.generator).__name__} has no latent, and the batches bring no source, so nobody "
            f"knows what it starts from. Give the GAN a prior: GAN(..., prior=cardigan.Normal(128)), or set "
            f"self.latent = 128 in the generator."
        )
    if current().count == 1:
        return gan.prior(batch.labels, count=len(batch.real), rng=rng)
    given = None if batch.labels is None else spread(batch.labels)
    source, labels = gan.prior(given, count=len(batch.real) * current().count, rng=rng)
    return own(source), None if labels is None else own(labels)


def draw_fakes(gan: GAN, batch: Batch, rng: torch.Generator, *, graph: bool) -> Fakes:
    """One set of fakes, as many as there are real images.

    Args:
        gan: the networks.
        batch: gives the count, the classes and, where the data brings it, the source.
        rng: the stream that latents are drawn from.
        graph: keep what is needed to differentiate through the generator.
    """
    source, labels = draw_sources(gan, batch, rng)
    with torch.set_grad_enabled(graph):
        if not isinstance(gan.generator, GeneratorNetwork):
            return Fakes(widened(gan.generator(source, labels)), source, labels)
        images, *smaller = map(widened, gan.generator.scales(source, labels))
        return Fakes(images, source, labels, tuple(smaller))


def differentiated(
    gan: GAN,
    player: Player,
    batch: Batch,
    fakes: Fakes,
    *,
    steps: int,
    weights: Sequence[Tensor],
    arithmetic: Callable[[], AbstractContextManager[object]],
) -> tuple[Played, Sequence[Tensor | None]]:
    """The losses of one player, and their gradients with respect to its own weights.

    A discriminator that judges real and fake images one after the other, for a loss that is a sum over both, has
    the first half differentiated before it sees the second: so it holds the maps of one half only.

    Args:
        gan: networks, objective and terms.
        player: whose losses.
        batch: the real images.
        fakes: the generated ones; their graph is used up in the generator's step.
        steps: steps this player has taken, by which lazy terms are due.
        weights: of the player.
        arithmetic: what networks are run in.

    Returns:
        What was played, and a gradient for each weight; None for those that had no part in it.
    """

    def differentiate(total: Tensor) -> Sequence[Tensor | None]:
        # Asking for these weights alone spares the other network's weight gradients, and cannot leave any behind.
        return torch.autograd.grad(total, weights, allow_unused=True)

    alone = player == "discriminator" and gan.objective.in_halves and not _due(gan, player, steps)
    if not alone or _in_one_pass(gan.discriminator, fakes.smaller):
        with arithmetic():
            played = play(gan, player, batch, fakes, steps=steps)
        return played, differentiate(played.total)
    check_scales(gan, fakes)
    with arithmetic():
        shown, seen = _show(gan, batch.real, batch.labels, fakes.detached())
        real_logits = widened(gan.discriminator(shown.images, shown.labels))
        # In a sum, what the fakes get does not matter to the real images' gradient.
        half = gan.objective.discriminator(real=real_logits, fake=torch.zeros_like(real_logits)).mean()
    gradients = differentiate(half)
    real_logits = real_logits.detach()
    with arithmetic():
        fake_logits = widened(gan.discriminator(seen.images, seen.labels, *seen.smaller))
        whole = gan.objective.discriminator(real=real_logits, fake=fake_logits).mean()
    played = Played({"adversarial": whole}, {"real": real_logits, "fake": fake_logits.detach()})
    return played, _added(gradients, differentiate(whole))


def _added(ones: Sequence[Tensor | None], others: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The sum of two losses' gradients, weight by weight; None where neither has one."""
    pairs = [(one, other) for one, other in zip(ones, others, strict=True) if one is not None and other is not None]
    sums = iter(LISTS._foreach_add([one for one, _ in pairs], [other for _, other in pairs]) if pairs else ())
    either = zip(ones, others, strict=True)
    return [other if one is None else one if other is None else next(sums) for one, other in either]


def play(gan: GAN, player: Player, batch: Batch, fakes: Fakes, *, steps: int) -> Played:
    """The losses of one player.

    Args:
        gan: networks, objective and terms.
        player: whose losses.
        batch: the real images.
        fakes: the generated ones.
        steps: steps this player has taken, by which lazy terms are due.
    """
    terms = _due(gan, player, steps)
    step = _look(gan, player, batch, fakes, differentiable_inputs=bool(terms))
    losses = {} if step.fake_logits is None else {"adversarial": gan.objective(step).mean()}
    for term in terms:
        losses[term.name] = term.every * term(step).mean()
    seen = {"real": step.real_logits, "fake": step.fake_logits}
    return Played(losses, {name: logits.detach() for name, logits in seen.items() if logits is not None})


def _due(gan: GAN, player: Player, steps: int) -> list[Term]:
    """The terms of a player that count in its next step."""
    return [term for term in gan.terms if term.player == player and steps % term.every == 0]


def check_scales(gan: GAN, fakes: Fakes) -> None:
    """Refuse a generator of several scales beside a discriminator that judges one.

    Raises:
        CardiganError: saying how to build the generator.
    """
    if fakes.smaller and not getattr(gan.discriminator, "reads_scales", True):
        raise CardiganError(
            f"The generator draws {len(fakes.smaller) + 1} scales of each image, and the discriminator "
            f"{type(gan.discriminator).__module__} judges one: build the generator with two_scales=False."
        )


def _look(gan: GAN, player: Player, batch: Batch, fakes: Fakes, *, differentiable_inputs: bool) -> Step:
    """Show the discriminator what the player's losses read."""
    check_scales(gan, fakes)
    fakes, real = fakes.detached() if player == "discriminator" else fakes, batch.real
    shown, maps, real_logits, fake_logits = None, [], None, None
    if player == "discriminator":
        if differentiable_inputs:
            real = real.detach().requires_grad_()
            for images in (fakes.images, *fakes.smaller):
                images.requires_grad_()
        reals, seen = _show(gan, real, batch.labels, fakes)
        shown = reals.images
        real_logits, fake_logits, maps = _judge_both(gan.discriminator, reals, seen, maps=differentiable_inputs)
    elif gan.objective.generator is not None:
        if gan.objective.paired:
            with torch.no_grad():
                real_logits = gan.discriminator(gan.augment(real), batch.labels)
        fake_logits = gan.discriminator(gan.augment(fakes.images), fakes.labels, *map(gan.augment, fakes.smaller))
    real_logits, fake_logits = (None if logits is None else widened(logits) for logits in (real_logits, fake_logits))
    return Step(
        *(player, real, fakes.images, batch.labels, fakes.labels, real_logits, fake_logits, fakes.source, gan),
        *(shown, maps, fakes.smaller),
    )


@dataclass(frozen=True)
class _Shown:
    """Augmented images on their way into the discriminator."""

    images: Tensor
    labels: Tensor | None
    smaller: tuple[Tensor, ...] = ()


def _show(gan: GAN, real: Tensor, labels: Tensor | None, fakes: Fakes) -> tuple[_Shown, _Shown]:
    """Real and fake images, as the discriminator is to see them in its own step."""
    shown, seen, *smaller = map(gan.augment, (real, fakes.images, *fakes.smaller))
    return _Shown(shown, labels), _Shown(seen, fakes.labels, tuple(smaller))


def _in_one_pass(discriminator: nn.Module, smaller: Sequence[Tensor]) -> bool:
    """Whether real and fake images are judged together."""
    return isinstance(discriminator, DiscriminatorNetwork) and discriminator.independent and not smaller


def _judge_both(
    discriminator: DiscriminatorNetwork | nn.Module, real: _Shown, fake: _Shown, *, maps: bool
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The logits of real and of fake images, and the maps of the real ones if some term may read them.

    In one pass where the discriminator judges each image alone, which is quicker.
    """
    if not isinstance(discriminator, DiscriminatorNetwork):
        return discriminator(real.images, real.labels), discriminator(fake.images, fake.labels, *fake.smaller), []
    if not _in_one_pass(discriminator, fake.smaller):
        given = real.images, real.labels
        # Maps that nobody reads are not asked for: what is compiled is the network's call.
        real_logits, seen = discriminator.examine(*given) if maps else (discriminator(*given), [])
        return real_logits, discriminator(fake.images, fake.labels, *fake.smaller), seen
    both = None if real.labels is None or fake.labels is None else torch.cat([real.labels, fake.labels])
    count = len(real.images)
    with in_groups(2):
        images = torch.cat([real.images, fake.images])
        logits, seen = discriminator.examine(images, both) if maps else (discriminator(images, both), [])
    return logits[:count], logits[count:], [each[:count] for each in seen]
