"""Networks in fastai's shape: the same names, signatures, defaults, layer order and first weights.

:func:`basic_generator` and :func:`basic_critic` are the layouts of :mod:`cardigan.models.basic` with
:class:`ConvLayer` as their block.

Where we differ from fastai, everywhere in this file, beside what :mod:`cardigan.fastai.layers` says:

- ``device`` and ``dtype`` reach every layer, and not only the convolutions of the blocks.
- What cannot work is refused when the network is built, with a word on what to pass instead. In fastai it fails in
  the first forward pass, or gives images of another size.

Source: the signatures and behaviour of ``fastai.vision.gan`` 2.8.
"""

from functools import partial
from typing import Any

from torch import nn

from cardigan.errors import CardiganError
from cardigan.fastai.blocks import DenseResBlock, MergeLayer, SelfAttention, SequentialEx
from cardigan.fastai.layers import Activation, AddChannels, ConvLayer, NormType, PaddingMode, Start, sides_of
from cardigan.layers import doublings
from cardigan.models.basic import SMALLEST, discriminator_layers, generator_layers, started_head

__all__ = [
    "AddChannels",
    "ConvLayer",
    "DenseResBlock",
    "MergeLayer",
    "NormType",
    "SelfAttention",
    "SequentialEx",
    "basic_critic",
    "basic_generator",
    "gan_critic",
]

LARGEST = 4096
"""Whoever asks for larger images has mistyped."""


def _check_layout(name: str, *, ks: Any, stride: Any, padding: Any, ndim: int, transpose: bool, dilation: Any) -> None:
    """Refuse the arguments that fastai lists too and that its layout leaves no room for.

    Raises:
        CardiganError: if one is not at its default.
    """
    defaults = {"ks": 3, "stride": 1, "padding": None, "ndim": 2, "transpose": False}
    given = {"ks": ks, "stride": stride, "padding": padding, "ndim": ndim, "transpose": transpose}
    given["dilation"], defaults["dilation"] = max(sides_of(dilation, 2)), 1
    for argument, value in given.items():
        if value != defaults[argument]:
            raise CardiganError(
                f"{name}({argument}={value!r}): its layout sets {argument} for each layer, so that images keep their "
                f"size. Leave {argument} out, or build your own network with ConvLayer({argument}={value!r}, ...)."
            )


