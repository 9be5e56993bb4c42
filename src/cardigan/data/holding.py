"""Held-out images: a part of the store that training never sees, to measure on and to test for copying."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cardigan.data.alike import Alike, Places, thumbnails
from cardigan.data.cache import cache_folder, open_store
from cardigan.data.decode import Pixels
from cardigan.data.store import Store
from cardigan.data.verdicts import planned

SHOWN = 1000
"""Held-out images that are kept in a run's folder."""
_READ = 64
"""Rows and columns of an image that are looked at, about; more would say no more, and take time."""
_BLOCK = 2**24
_ASKED = 16
"""Images whose like are sought at once."""

Digests = npt.NDArray[np.bytes_]
"""Hexadecimal, (N,)."""


@dataclass(frozen=True, eq=False)
class Split:
    """A store, divided.

    Args:
        training: places of the images to train on, in the store's order.
        held: places of those held out, likewise.
        fingerprint: SHA-256 over what is held out; the same images have the same in any order and under any names.
    """

    training: Places
    held: Places
    fingerprint: str


def hold_out(store: Store, *, share: float | None = None, draws: bool = True) -> Split:
    """Divide a store, so that nothing held out is trained on in another guise.

    What is held out depends on the content of the images alone: not on their order, their names or a seed. Where
    images are added, most of those held out before still are. Kept together are the pieces of a photo, exact copies,
    and images that are alike as :mod:`~cardigan.data.alike` means it.

    Args:
        store: what to divide.
        share: of the images, or of the photos where they were cut into pieces; 0 holds out none; None is the rule of
            :func:`~cardigan.data.verdicts.planned`.
        draws: for a generator that draws from latents; then each class gives its share, and keeps two images at least.
            Else for one that restores.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
        >>> split = hold_out(Store.from_arrays(images))
        >>> len(split.training), len(split.held)
        (180, 20)
    """
    counts = np.array(store.pieces or np.ones(len(store)), dtype=np.int64)
    photos, ends = np.flatnonzero(counts), np.cumsum(counts)
    starts, ends = (ends - counts)[photos], ends[photos]
    wanted = planned(len(photos), share, few=draws and not store.pieces)
    held = np.zeros(len(counts), dtype=bool)
    told = b""
    if wanted:
        digests, small = _looked_at(store, starts, ends)
        labels = store.labels[starts] if draws and store.labels is not None else None
        chosen = _chosen(digests, small, labels, wanted)
        held[photos[chosen]] = True
        told = b"".join(sorted(digests[chosen].tolist()))
    marks = np.repeat(held, counts)
    return Split(np.flatnonzero(~marks), np.flatnonzero(marks), hashlib.sha256(told).hexdigest())


def _looked_at(store: Store, starts: Places, ends: Places) -> tuple[Digests, npt.NDArray[np.uint8] | None]:
    """Of each photo a digest; and the thumbnails of images, where they were not cut into pieces."""
    height, width, _ = store.shape
    rows, columns = max(1, height // _READ), max(1, width // _READ)
    if store.pieces:
        blocks = (store.images[start:end] for start, end in zip(starts, ends, strict=True))
        return np.array([_digest(block) for block in blocks], "S32"), None
    digests, small = [], []
    step = max(1, _BLOCK // max(1, store.images[:1].nbytes))
    for start in range(0, len(store), step):
        block = np.ascontiguousarray(store.images[start : start + step, ::rows, ::columns])
        digests += map(_digest, block)
        small.append(thumbnails(block))
    return np.array(digests, "S32"), np.concatenate(small)


def _digest(pixels: Pixels) -> str:
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).hexdigest()


def _chosen(digests: Digests, small: npt.NDArray[np.uint8] | None, labels: Places | None, wanted: int) -> list[int]:
    """The places of what is held out: in the order of their digests, which is as good as drawn by lot."""
    order = np.argsort(digests, kind="stable")
    labels, room = _room(labels, len(digests), wanted)
    chosen: list[int] = []
    seen: set[int] = set()
    for group in _groups(digests, small, order, lambda place: place not in seen and room[int(labels[place])] > 0):
        needed = Counter(labels[group].tolist())
        if needed <= room and seen.isdisjoint(group):
            chosen += group
            room.subtract(needed)
        seen.update(group)
        if not room.total():
            break
    return chosen


def _room(labels: Places | None, count: int, wanted: int) -> tuple[Places, Counter[int]]:
    """How many of each class may be held out, by largest remainders; without labels all are of one class."""
    if labels is None:
        return np.zeros(count, dtype=np.int64), Counter({0: wanted})
    classes, sizes = np.unique(labels, return_counts=True)
    quota, rest = np.divmod(wanted * sizes, count)
    quota[np.argsort(-rest, kind="stable")[: wanted - quota.sum()]] += 1
    return labels, Counter(
        dict(zip(classes.tolist(), np.minimum(quota, np.maximum(sizes - 2, 0)).tolist(), strict=True))
    )


def _groups(
    digests: Digests, small: npt.NDArray[np.uint8] | None, order: Places, wanted: Callable[[int], bool]
) -> Iterator[list[int]]:
    """In an order, every image that is still wanted when its turn comes, with those that must not part from it."""
    ranked = digests[order]
    alike = Alike(small) if small is not None else None
    for start in range(0, len(order), _ASKED):
        places = [place for place in order[start : start + _ASKED].tolist() if wanted(place)]
        for place, near in zip(places, alike.groups(places) if alike else places, strict=True):
            if wanted(place):
                first, last = (np.searchsorted(ranked, digests[place], side) for side in ("left", "right"))
                yield np.union1d(near, order[first:last]).tolist()


def keep(store: Store, split: Split, folder: Path) -> None:
    """Put into a run's folder what a report needs later: the held-out images, ``SHOWN`` at most, and their places."""
    shown = np.linspace(0, max(len(split.held) - 1, 0), min(SHOWN, len(split.held))).round().astype(np.int64)
    np.save(folder / "held-out.npy", store.images[split.held[shown]])
    np.save(folder / "held-out-places.npy", split.held)


def held_out_images(folder: Path) -> Pixels | None:
    """What :func:`keep` put there, uint8 (N, H, W, C); None if there is nothing of it."""
    try:
        return np.load(folder / "held-out.npy", allow_pickle=False)
    except (OSError, ValueError):
        return None


def training_part(folder: Path, name: str, fingerprint: str) -> tuple[Store, Places] | None:
    """The store that a run was trained on, and the places in it that were trained on.

    Args:
        folder: where :func:`keep` put what was held out.
        name: of the store in the cache.
        fingerprint: of the store.

    Returns:
        None if the store is no longer in the cache, or is another one; training again, or going on, prepares it anew.
    """
    store = open_store(cache_folder(None) / name) if name else None
    try:
        held = np.load(folder / "held-out-places.npy", allow_pickle=False)
    except (OSError, ValueError):
        return None
    if store is None or store.fingerprint != fingerprint or held.max(initial=-1) >= len(store):
        return None
    return store, np.setdiff1d(np.arange(len(store)), held)
