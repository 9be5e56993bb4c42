"""What each player does in its turn: pure functions from networks and a batch to named losses."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cardigan.contracts import GAN, Batch, DiscriminatorNetwork, Player, Step


@dataclass(frozen=True)
class Fakes:
    """What the generator drew for one turn.

    Args:
        images: (B, C, H, W) in [-1, 1], with the generator's graph if the generator plays in this turn.
        source: what they were drawn from.
        labels: the classes that were asked for, or None.
    """

    images: Tensor
    source: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class Played:
    """The outcome of one player's step, before any weight has moved.

    Args:
        losses: each named loss as a scalar, ``"adversarial"`` being the game itself, if there is one; the player
            minimises their sum.
        logits: the mean logits of ``"real"`` and ``"fake"`` images, detached.
    """

    losses: dict[str, Tensor]
    logits: dict[str, Tensor]

    @property
    def total(self) -> Tensor:
        """The sum that is differentiated."""
        return torch.stack(list(self.losses.values())).sum()


def draw_sources(gan: GAN, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
    """What the generator starts from, and the classes to draw, for one batch."""
    if batch.source is not None:
        return batch.source, batch.labels
    assert gan.prior is not None
    return gan.prior(batch.labels, count=len(batch.real), rng=rng)


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
        return Fakes(gan.generator(source, labels), source, labels)


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
    return Played(losses, {name: logits.detach().mean() for name, logits in seen.items() if logits is not None})


def _look(gan: GAN, player: Player, batch: Batch, fakes: Fakes, *, differentiable_inputs: bool) -> Step:
    """Show the discriminator what the player's losses read."""
    real, fake, real_logits, fake_logits = batch.real, fakes.images, None, None
    if player == "discriminator":
        fake = fake.detach()
        if differentiable_inputs:
            real, fake = real.detach().requires_grad_(), fake.requires_grad_()
        real_logits, fake_logits = _judge_both(gan, real, fake, batch.labels, fakes.labels)
    elif gan.objective.generator is not None:
        if gan.objective.paired:
            with torch.no_grad():
                real_logits = gan.discriminator(gan.augment(real), batch.labels)
        fake_logits = gan.discriminator(gan.augment(fake), fakes.labels)
    return Step(player, real, fake, batch.labels, fakes.labels, real_logits, fake_logits, fakes.source, gan)


def _judge_both(
    gan: GAN, real: Tensor, fake: Tensor, labels: Tensor | None, fake_labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The logits of real and of fake images, in one pass where the discriminator judges each image alone."""
    discriminator, real, fake = gan.discriminator, gan.augment(real), gan.augment(fake)
    if not (isinstance(discriminator, DiscriminatorNetwork) and discriminator.independent):
        return discriminator(real, labels), discriminator(fake, fake_labels)
    both = None if labels is None or fake_labels is None else torch.cat([labels, fake_labels])
    real_logits, fake_logits = discriminator(torch.cat([real, fake]), both).split([len(real), len(fake)])
    return real_logits, fake_logits
