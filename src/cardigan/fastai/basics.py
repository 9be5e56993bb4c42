"""What fastai's own import line brings along and GAN scripts use, beside fastai's own names."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["F", "Path", "nn", "np", "partial", "test_eq", "torch"]


def test_eq(a: Any, b: Any) -> None:
    """Insist that two values are equal; tensors and sequences are compared item by item, a shape with a list too.

    Raises:
        AssertionError: if they differ; the message shows both.

    Example:
        >>> test_eq(torch.zeros(2, 1).shape, [2, 1])
    """
    if not _equal(a, b):
        raise AssertionError(f"==:\n{a}\n{b}")


test_eq.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test of whoever imports it


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) or isinstance(b, dict):
        return a == b
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)
