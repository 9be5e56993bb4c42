import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from cardigan import models, objectives
from cardigan.contracts import GAN, Batch, Step, Unchanged
from cardigan.regularizers import (
    R1,
    R2,
    Content,
    GradientPenalty,
    Matching,
    Perceptual,
    WeightClipping,
    slopes,
    spectral_norm,
)
from cardigan.training.ema import Average
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


def test_the_content_loss_is_each_images_own_mean_absolute_difference():
    real = torch.randn(3, 2, 3, 4)
    shifts = torch.tensor([0.5, -0.25, 0.0])
    looked = step(Quadratic(), real, real + shifts[:, None, None, None])
    torch.testing.assert_close(Content(weight=4.0)(looked), torch.tensor([2.0, 1.0, 0.0]), atol=1e-5, rtol=1e-5)
    real, fake = images()
    expected = [np.abs(a - b).mean() for a, b in zip(real.numpy(), fake.numpy(), strict=True)]
    np.testing.assert_allclose(Content()(step(Quadratic(), real, fake)).detach(), expected, rtol=1e-5)


def test_the_content_losss_gradient_is_the_sign_of_the_difference():
    real, fake = images()
    looked = step(Quadratic(), real, fake)
    Content(weight=3.0)(looked).sum().backward()
    np.testing.assert_allclose(looked.fake.grad, 3.0 / 24 * np.sign((fake - real).numpy()), rtol=1e-6)


def test_the_content_loss_is_the_generators_in_every_step_and_looks_past_the_augmentation():
    assert repr(Content(weight=2.0)) == "Content(weight=2.0)"
    gan = small_gan(Content(weight=2.0))
    gan.augment = lambda pixels: 3 * pixels
    batch = Batch(torch.rand(6, 1, 4, 4) * 2 - 1)
    fakes = Fakes(torch.rand(6, 1, 4, 4) * 2 - 1, torch.randn(6, 3), None)
    for steps in range(3):
        losses = play(gan, "generator", batch, fakes, steps=steps).losses
        assert set(losses) == {"adversarial", "content"}
        expected = 2.0 * (fakes.images - batch.real).abs().mean().item()
        assert losses["content"].item() == pytest.approx(expected, rel=1e-5)
        assert "content" not in play(gan, "discriminator", batch, fakes, steps=steps).losses


def unit_distance(one, other):
    """Of two maps (F, h, w), in plain loops."""
    places = [(one[:, y, x], other[:, y, x]) for y in range(one.shape[1]) for x in range(one.shape[2])]
    return np.mean([((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum() for a, b in places])


def test_the_perceptual_loss_compares_directions_of_features_place_by_place():
    first, second = nn.Conv2d(2, 5, 2), nn.Conv2d(5, 4, 2)
    real, fake = images(count=3)

    def features(pixels):
        shallow = first(pixels)
        return [shallow, second(shallow)]

    found = Perceptual(features, weight=3.0)(step(Quadratic(), real, fake))
    ours, theirs = ([maps.detach().numpy() for maps in features(pixels)] for pixels in (fake, real))
    expected = [
        3.0 * np.mean([unit_distance(mine[at], true[at]) for mine, true in zip(ours, theirs, strict=True)])
        for at in range(3)
    ]
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-5)
    alone = Perceptual(first)(step(Quadratic(), real, fake))
    np.testing.assert_allclose(alone.detach()[0], unit_distance(ours[0][0], theirs[0][0]), rtol=1e-5)


def test_the_perceptual_losss_gradient_reaches_the_generated_images_only():
    features = nn.Conv2d(2, 5, 2).requires_grad_(False)
    looked = step(Quadratic(), *images(count=3))
    looked.real.requires_grad_()
    Perceptual(features)(looked).sum().backward()
    assert looked.fake.grad.abs().sum() > 0
    assert looked.real.grad is None
    assert features.weight.grad is None


def test_matching_measures_the_discriminators_features_in_their_own_size():
    class Seeing(Quadratic):
        def features(self, pixels):
            return [pixels, 100 * pixels[:, :1].square()]

    real, fake = images(count=3)
    found = Matching(weight=2.0)(step(Seeing(), real, fake))
    one, other = (pixels.numpy() for pixels in (fake, real))
    for at in range(3):
        first = np.abs(one[at] - other[at]).mean() / np.abs(other).mean()
        second = np.abs(one[at, :1] ** 2 - other[at, :1] ** 2).mean() / (other[:, :1] ** 2).mean()
        assert float(found[at].detach()) == pytest.approx(2.0 * (first + second) / 2, rel=1e-5)


def test_matching_moves_the_generated_images_and_not_the_features():
    network = models.unet.Discriminator(size=16, channels=2, width=2, levels=1)
    looked = step(network, torch.randn(2, 2, 16, 16), torch.randn(2, 2, 16, 16))
    looked.real.requires_grad_()
    (slope,) = torch.autograd.grad(Matching()(looked).sum(), looked.fake)
    assert slope.abs().sum() > 0
    assert looked.real.grad is None


def test_weight_clipping_clamps_every_parameter_and_nothing_within():
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 8))
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.02)
    before = [weight.detach().clone() for weight in network.parameters()]
    WeightClipping(0.01)(network)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(new.detach(), torch.minimum(torch.maximum(old, torch.tensor(-0.01)), torch.tensor(0.01)))
    assert WeightClipping().player == "discriminator"


