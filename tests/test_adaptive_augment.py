"""Augmentation whose probability follows the discriminator's overfitting."""

import math

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from cardigan import GAN, Batch, augment, fit, models, objectives, regularizers
from cardigan.augment import POLICIES, AdaptiveAugment, adaptive
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.training import alternate
from cardigan.training.steps import Fakes, play


def watched(logits, *, times=1, start=0.0, images=32, **numbers):
    """An augmentation that has begun at ``start`` and has seen the same logits some times."""
    chain = adaptive("color", **{"horizon": 4096, **numbers})
    chain.probability.fill_(start)
    for _ in range(times):
        chain.observe(torch.as_tensor(logits), images=images)
    return chain


def signs(positive, negative, zero=0):
    """Logits (B, 1) of which so many are positive, negative and 0."""
    return torch.cat([torch.full((positive,), 0.01), torch.full((negative,), -7.0), torch.zeros(zero)])[:, None]


def test_it_begins_with_unchanged_images():
    images = torch.randn(64, 3, 8, 8)
    assert torch.equal(adaptive(*POLICIES)(images), images)


def test_it_applies_each_policy_with_its_probability():
    chain = adaptive("color", "cutout")
    chain.probability.fill_(0.3)
    out = chain(torch.ones(4000, 1, 16, 16))
    cut = (out == 0).flatten(1).any(dim=1)
    coloured = (out[:, 0] - out[:, 0].round()).abs().flatten(1).amax(dim=1) > 0
    assert cut.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert coloured.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (cut & coloured).float().mean().item() == pytest.approx(0.09, abs=0.02), "the policies' draws are not apart"


