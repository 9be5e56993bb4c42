"""How many digits the networks compute with."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor

from cardigan.checks import check_choice
from cardigan.errors import CardiganError

Precision = Literal["float32", "bfloat16"]
"""``"bfloat16"`` multiplies and convolves with 8 binary digits instead of 24. Weights, optimizers, averages, losses
and checkpoints keep their 24, so that a run may go on in the other precision."""


def arithmetic(precision: Precision, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """Makes the context in which networks are run.

    A context remembers the weights that it rounded: leave it before they change.

    Raises:
        CardiganError: if there is no such precision, or the device does not compute with it.

    Example:
        >>> with arithmetic("bfloat16", torch.device("cpu"))():
        ...     torch.nn.Linear(2, 1)(torch.zeros(1, 2)).dtype
        torch.bfloat16
    """
    check_choice("precision", precision, get_args(Precision))
    if precision == "float32":
        return nullcontext  # and not autocast switched off: a caller's own would be
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise CardiganError(
            f"precision is 'bfloat16', which {torch.cuda.get_device_name(device)} does not compute with. Leave it out, "
            f"or type --set precision=float32."
        )
    return partial(torch.autocast, device.type, dtype=torch.bfloat16)


def widened(tensor: Tensor) -> Tensor:
    """What a network gave, in float32 if it was rounded to less, so that losses are no coarser than their inputs.

    Example:
        >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype, widened(torch.zeros(1, dtype=torch.float64)).dtype
        (torch.float32, torch.float64)
    """
    return tensor.float() if tensor.dtype is torch.bfloat16 else tensor
