import copy
import inspect
from functools import partial

import pytest
import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.fastai import networks
from cardigan.fastai.networks import (
    ConvLayer,
    DenseResBlock,
    NormType,
    SelfAttention,
    basic_critic,
    basic_generator,
    gan_critic,
)

# fmt: off
# Parameters of fastai 2.8.12's own networks: for 1, 2 and 3 channels, each with 0, 1 and 2 extra layers.
COUNTS = {
    ("basic_critic", "Batch", 32):
        (661_313, 698_305, 735_297, 662_337, 699_329, 736_321, 663_361, 700_353, 737_345),
    ("basic_critic", "Batch", 64):
        (2_763_585, 2_800_577, 2_837_569, 2_764_609, 2_801_601, 2_838_593, 2_765_633, 2_802_625, 2_839_617),
    ("basic_critic", "Batch", 128):
        (11_162_433, 11_199_425, 11_236_417, 11_163_457, 11_200_449, 11_237_441, 11_164_481, 11_201_473, 11_238_465),
    ("basic_critic", None, 32):
        (660_929, 697_857, 734_785, 661_953, 698_881, 735_809, 662_977, 699_905, 736_833),
    ("basic_critic", None, 64):
        (2_762_689, 2_799_617, 2_836_545, 2_763_713, 2_800_641, 2_837_569, 2_764_737, 2_801_665, 2_838_593),
    ("basic_critic", None, 128):
        (11_160_513, 11_197_441, 11_234_369, 11_161_537, 11_198_465, 11_235_393, 11_162_561, 11_199_489, 11_236_417),
    ("basic_generator", "Batch", 32):
        (1_066_880, 1_103_872, 1_140_864, 1_067_904, 1_104_896, 1_141_888, 1_068_928, 1_105_920, 1_142_912),
    ("basic_generator", "Batch", 64):
        (3_574_656, 3_611_648, 3_648_640, 3_575_680, 3_612_672, 3_649_664, 3_576_704, 3_613_696, 3_650_688),
    ("basic_generator", "Batch", 128):
        (12_784_512, 12_821_504, 12_858_496, 12_785_536, 12_822_528, 12_859_520, 12_786_560, 12_823_552, 12_860_544),
    ("basic_generator", None, 32):
        (1_066_432, 1_103_360, 1_140_288, 1_067_456, 1_104_384, 1_141_312, 1_068_480, 1_105_408, 1_142_336),
    ("basic_generator", None, 64):
        (3_573_696, 3_610_624, 3_647_552, 3_574_720, 3_611_648, 3_648_576, 3_575_744, 3_612_672, 3_649_600),
    ("basic_generator", None, 128):
        (12_782_528, 12_819_456, 12_856_384, 12_783_552, 12_820_480, 12_857_408, 12_784_576, 12_821_504, 12_858_432),
}
# 64 pixels, 3 channels, one extra layer; DenseResBlock(16) in 1, 2 and 3 dimensions.
NORMS = {
    None: (2_801_665, 3_612_672, (1568, 4640, 13_856)),
    "Batch": (2_802_625, 3_613_696, (1600, 4672, 13_888)),
    "BatchZero": (2_802_625, 3_613_696, (1600, 4672, 13_888)),
    "Weight": (2_802_625, 3_613_732, (1600, 4672, 13_888)),
    "Spectral": (2_801_665, 3_612_672, (1568, 4640, 13_856)),
    "Instance": (2_802_625, 3_613_696, (1600, 4672, 13_888)),
    "InstanceZero": (2_802_625, 3_613_696, (1600, 4672, 13_888)),
}
GAN_CRITICS = {
    (1,): 44_701_569, (2,): 44_703_617, (3,): 44_705_665, (3, 64): 11_187_137,
    (3, 128, 1): 2_734_977, (3, 128, 2): 11_132_801, (3, 64, 4): 44_760_001,
}
# Signatures as the document prints them.
SHARED = ("ks=3", "stride=1", "padding=None", "bias=None", "ndim=2")
LAST = ("transpose=False", "init=auto", "xtra=None", "bias_std=0.01", "dilation=1", "groups=1", "padding_mode=zeros",
        "device=None", "dtype=None")
