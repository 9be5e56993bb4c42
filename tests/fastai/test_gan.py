"""The parts that hold no training: the shell of two networks, the losses, the noise."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cardigan.fastai import (
    AdaptiveLoss,
    GANLoss,
    GANModule,
    InvisibleTensor,
    accuracy_thresh_expand,
    gan_loss_from_func,
    generate_noise,
    set_freeze_model,
    test_eq,
)


def pair():
    return GANModule(generator=nn.Linear(2, 3), critic=nn.Linear(3, 1))


def test_the_shell_hands_its_input_to_one_of_the_two_and_switches():
    gan = pair()
    images, noise = torch.randn(4, 3), torch.randn(4, 2)
    assert torch.equal(gan(images), gan.critic(images))
    for gen_mode in (None, True, True):
        gan.switch(gen_mode)
        assert torch.equal(gan(noise), gan.generator(noise))
    for gen_mode in (None, False, False):
        gan.switch(gen_mode)
        assert torch.equal(gan(images), gan.critic(images))
    assert GANModule(nn.Identity(), nn.Linear(1, 1), gen_mode=True).gen_mode is True
    assert not hasattr(GANModule(), "generator")
    assert not hasattr(GANModule(), "critic")


def test_the_losses_call_the_users_functions_with_their_signatures():
    seen = {}

    def gen_loss_func(fake_pred, output, target):
        seen["gen"] = (fake_pred, output, target)
        return fake_pred.mean() + (output - target).abs().mean()

    def crit_loss_func(real_pred, fake_pred):
        seen["crit"] = (real_pred, fake_pred)
        return (real_pred - fake_pred).mean()

    gan = pair()
    loss = GANLoss(gen_loss_func, crit_loss_func, gan)
    output, target, noise = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 2)
    loss.switch(True)
    assert loss(output, target) is loss.gen_loss
    assert torch.equal(seen["gen"][0], gan.critic(output))
    assert seen["gen"][1] is output
    assert seen["gen"][2] is target
    loss.switch()
    real_pred = gan.critic(target)
    assert loss(real_pred, noise) is loss.crit_loss
    assert seen["crit"][0] is real_pred
    assert torch.equal(seen["crit"][1], gan.critic(gan.generator(noise)))


@pytest.mark.parametrize("trainable", [True, False])
def test_the_critics_loss_works_whether_the_generator_is_frozen_or_not(trainable):
    gan = pair()
    set_freeze_model(gan.generator, trainable)
    loss = GANLoss(lambda *_: 0, lambda real, fake: (fake - real).mean(), gan).critic(
        gan.critic(torch.randn(4, 3)), torch.randn(4, 2)
    )
    loss.backward()
    assert gan.critic.weight.grad is not None
    assert gan.generator.weight.grad is None


def test_true_makes_trainable_and_false_freezes():
    network = pair()
    set_freeze_model(network, False)
    assert not any(weight.requires_grad for weight in network.parameters())
    set_freeze_model(network, True)
    assert all(weight.requires_grad for weight in network.parameters())


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3), (4, 1, 2, 2)])
def test_the_adaptive_loss_spreads_its_target(shape):
    output, target = torch.randn(shape), torch.tensor([0, 1, 1, 0])
    expected = F.binary_cross_entropy_with_logits(
        output.reshape(4, -1), target[:, None].expand(4, output[0].numel()).float()
    )
    assert AdaptiveLoss(nn.BCEWithLogitsLoss())(output, target).item() == pytest.approx(expected.item())


def test_accuracy_counts_both_sides_of_the_threshold():
    logits, truth = torch.tensor([[3.0, -3.0], [-3.0, -3.0], [0.2, 3.0]]), torch.tensor([1, 0, 1])
    assert accuracy_thresh_expand(logits, truth).item() == pytest.approx(5 / 6)
    assert accuracy_thresh_expand(logits, truth, thresh=0.6).item() == pytest.approx(4 / 6)
    assert accuracy_thresh_expand(logits, truth, thresh=1.0, sigmoid=False).item() == pytest.approx(4 / 6)


@pytest.mark.parametrize("weights", [None, (1.0, 50.0), [2.0, 0.5]])
def test_the_mixed_losses_are_the_formulas(weights):
    bce, l1 = AdaptiveLoss(nn.BCEWithLogitsLoss()), nn.L1Loss()
    gen, crit = gan_loss_from_func(l1, bce, weights_gen=weights)
    fake, real, output, target = (torch.randn(4, 2) for _ in range(4))
    first, second = weights or (1.0, 1.0)
    expected = first * F.softplus(-fake).mean() + second * (output - target).abs().mean()
    assert gen(fake, output, target).item() == pytest.approx(expected.item())
    assert crit(real, fake).item() == pytest.approx(((F.softplus(-real).mean() + F.softplus(fake).mean()) / 2).item())


def test_noise_is_normal_of_any_size_and_shows_nothing():
    torch.manual_seed(3)
    first = generate_noise("file", size=7)
    torch.manual_seed(3)
    assert torch.equal(first, torch.randn(7))
    assert isinstance(first, InvisibleTensor)
    assert first.show(ctx="axis", title="ignored") == "axis"
    assert InvisibleTensor([1, 2], dtype=torch.float64).dtype == torch.float64
    many = torch.stack([generate_noise(None, size=1000) for _ in range(20)])
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1) < 0.03


def test_test_eq_compares_shapes_with_lists_and_tells_both():
    test_eq(torch.zeros(2, 1).shape, [2, 1])
    test_eq(torch.ones(2), torch.ones(2))
    test_eq({"a": [1]}, {"a": [1]})
    with pytest.raises(AssertionError, match=r"(?s)torch.Size\(\[2, 1\]\).*\[2, 2\]"):
        test_eq(torch.zeros(2, 1).shape, [2, 2])
    with pytest.raises(AssertionError):
        test_eq(torch.ones(2), torch.zeros(2))
    with pytest.raises(AssertionError):
        test_eq([1, 2], [1])


def test_noise_can_be_copied():
    noise = generate_noise("file", size=3)
    again = copy.deepcopy(noise)
    assert type(again) is InvisibleTensor
    assert torch.equal(again, noise)
    again[0] = 9.0
    assert noise[0] != 9.0
