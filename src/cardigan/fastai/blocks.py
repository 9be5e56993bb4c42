"""Blocks of several layers in fastai's shape: attention, and layers whose outcome is merged with what they got."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cardigan.errors import CardiganError
from cardigan.fastai.layers import Activation, ConvLayer, NormType, PaddingMode, Start, sides_of


class SelfAttention(nn.Module):
    """Every place of a map looks at every other; adds nothing at the start, for its gain starts at 0.

    Source: *Self-Attention Generative Adversarial Networks*, Zhang et al., 2019.

    Args:
        n_channels: of the map, at least 8.

    Raises:
        CardiganError: if there are fewer channels; they are divided by 8 for the comparison.

    Example:
        >>> SelfAttention(16)(torch.zeros(2, 16, 4, 4)).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        if n_channels < 8:
            raise CardiganError(f"Self-attention over {n_channels} channels: it needs at least 8.")
        layer = partial(ConvLayer, n_channels, ks=1, ndim=1, norm_type=NormType.Spectral, act_cls=None, bias=False)
        self.query, self.key, self.value = layer(n_channels // 8), layer(n_channels // 8), layer(n_channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, ...) in, maps of the same shape out."""
        places = x.flatten(2)
        weights = (self.query(places).transpose(1, 2) @ self.key(places)).softmax(dim=1)
        return (places + self.gamma * (self.value(places) @ weights)).reshape(x.shape)


class MergeLayer(nn.Module):
    """Merges what a block started from with what it came to; for use in :class:`SequentialEx`.

    Unlike fastai's it takes what the block started from as its second argument, and not as an attribute of a tensor.

    Args:
        dense: join the channels instead of adding the values.

    Example:
        >>> MergeLayer(dense=True)(torch.zeros(2, 8), torch.ones(2, 8)).shape
        torch.Size([2, 16])
    """

    def __init__(self, dense: bool = False) -> None:
        super().__init__()
        self.dense = dense

    def forward(self, x: Tensor, orig: Tensor) -> Tensor:
        """What the block came to and what it started from in, both merged out."""
        return torch.cat([x, orig], dim=1) if self.dense else x + orig


class SequentialEx(nn.Module):
    """Layers one after the other, of which a :class:`MergeLayer` also sees what the first one got.

    Example:
        >>> SequentialEx(nn.Identity(), MergeLayer())(torch.ones(1, 2))
        tensor([[2., 2.]])
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """What the first layer takes in, what the last gives out."""
        result = x
        for layer in self.layers:
            result = layer(result, x) if isinstance(layer, MergeLayer) else layer(result)
        return result


def DenseResBlock(  # noqa: N802  fastai's name
    nf: int,
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
) -> SequentialEx:
    """Two layers, whose outcome is joined with what they started from: ``nf`` channels in, twice as many out.

    Args:
        nf: channels in.
        norm_type: what normalises both layers.
        ks: kernel size.
        stride: only 1; maps of two sizes cannot be joined.
        padding: by default half the kernel, which keeps the size for odd kernels without dilation.
        bias: this and the others as in :class:`ConvLayer`.
        ndim: 1, 2 or 3.
        bn_1st: normalisation before activation.
        act_cls: makes the activation.
        transpose: transposed convolutions.
        init: first weights.
        xtra: one module, the same after both layers.
        bias_std: deviation of the first biases.
        dilation: of the convolutions.
        groups: of the convolutions.
        padding_mode: of the convolutions.
        device: where the weights lie.
        dtype: of the weights.

    Raises:
        CardiganError: if the layers would change the size; the message says which padding keeps it.

    Example:
        >>> DenseResBlock(8)(torch.zeros(2, 8, 16, 16)).shape
        torch.Size([2, 16, 16, 16])
    """
    if ndim in (1, 2, 3) and padding != "same":
        _check_size_kept(ks, stride=stride, padding=padding, ndim=ndim, transpose=transpose, dilation=dilation)
    layer = partial(
        ConvLayer, nf, nf, ks, stride, padding, bias, ndim, norm_type, bn_1st, act_cls, transpose, init, xtra, bias_std
    )
    kwargs = {"dilation": dilation, "groups": groups, "padding_mode": padding_mode, "device": device, "dtype": dtype}
    return SequentialEx(layer(**kwargs), layer(**kwargs), MergeLayer(dense=True))


def _check_size_kept(ks: Any, *, stride: Any, padding: Any, ndim: int, transpose: bool, dilation: Any) -> None:
    """Refuse a convolution that changes the size of its maps.

    Raises:
        CardiganError: the message says which padding keeps it.
    """
    kernel, spread = sides_of(ks, ndim), sides_of(dilation, ndim)
    if padding is None:
        padding = 0 if transpose else tuple((side - 1) // 2 for side in kernel)
    if max(sides_of(stride, ndim)) != 1:
        raise CardiganError(f"DenseResBlock(stride={stride!r}): maps of two sizes cannot be joined; leave stride out.")
    wanted = [gap * (side - 1) for gap, side in zip(spread, kernel, strict=True)]
    if any(total % 2 for total in wanted):
        raise CardiganError(f"DenseResBlock(ks={ks!r}): an even kernel changes the map's size; pass an odd one.")
    keeps = tuple(total // 2 for total in wanted)
    if sides_of(padding, ndim) != keeps:
        raise CardiganError(
            f"DenseResBlock with ks={ks!r}, padding={padding!r} and dilation={dilation!r} changes the map's size, and "
            f"maps of two sizes cannot be joined: pass padding={keeps}."
        )
