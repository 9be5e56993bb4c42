"""A quick look at pictures, for scores that are taken while a generator trains: no network, no download, no minutes.

Three looks together, each blind where another sees: *forms* (directions of edges, and coarse colours) hardly notice
blur and noise; *light* (what real images differ by most) notices pictures that are missing or repeated; *detail* (how
much there is at each scale, from single pixels on) notices blur and noise, and nothing of what is shown.
"""

import hashlib
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cardigan.evaluation.extractors_arithmetic import pixels
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, Values, check
from cardigan.metrics import descriptor
from cardigan.pixels import to_float

NAME = "a quick look"
PATCHES = 4
"""Down and across, in which detail is added up."""
COARSEST = 16
"""Pixels that the shorter side has at least where detail is looked for."""


def quick(images: Pixels) -> Extractor:
    """Forms, light and detail, each brought to the same size, so that all three count alike.

    They are centred and scaled on real images, so that the cubic kernel of the kernel distance sees what they vary by,
    and not only what they are on average.

    Args:
        images: real images, uint8 (N, H, W, C), at least two of them. The same ones give the same extractor.

    Raises:
        CardiganError: if these are not at least two images.
        TypeError: if they are not uint8.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
        >>> found = quick(images)
        >>> seen = found.describe(images)
        >>> found.width == seen.shape[1] == 440 + 19 + 2 * 16
        True
    """
    check(images)
    light = pixels(images)
    parts = [descriptor.gradients, light.describe, detail]
    known = [part(images).astype(np.float64) for part in parts]
    width = sum(each.shape[1] for each in known)
    means = [each.mean(axis=0) for each in known]
    # Each look gets a third of the length that is usual for so many numbers of size 1.
    scales = [
        math.sqrt(width / len(parts) / max(((each - mean) ** 2).sum(axis=1).mean(), 1e-12))
        for each, mean in zip(known, means, strict=True)
    ]

    def look(some: Pixels) -> Seen:
        found = [(part(some) - mean) * scale for part, mean, scale in zip(parts, means, scales, strict=True)]
        return Seen(np.concatenate(found, axis=1).astype(np.float32), None)

    digest = hashlib.sha256(f"{NAME}, version 1: {PATCHES} {COARSEST} {light.digest} {scales}\n".encode())
    for mean in means:
        digest.update(mean.tobytes())
    told = f"forms (gradients), light (pixels of 16x16) and detail, {width} numbers, centred and scaled on real images"
    return Extractor(NAME, digest.hexdigest(), told, width, look=look, learned_from="these images", chunk=256)


@torch.inference_mode()
def detail(images: Pixels) -> Values:
    """How much each part of a picture differs from its blurred self, at its own size and at each half of it.

    Args:
        images: uint8 (N, H, W, C) of 1 to 4 channels; looked at is the mean of all but alpha.

    Returns:
        float32 (N, 16 * S), 0 to 1.42, for S scales: as long as the shorter side has 16 pixels, the first in any case.

    Example:
        >>> flat = np.full((1, 64, 48, 3), 7, np.uint8)
        >>> detail(flat).shape, round(float(detail(flat).max()), 2)
        ((1, 32), 0.0)
    """
    visible = images[..., :-1] if images.shape[3] in (2, 4) else images
    left = to_float(torch.from_numpy(np.ascontiguousarray(visible))).mean(dim=1, keepdim=True)
    found: list[Tensor] = []
    while not found or min(left.shape[2:]) >= COARSEST:
        smooth = F.avg_pool2d(left, 3, stride=1, padding=1, count_include_pad=False)
        found.append(F.adaptive_avg_pool2d((left - smooth).abs(), PATCHES).flatten(1).sqrt())
        left = F.avg_pool2d(left, 2) if min(left.shape[2:]) > 1 else left[:, :, :0]
    return torch.cat(found, dim=1).numpy()
