"""What each player sees and pays in its step."""

import contextlib
import copy
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from cardigan import GAN, models, objectives
from cardigan.contracts import Batch
from cardigan.errors import CardiganError
from cardigan.training.steps import differentiated, draw_fakes, draw_sources, play


@dataclass
class Spy:
    """A term that keeps what it was shown."""

    player: str = "discriminator"
    every: int = 1
    name: str = "spy"
    value: float = 2.0
    seen: list[Any] = field(default_factory=list)

    def __call__(self, step):
        self.seen.append(step)
        return torch.full((len(step.real),), self.value)


class Double:
    """An augmentation that can be seen."""

    def __call__(self, images):
        return 2 * images


def gan_of(**settings):
    classes = settings.pop("classes", 0)
    shape = {"size": 8, "classes": classes}
    generator = models.mlp.Generator(**shape, latent=4, hidden=(8,))
    discriminator = models.mlp.Discriminator(**shape, hidden=(8,))
    return GAN(generator, discriminator, settings.pop("objective", objectives.non_saturating()), **settings)


def batch_of(count=6, *, classes=0, source=None):
    labels = torch.arange(count) % classes if classes else None
    return Batch(torch.rand(count, 1, 8, 8) * 2 - 1, labels, source)


def rng():
    return torch.Generator().manual_seed(1)


def test_sources_are_drawn_from_the_prior_with_the_labels_of_the_batch():
    gan, batch = gan_of(classes=3), batch_of(classes=3)
    source, labels = draw_sources(gan, batch, rng())
    assert torch.equal(source, torch.randn(6, 4, generator=rng()))
    assert torch.equal(labels, batch.labels)


def test_a_source_that_the_data_brings_is_taken_as_it_is():
    brought = torch.randn(6, 4)
    source, labels = draw_sources(gan_of(), batch_of(source=brought), rng())
    assert source is brought
    assert labels is None


def test_fakes_have_a_graph_only_where_it_is_needed():
    gan, batch = gan_of(), batch_of()
    assert draw_fakes(gan, batch, rng(), graph=True).images.requires_grad
    assert not draw_fakes(gan, batch, rng(), graph=False).images.requires_grad
    with torch.no_grad():
        assert torch.equal(
            draw_fakes(gan, batch, rng(), graph=True).images, gan.generator(torch.randn(6, 4, generator=rng()))
        )


@pytest.mark.parametrize("classes", [0, 3])
def test_losses_are_the_objective_on_what_the_discriminator_says(classes):
    gan, batch = gan_of(classes=classes, augment=Double()), batch_of(classes=classes)
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    real = gan.discriminator(2 * batch.real, batch.labels)
    fake = gan.discriminator(2 * fakes.images, fakes.labels)
    told = play(gan, "discriminator", batch, fakes, steps=0)
    assert list(told.losses) == ["adversarial"]
    torch.testing.assert_close(told.total, (F.softplus(-real) + F.softplus(fake)).mean())
    torch.testing.assert_close(told.logits, {"real": real.detach(), "fake": fake.detach()})
    told = play(gan, "generator", batch, fakes, steps=0)
    torch.testing.assert_close(told.total, F.softplus(-fake).mean())
    assert list(told.logits) == ["fake"]
    assert not told.logits["fake"].requires_grad


