"""How the networks are run: in how many digits they compute, the one table of names, and whether they are compiled."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from cardigan.checks import check_choice
from cardigan.errors import CardiganError
from cardigan.float32 import multiplied

Precision = Literal["float32", "tf32", "bfloat16"]
"""What networks multiply, in training: numbers of 24, 11 or 8 binary digits.

``"float32"`` is exact on every device. ``"tf32"`` rounds what convolutions multiply to 11 digits and leaves products of
matrices exact: PyTorch's own default on NVIDIA GPUs of compute capability 8.0 and later. ``"bfloat16"`` rounds what
both multiply, and their results, to 8. Weights, optimizers, averages, losses and checkpoints keep their 24 digits in
all of them, so that a run may go on in another precision."""

AMPERE = (8, 0)
"""The compute capability from which on NVIDIA GPUs know TF32 and bfloat16."""


def usual(device: torch.device) -> Precision:
    """The precision where nobody asked for one: TF32 where the device knows it, as in PyTorch itself; else float32.

    Example:
        >>> usual(torch.device("cpu"))
        'float32'
    """
    return "tf32" if knows("tf32", device) else "float32"


def knows(precision: Precision, device: torch.device) -> bool:
    """Whether the device itself, and not the current one of its kind, computes in a precision.

    Example:
        >>> knows("bfloat16", torch.device("cpu")), knows("tf32", torch.device("cpu"))
        (True, False)
    """
    if precision == "float32" or device.type != "cuda":
        return precision != "tf32"
    if torch.version.hip:  # AMD's GPUs, which PyTorch calls CUDA, too
        return precision == "bfloat16"
    return torch.cuda.get_device_capability(device) >= AMPERE


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that has no such name, or that the device does not compute in.

    Raises:
        CardiganError: saying what to type.
    """
    check_choice("precision", precision, get_args(Precision))
    if not knows(precision, device):
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"the device {device.type!r}"
        raise CardiganError(
            f"precision is {precision!r}, which {name} does not compute with. Leave it out, or type "
            f"--set precision=float32."
        )


@dataclass(frozen=True)
class Way:
    """How networks are run.

    Args:
        precision: what they multiply with.
        compiled: whether torch.compile has made them into fewer and larger operations. A discriminator with terms of
            its own is left as it is, for what is compiled cannot be differentiated twice.
        channels_last: whether maps may lie with the channels of a place side by side, where a network asks for it.

    Example:
        >>> print(Way(), "|", Way("bfloat16", compiled=True))
        float32 | bfloat16, compiled
    """

    precision: Precision = "float32"
    compiled: bool = False
    channels_last: bool = True

    def __str__(self) -> str:
        return self.precision + ", compiled" * self.compiled + ", channels first" * (not self.channels_last)


def arithmetic(precision: Precision, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Makes the context in which networks are run; what they give is differentiated outside of it.

    A context remembers the weights that it rounded: leave it before they change.

    Raises:
        CardiganError: if there is no such precision, or the device does not compute in it.

    Example:
        >>> with arithmetic("bfloat16", torch.device("cpu"))():
        ...     torch.nn.Linear(2, 1)(torch.zeros(1, 2)).dtype
        torch.bfloat16
    """
    check_precision(precision, device)
    if precision != "bfloat16":
        return nullcontext  # and not autocast switched off: a caller's own would be
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)


def digits(precision: Precision, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """Makes the context for a whole turn, derivatives included: what float32 numbers keep when they are multiplied.

    Example:
        >>> with digits("float32", torch.device("cpu"))():
        ...     product = torch.ones(2, 2) @ torch.ones(2, 2)
    """
    return partial(multiplied, device, convolutions="tf32" if precision == "tf32" else "ieee")


def widened(tensor: Tensor) -> Tensor:
    """What a network gave, in float32 if it was rounded to less, so that losses are no coarser than their inputs.

    Example:
        >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype, widened(torch.zeros(1, dtype=torch.float64)).dtype
        (torch.float32, torch.float64)
    """
    return tensor.float() if tensor.dtype is torch.bfloat16 else tensor