@pytest.mark.parametrize(("start", "logits", "direction"), [(0.0, signs(8, 0), 1), (0.75, signs(4, 4), -1)])
def test_the_probability_moves_by_images_over_horizon_at_each_interval(start, logits, direction, device):
    chain = adaptive("color", horizon=4096, interval=4).to(device)
    chain.probability.fill_(start)
    for count in range(1, 41):
        chain.observe(logits.to(device), images=32)
        assert chain.probability.item() == start + direction * (count // 4) * 4 * 32 / 4096


@pytest.mark.parametrize(("horizon", "interval", "images"), [(500_000, 4, 64), (1000, 1, 3), (7777.5, 3, 10)])
def test_the_horizon_is_the_images_from_nought_to_one(horizon, interval, images):
    times = 30 * interval
    chain = watched(signs(8, 0), times=times, images=images, horizon=horizon, interval=interval, most=1.0)
    assert chain.probability.item() == pytest.approx(times * images / horizon, rel=1e-5)


def test_images_of_batches_of_any_size_count():
    chain = adaptive("color", horizon=1024, interval=2)
    for images in (8, 24, 16, 64, 512):
        chain.observe(signs(images, 0), images=images)
    assert chain.probability.item() == (8 + 24 + 16 + 64) / 1024


@pytest.mark.parametrize(
    ("logits", "overfitting", "direction"),
    [
        (signs(10, 0), 1.0, 1),
        (signs(9, 1), 0.8, 1),
        (signs(8, 2), 0.6, 0),
        (signs(8, 1, zero=1), 0.7, 1),
        (signs(7, 3), 0.4, -1),
        (signs(5, 5), 0.0, -1),
        (signs(0, 0, zero=10), 0.0, -1),
        (signs(0, 10), -1.0, -1),
        (signs(9, 1).reshape(2, 5), 0.8, 1),
        (signs(9, 1).half(), 0.8, 1),
    ],
)
def test_overfitting_is_the_mean_sign_of_the_logits(logits, overfitting, direction):
    chain = watched(logits, times=4, start=0.5)
    assert chain.gauges()["overfitting"].item() == pytest.approx(overfitting, abs=1e-6)
    assert chain.gauges()["augmentation probability"].item() == 0.5 + direction / 32


@pytest.mark.parametrize(("target", "direction"), [(-0.3, 1), (-0.1, -1)])
def test_the_target_may_be_anywhere(target, direction):
    assert watched(signs(4, 6), times=4, start=0.5, target=target).probability.item() == 0.5 + direction / 32


def test_overfitting_is_taken_over_the_interval_and_then_anew():
    chain = adaptive("color", horizon=4096, interval=4)
    for logits in (signs(0, 90), signs(2, 0), signs(3, 0), signs(5, 0)):
        assert chain.gauges()["overfitting"].item() == 0
        chain.observe(logits, images=32)
    assert chain.gauges()["overfitting"].item() == pytest.approx(-0.8)
    for _ in range(4):
        chain.observe(signs(7, 0), images=32)
    assert chain.gauges()["overfitting"].item() == 1.0


@pytest.mark.parametrize("most", [0.8, 0.3, 1.0])
def test_the_probability_is_bounded(most):
    chain = watched(signs(8, 0), times=400, most=most)
    assert chain.probability.item() == pytest.approx(most)
    for _ in range(8):
        chain.observe(signs(0, 8), images=32)
    assert chain.probability.item() == pytest.approx(most - 2 / 32)
    assert watched(signs(0, 8), times=40, start=0.1).probability.item() == 0.0


def test_it_settles_where_a_discriminator_that_knows_its_images_misses_enough_of_them():
    known = torch.randn(256, 3, 4, 4)

    def discriminator(images):
        return torch.where((images == known).flatten(1).all(dim=1, keepdim=True), 2.0, -2.0)

    chain, path = adaptive("color", horizon=20_000, interval=2), []
    for _ in range(120):
        chain.observe(discriminator(chain(known)), images=256)
        path.append(chain.probability.item())
    # It misses the share p that was changed, so r = 1 - 2p, which is the target of 0.6 at 0.2.
    assert path[8] > path[4] > path[1] > 0
    assert sum(path[40:]) / len(path[40:]) == pytest.approx(0.2, abs=0.02)
    assert max(path) < 0.3


def test_a_run_that_is_resumed_goes_on_to_the_last_bit():
    generator = torch.Generator().manual_seed(5)
    seen = [torch.randn(12, 2, generator=generator) + 0.8 for _ in range(23)]
    whole = adaptive("color", "scaling", horizon=777, interval=4)
    for logits in seen[:10]:
        whole.observe(logits, images=12)
    stored = safetensors.torch.save(whole.state_dict())
    resumed = adaptive("color", "scaling", horizon=777, interval=4)
    resumed.load_state_dict(safetensors.torch.load(stored))
    assert whole.observations.item() == 2, "the test is to stop within an interval"
    for logits in seen[10:]:
        whole.observe(logits, images=12)
        resumed.observe(logits, images=12)
    assert whole.probability > 0
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    images = torch.randn(16, 3, 8, 8)
    outs = []
    for chain in (whole, resumed):
        torch.manual_seed(1)
        outs.append(chain(images))
    assert torch.equal(*outs)


def test_gauges_stand_still():
    chain = watched(signs(8, 0), times=4)
    before = chain.gauges()
    assert list(before) == ["augmentation probability", "overfitting"]
    for _ in range(4):
        chain.observe(signs(0, 8), images=32)
    assert {name: gauge.item() for name, gauge in before.items()} == {
        "augmentation probability": 1 / 32,
        "overfitting": 1.0,
    }


class Eye(nn.Module):
    """A discriminator that keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.layer, self.shown = nn.Linear(3 * 6 * 6, 1), []

    def forward(self, images, labels=None):
        self.shown.append(images.detach())
        return self.layer(images.flatten(1)).sin()


def discriminators_turn(chain, *terms, count):
    """The losses of one step of the discriminator on images through the chain, and the discriminator."""
    eye, images = Eye(), torch.randn(2, count, 3, 6, 6)
    gan = GAN(nn.Identity(), eye, objectives.hinge(), terms=terms, augment=chain, prior=lambda: None)
    fakes = Fakes(images[1], images[1], None)
    return play(gan, "discriminator", Batch(images[0]), fakes, steps=0), eye, images


def test_real_and_fake_images_pass_through_the_same(monkeypatch):
    monkeypatch.setitem(POLICIES, "mark", lambda images: images + 100)
    chain = adaptive("mark")
    chain.probability.fill_(0.4)
    _, eye, images = discriminators_turn(chain, count=3000)
    shares = []
    for shown, given in zip(eye.shown, images, strict=True):
        marked = (shown > 50).flatten(1)
        assert torch.equal(marked.any(dim=1), marked.all(dim=1))
        torch.testing.assert_close(shown - 100 * (shown > 50), given, atol=1e-4, rtol=0)
        shares.append(marked.any(dim=1).float().mean().item())
    assert shares == pytest.approx([0.4, 0.4], abs=0.03)


@pytest.mark.parametrize("term", [regularizers.R1(), regularizers.R2(), regularizers.GradientPenalty()])
def test_penalties_reach_the_weights_through_all_policies(term):
    chain = adaptive(*POLICIES)
    chain.probability.fill_(0.5)
    played, eye, _ = discriminators_turn(chain, term, count=8)
    (slope,) = torch.autograd.grad(played.losses[term.name], [eye.layer.weight])
    assert slope.isfinite().all()
    assert slope.abs().max() > 0


def test_it_has_buffers_and_no_weights():
    chain = adaptive("color")
    assert not list(chain.parameters())
    assert set(chain.state_dict()) == {"probability", "overfitting", "signs", "logits", "images", "observations"}


def test_its_description_tells_the_numbers():
    assert repr(adaptive("color", "flip")) == repr(AdaptiveAugment(("color", "flip")))
    assert repr(AdaptiveAugment(("color",), target=0.5, horizon=9, interval=2, most=0.7)) == (
        "AdaptiveAugment(policies=('color',), target=0.5, horizon=9, interval=2, most=0.7)"
    )
    assert repr(adaptive("color", target=0.5, horizon=9, interval=2, most=0.7)) == (
        "AdaptiveAugment(policies=('color',), target=0.5, horizon=9, interval=2, most=0.7)"
    )


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("target", 1.0, "a number between -1 and 1. Type target=0.6."),
        ("target", math.nan, "a number between -1 and 1. Type target=0.6."),
        ("target", "high", "a number between -1 and 1. Type target=0.6."),
        ("horizon", 0, "a positive number of images. Type horizon=500_000."),
        ("horizon", math.inf, "a positive number of images. Type horizon=500_000."),
        ("interval", 0, "a positive whole number. Type interval=4."),
        ("interval", 1.5, "a positive whole number. Type interval=4."),
        ("interval", math.inf, "a positive whole number. Type interval=4."),
        ("most", 0.0, "a number above 0 and up to 1. Type most=0.8."),
        ("most", 1.01, "a number above 0 and up to 1. Type most=0.8."),
    ],
)
def test_numbers_out_of_range_are_refused(name, wrong, expected):
    with pytest.raises(CardiganError) as caught:
        adaptive("color", **{name: wrong})
    assert str(caught.value) == f"{name} is {wrong!r}, expected {expected}"


def test_wrong_names_are_refused():
    with pytest.raises(CardiganError, match=r"There is no augmentation 'rotate'\. Did you mean 'rotation'\?"):
        adaptive("rotate")
    with pytest.raises(CardiganError) as caught:
        augment.adaptive()
    assert str(caught.value) == ('An adaptive augmentation got no policies. Type some, such as "flip", "translation".')


@pytest.mark.parametrize(
    ("objective", "at_chance"),
    [
        (objectives.hinge(), 0.0),
        (objectives.least_squares(), 0.5),
        (objectives.least_squares(a=-1, b=1, c=0), 0.0),
        (objectives.non_saturating(smoothing=0.2), math.log(0.8 / 1.2)),
    ],
)
def test_at_chance_nothing_is_augmented_whatever_the_coding(objective, at_chance):
    """A discriminator that is undecided gives the boundary, give or take: as often above as below."""

    class Undecided(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(()))

        def forward(self, images, labels=None):
            noise = torch.linspace(-0.4, 0.4, len(images))[:, None]
            return at_chance + noise + 0 * self.shift

    chain = adaptive("color", horizon=512)
    generator = models.mlp.Generator(size=8, latent=4)
    gan = GAN(generator, Undecided(), objective, augment=chain)
    data = batches(Store.from_arrays(np.zeros((64, 8, 8, 1), dtype=np.uint8)), batch_size=32)
    list(fit(gan, data, images=32 * 24, turns=alternate(generator=0)))
    assert chain.gauges()["overfitting"].item() == pytest.approx(0.0, abs=0.07)
    assert chain.gauges()["augmentation probability"].item() == 0.0
