"""Fidelity: how near a restored picture is to the true one, pixel by pixel. High is near; blur is punished little.

Source: *Image Quality Assessment: From Error Visibility to Structural Similarity*, Wang, Bovik, Sheikh and Simoncelli,
2004. What papers on super-resolution report is both numbers on the luma, with a border cut off that is as wide as the
scale: *Enhanced Deep Residual Networks for Single Image Super-Resolution*, Lim et al., 2017.
"""

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]

WINDOW, SIGMA = 11, 1.5
"""Width and standard deviation, in pixels, of the Gaussian through which SSIM looks."""
K1, K2 = 0.01, 0.03
"""How much of the range, squared, keeps SSIM's two ratios from dividing by nothing."""
PEAK = 255.0


def luma(images: Pixels) -> Values:
    """The luma of coloured pixels in ITU-R BT.601's studio range, 16 to 235, as papers on restoration measure it.

    Args:
        images: uint8 (..., 3), red, green and blue.

    Returns:
        (...), not rounded.

    Example:
        >>> luma(np.array([[0, 0, 0], [255, 255, 255]], dtype=np.uint8)).round(6).tolist()
        [16.0, 235.0]
    """
    return 16.0 + images.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255.0


def psnr(restored: Pixels, true: Pixels, *, border: int = 0, on: Literal["all", "luma"] = "all") -> float:
    """Peak signal-to-noise ratio in decibels; 20 is poor, 40 is hard to tell apart, identical pictures give infinity.

    Args:
        restored: uint8 (H, W, C).
        true: uint8 of the same shape.
        border: pixels that are cut off on each side; papers on super-resolution cut as many as the scale.
        on: ``"all"`` channels alike, or the ``"luma"`` of coloured pictures, as papers on super-resolution do. It gives
            higher numbers and is blind to wrong colours. Grey pictures are measured as they are.

    Raises:
        CardiganError: if the shapes differ, or nothing is left inside the border.
        TypeError: if the pictures are not uint8.

    Example:
        >>> true = np.zeros((8, 8, 3), dtype=np.uint8)
        >>> round(psnr(true + np.uint8(1), true), 2)
        48.13
    """
    restored, true = _inside(restored, true, border, least=1)
    ours, theirs = (_grey(images) if on == "luma" else images.astype(np.float64) for images in (restored, true))
    error = float(np.mean((ours - theirs) ** 2))
    return math.inf if error == 0 else 10.0 * math.log10(PEAK**2 / error)


def ssim(restored: Pixels, true: Pixels, *, border: int = 0) -> float:
    """Structural similarity, 1 for identical pictures: means, contrasts and patterns compared in small windows.

    It is measured on the luma of coloured pictures and on grey ones as they are, where the window lies fully inside.

    Args:
        restored: uint8 (H, W, C).
        true: uint8 of the same shape.
        border: pixels that are cut off on each side first.

    Raises:
        CardiganError: if the shapes differ, or less than a window is left inside the border.
        TypeError: if the pictures are not uint8.

    Example:
        >>> true = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        >>> ssim(true, true), ssim(255 - true, true) < 0
        (1.0, True)
    """
    ours, theirs = map(_grey, _inside(restored, true, border, least=WINDOW))
    mean_ours, mean_theirs = _blurred(ours), _blurred(theirs)
    variance_ours = _blurred(ours * ours) - mean_ours**2
    variance_theirs = _blurred(theirs * theirs) - mean_theirs**2
    covariance = _blurred(ours * theirs) - mean_ours * mean_theirs
    c1, c2 = (K1 * PEAK) ** 2, (K2 * PEAK) ** 2
    lightness = (2 * mean_ours * mean_theirs + c1) / (mean_ours**2 + mean_theirs**2 + c1)
    structure = (2 * covariance + c2) / (variance_ours + variance_theirs + c2)
    return float(np.mean(lightness * structure))


def _inside(restored: Pixels, true: Pixels, border: int, *, least: int) -> tuple[Pixels, Pixels]:
    """Both pictures without their border, once they are known to fit."""
    if restored.dtype != np.uint8 or true.dtype != np.uint8:
        raise TypeError(f"Pictures are measured as uint8, got {restored.dtype} and {true.dtype}.")
    if restored.shape != true.shape or true.ndim != 3:
        raise CardiganError(
            f"Two pictures of one shape (H, W, C) can be compared, got {restored.shape} and {true.shape}. Crop or "
            f"resize one of them first."
        )
    height, width, _ = true.shape
    if border < 0 or min(height, width) - 2 * border < least:
        most = max(0, (min(height, width) - least) // 2)
        raise CardiganError(
            f"A picture of {height}x{width} pixels cannot be measured without a border of {border}: at least "
            f"{least}x{least} must be left. Choose a border from 0 to {most}, or a larger picture."
        )
    kept = np.s_[border : height - border, border : width - border]
    return restored[kept], true[kept]


def _grey(images: Pixels) -> Values:
    """One channel (H, W): the luma of red, green and blue, or grey as it is; alpha is left out."""
    return luma(images[:, :, :3]) if images.shape[2] >= 3 else images[:, :, 0].astype(np.float64)


def _blurred(values: Values) -> Values:
    """(H, W) through the Gaussian window, where it lies fully inside: (H - 10, W - 10)."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    height, width = values.shape[0] - WINDOW + 1, values.shape[1] - WINDOW + 1
    # Down and then across, for the window is a product of two.
    down = sum((weight * values[top : top + height] for top, weight in enumerate(weights)), np.zeros(()))
    return sum((weight * down[:, left : left + width] for left, weight in enumerate(weights)), np.zeros(()))
