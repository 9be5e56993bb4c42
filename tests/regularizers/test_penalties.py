from dataclasses import replace

import pytest
import torch
from torch import nn

from cardigan import models, objectives
from cardigan.contracts import GAN, Batch, Step, Unchanged
from cardigan.regularizers import R1, R2, GradientPenalty, slopes
from cardigan.training.steps import Fakes, play


class Linear(nn.Module):
    """D(x) = <w, x>."""

    def __init__(self, shape=(2, 3, 4)):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self, images, labels=None):
        return (images * self.weight).sum(dim=(1, 2, 3))[:, None]


class Quadratic(nn.Module):
    """D(x) = |x|^2 / 2, whose gradient is x."""

    def forward(self, images, labels=None):
        return images.square().sum(dim=(1, 2, 3))[:, None] / 2


class BySample(nn.Module):
    """D(x) = s[label] <u, x> with |u| = 1: every image has a slope of its own."""

    def __init__(self, strengths):
        super().__init__()
        self.strengths = torch.tensor(strengths)

    def forward(self, images, labels=None):
        pixels = images.flatten(1)
        return (self.strengths[labels] * pixels.sum(dim=1) / pixels.shape[1] ** 0.5)[:, None]


def step(discriminator, real, fake, *, labels=None, augment=None):
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    gan = GAN(nn.Identity(), discriminator, objectives.hinge(), augment=augment or Unchanged(), prior=lambda: None)
    logits = [discriminator(gan.augment(images), labels) for images in (real, fake)]
    return Step("discriminator", real, fake, labels, labels, logits[0], logits[1], torch.zeros(0), gan)


def images(count=5, shape=(2, 3, 4)):
    return torch.randn(count, *shape), torch.randn(count, *shape)


def norm(tensor):
    return sum(value**2 for value in tensor.detach().flatten().tolist()) ** 0.5


def test_slopes_are_each_images_own_gradient():
    network, (real, _) = Quadratic(), images()
    real.requires_grad_()
    torch.testing.assert_close(slopes(network(real), real), real.flatten(1))


@pytest.mark.parametrize("penalty", [R1(weight=3.0), R2(weight=3.0), GradientPenalty(weight=3.0)])
def test_a_penalty_does_not_grow_with_the_number_of_logits(penalty):
    """Of a discriminator that gives the same logit for nine patches it asks what it asks of one that gives it once."""

    class Patches(Quadratic):
        def forward(self, images, labels=None):
            return super().forward(images, labels).expand(-1, 9)

    torch.manual_seed(0)
    found = []
    for network in (Quadratic(), Patches()):
        torch.manual_seed(1)
        found.append(penalty(step(network, *images())))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("term", [R1(weight=3.0), R2(weight=3.0)])
def test_zero_centred_penalties_of_a_linear_discriminator(term):
    network = Linear()
    value = term(step(network, *images()))
    expected = 1.5 * norm(network.weight) ** 2
    torch.testing.assert_close(value, torch.full((5,), expected), rtol=1e-4, atol=1e-4)
    value.mean().backward()  # d/dw of gamma/2 |w|^2
    torch.testing.assert_close(network.weight.grad, 3.0 * network.weight.detach())


def test_r1_looks_at_real_images_and_r2_at_fakes():
    real, fake = images()
    looked = step(Quadratic(), real, fake)
    torch.testing.assert_close(R1(weight=2.0)(looked), torch.tensor([norm(image) ** 2 for image in real]))
    torch.testing.assert_close(R2(weight=2.0)(looked), torch.tensor([norm(image) ** 2 for image in fake]))