def basic_critic(
    in_size: int,
    n_channels: int,
    n_features: int = 64,
    n_extra_layers: int = 0,
    norm_type: NormType | None = NormType.Batch,
    *,
    ks: Any = 3,
    stride: Any = 1,
    padding: Any = None,
    bias: bool | None = None,
    ndim: int = 2,
    bn_1st: bool = True,
    act_cls: Activation = nn.ReLU,
    transpose: bool = False,
    init: Start = "auto",
    xtra: nn.Module | None = None,
    bias_std: float | None = 0.01,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    device: Any = None,
    dtype: Any = None,
) -> nn.Sequential:
    """A basic critic: images (B, n_channels, in_size, in_size) to logits (B, 1).

    Unlike fastai's it takes every ``in_size`` from 8 on; fastai's fails in the forward pass where halving does not end
    at 4 (24, 28, 48, ...). ``init="auto"`` may be said aloud.

    Args:
        in_size: side of the images.
        n_channels: of the images.
        n_features: channels of the largest hidden map; twice as many in each smaller one.
        n_extra_layers: 3x3 layers after the first halving.
        norm_type: what normalises all layers but the first and the last.
        ks: the layout's own; leave it out.
        stride: the layout's own; leave it out.
        padding: the layout's own; leave it out.
        bias: as in :class:`ConvLayer`, for all layers but the last.
        ndim: the layout is one of images; leave it out.
        bn_1st: as in :class:`ConvLayer`.
        act_cls: as in :class:`ConvLayer`; ReLU, so ask for a leaky one yourself.
        transpose: the layout's own; leave it out.
        init: as in :class:`ConvLayer`; the last layer's weights are He normal for ``"auto"``.
        xtra: one module, the same after every layer but the last.
        bias_std: as in :class:`ConvLayer`; the last layer's bias is 0.
        dilation: the layout's own; leave it out.
        groups: as in :class:`ConvLayer`, for all layers but the last.
        padding_mode: as in :class:`ConvLayer`.
        device: where the weights lie.
        dtype: of the weights.

    Raises:
        CardiganError: if ``in_size`` is below 8 or an argument leaves no working network.

    Example:
        >>> import torch
        >>> basic_critic(64, 3)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """
    _check_layout(
        "basic_critic", ks=ks, stride=stride, padding=padding, ndim=ndim, transpose=transpose, dilation=dilation
    )
    if in_size < SMALLEST:
        raise CardiganError(f"basic_critic(in_size={in_size}): it judges images of at least {SMALLEST}x{SMALLEST}.")
    where = {"device": device, "dtype": dtype}
    shared = {"bias": bias, "bn_1st": bn_1st, "act_cls": act_cls, "init": init, "xtra": xtra, "bias_std": bias_std}
    shared |= {"groups": groups, "padding_mode": padding_mode, **where}

    def block(before: int, after: int, kernel: int, stride: int, padding: int, *, plain: bool = False) -> ConvLayer:
        return ConvLayer(before, after, kernel, stride, padding, norm_type=None if plain else norm_type, **shared)

    count = (in_size // 4).bit_length() - 1
    layers, features = discriminator_layers(
        channels=n_channels, count=count, width=n_features, extra_layers=n_extra_layers, block=block
    )
    # Halving rounds down, so the smallest map has 4 to 7 places along each side.
    head = nn.Conv2d(features, 1, in_size >> count, **where)
    return nn.Sequential(*layers, started_head(head, nn.init.kaiming_normal_ if init == "auto" else init), nn.Flatten())


def basic_generator(
    out_size: int,
    n_channels: int,
    in_sz: int = 100,
    n_features: int = 64,
    n_extra_layers: int = 0,
    *,
    ks: Any = 3,
    stride: Any = 1,
    padding: Any = None,
    bias: bool | None = None,
    ndim: int = 2,
    norm_type: NormType | None = NormType.Batch,
    bn_1st: bool = True,
    act_cls: Activation = nn.ReLU,
    transpose: bool = False,
    init: Start = "auto",
    xtra: nn.Module | None = None,
    bias_std: float | None = 0.01,
    dilation: Any = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    device: Any = None,
    dtype: Any = None,
) -> nn.Sequential:
    """A basic generator: noise (B, in_sz) to images (B, n_channels, out_size, out_size) in [-1, 1].

    Unlike fastai's it gives images of ``out_size`` also where that is no power of two (24, 28, 48, ...), from a
    smallest map of 4 to 7 places; fastai's gives the next power of two.

    Args:
        out_size: side of the images.
        n_channels: of the images.
        in_sz: length of the noise.
        n_features: channels of the largest hidden map; twice as many in each smaller one.
        n_extra_layers: 3x3 layers before the last doubling.
        ks: the layout's own; leave it out.
        stride: the layout's own; leave it out.
        padding: the layout's own; leave it out.
        bias: as in :class:`ConvLayer`, for all layers but the last, which has none.
        ndim: the layout is one of images; leave it out.
        norm_type: what normalises all layers but the last.
        bn_1st: as in :class:`ConvLayer`.
        act_cls: as in :class:`ConvLayer`, for all layers but the last.
        transpose: the layout's own; leave it out.
        init: as in :class:`ConvLayer`; the last layer keeps PyTorch's own.
        xtra: one module, the same after every layer but the last.
        bias_std: as in :class:`ConvLayer`.
        dilation: the layout's own; leave it out.
        groups: as in :class:`ConvLayer`, for all layers but the last.
        padding_mode: only ``"zeros"``; transposed convolutions know no other.
        device: where the weights lie.
        dtype: of the weights.

    Raises:
        CardiganError: if no map can be doubled up to ``out_size``, or an argument leaves no working network.

    Example:
        >>> import torch
        >>> basic_generator(64, 3)(torch.zeros(2, 100)).shape
        torch.Size([2, 3, 64, 64])
    """
    _check_layout(
        "basic_generator", ks=ks, stride=stride, padding=padding, ndim=ndim, transpose=transpose, dilation=dilation
    )
    count, (start, _) = doublings(out_size, smallest=SMALLEST, largest=LARGEST)
    shared = {"bias": bias, "norm_type": norm_type, "bn_1st": bn_1st, "act_cls": act_cls, "init": init, "xtra": xtra}
    shared |= {"bias_std": bias_std, "groups": groups, "padding_mode": padding_mode, "device": device, "dtype": dtype}
    layers = generator_layers(
        latent=in_sz,
        channels=n_channels,
        count=count,
        start=start,
        width=n_features // 2 * 2,  # fastai starts from the half
        extra_layers=n_extra_layers,
        block=partial(ConvLayer, transpose=True, **shared),
        device=device,
        dtype=dtype,
    )
    network = nn.Sequential(AddChannels(2), *layers)
    network.in_sz = in_sz  # type: ignore[assignment]  # a learner on a store asks how much noise to draw
    return network


def gan_critic(n_channels: int = 3, nf: int = 128, n_blocks: int = 3, p: float = 0.15) -> nn.Sequential:
    """A critic with spectral norm, dropout, one dense block and one self-attention.

    Images (B, n_channels, 64, 64) give one logit (B, 1), for the default of three blocks; each further block wants
    images twice as large. Larger images give a flattened map of logits (B, K), smaller ones fail.

    Args:
        n_channels: of the images.
        nf: channels of the largest hidden map; twice as many in each smaller one.
        n_blocks: halvings after the first.
        p: share of channels dropped before each of them; half of it after the first.

    Raises:
        CardiganError: if there are fewer than 2 features.

    Example:
        >>> import torch
        >>> gan_critic(nf=16)(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """
    style = {"act_cls": partial(nn.LeakyReLU, negative_slope=0.2), "norm_type": NormType.Spectral}
    layers: list[nn.Module] = [
        ConvLayer(n_channels, nf, ks=4, stride=2, **style),
        nn.Dropout2d(p / 2),
        DenseResBlock(nf, **style),
    ]
    for level in range(1, n_blocks + 1):
        before, after = nf * 2**level, nf * 2 ** (level + 1)
        attention = SelfAttention(after) if level == 1 else None
        layers += [nn.Dropout2d(p), ConvLayer(before, after, ks=4, stride=2, xtra=attention, **style)]
    last = ConvLayer(
        nf * 2 ** (n_blocks + 1), 1, ks=4, bias=False, padding=0, norm_type=NormType.Spectral, act_cls=None
    )
    return nn.Sequential(*layers, last, nn.Flatten())
