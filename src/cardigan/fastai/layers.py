"""Layers in fastai's shape: the same names, signatures, defaults, order and first weights.

Where we differ from fastai, everywhere in this file:

- Spectral and weight norm are PyTorch's parametrisations and not its older hooks, whose modules cannot be copied after
  a forward pass. The state holds the same tensors in the same order under newer names.
- ``device`` and ``dtype`` also reach the normalisation; in fastai only the convolution, so that the layer cannot run.
- What cannot work is refused when the layer is built, with a word on what to pass instead.

Source: the signatures and behaviour of ``fastai.layers`` 2.8.
"""

from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from cardigan.errors import CardiganError

Start = Literal["auto"] | Callable[[Tensor], Any] | None
"""First weights of a convolution: after its activation, by a function of the weight, or PyTorch's own."""

Activation = Callable[[], nn.Module] | None
"""Makes an activation; None for none."""

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMS = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class NormType(Enum):
    """What normalises a layer: its outputs (Batch, Instance; with gains that start at 0: ...Zero) or its weights."""

    Batch = 1
    BatchZero = 2
    Weight = 3
    Spectral = 4
    Instance = 5
    InstanceZero = 6


ZERO = (NormType.BatchZero, NormType.InstanceZero)
BATCH = (NormType.Batch, NormType.BatchZero)
INSTANCE = (NormType.Instance, NormType.InstanceZero)


def _start(layer: nn.Module, act: nn.Module | None, init: Start, bias_std: float | None) -> None:
    """Draw the first weights of a convolution."""
    weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
    if bias is not None and bias_std is not None:
        nn.init.normal_(bias, std=bias_std)
    if callable(init):
        init(weight)
    elif init == "auto" and isinstance(act, nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.SiLU | nn.Mish):
        nn.init.kaiming_uniform_(weight)
    elif init == "auto" and isinstance(act, nn.Sigmoid | nn.Tanh):
        nn.init.xavier_uniform_(weight)


def _norm(kinds: dict[int, Any], features: int, *, ndim: int, zero: bool, **where: Any) -> nn.Module:
    """A normalisation whose gain starts at 1 or 0 and whose shift starts a little above zero."""
    norm = kinds[ndim](features, affine=True, **where)
    nn.init.constant_(norm.weight, 0.0 if zero else 1.0)
    nn.init.constant_(norm.bias, 1e-3)
    return norm


class ConvLayer(nn.Sequential):
    """A convolution, its normalisation, its activation, and what comes after.

    Args:
        ni: channels in.
        nf: channels out.
        ks: kernel size.
        stride: of the convolution.
        padding: by default half the kernel, rounded down to even, or 0 for a transposed convolution.
        bias: by default where neither batch nor instance normalisation shifts anyway.
        ndim: 1 for sequences, 2 for images, 3 for volumes.
        norm_type: what normalises, None for nothing.
        bn_1st: normalisation before activation.
        act_cls: makes the activation, None for none.
        transpose: a transposed convolution.
        init: first weights: ``"auto"`` by the activation (He for ReLU and its kin, Glorot for sigmoid and tanh,
            PyTorch's own for others), a function of the weight, or None for PyTorch's own.
        xtra: a module that comes last.
        bias_std: deviation of the first biases; None keeps PyTorch's own.
        kwargs: to the convolution: ``dilation``, ``groups``, ``padding_mode``, ``device``, ``dtype``.

    Raises:
        CardiganError: if a number of dimensions, groups, start or padding mode cannot be had.

    Example:
        >>> import torch
        >>> ConvLayer(3, 8, ks=4, stride=2)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8, 8, 8])
    """

    def __init__(
        self,
        ni: int,
        nf: int,
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
        **kwargs: Any,
    ) -> None:
        _check_layer(ni, nf, ndim=ndim, norm_type=norm_type, transpose=transpose, init=init, kwargs=kwargs)
        if padding is None:
            padding = 0 if transpose else tuple((side - 1) // 2 for side in sides_of(ks, ndim))
        if bias is None:
            bias = norm_type not in BATCH + INSTANCE
        kind = (TRANSPOSED if transpose else CONVOLUTIONS)[ndim]
        layer = kind(ni, nf, kernel_size=ks, bias=bias, stride=stride, padding=padding, **kwargs)
        act = None if act_cls is None else act_cls()
        _start(layer, act, init, bias_std)
        if norm_type is NormType.Weight:
            layer = parametrizations.weight_norm(layer)
        elif norm_type is NormType.Spectral:
            layer = parametrizations.spectral_norm(layer)
        after: list[nn.Module] = [] if act is None else [act]
        if norm_type in BATCH + INSTANCE:
            where = {"device": kwargs.get("device"), "dtype": kwargs.get("dtype")}
            kinds = BATCH_NORMS if norm_type in BATCH else INSTANCE_NORMS
            norm = _norm(kinds, nf, ndim=ndim, zero=norm_type in ZERO, **where)
            after.insert(0 if bn_1st else len(after), norm)
        super().__init__(layer, *after, *([] if xtra is None else [xtra]))


def sides_of(size: Any, ndim: int) -> tuple[int, ...]:
    """A kernel's or padding's number for each dimension."""
    return tuple(size) if isinstance(size, tuple | list) else (size,) * ndim


def _check_layer(
    ni: int, nf: int, *, ndim: int, norm_type: Any, transpose: bool, init: Any, kwargs: dict[str, Any]
) -> None:
    """Refuse what no layer can be made of."""
    if ndim not in CONVOLUTIONS:
        raise CardiganError(f"ndim is {ndim!r}: pass 1 for sequences, 2 for images or 3 for volumes.")
    if norm_type is not None and not isinstance(norm_type, NormType):
        raise CardiganError(f"norm_type is {norm_type!r}: pass NormType.Batch or another of its members, or None.")
    if init != "auto" and init is not None and not callable(init):
        raise CardiganError(f"init is {init!r}: pass 'auto', a function such as nn.init.kaiming_normal_, or None.")
    groups = kwargs.get("groups", 1)
    if groups < 1 or ni % groups or nf % groups:
        raise CardiganError(
            f"groups is {groups}, which divides not both {ni} channels in and {nf} out: pass a divisor of both."
        )
    mode = kwargs.get("padding_mode", "zeros")
    if transpose and mode != "zeros":
        raise CardiganError(f"padding_mode is {mode!r}: a transposed convolution takes only 'zeros'; leave it out.")


class AddChannels(nn.Module):
    """Adds ``n_dim`` axes of length 1 at the end, so that vectors become maps of a single pixel.

    Example:
        >>> import torch
        >>> AddChannels(2)(torch.zeros(4, 100)).shape
        torch.Size([4, 100, 1, 1])
    """

    def __init__(self, n_dim: int) -> None:
        super().__init__()
        self.n_dim = n_dim

    def forward(self, x: Tensor) -> Tensor:
        """Any tensor in, the same values with more axes out."""
        return x.reshape(*x.shape, *[1] * self.n_dim)
