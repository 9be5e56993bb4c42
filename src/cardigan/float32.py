"""How exactly float32 numbers are multiplied: settings of the whole process, set for a while and put back.

NVIDIA GPUs of the Ampere generation and later can round float32 numbers to TF32, which keeps 11 of 24 binary digits,
before they multiply them. PyTorch lets convolutions do so by default, and products of matrices not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch

Digits = Literal["ieee", "tf32"]
"""``"ieee"`` multiplies float32 numbers as they are, ``"tf32"`` rounds them first."""

PER_OPERATION = hasattr(getattr(torch.backends.cudnn, "conv", None), "fp32_precision")
"""PyTorch 2.9 and later have a setting for each operation. Its older flags warn there, or fail where both are used."""

Setting = tuple[Callable[[], Any], Callable[[Any], None]]


@contextmanager
def multiplied(device: torch.device | str, *, convolutions: Digits = "ieee") -> Iterator[None]:
    """While the block runs, products of float32 matrices are exact, and convolutions are what they are asked to be.

    Exact means that every factor keeps its 24 binary digits. What the process had set before holds again after the
    block.

    Args:
        device: whose settings; those of other devices stay as they are.
        convolutions: how they multiply. Only NVIDIA GPUs of compute capability 8.0 and later know TF32.

    Example:
        >>> with multiplied("cpu"):
        ...     product = torch.ones(2, 2) @ torch.ones(2, 2)
    """
    changed = []
    try:
        for (get, put), wanted in _wanted(torch.device(device), convolutions):
            if (before := get()) != wanted and {before, wanted} != {"none", "ieee"}:
                changed.append((get, put, before))
                put(wanted)
        yield
    finally:
        for get, put, before in reversed(changed):
            _put_back(get, put, before)


@contextmanager
def repeatable(device: torch.device | str) -> Iterator[None]:
    """While the block runs, what a frozen network sees in an image is exact, and the same each time it looks.

    Args:
        device: where the network is.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        with multiplied(device):
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


def _wanted(device: torch.device, convolutions: Digits) -> Iterator[tuple[Setting, Any]]:
    """The settings that decide on this device, and what they should be."""
    if device.type not in ("cuda", "cpu"):
        return
    backends: Any = torch.backends
    if PER_OPERATION:
        on_gpu = device.type == "cuda"
        yield _attribute((backends.cudnn if on_gpu else backends.mkldnn).conv, "fp32_precision"), convolutions
        yield _attribute((backends.cuda if on_gpu else backends.mkldnn).matmul, "fp32_precision"), "ieee"
        return
    if device.type == "cuda":
        yield _attribute(backends.cudnn, "allow_tf32"), convolutions == "tf32"
    # One flag for the products of GPUs and CPUs. The one for GPUs alone would turn "medium" into "high".
    yield (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision), "highest"


def _attribute(owner: Any, name: str) -> Setting:
    return partial(getattr, owner, name), partial(setattr, owner, name)


def _put_back(get: Callable[[], Any], put: Callable[[Any], None], before: Any) -> None:
    """Restore a setting; where it followed a more general one, have it follow that again."""
    if isinstance(before, str) and PER_OPERATION:
        put("none")
        if get() == before:
            return
    put(before)
