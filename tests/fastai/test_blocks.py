from functools import partial

import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.fastai.blocks import DenseResBlock, MergeLayer, SelfAttention, SequentialEx


def test_merging_and_sequence():
    x = torch.randn(2, 3, 4, 4)
    doubled = SequentialEx(nn.ReLU(), MergeLayer(dense=True))(x)
    torch.testing.assert_close(doubled, torch.cat([x.relu(), x], dim=1))
    torch.testing.assert_close(SequentialEx(nn.ReLU(), MergeLayer())(x), x + x.relu())


def test_attention_starts_as_nothing_and_then_sees_every_place():
    layer, x = SelfAttention(16).eval(), torch.randn(2, 16, 4, 6)
    torch.testing.assert_close(layer(x), x)
    with torch.no_grad():
        layer.gamma.fill_(1.0)
    query, key, value = (part(x.flatten(2)) for part in (layer.query, layer.key, layer.value))
    expected = x.flatten(2).clone()
    for place in range(24):  # a place's key is compared with every query, and shares add up to 1
        shares = torch.softmax((query * key[:, :, place, None]).sum(dim=1), dim=1)
        expected[:, :, place] += (value * shares[:, None]).sum(dim=2)
    torch.testing.assert_close(layer(x), expected.reshape(x.shape))
    changed = x.clone()
    changed[:, :, 0, 0] += 3
    assert ((layer(changed) - layer(x)).abs().amax(dim=(0, 1)) > 0).all()


@pytest.mark.parametrize(
    ("keywords", "size"),
    [
        ({"ks": 5}, (9, 9)),
        ({"ks": (3, 5)}, (9, 9)),
        ({"dilation": 2, "padding": 2}, (9, 9)),
        ({"ks": 4, "padding": "same"}, (9, 9)),
        ({"transpose": True, "padding": 1}, (9, 9)),
        ({"ndim": 1}, (9,)),
        ({"ndim": 3, "groups": 2}, (5, 4, 3)),
    ],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_a_dense_block_keeps_the_size(keywords, size):
    assert DenseResBlock(4, **keywords)(torch.randn(2, 4, *size)).shape == (2, 8, *size)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (partial(DenseResBlock, 8, stride=2), "leave stride out"),
        (partial(DenseResBlock, 8, ks=4), "pass an odd one"),
        (partial(DenseResBlock, 8, dilation=2), r"pass padding=\(2, 2\)"),
        (partial(DenseResBlock, 8, transpose=True), r"pass padding=\(1, 1\)"),
        (partial(DenseResBlock, 8, ndim=0), "pass 1 for sequences"),
        (partial(SelfAttention, 7), "at least 8"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_out(build, told):
    with pytest.raises(CardiganError, match=told):
        build()