class Telling(models.dcgan.Discriminator):
    """Says when it judges, and when what it said is differentiated."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.told = []

    def examine(self, images, labels=None, *smaller):
        logits, maps = super().examine(images, labels, *smaller)
        self.told.append("judged")
        logits.register_hook(lambda _: self.told.append("differentiated"))
        return logits, maps


def differentiated_by(objective, **settings):
    """The step of a discriminator, and its gradients by plain differentiation of all at once."""
    judge = Telling(size=16, channels=1, width=4, **settings)
    gan = GAN(models.dcgan.Generator(size=16, channels=1, width=4, latent=4), judge, objective)
    batch = Batch(torch.rand(6, 1, 16, 16) * 2 - 1)
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    weights = list(judge.parameters())
    before = copy.deepcopy(judge.state_dict())
    plain = play(gan, "discriminator", batch, fakes, steps=0)
    expected = torch.autograd.grad(plain.total, weights)
    buffers = copy.deepcopy(list(judge.buffers()))
    judge.load_state_dict(before)
    judge.told.clear()
    told, found = differentiated(
        gan, "discriminator", batch, fakes, steps=0, weights=weights, arithmetic=contextlib.nullcontext
    )
    for one, other in zip([*found, *judge.buffers()], [*expected, *buffers], strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(told.total, plain.total)
    assert told.logits.keys() == plain.logits.keys()
    for name, logits in told.logits.items():
        torch.testing.assert_close(logits, plain.logits[name])
        assert not logits.requires_grad
    return judge.told


GAMES = [objectives.non_saturating(smoothing=0.1), objectives.least_squares(), objectives.wasserstein()]


@pytest.mark.parametrize("objective", [*GAMES, objectives.hinge(), objectives.scaled(GAMES[0], discriminator=0.5)])
def test_of_a_sum_the_first_half_is_differentiated_before_the_second_is_judged(objective):
    """So the maps of one half are held, and loss, gradients and statistics are those of both at once."""
    assert differentiated_by(objective) == ["judged", "differentiated", "judged", "differentiated"]


def test_a_game_of_pairs_is_differentiated_at_once():
    assert differentiated_by(objectives.relativistic()) == ["judged", "judged", "differentiated", "differentiated"]


def test_who_judges_each_image_alone_judges_all_at_once():
    assert differentiated_by(objectives.hinge(), normalise=False) == ["judged", "differentiated"]


def test_terms_are_differentiated_with_the_game():
    """A penalty reads what the game has judged; in a step where it is not due, halves will do."""
    judge = Telling(size=16, channels=1, width=4)
    gan = GAN(
        *(models.dcgan.Generator(size=16, channels=1, width=4, latent=4), judge, objectives.hinge()),
        terms=(Spy(every=2),),
    )
    batch = Batch(torch.rand(6, 1, 16, 16) * 2 - 1)
    fakes = draw_fakes(gan, batch, rng(), graph=False)
    for steps, order in ((0, [0, 0, 1, 1]), (1, [0, 1, 0, 1])):
        judge.told.clear()
        weights = list(judge.parameters())
        differentiated(
            gan, "discriminator", batch, fakes, steps=steps, weights=weights, arithmetic=contextlib.nullcontext
        )
        assert judge.told == [("judged", "differentiated")[what] for what in order]


def test_the_discriminators_step_leaves_the_generator_out_of_its_graph():
    gan, batch = gan_of(), batch_of()
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    total = play(gan, "discriminator", batch, fakes, steps=0).total
    assert torch.autograd.grad(total, list(gan.generator.parameters()), allow_unused=True) == (None,) * 4


def test_paired_objectives_read_real_logits_in_the_generators_step_without_a_graph():
    """The relativistic generator: its gradient with respect to the discriminator comes through the fakes alone."""
    gan, batch = gan_of(objective=objectives.relativistic()), batch_of()
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    told = play(gan, "generator", batch, fakes, steps=0)
    real = gan.discriminator(batch.real).detach()
    expected = F.softplus(real - gan.discriminator(fakes.images)).mean()
    torch.testing.assert_close(told.total, expected)
    weights = list(gan.discriminator.parameters())
    torch.testing.assert_close(torch.autograd.grad(told.total, weights), torch.autograd.grad(expected, weights))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_term_joins_the_loss_of_its_player_only_and_in_full_strength(player):
    """A lazy term is due at its player's steps 0, 3, 6 ... and then counts three times."""
    spy = Spy(player=player, every=3)
    gan, batch = gan_of(terms=(spy,)), batch_of()
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    plain = play(gan_of(), "discriminator", batch, fakes, steps=0)
    assert set(plain.losses) == {"adversarial"}
    sums = 0.0
    for step in range(6):
        for who in ("discriminator", "generator"):
            losses = play(gan, who, batch, fakes, steps=step).losses
            assert ("spy" in losses) == (who == player and step in (0, 3))
            sums += float(losses.get("spy", 0.0))
    assert sums == 6 * spy.value  # on the average what it would be without laziness
    assert len(spy.seen) == 2


def test_what_a_term_is_shown():
    spy = Spy()
    gan, batch = gan_of(classes=3, terms=(spy,), augment=Double()), batch_of(classes=3)
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    play(gan, "discriminator", batch, fakes, steps=0)
    (step,) = spy.seen
    assert step.player == "discriminator"
    assert step.gan is gan
    assert torch.equal(step.real, batch.real)
    assert torch.equal(step.fake, fakes.images)
    assert torch.equal(step.labels, batch.labels)
    assert step.source is fakes.source
    # Terms differentiate by the images; the data and the fakes themselves stay as they were.
    assert step.real.requires_grad
    assert step.fake.requires_grad
    assert step.fake.is_leaf
    assert not batch.real.requires_grad
    torch.testing.assert_close(step.real_logits, gan.discriminator(2 * batch.real, batch.labels))
    torch.testing.assert_close(step.fake_logits, gan.discriminator(2 * fakes.images, fakes.labels))


