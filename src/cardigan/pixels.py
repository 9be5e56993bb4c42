"""uint8 outside, [-1, 1] inside: the only two functions that change the range of pixels."""

import torch
from torch import Tensor


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
