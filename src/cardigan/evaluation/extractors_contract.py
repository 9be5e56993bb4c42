"""What everything promises that scores look through: what it is, what it does to images, one vector for each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]


class Seen(NamedTuple):
    """What an extractor says of N images.

    Attributes:
        features: float32 (N, width), any range.
        probabilities: float32 (N, classes), each row adding up to 1; None where the extractor does not classify.
    """

    features: Values
    probabilities: Values | None


@dataclass(frozen=True)
class Extractor:
    """Images in, one vector for each out, and everything that has to be told of it beside a score.

    Args:
        name: what it is called beside a score, such as ``"inception"``.
        digest: SHA-256, in hex, of its weights, or of its definition where it has none.
        preprocessing: how images are brought to what it reads: size, resizer, channels, range.
        width: numbers in a vector.
        look: ``a few images, uint8 (B, H, W, C) -> Seen``.
        classes: how many classes it tells apart; 0 where it does not classify.
        learned_from: what it was trained on, such as ``"ImageNet"``, ``"nothing"`` or ``"unknown"``. A score through
            it says less of a generator that was trained with the help of features from there.
        note: what else to know of it, such as how often a classifier is right; may be empty.
        chunk: images that are looked at together. Fixed, for sums in floating point depend on it a little.

    Example:
        >>> brightness = lambda images: Seen(images.mean(axis=(1, 2, 3), dtype=np.float32)[:, None], None)
        >>> extractor = Extractor("brightness", "0" * 64, "as it is", 1, look=brightness)
        >>> extractor.describe(np.full((2, 8, 8, 3), 7, np.uint8)).tolist()
        [[7.0], [7.0]]
    """

    name: str
    digest: str
    preprocessing: str
    width: int
    look: Callable[[Pixels], Seen] = field(repr=False, compare=False)
    classes: int = 0
    learned_from: str = "unknown"
    note: str = ""
    chunk: int = 32

    def see(self, images: Pixels) -> Seen:
        """Features and probabilities of images in one pass.

        Args:
            images: uint8 (N, H, W, C) of any size and 1 to 4 channels, at least one of them.

        Raises:
            CardiganError: if these are not images, or what it says of them is not finite.
            TypeError: if they are not uint8.
        """
        check(images)
        parts = [self.look(np.asarray(images[at : at + self.chunk])) for at in range(0, len(images), self.chunk)]
        features = np.concatenate([part.features for part in parts]).astype(np.float32, copy=False)
        if not np.isfinite(features).all():
            first = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise CardiganError(
                f"The feature extractor {self.name} gives numbers that are not finite, first for image {first}. "
                f"Expected finite ones for every image: use another extractor."
            )
        if not self.classes:
            return Seen(features, None)
        return Seen(features, np.concatenate([part.probabilities for part in parts if part.probabilities is not None]))

    def describe(self, images: Pixels) -> Values:
        """Features, float32 (N, width), of images uint8 (N, H, W, C); what it raises is told at :meth:`see`."""
        return self.see(images).features

    def probabilities(self, images: Pixels) -> Values:
        """The chances of each class, float32 (N, classes), each row adding up to 1, for images uint8 (N, H, W, C).

        Raises:
            CardiganError: if the extractor does not classify; and what :meth:`see` raises.
        """
        found = self.see(images).probabilities if self.classes else None
        if found is None:
            raise CardiganError(
                f"The feature extractor {self.name} tells no classes apart. Expected one that does: inception, own, or "
                f"a file of cardigan.features.classifier."
            )
        return found


def check(images: Pixels) -> None:
    """Refuse what are no images.

    Raises:
        CardiganError: if the shape is not (N, H, W, C) with at least one image of 1 to 4 channels.
        TypeError: if they are not uint8.
    """
    if images.dtype != np.uint8:
        raise TypeError(f"Images are judged as uint8, got {images.dtype}.")
    if images.ndim != 4 or not images.size or images.shape[3] > 4:
        raise CardiganError(
            f"Images of the shape {images.shape} cannot be judged. Expected (N, H, W, C), at least one image of 1 to 4 "
            f"channels, channels last."
        )