def layers():
    return nn.ModuleDict(
        {
            "linear": nn.Linear(12, 8),
            "conv": nn.Conv2d(3, 6, 4),
            "up": nn.ConvTranspose2d(5, 7, 4),
            "embedding": nn.Embedding(6, 9),
            "batch": nn.BatchNorm2d(6),
            "group": nn.GroupNorm(2, 6),
            "prelu": nn.PReLU(),
        }
    )


def test_spectral_norm_divides_by_the_largest_singular_value():
    network = layers()
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(7.0)
    raw = {name: network[name].weight.detach().clone() for name in network}
    assert spectral_norm(network) is network
    for _ in range(200):
        for name in ("linear", "conv", "up", "embedding"):
            _ = network[name].weight
    for name in ("linear", "conv", "up", "embedding"):
        outputs = 1 if name == "up" else 0  # a transposed convolution keeps its output channels second
        matrix = raw[name].movedim(outputs, 0).flatten(1)
        sigma = torch.linalg.svdvals(matrix)[0]
        torch.testing.assert_close(network[name].weight.detach(), raw[name] / sigma, atol=1e-4, rtol=1e-3)
        reached = torch.linalg.svdvals(network[name].weight.detach().movedim(outputs, 0).flatten(1))[0]
        assert reached.item() == pytest.approx(1.0, abs=1e-3)
    for name in ("batch", "group", "prelu"):
        assert not parametrize.is_parametrized(network[name])
        assert torch.equal(network[name].weight, raw[name])


def test_spectral_norm_twice_is_once():
    network = spectral_norm(spectral_norm(layers()))
    assert len(network["linear"].parametrizations["weight"]) == 1


def test_spectral_norm_stands_still_in_evaluation():
    layer = spectral_norm(nn.Sequential(nn.Linear(8, 8))).eval()
    first = layer[0].weight.detach().clone()
    assert torch.equal(layer[0].weight, first)
    layer.train()
    assert not torch.equal(layer[0].weight, first)


def test_a_spectrally_normalised_network_can_be_copied_and_averaged():
    network = spectral_norm(models.mlp.Generator(size=4, latent=3, hidden=(8,)))
    latents = torch.randn(5, 3)
    network.train()(latents)
    network.eval()
    twin = copy.deepcopy(network)
    assert torch.equal(twin(latents), network(latents))
    with torch.no_grad():
        next(twin.parameters()).add_(1.0)
    assert not torch.equal(twin(latents), network(latents))

    average = Average(network, half_life=1e-9)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(1.5).add_(0.1)
    network.train()(latents)
    average.update(network.eval(), images=64)
    torch.testing.assert_close(average.network.eval()(latents), network(latents))
