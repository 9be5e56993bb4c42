from functools import partial

import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.fastai.layers import AddChannels, ConvLayer, NormType


def test_the_members_of_norm_type_are_fastais():
    assert [kind.name for kind in NormType] == ["Batch", "BatchZero", "Weight", "Spectral", "Instance", "InstanceZero"]
    assert repr(NormType.Batch) == "<NormType.Batch: 1>"


def test_first_weights_follow_the_activation():
    def spread(**keywords):
        weight = ConvLayer(64, 64, norm_type=None, **keywords)[0].weight.detach()
        return weight.std().item(), weight.abs().max().item()

    fan = 64 * 9
    for act in (nn.ReLU, partial(nn.LeakyReLU, 0.2), nn.SiLU, nn.Mish, nn.ReLU6):
        assert spread(act_cls=act) == pytest.approx(((2 / fan) ** 0.5, (6 / fan) ** 0.5), rel=0.03)
    for act in (nn.Tanh, nn.Sigmoid):
        assert spread(act_cls=act) == pytest.approx(((1 / fan) ** 0.5, (3 / fan) ** 0.5), rel=0.03)
    for keywords in ({"act_cls": None}, {"act_cls": nn.GELU}, {"init": None}):
        assert spread(**keywords)[1] == pytest.approx((1 / fan) ** 0.5, rel=0.03)
    assert spread(init=partial(nn.init.normal_, std=0.5))[0] == pytest.approx(0.5, rel=0.03)


def test_first_biases_and_gains():
    layer = ConvLayer(3, 4096, bias=True, norm_type=NormType.Batch)
    assert layer[0].bias.std().item() == pytest.approx(0.01, rel=0.05)
    assert not ConvLayer(3, 8, norm_type=None, bias_std=0)[0].bias.any()
    assert (layer[1].weight == 1).all()
    assert (layer[1].bias == 1e-3).all()
    for kind in (NormType.BatchZero, NormType.InstanceZero):
        assert not ConvLayer(3, 8, norm_type=kind)[1].weight.any()


def test_order_and_contents_of_a_layer():
    def kinds(**keywords):
        return [type(layer).__name__ for layer in ConvLayer(4, 8, **keywords)]

    assert kinds() == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert kinds(bn_1st=False, ndim=1) == ["Conv1d", "ReLU", "BatchNorm1d"]
    assert kinds(norm_type=NormType.Instance, ndim=3, xtra=nn.Flatten()) == [
        "Conv3d", "InstanceNorm3d", "ReLU", "Flatten"
    ]  # fmt: skip
    assert kinds(norm_type=None, act_cls=None, transpose=True) == ["ConvTranspose2d"]
    assert ConvLayer(4, 8, ks=5)[0].padding == (2, 2)
    assert ConvLayer(4, 8, ks=5, transpose=True)[0].padding == (0, 0)
    assert ConvLayer(4, 8, bias=True)[0].bias is not None
    assert ConvLayer(4, 8, bias=False, norm_type=NormType.Spectral)[0].bias is None


def test_added_channels_are_axes_of_length_one():
    assert AddChannels(3)(torch.zeros(2, 3)).shape == (2, 3, 1, 1, 1)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (partial(ConvLayer, 3, 8, ndim=4), "pass 1 for sequences"),
        (partial(ConvLayer, 3, 8, norm_type="Batch"), r"pass NormType\.Batch"),
        (partial(ConvLayer, 3, 8, init="kaiming"), "init is 'kaiming'"),
        (partial(ConvLayer, 3, 8, groups=2), "divisor of both"),
        (partial(ConvLayer, 4, 7, groups=2), "divisor of both"),
        (partial(ConvLayer, 4, 8, groups=0), "divisor of both"),
        (partial(ConvLayer, 4, 8, transpose=True, padding_mode="circular"), "takes only 'zeros'"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_out(build, told):
    with pytest.raises(CardiganError, match=told):
        build()
