"""The images of a race: what is trained on, and what nobody trains on."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

EVERY = 5
"""Of photos without a test part, every so many is held out."""


@dataclass(frozen=True)
class Images:
    """A data set at the size of its race.

    Args:
        train: uint8 (N, H, W, C).
        labels: of those, int64 (N,), or None.
        test: uint8 (M, H, W, C).
    """

    train: np.ndarray
    labels: np.ndarray | None
    test: np.ndarray


def grey(path: Path) -> Images:
    """MNIST's or Fashion-MNIST's arrays."""
    with np.load(path, allow_pickle=False) as arrays:
        return Images(arrays["train_images"][..., None], arrays["train_labels"], arrays["test_images"][..., None])


def cifar10(path: Path) -> Images:
    """CIFAR-10 as JPEG bytes, end to end."""
    from classifier import decoded

    with np.load(path, allow_pickle=False) as arrays:
        return Images(*decoded(arrays, "train"), decoded(arrays, "test")[0])


def photos(path: Path, side: int) -> Images:
    """A zip of square photos, brought to a size; every fifth, by name, is held out."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(name for name in archive.namelist() if not name.endswith("/")):
            with Image.open(io.BytesIO(archive.read(name))) as picture:
                found.append(np.asarray(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)))
    held = np.arange(len(found)) % EVERY == 0
    pixels = np.stack(found)
    return Images(pixels[~held], None, pixels[held])


SETS: dict[str, Callable[[Path], Images]] = {
    "mnist": grey,
    "fashion": grey,
    "cifar10": cifar10,
    "faces-32": partial(photos, side=32),
    "faces-64": partial(photos, side=64),
}


def images_of(name: str, path: Path) -> Images:
    """A set, read from its file."""
    return SETS[name](path)
