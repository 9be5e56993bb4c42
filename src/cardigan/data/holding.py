"""Held-out images: a part of the store that training never sees, to measure on."""

import numpy as np
import numpy.typing as npt

from cardigan.data.store import Store

FEWEST_PHOTOS = 10
"""From so many photos on, a tenth of them is held out; of fewer, none."""

Places = npt.NDArray[np.int64]


def hold_out(store: Store, *, share: float = 0.1, seed: int = 0) -> tuple[Places, Places]:
    """Divide a store by photos, so that no held-out piece overlaps with one that is trained on.

    Args:
        store: what to divide.
        share: of the photos to hold out, at least one.
        seed: of the choice.

    Returns:
        The places of the images to train on, and of those held out, each in the store's order. None are held out of
        fewer than ``FEWEST_PHOTOS`` photos.

    Example:
        >>> training, held = hold_out(Store.from_arrays(np.zeros((20, 8, 8, 3), np.uint8)))
        >>> len(training), len(held)
        (18, 2)
    """
    counts = np.array(store.pieces or np.ones(len(store)), dtype=np.int64)
    photo = np.repeat(np.arange(len(counts)), counts)
    photos = np.flatnonzero(counts)
    held = np.zeros(len(counts), dtype=bool)
    if len(photos) >= FEWEST_PHOTOS:
        chosen = np.random.default_rng(seed).choice(photos, size=max(1, round(share * len(photos))), replace=False)
        held[chosen] = True
    return np.flatnonzero(~held[photo]), np.flatnonzero(held[photo])
