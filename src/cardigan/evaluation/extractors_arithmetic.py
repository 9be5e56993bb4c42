"""Extractors without a network: the last resort, named as what they are.

They see light and dark in places, and not what a picture shows. Scores through them tell heaps apart that differ
grossly, and are comparable with nothing but each other.
"""

import hashlib

import numpy as np
import torch

from cardigan.errors import CardiganError
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, Values, check
from cardigan.evaluation.resize import CHANNELS, RESIZER, prepared
from cardigan.metrics import descriptor
from cardigan.pixels import to_uint8

SIDE = 16
"""Pixels that images are made small to, across and down."""
MOST = 64
"""Principal components that are kept at most: covariances of more would ask for more images than small sets have."""
FITTED = 10_000
"""Images that the components are found in at most, evenly spread over those that are given."""
BATCH = 256


def pixels(images: Pixels) -> Extractor:
    """Small pictures, each as so much of what real images differ by most: their principal components.

    Args:
        images: real images, uint8 (N, H, W, C), which the components are found in. The same images give the same
            extractor on the same machine.

    Returns:
        An extractor of at most 64 numbers, in units of [-1, 1] pixels of a picture of 16x16.

    Raises:
        CardiganError: if these are not at least two images.
        TypeError: if they are not uint8.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
        >>> found = pixels(images)
        >>> found.name, found.describe(images[:2]).shape
        ('pixels (PCA)', (2, 19))
    """
    check(images)
    if len(images) < 2:
        raise CardiganError(
            f"{len(images)} image is not enough to find what images differ by, expected at least 2 real ones."
        )
    channels = images.shape[3]
    chosen = np.linspace(0, len(images) - 1, min(len(images), FITTED)).round().astype(np.int64)
    small = np.concatenate(
        [_small(images[chosen[at : at + BATCH]], channels) for at in range(0, len(chosen), BATCH)]
    ).astype(np.float64)
    mean, basis = _components(small)

    def look(images: Pixels) -> Seen:
        apart: Values = _small(images, channels) - mean
        return Seen(apart @ basis, None)

    digest = hashlib.sha256(f"pixels {SIDE} {channels} {basis.shape}\n".encode() + mean.tobytes() + basis.tobytes())
    told = (
        f"{SIDE}x{SIDE}, {RESIZER}; {CHANNELS[channels]}; [-1, 1]; {basis.shape[1]} principal components of real images"
    )
    return Extractor(
        "pixels (PCA)", digest.hexdigest(), told, basis.shape[1], look=look, learned_from="these images", chunk=BATCH
    )


def gradients() -> Extractor:
    """Where a picture has edges of which direction, and its coarse colours: :func:`descriptor.gradients` of 3 channels.

    Example:
        >>> gradients().describe(np.zeros((2, 28, 28, 1), np.uint8)).shape
        (2, 440)
    """

    def look(images: Pixels) -> Seen:
        return Seen(descriptor.gradients(to_uint8(prepared(images, channels=3)).numpy()), None)

    numbers = (descriptor.SIDE, descriptor.ORIENTATIONS, descriptor.CELL, descriptor.COLOURS)
    digest = hashlib.sha256(f"gradients, version 1: {numbers}".encode()).hexdigest()
    told = f"{descriptor.SIDE}x{descriptor.SIDE}, mean of areas; {CHANNELS[3]}; [0, 1]"
    windows = (descriptor.SIDE // descriptor.CELL - 1) ** 2 * descriptor.ORIENTATIONS
    width = windows + 3 * descriptor.COLOURS**2
    return Extractor("gradients", digest, told, width, look=look, learned_from="nothing", chunk=descriptor.BATCH)


@torch.inference_mode()
def _small(images: Pixels, channels: int) -> Values:
    return prepared(images, channels=channels, size=SIDE).flatten(1).numpy()


def _components(small: np.ndarray) -> tuple[Values, Values]:
    """The mean of vectors (N, D), and the directions (D, K) in which they differ, the greatest first."""
    mean = small.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(small, rowvar=False))
    count = min(MOST, len(small) - 1, len(values))
    vectors = vectors[:, ::-1][:, :count]
    # A direction is as good as its opposite; one of the two is chosen, so that the digest repeats.
    greatest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[greatest, np.arange(count)])
    return mean.astype(np.float32), np.ascontiguousarray(vectors, dtype=np.float32)
