"""What looks at the samples of a race: features in which they are compared with images that nobody trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bench.images import Images
from cardigan.features import classifier
from cardigan.metrics.kernel import kernel_distance
from cardigan.pixels import to_float

Look = Callable[[np.ndarray], np.ndarray]
CLASSIFIER_STEPS = 1_500
MOST = 2_000
"""Real images that samples are compared with."""


@dataclass(frozen=True)
class Eyes:
    """A way to look, and what it sees in held-out images.

    Args:
        look: uint8 (N, H, W, C) to features (N, F).
        real: features of held-out images.
        floor: the score of real training images.
        told: what this is, in words.
    """

    look: Look
    real: np.ndarray
    floor: float
    told: str

    def score(self, images: np.ndarray) -> float:
        """The kernel distance to the held-out images, times 1,000; less is better."""
        return distance(self.real, self.look(images))


def distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The kernel distance, times 1,000."""
    return 1000 * kernel_distance(real, fake, rng=np.random.default_rng(0))[0]


def opened(look: Look, images: Images, told: str) -> Eyes:
    """Look at the held-out images, and at as many training images for the floor."""
    rng = np.random.default_rng(0)
    real = look(images.test[rng.permutation(len(images.test))[:MOST]])
    train = look(images.train[rng.permutation(len(images.train))[: len(real)]])
    return Eyes(look, real, distance(real, train), told)


def eyes_for(name: str, images: Images, *, kept: Path, weights: Path | None) -> Eyes:
    """What looks at samples of a set: a classifier that is kept in a folder, or MobileNetV2 for colour."""
    if images.train.shape[3] == 1:
        return classifier_eyes(kept / f"classifier-{name}.safetensors", images, steps=CLASSIFIER_STEPS)
    assert weights is not None, "--eyes"
    return mobilenet_eyes(weights, images)


def classifier_eyes(path: Path, images: Images, *, steps: int) -> Eyes:
    """A small classifier, learned from the training images and their labels, and kept."""
    assert images.labels is not None
    if path.exists():
        network = classifier.load(path)
    else:
        network = classifier.train(images.train, images.labels, steps=steps)
        network.save(path)

    @torch.inference_mode()
    def look(pixels: np.ndarray) -> np.ndarray:
        parts = np.array_split(np.ascontiguousarray(pixels), max(1, len(pixels) // 250))
        maps = [network.trunk(to_float(torch.from_numpy(part)))[-1].mean(dim=(2, 3)) for part in parts]
        return torch.cat(maps).numpy()

    return opened(look, images, f"a classifier of {steps} steps")


def mobilenet_eyes(path: Path, images: Images) -> Eyes:
    """MobileNetV2, learned elsewhere from ImageNet."""
    from mobilenet import MobileNetV2

    network = MobileNetV2(path)

    def look(pixels: np.ndarray) -> np.ndarray:
        return network.pooled(to_float(torch.from_numpy(np.array(pixels)))).numpy()

    return opened(look, images, "MobileNetV2")
