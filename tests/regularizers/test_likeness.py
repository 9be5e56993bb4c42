import numpy as np
import pytest
import torch
from torch import nn

from cardigan import models, objectives
from cardigan.contracts import GAN, Batch, Step
from cardigan.regularizers import Content, Matching, Perceptual, pixels_and_slopes
from cardigan.training.steps import Fakes, play


class Quadratic(nn.Module):
    """D(x) = |x|^2 / 2."""

    def forward(self, images, labels=None):
        return images.square().sum(dim=(1, 2, 3))[:, None] / 2


def step(discriminator, real, fake):
    fake = fake.clone().requires_grad_()
    gan = GAN(nn.Identity(), discriminator, objectives.hinge(), prior=lambda: None)
    return Step("generator", real.clone(), fake, None, None, None, None, torch.zeros(0), gan)


def images(count=5, shape=(2, 3, 4)):
    return torch.randn(count, *shape), torch.randn(count, *shape)


def by_hand(mine, true, scales=3):
    """The distance of two single images (C, H, W), with loops and numpy."""
    difference, total = (mine - true).numpy().astype(np.float64), 0.0
    for _ in range(scales):
        rows, columns = np.diff(difference, axis=1), np.diff(difference, axis=2)
        total += np.abs(difference).mean() + np.abs(rows).mean() + np.abs(columns).mean()
        channels, height, width = difference.shape
        difference = difference.reshape(channels, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    return total / scales


def test_pixels_and_slopes_by_hand():
    mine, true = torch.rand(3, 2, 16, 8) * 2 - 1, torch.rand(3, 2, 16, 8) * 2 - 1
    expected = [by_hand(*pair) for pair in zip(mine, true, strict=True)]
    assert pixels_and_slopes(mine, true).tolist() == pytest.approx(expected, rel=1e-5)


def test_slopes_see_a_blur_that_pixels_hardly_see():
    """A fine pattern against its mean: pixels differ by 0.1, slopes by 0.2 in each direction, coarser scales by 0."""
    rows, columns = torch.arange(16)[:, None], torch.arange(16)[None]
    pattern = 0.1 * (1 - 2 * ((rows + columns) % 2)).float()[None, None]
    assert pixels_and_slopes(pattern, torch.zeros_like(pattern)).item() == pytest.approx(0.5 / 3)


def test_small_images_have_fewer_scales():
    """On 3 x 3 pixels there is one: a constant difference has no slope."""
    images = torch.zeros(1, 1, 3, 3)
    assert pixels_and_slopes(images, images + 0.5).item() == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_one_pixel_high_or_wide_has_no_slope_that_way(shape):
    """A ramp of 0.1 a pixel along the one side there is."""
    zeros, ramp = torch.zeros(2, 3, *shape), 0.1 * torch.arange(max(shape)).reshape(shape).expand(2, 3, *shape)
    expected = 0.0 if shape == (1, 1) else 0.2 + 0.1
    assert pixels_and_slopes(ramp, zeros).tolist() == pytest.approx([expected] * 2)
    assert pixels_and_slopes(zeros + 0.5, zeros).tolist() == pytest.approx([0.5] * 2)


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
    gan = GAN(
        models.mlp.Generator(size=4, latent=3, hidden=(8,)),
        models.mlp.Discriminator(size=4, hidden=(8,)),
        objectives.wasserstein(),
        terms=(Content(weight=2.0),),
    )
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
