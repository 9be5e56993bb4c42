"""What each player does in its turn: pure functions from networks and a batch to named losses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cardigan.contracts import GAN, Batch, DiscriminatorNetwork, GeneratorNetwork, Player, Step
from cardigan.errors import CardiganError
from cardigan.share import current, in_groups, own, spread
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
        return torch.stack(list(self.losses.values())).sum()


def draw_sources(gan: GAN, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """What the generator starts from, and the classes to draw, for one batch.

    The prior draws for the images of all processes, as it would in one; each takes what is for its own.
    """
    if batch.source is not None:
        return batch.source, batch.labels
    assert gan.prior is not None
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


def play(gan: GAN, player: Player, batch: Batch, fakes: Fakes, *, steps: int) -> Played:
    """The losses of one player.

    Args:
        gan: networks, objective and terms.
        player: whose losses.
        batch: the real images.
        fakes: the generated ones.
        steps: steps this player has taken, by which lazy terms are due.
    """
    terms = [term for term in gan.terms if term.player == player and steps % term.every == 0]
    step = _look(gan, player, batch, fakes, differentiable_inputs=bool(terms))
    losses = {} if step.fake_logits is None else {"adversarial": gan.objective(step).mean()}
    for term in terms:
        losses[term.name] = term.every * term(step).mean()
    seen = {"real": step.real_logits, "fake": step.fake_logits}
    return Played(losses, {name: logits.detach() for name, logits in seen.items() if logits is not None})


def _look(gan: GAN, player: Player, batch: Batch, fakes: Fakes, *, differentiable_inputs: bool) -> Step:
    """Show the discriminator what the player's losses read."""
    real, fake, smaller = batch.real, fakes.images, fakes.smaller
    if smaller and not getattr(gan.discriminator, "reads_scales", True):
        raise CardiganError(
            f"The generator draws {len(smaller) + 1} scales of each image, and the discriminator "
            f"{type(gan.discriminator).__module__} judges one: build the generator with two_scales=False."
        )
    shown, maps, real_logits, fake_logits = None, [], None, None
    if player == "discriminator":
        fake, smaller = fake.detach(), tuple(images.detach() for images in smaller)
        if differentiable_inputs:
            real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        shown = gan.augment(real)
        seen = _Shown(gan.augment(fake), fakes.labels, tuple(map(gan.augment, smaller)))
        real_logits, fake_logits, maps = _judge_both(gan.discriminator, _Shown(shown, batch.labels), seen)
    elif gan.objective.generator is not None:
        if gan.objective.paired:
            with torch.no_grad():
                real_logits = gan.discriminator(gan.augment(real), batch.labels)
        fake_logits = gan.discriminator(gan.augment(fake), fakes.labels, *map(gan.augment, smaller))
    real_logits, fake_logits = (None if logits is None else widened(logits) for logits in (real_logits, fake_logits))
    return Step(
        player, real, fake, batch.labels, fakes.labels, real_logits, fake_logits, fakes.source, gan, shown, maps
    )


@dataclass(frozen=True)
class _Shown:
    """Augmented images on their way into the discriminator."""

    images: Tensor
    labels: Tensor | None
    smaller: tuple[Tensor, ...] = ()


def _judge_both(
    discriminator: DiscriminatorNetwork | nn.Module, real: _Shown, fake: _Shown
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The logits of real and of fake images and the maps of the real ones.

    In one pass where the discriminator judges each image alone, which is quicker.
    """
    if not isinstance(discriminator, DiscriminatorNetwork):
        return discriminator(real.images, real.labels), discriminator(fake.images, fake.labels), []
    if not discriminator.independent or fake.smaller:
        real_logits, maps = discriminator.examine(real.images, real.labels)
        return real_logits, discriminator(fake.images, fake.labels, *fake.smaller), maps
    both = None if real.labels is None or fake.labels is None else torch.cat([real.labels, fake.labels])
    count = len(real.images)
    with in_groups(2):
        logits, maps = discriminator.examine(torch.cat([real.images, fake.images]), both)
    return logits[:count], logits[count:], [each[:count] for each in maps]