SIGNATURES = {
    "basic_critic": ("in_size", "n_channels", "n_features=64", "n_extra_layers=0", "norm_type=NormType.Batch", *SHARED,
                     "bn_1st=True", "act_cls=ReLU", *LAST),
    "basic_generator": ("out_size", "n_channels", "in_sz=100", "n_features=64", "n_extra_layers=0", *SHARED,
                        "norm_type=NormType.Batch", "bn_1st=True", "act_cls=ReLU", *LAST),
    "DenseResBlock": ("nf", "norm_type=NormType.Batch", *SHARED, "bn_1st=True", "act_cls=ReLU", *LAST),
    "gan_critic": ("n_channels=3", "nf=128", "n_blocks=3", "p=0.15"),
    "AddChannels": ("n_dim",),
    "ConvLayer": ("ni", "nf", *SHARED, "norm_type=NormType.Batch", "bn_1st=True", "act_cls=ReLU",
                  "transpose=False", "init=auto", "xtra=None", "bias_std=0.01", "kwargs"),
}
# fmt: on


def count(network):
    return sum(weight.numel() for weight in network.parameters())


def norm(name):
    return None if name is None else NormType[name]


@pytest.fixture
def weightless():
    """Networks of full width in no time, without numbers."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_the_documents(name):
    told = []
    for parameter in inspect.signature(getattr(networks, name)).parameters.values():
        default = parameter.default
        shown = "" if default is parameter.empty else f"={getattr(default, '__name__', default)}"
        told.append(parameter.name + shown)
    assert tuple(told) == SIGNATURES[name]


@pytest.mark.parametrize(("name", "kind", "size"), COUNTS)
def test_numbers_of_parameters_and_shapes_of_the_basic_networks(weightless, name, kind, size):
    found = []
    for channels in (1, 2, 3):
        for extra in (0, 1, 2):
            network = getattr(networks, name)(size, channels, n_extra_layers=extra, norm_type=norm(kind))
            found.append(count(network))
            image = (2, channels, size, size)
            seen, given = (image, (2, 1)) if name == "basic_critic" else ((2, 100), image)
            assert network(torch.empty(seen)).shape == given
    assert tuple(found) == COUNTS[name, kind, size]


def test_an_odd_width_is_rounded_down_in_the_generator_as_in_fastai(weightless):
    assert count(basic_generator(32, 3, n_features=33)) == 370_624
    assert count(basic_critic(32, 3, 33)) == 178_366


@pytest.mark.parametrize("kind", NORMS)
def test_numbers_of_parameters_under_every_norm(weightless, kind):
    critic, generator, dense = NORMS[kind]
    assert count(basic_critic(64, 3, n_extra_layers=1, norm_type=norm(kind))) == critic
    assert count(basic_generator(64, 3, n_extra_layers=1, norm_type=norm(kind))) == generator
    for ndim in (1, 2, 3):
        block = DenseResBlock(16, norm(kind), ndim=ndim)
        assert count(block) == dense[ndim - 1]
        assert block(torch.empty(2, 16, *[8] * ndim)).shape == (2, 32, *[8] * ndim)


@pytest.mark.parametrize("arguments", GAN_CRITICS)
def test_numbers_of_parameters_of_the_critic_with_attention(weightless, arguments):
    assert count(gan_critic(*arguments)) == GAN_CRITICS[arguments]


@pytest.mark.parametrize(("blocks", "size", "logits"), [(3, 64, 1), (3, 96, 9), (3, 128, 25), (2, 32, 1), (4, 128, 1)])
def test_logits_of_the_critic_with_attention(blocks, size, logits):
    assert gan_critic(3, 4, blocks)(torch.randn(2, 3, size, size)).shape == (2, logits)


def test_the_critic_drops_channels_as_told():
    dropped = [module.p for module in gan_critic(nf=4, p=0.3).modules() if isinstance(module, nn.Dropout2d)]
    assert dropped == [0.15, 0.3, 0.3, 0.3]
    places = [
        place
        for place, layer in enumerate(gan_critic(nf=4))
        if isinstance(layer, ConvLayer) and isinstance(layer[-1], SelfAttention)
    ]
    assert places == [4]


@pytest.mark.parametrize("size", [8, 9, 20, 24, 28, 36, 39, 48, 56, 100])
def test_the_basic_critic_takes_every_size(size):
    assert basic_critic(size, 1, 4)(torch.randn(2, 1, size, size)).shape == (2, 1)


@pytest.mark.parametrize("size", [8, 16, 24, 28, 48, 56])
def test_the_basic_generator_gives_the_size_it_is_asked_for(size):
    images = basic_generator(size, 2, 5, 4)(torch.randn(3, 5))
    assert images.shape == (3, 2, size, size)
    assert images.abs().max() <= 1


def test_the_head_of_the_basic_critic_starts_normal_and_without_bias():
    def head(**keywords):
        return basic_critic(64, 3, **keywords)[-2]

    for keywords in ({}, {"init": "auto"}):
        weight = head(**keywords).weight
        assert weight.std().item() == pytest.approx((2 / (512 * 16)) ** 0.5, rel=0.05)
        assert weight.abs().max() > 3 * weight.std()
        assert head(**keywords).bias.item() == 0
    assert head(init=nn.init.ones_).weight.mean() == 1
    assert head(init=None).weight.abs().max() <= (512 * 16) ** -0.5


def test_keywords_reach_every_layer_of_the_basic_networks():
    extra = nn.PReLU()
    for network in (basic_critic(32, 2, 4, xtra=extra, groups=2), basic_generator(32, 2, 12, 4, xtra=extra, groups=2)):
        blocks = [layer for layer in network if isinstance(layer, ConvLayer)]
        assert len(blocks) == 3
        assert all(block[-1] is extra and block[0].groups == 2 for block in blocks)
    reflected = basic_critic(32, 2, 4, padding_mode="reflect")
    assert all(layer[0].padding_mode == "reflect" for layer in reflected if isinstance(layer, ConvLayer))


@pytest.mark.parametrize("kind", NORMS)
def test_device_and_dtype_reach_every_weight(kind):
    where = {"norm_type": norm(kind), "dtype": torch.float64}
    assert basic_critic(16, 2, 4, **where)(torch.randn(2, 2, 16, 16).double()).dtype == torch.float64
    assert basic_generator(16, 2, 5, 4, **where)(torch.randn(2, 5).double()).dtype == torch.float64
    assert DenseResBlock(4, **where)(torch.randn(2, 4, 5, 5).double()).dtype == torch.float64
    for network in (basic_critic(16, 2, 4, device="meta"), basic_generator(16, 2, 5, 4, device="meta")):
        assert all(weight.is_meta for weight in network.parameters())


def test_networks_are_copied_after_a_forward_pass():
    network = gan_critic(nf=4)
    images = torch.randn(2, 3, 64, 64)
    network(images)
    twin = copy.deepcopy(network).eval()
    torch.testing.assert_close(twin(images), network.eval()(images))


CRITIC, GENERATOR = partial(basic_critic, 32, 3, 4), partial(basic_generator, 32, 3, 12, 4)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        *((partial(kind, **{name: value}), rf"{name}.*Leave {name} out")
          for kind in (CRITIC, GENERATOR)
          for name, value in (("ks", 5), ("stride", 2), ("padding", 1), ("ndim", 3), ("transpose", True),
                              ("dilation", 2), ("dilation", (1, 2)))),
        (partial(CRITIC, groups=2), "groups is 2.*3 channels in"),
        (partial(GENERATOR, groups=8), "divisor of both"),
        (partial(GENERATOR, padding_mode="reflect"), "takes only 'zeros'"),
        (partial(basic_critic, 7, 3), "at least 8x8"),
        (partial(basic_generator, 4, 3), "cannot be built by doubling"),
        (partial(basic_generator, 50, 3), "cannot be built by doubling"),
        (partial(gan_critic, nf=1), "at least 8"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_a_way_out(build, told):
    with pytest.raises(CardiganError, match=told):
        build()
