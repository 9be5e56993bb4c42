"""uint8 outside, [-1, 1] inside: the only two functions that change the range of pixels; and the one that resizes."""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Filter = Literal["bilinear", "bicubic", "area"]
"""How a new pixel weighs the old ones around it: by a triangle, by Keys' cubic with a = -0.5, as Pillow does, or all
alike that it touches."""
BY_MATRICES = frozenset({"mps"})
"""Kinds of devices whose torch lacks a part of resizing."""


def to_float(images: Tensor) -> Tensor:
    """Turn stored pixels into what networks read.

    Args:
        images: uint8, shape (N, H, W, C), values 0 to 255.

    Returns:
        float32, shape (N, C, H, W), values -1 to 1.

    Raises:
        TypeError: if the images are not uint8.

    Example:
        >>> to_float(torch.tensor([[[[0], [255]]]], dtype=torch.uint8)).flatten().tolist()
        [-1.0, 1.0]
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"to_float takes uint8 pixels, got {images.dtype}.")
    return images.movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1.0).contiguous()


def to_uint8(images: Tensor) -> Tensor:
    """Turn what networks draw into pixels, rounding to the nearest and clipping what lies outside.

    Args:
        images: floating point, shape (N, C, H, W), values -1 to 1.

    Returns:
        uint8, shape (N, H, W, C), values 0 to 255.

    Raises:
        TypeError: if the images are not floating point.

    Example:
        >>> to_uint8(torch.tensor([[[[-1.0, 0.0, 1.5]]]])).flatten().tolist()
        [0, 128, 255]
    """
    if not images.is_floating_point():
        raise TypeError(f"to_uint8 takes floating point images, got {images.dtype}.")
    pixels = images.detach().float().add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.movedim(-3, -1).contiguous()


def resized(images: Tensor, size: tuple[int, int], *, mode: Filter = "bilinear") -> Tensor:
    """Images at another size, antialiased: where they shrink, the filter widens with the scale.

    On Apple's GPUs this is a product with one matrix for each side. There torch (up to 2.13) cannot differentiate its
    own antialiased resizing. Before 2.8 it has no bicubic one, before 2.7 no bilinear one, and before 2.11 its areas
    have to be of one size.

    Args:
        images: (B, C, H, W), any floating point range.
        size: height and width wanted, in pixels.
        mode: the filter.

    Returns:
        (B, C, height, width). A bicubic filter may overshoot the range.

    Example:
        >>> resized(torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]), (1, 2)).flatten().tolist()
        [0.1428571492433548, 0.8571428656578064]
    """
    if images.device.type in BY_MATRICES:
        return by_matrices(images, size, mode=mode)
    if mode == "area":
        return F.interpolate(images, size=size, mode=mode)
    return F.interpolate(images, size=size, mode=mode, align_corners=False, antialias=True)


def by_matrices(images: Tensor, size: tuple[int, int], *, mode: Filter) -> Tensor:
    """What :func:`resized` gives, by operations that every device has and can differentiate any number of times."""
    rows, columns = (
        _weights(before, after, mode, images.device).to(images.dtype)
        for before, after in zip(images.shape[2:], size, strict=True)
    )
    with torch.autocast(images.device.type, enabled=False):  # which rounds products, and would not round resizing
        return rows @ images @ columns.mT


@lru_cache(maxsize=32)
def _weights(before: int, after: int, mode: Filter, device: torch.device) -> Tensor:
    """How much each of ``after`` new places along a side reads of each of ``before`` old ones, (after, before)."""
    scale, new, old = before / after, np.arange(after)[:, None], np.arange(before)
    away = abs(old + 0.5 - (new + 0.5) * scale) / max(scale, 1.0)
    if mode == "area":
        weights = ((old >= new * before // after) & (old < -(-(new + 1) * before // after))).astype(float)
    elif mode == "bilinear":
        weights = (1.0 - away).clip(min=0.0)
    else:
        near = (1.5 * away - 2.5) * away**2 + 1.0
        far = ((-0.5 * away + 2.5) * away - 4.0) * away + 2.0
        weights = np.where(away < 1.0, near, np.where(away < 2.0, far, 0.0))
    weights = weights / weights.sum(axis=1, keepdims=True)
    with torch.inference_mode(False):  # what is made inside it could never be a part of a graph
        return torch.from_numpy(weights.astype(np.float32)).to(device)
