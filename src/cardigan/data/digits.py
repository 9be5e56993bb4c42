"""The embedded data set, for a first run without any data."""

import hashlib
import io
from functools import partial
from importlib import resources

import numpy as np
from PIL import Image

from cardigan.data.decode import Pixels
from cardigan.data.items import Item, Source


def digits() -> Source:
    """The embedded set: 1,797 handwritten digits, drawn as 16x16 grey images in ten classes.

    The scans are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998, UCI
    Machine Learning Repository, CC BY 4.0), 8x8 with values 0 to 16, as scikit-learn's ``load_digits`` gives them.
    They are scaled to 0..255 and enlarged twice with a smooth filter.
    """
    stored = resources.files("cardigan.data").joinpath("digits.npz").read_bytes()
    with np.load(io.BytesIO(stored), allow_pickle=False) as file:
        scans, labels = file["images"], file["labels"]
    items = tuple(
        Item(f"image {index}", partial(_enlarged, scan), int(label))
        for index, (scan, label) in enumerate(zip(scans, labels, strict=True))
    )
    return Source(
        "digits",
        "1,797 embedded scans of handwritten digits in 10 classes",
        items,
        f"digits {hashlib.sha256(stored).hexdigest()}",
        tuple("0123456789"),
    )


def _enlarged(scan: Pixels) -> Pixels:
    grey = Image.fromarray(((scan.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8))
    return np.asarray(grey.resize((16, 16), Image.Resampling.BICUBIC))
