"""fastai's optimizers against their formulas, and how parameters become the groups of two optimizers."""

import pytest
import torch
from torch import nn

from cardigan import CardiganError
from cardigan.fastai import Adam, RMSProp, partial, trainable_params
from cardigan.fastai.optimizers import Owned, rates, split


def gradients(count):
    rng = torch.Generator().manual_seed(1)
    return [torch.randn(5, generator=rng, dtype=torch.float64) for _ in range(count)]


def moved(optimizer, weight, count=6):
    for gradient in gradients(count):
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def start():
    return nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))


@pytest.mark.parametrize(("wd", "decoupled"), [(0.01, True), (0.3, True), (0.3, False), (0.0, True)])
@pytest.mark.parametrize("mom", [0.9, 0.5])
def test_adam_is_the_formula(wd, decoupled, mom):
    weight = start()
    found = moved(Adam([weight], lr=0.1, mom=mom, wd=wd, decouple_wd=decoupled), weight)
    plain, mean, square = start().detach(), 0.0, 0.0
    for step, gradient in enumerate(gradients(6), start=1):
        if decoupled:
            plain = plain * (1 - 0.1 * wd)
        else:
            gradient = gradient + wd * plain
        mean = mom * mean + (1 - mom) * gradient
        square = 0.99 * square + 0.01 * gradient**2
        plain = plain - 0.1 * (mean / (1 - mom**step)) / ((square / (1 - 0.99**step)) ** 0.5 + 1e-5)
    assert torch.allclose(found, plain, atol=1e-9)


@pytest.mark.parametrize(("wd", "decoupled"), [(0.0, True), (0.3, True), (0.3, False)])
@pytest.mark.parametrize("mom", [0.0, 0.9])
def test_rmsprop_is_the_formula(wd, decoupled, mom):
    weight = start()
    found = moved(RMSProp([weight], lr=0.01, mom=mom, wd=wd, decouple_wd=decoupled), weight)
    plain, mean, square = start().detach(), 0.0, 0.0
    for gradient in gradients(6):
        if decoupled:
            plain = plain * (1 - 0.01 * wd)
        else:
            gradient = gradient + wd * plain
        mean = mom * mean + gradient
        square = 0.99 * square + 0.01 * gradient**2
        plain = plain - 0.01 * (mean if mom else gradient) / (square**0.5 + 1e-8)
    assert torch.allclose(found, plain, atol=1e-9)


def test_what_has_no_gradient_does_not_move():
    for kind in (Adam, RMSProp):
        still, moving = start(), start()
        optimizer = kind([still, moving], lr=0.1, wd=0.5)
        moving.grad = torch.ones_like(moving)
        optimizer.step()
        assert torch.equal(still, start())
        assert not torch.equal(moving, start())


def test_lists_of_parameters_become_groups_with_their_rates():
    optimizer = Adam([[start()], [start(), start()]], lr=slice(1e-4, 1e-2))
    assert [(len(group["params"]), group["lr"]) for group in optimizer.param_groups] == [(1, 1e-4), (2, 1e-2)]
    assert [group["lr"] for group in RMSProp([start()], lr=3e-4).param_groups] == [3e-4]


def test_rates_are_fastais():
    assert rates(slice(1e-4, 1e-2), 3) == pytest.approx([1e-4, 1e-3, 1e-2])
    assert rates(slice(1e-4, 1e-2), 1) == [1e-2]
    assert rates(slice(1e-2), 3) == pytest.approx([1e-3, 1e-3, 1e-2])
    assert rates(slice(None, 1e-2), 1) == [1e-2]
    assert rates((0.1, 0.2), 2) == [0.1, 0.2]
    assert rates(0.5, 3) == [0.5] * 3
    with pytest.raises(CardiganError, match=r"3 learning rates for 2 parameter groups"):
        rates([1, 2, 3], 2)
    with pytest.raises(CardiganError, match=r"upper end.*lr=slice\(1e-5, 1e-3\)"):
        rates(slice(1e-4, None), 2)
    with pytest.raises(CardiganError, match=r"is -1.*0 or more"):
        rates(-1, 2)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3, bias=False))
        self.critic = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))


def owned(**settings):
    pair = Pair()
    arguments = {"splitter": trainable_params, "opt_func": Adam, "lr": 1e-3, "wd_bn_bias": False} | settings
    found, count = split(pair, {"generator": pair.generator, "discriminator": pair.critic}, **arguments)
    return pair, found, count


def held(optimizer):
    return {id(weight) for group in optimizer.param_groups for weight in group["params"]}


def test_each_network_has_its_own_optimizer_of_its_own_parameters():
    pair, found, count = owned()
    assert count == 1
    for player, network in (("generator", pair.generator), ("discriminator", pair.critic)):
        assert held(found[player](network.parameters())) == set(map(id, network.parameters()))


def test_norms_and_biases_are_spared_weight_decay_unless_asked():
    pair, found, _ = owned()
    optimizer = found["generator"]([])
    decay = {id(w): group["weight_decay"] for group in optimizer.param_groups for w in group["params"]}
    first, norm, last = pair.generator
    assert [decay[id(w)] for w in (first.weight, last.weight)] == [0.01, 0.01]
    assert [decay[id(w)] for w in (first.bias, norm.weight, norm.bias)] == [0, 0, 0]
    _, found, _ = owned(wd_bn_bias=True)
    assert {group["weight_decay"] for group in found["generator"]([]).param_groups} == {0.01}


def test_the_splitters_groups_keep_their_rates_in_both_networks():
    def splitter(model):
        both = [model.generator, model.critic]
        return [[w for n in both for w in n[0].parameters()], [w for n in both for w in n[1:].parameters()]]

    pair, found, count = owned(splitter=splitter, lr=slice(1e-4, 1e-2), wd_bn_bias=True)
    assert count == 2
    for player, network in (("generator", pair.generator), ("discriminator", pair.critic)):
        optimizer = found[player]([])
        lr = {id(w): group["lr"] for group in optimizer.param_groups for w in group["params"]}
        assert {lr[id(w)] for w in network[0].parameters()} == {1e-4}
        assert {lr[id(w)] for w in network[1:].parameters()} == {1e-2}


def test_torchs_own_optimizers_serve_too_and_what_is_none_is_refused():
    _, found, _ = owned(opt_func=partial(torch.optim.SGD, momentum=0.5))
    assert found["generator"]([]).param_groups[0]["momentum"] == 0.5
    with pytest.raises(CardiganError, match=r"opt_func made a dict.*torch.optim"):
        Owned(lambda groups, lr: {}, [{"params": [start()]}], 0.1)([])


def test_only_what_asks_for_gradients_is_trainable():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    assert [id(w) for w in trainable_params(layer)] == [id(layer.weight)]
