"""Pictures that need no data set: smooth colours with a little grain. What a step costs does not depend on them."""

from pathlib import Path

import numpy as np
from PIL import Image

COLUMNS, ROWS = 178, 218
"""Of the photos that the face tutorial reads."""


def pixels(count: int, height: int, width: int, channels: int, *, seed: int = 0) -> np.ndarray:
    """uint8 (count, height, width, channels)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    smooth = np.stack(
        [np.asarray(Image.fromarray(each).resize((width, height), Image.Resampling.BICUBIC)) for each in coarse]
    )
    grain = rng.integers(-8, 9, (count, height, width, 1))
    return np.clip(smooth[..., :channels].astype(np.int16) + grain, 0, 255).astype(np.uint8)


def photos(folder: Path, count: int, *, seed: int = 0) -> Path:
    """JPEG files of the size of the face tutorial's photos, in one class folder of ``folder``, as it wants them."""
    inside = folder / "photos"
    inside.mkdir(parents=True)
    for place, picture in enumerate(pixels(count, ROWS, COLUMNS, 3, seed=seed)):
        Image.fromarray(picture).save(inside / f"{place:06d}.jpg", quality=90)
    return folder