def test_images_ask_for_no_gradients_when_no_term_is_due():
    class Watched(models.mlp.Discriminator):
        def forward(self, images, labels=None):
            self.asked = images.requires_grad
            return super().forward(images, labels)

    discriminator = Watched(size=8, hidden=(8,))
    gan = GAN(models.mlp.Generator(size=8, latent=4), discriminator, objectives.hinge(), terms=(Spy(every=2),))
    batch = batch_of()
    for step, asked in ((0, True), (1, False), (2, True)):
        play(gan, "discriminator", batch, draw_fakes(gan, batch, rng(), graph=False), steps=step)
        assert discriminator.asked == asked


class Scaled(models.mlp.Generator):
    """Draws a second scale of its own."""

    def scales(self, source, labels=None):
        return self(source, labels), -torch.ones(len(source), 1, 4, 4)


class Examining(models.mlp.Discriminator):
    """Tells the images as its maps, and adds the mean of the smaller images to its logits."""

    reads_scales = True

    def examine(self, images, labels=None, *smaller):
        self.asked = [*getattr(self, "asked", []), [images.shape[0], *(small.requires_grad for small in smaller)]]
        return super().forward(images, labels) + sum(small.mean() for small in smaller), [images, 3 * images]

    def forward(self, images, labels=None, *smaller):
        return self.examine(images, labels, *smaller)[0]


def test_smaller_scales_of_the_fakes_are_augmented_and_shown():
    gan = GAN(Scaled(size=8, latent=4), Examining(size=8, hidden=(8,)), objectives.hinge(), augment=Double())
    batch = batch_of()
    fakes = draw_fakes(gan, batch, rng(), graph=True)
    assert [small.shape for small in fakes.smaller] == [(6, 1, 4, 4)]
    plain = models.mlp.Discriminator.forward(gan.discriminator, 2 * fakes.images)
    for player in ("discriminator", "generator"):
        told = play(gan, player, batch, fakes, steps=0)
        torch.testing.assert_close(told.logits["fake"], (plain - 2).detach())
    weights = list(gan.discriminator.parameters())
    expected = torch.autograd.grad(play(gan, "discriminator", batch, fakes, steps=0).total, weights)
    told, found = differentiated(
        gan, "discriminator", batch, fakes, steps=0, weights=weights, arithmetic=contextlib.nullcontext
    )
    torch.testing.assert_close(told.logits["fake"], (plain - 2).detach())
    torch.testing.assert_close(found, list(expected))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_several_scales_are_refused_by_who_judges_one(player):
    gan = GAN(Scaled(size=8, latent=4), models.mlp.Discriminator(size=8), objectives.hinge())
    fakes = draw_fakes(gan, batch_of(), rng(), graph=True)
    with pytest.raises(CardiganError) as caught:
        play(gan, player, batch_of(), fakes, steps=0)
    assert str(caught.value) == (
        "The generator draws 2 scales of each image, and the discriminator cardigan.models.mlp judges one: build the "
        "generator with two_scales=False."
    )


def test_smaller_scales_carry_no_graph_into_the_discriminators_step():
    gan = GAN(Scaled(size=8, latent=4), Examining(size=8, hidden=(8,)), objectives.hinge())
    fakes = draw_fakes(gan, batch_of(), rng(), graph=True)
    fakes.smaller[0].requires_grad_()
    play(gan, "discriminator", batch_of(), fakes, steps=0)
    assert gan.discriminator.asked == [[6], [6, False]]
    weights = list(gan.discriminator.parameters())
    differentiated(gan, "discriminator", batch_of(), fakes, steps=0, weights=weights, arithmetic=contextlib.nullcontext)
    assert gan.discriminator.asked[2:] == [[6], [6, False]]


@pytest.mark.parametrize("independent", [False, True])
def test_terms_read_what_the_discriminator_was_shown_and_made_of_it(independent):
    """Of the real images only, also where both kinds are judged in one pass."""
    spy = Spy()
    discriminator = Examining(size=8, hidden=(8,))
    discriminator.independent = independent
    gan = GAN(models.mlp.Generator(size=8, latent=4), discriminator, objectives.hinge(), (spy,), augment=Double())
    batch = batch_of()
    play(gan, "discriminator", batch, draw_fakes(gan, batch, rng(), graph=False), steps=0)
    assert [count for count, *_ in discriminator.asked] == ([12] if independent else [6, 6])
    (step,) = spy.seen
    assert torch.equal(step.shown, 2 * batch.real)
    assert [torch.equal(mine, k * 2 * batch.real) for mine, k in zip(step.maps, (1, 3), strict=True)] == [True, True]


def test_a_discriminator_that_tells_no_maps_gives_none():
    spy = Spy()
    gan, batch = gan_of(terms=(spy,)), batch_of()
    play(gan, "discriminator", batch, draw_fakes(gan, batch, rng(), graph=False), steps=0)
    assert list(spy.seen[0].maps) == []