def test_zero_centred_penalties_see_through_the_augmentation():
    network = Linear()
    looked = step(network, *images(), augment=lambda pixels: 2 * pixels)
    expected = torch.full((5,), 0.5 * 4 * norm(network.weight) ** 2)
    torch.testing.assert_close(R1(weight=1.0)(looked), expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_penalty_of_a_linear_discriminator():
    network = Linear()
    value = GradientPenalty(weight=10.0)(step(network, *images()))
    length = norm(network.weight)
    torch.testing.assert_close(value, torch.full((5,), 10 * (length - 1) ** 2), rtol=1e-4, atol=1e-4)
    value.mean().backward()
    expected = 20 * (length - 1) / length * network.weight.detach()
    torch.testing.assert_close(network.weight.grad, expected, rtol=1e-4, atol=1e-4)


def test_the_gradient_penalty_takes_one_norm_for_each_image():
    # The known mistake is one norm over the batch: slopes 3 and 0 would then give about (3 - 1)^2 for both.
    labels = torch.tensor([0, 1, 2])
    value = GradientPenalty(weight=1.0)(step(BySample([3.0, 0.0, 1.0]), *images(3), labels=labels))
    torch.testing.assert_close(value, torch.tensor([4.0, 1.0, 0.0]), atol=1e-4, rtol=1e-4)


def test_the_gradient_penalty_looks_between_real_and_fake_at_a_place_of_each_images_own():
    direction = torch.zeros(1, 2, 3, 4)
    direction[0, 0, 0, 0] = 1.0
    real, fake = (2.0 * direction).expand(500, -1, -1, -1), (6.0 * direction).expand(500, -1, -1, -1)
    value = GradientPenalty(weight=1.0)(step(Quadratic(), real, fake))
    lengths = value.sqrt() + 1.0  # the gradient is the image itself, of length 2 to 6
    assert lengths.min() >= 2.0 - 1e-4
    assert lengths.max() <= 6.0 + 1e-4
    spread = lengths.sort().values
    uniform = torch.linspace(2.0, 6.0, 500)
    assert (spread - uniform).abs().max() < 0.35  # Kolmogorov-Smirnov: chance exceeds it once in 500
    assert lengths.unique().numel() > 400


def test_the_gradient_penalty_is_finite_on_a_flat_discriminator():
    network = BySample([0.0])
    network.strengths = nn.Parameter(network.strengths)
    value = GradientPenalty(weight=1.0)(step(network, *images(1), labels=torch.zeros(1, dtype=torch.int64)))
    value.sum().backward()
    assert value.item() == pytest.approx(1.0, abs=1e-4)
    assert network.strengths.grad.isfinite().all()


def small_gan(*terms):
    return GAN(
        models.mlp.Generator(size=4, latent=3, hidden=(8,)),
        models.mlp.Discriminator(size=4, hidden=(8,)),
        objectives.wasserstein(),
        terms=terms,
    )


@pytest.mark.parametrize("kind", [R1, R2, GradientPenalty])
def test_a_lazy_term_is_due_every_so_often_and_as_strong_on_average(kind):
    eager, lazy = kind(weight=2.0), kind(weight=2.0, every=4)
    gan = small_gan(eager)
    batch = Batch(torch.rand(6, 1, 4, 4) * 2 - 1)
    fakes = Fakes(torch.rand(6, 1, 4, 4) * 2 - 1, torch.randn(6, 3), None)

    def losses(term, steps):
        gan.terms = (term,)
        torch.manual_seed(1)
        return play(gan, "discriminator", batch, fakes, steps=steps).losses

    expected = float(losses(eager, 0)[eager.name].detach())
    assert expected > 0
    found = [losses(lazy, steps).get(lazy.name) for steps in range(9)]
    assert [value is not None for value in found] == [steps % 4 == 0 for steps in range(9)]
    for value in found[::4]:
        assert float(value.detach()) == pytest.approx(4 * expected, rel=1e-5)
    assert set(play(gan, "generator", batch, fakes, steps=0).losses) == {"adversarial"}


def test_the_total_is_the_sum_of_the_losses():
    played = play(
        small_gan(R1(), R2()),
        "discriminator",
        Batch(torch.randn(4, 1, 4, 4)),
        Fakes(torch.randn(4, 1, 4, 4), torch.randn(4, 3), None),
        steps=0,
    )
    assert set(played.losses) == {"adversarial", "r1", "r2"}
    parts = [value.item() for value in played.losses.values()]
    assert played.total.item() == pytest.approx(sum(parts), rel=1e-5)


# --- what a penalty is told of scales and classes ---------------------------------------------------------------------


class TwoScales(nn.Module):
    """D(x, small) = <w, x> + <v, small>."""

    def __init__(self):
        super().__init__()
        self.weight, self.small = nn.Parameter(torch.randn(2, 8, 8)), nn.Parameter(torch.randn(2, 4, 4))

    def forward(self, images, labels=None, *smaller):
        logits = (images * self.weight).sum(dim=(1, 2, 3))
        return (logits + sum((each * self.small).sum(dim=(1, 2, 3)) for each in smaller))[:, None]


def test_r2_counts_the_slope_along_the_smaller_scale():
    """Of all that the discriminator is shown of a fake: gamma/2 (|w|^2 + |v|^2)."""
    network = TwoScales()
    gan = GAN(nn.Identity(), network, objectives.hinge(), terms=(R2(weight=3.0),), prior=lambda: None)
    fakes = Fakes(torch.randn(5, 2, 8, 8), torch.randn(5, 3), None, (torch.randn(5, 2, 4, 4),))
    played = play(gan, "discriminator", Batch(torch.randn(5, 2, 8, 8)), fakes, steps=0)
    expected = 1.5 * (norm(network.weight) ** 2 + norm(network.small) ** 2)
    assert played.losses["r2"].item() == pytest.approx(expected, rel=1e-5)


def test_a_mixture_has_the_class_of_the_end_it_lies_nearer_to():
    asked = []

    class Notes(Quadratic):
        def forward(self, images, labels=None):
            asked.append(labels)
            return super().forward(images, labels)

    real, fake = torch.zeros(400, 1, 2, 2), torch.ones(400, 1, 2, 2)
    looked = step(Notes(), real, fake)
    shown = []
    gan = GAN(
        nn.Identity(), Notes(), objectives.hinge(), augment=lambda images: shown.append(images) or images, prior=max
    )
    labels, others = torch.zeros(400, dtype=torch.int64), torch.ones(400, dtype=torch.int64)
    for given, wanted in [((labels, others), None), ((labels, labels), labels), ((None, None), None)]:
        asked.clear()
        shown.clear()
        GradientPenalty()(replace(looked, gan=gan, labels=given[0], fake_labels=given[1]))
        nearer = (shown[0][:, 0, 0, 0] > 0.5).long()  # a pixel is the share of the fake
        expected = nearer if given[1] is others else wanted
        assert (asked[0] is None) if expected is None else torch.equal(asked[0], expected)
    assert 100 < int(nearer.sum()) < 300
