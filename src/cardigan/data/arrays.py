"""Images in the arrays of an ``.npz``. The sizes in its headers are checked before anything is unpacked."""

import hashlib
import itertools
import math
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from cardigan.data.decode import Pixels
from cardigan.data.items import Item, Source
from cardigan.data.words import counted, first, offenders, printable
from cardigan.errors import CardiganError

MAX_TOTAL = 2**34
"""Bytes that the arrays of one file may unpack to, all of which are held in memory: 16 GiB."""
MAX_RATIO = 500
"""Unpacked over packed size of an array of more than 1 GiB; images hardly shrink at all."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def npz(path: Path, *, split: str = "train") -> Source:
    """An ``.npz`` of ``<split>_images`` or ``images``, or of JPEG files end to end: ``<split>_jpeg`` and ``_offsets``.

    Images are uint8 (N, H, W) or (N, H, W, C) with 1 to 4 channels; labels are whole numbers (N,) from 0.
    """
    name = printable(str(path))
    try:
        key, stored = _stored(path, name, split)
    except CardiganError:
        raise
    except Exception as problem:  # damaged archives raise almost anything
        raise CardiganError(
            f"{name} cannot be read as an .npz: {problem}. Expected plain arrays without Python objects; save it "
            "again with: np.savez(path, images=..., labels=...)"
        ) from None
    offsets, labels = stored.get("offsets"), stored.get("labels")
    reads = _packed(name, key, stored[key], offsets) if key.endswith("jpeg") else _rows(name, key, stored[key])
    classes = _check_labels(name, labels, len(reads)) if labels is not None else ()
    items = (
        Item(f"image {index}", read, None if labels is None else int(labels[index])) for index, read in enumerate(reads)
    )
    kinds = f" in {counted(len(classes), 'class', 'classes')}" if classes else ", no labels"
    description = f"{counted(len(reads), 'image')} of {key}{kinds}"
    with path.open("rb") as file:
        return Source(str(path), description, tuple(items), hashlib.file_digest(file, "sha256").hexdigest(), classes)


def _stored(path: Path, name: str, split: str) -> tuple[str, dict[str, np.ndarray]]:
    """The key of the images, and the arrays that are used: that key, ``labels`` and ``offsets`` as far as there."""
    with zipfile.ZipFile(path) as file:
        members = {member.filename.removesuffix(".npy"): member for member in file.infolist()}
        key = next((key for key in (f"{split}_images", "images", f"{split}_jpeg") if key in members), None)
        if key is None:
            raise CardiganError(
                f"{name} holds {first(map(printable, members), 12) or 'nothing'}; expected {split}_images or images "
                f"(uint8, [N, H, W] or [N, H, W, C]). Save it with: np.savez({name!r}, images=..., labels=...)"
            )
        stem = key.removesuffix("images").removesuffix("jpeg")
        wanted = {key: members[key]}
        for other in ("labels", *(["offsets"] if key.endswith("jpeg") else [])):
            if f"{stem}{other}" in members:
                wanted[other] = members[f"{stem}{other}"]
        _check_sizes(file, name, wanted)
        arrays: dict[str, np.ndarray] = {}
        for each, member in wanted.items():
            with file.open(member) as stream:
                arrays[each] = np.lib.format.read_array(stream, allow_pickle=False)
    return key, arrays


def _check_sizes(file: zipfile.ZipFile, name: str, members: dict[str, zipfile.ZipInfo]) -> None:
    """Refuse arrays that would fill the memory, or whose headers claim what the file does not hold."""
    total = sum(member.file_size for member in members.values())
    bomb = any(each.file_size > max(2**30, MAX_RATIO * each.compress_size) for each in members.values())
    if total > MAX_TOTAL or bomb:
        why = f"over {MAX_RATIO} times their size, like a zip bomb" if bomb else f"at most {MAX_TOTAL / 2**30:,.0f} GiB"
        raise CardiganError(
            f"The arrays in {name} unpack to {total / 2**30:,.1f} GiB, {'' if bomb else 'expected '}{why}. They are "
            "held in memory; save as many images as files, and give their folder or a .zip of it."
        )
    for key, member in members.items():
        with file.open(member) as stream:
            shape, _, kind = _HEADERS[np.lib.format.read_magic(stream)](stream)
            held = member.file_size - stream.tell()
        if not kind.hasobject and math.prod(shape) * kind.itemsize != held:
            raise CardiganError(
                f"{key} in {name} claims to be {kind} {list(shape)}, {math.prod(shape) * kind.itemsize:,} bytes, but "
                f"the file holds {held:,}. It is damaged: copy it again, or save it again with: "
                "np.savez(path, images=..., labels=...)"
            )


def _rows(name: str, key: str, images: np.ndarray) -> list[Callable[[], Pixels]]:
    good = images.ndim in (3, 4) and (images.ndim == 3 or images.shape[3] in (1, 2, 3, 4)) and len(images) > 0
    if images.dtype != np.uint8 or not good:
        raise CardiganError(
            f"{key} in {name} is {images.dtype} {list(images.shape)}; expected uint8 [N, H, W] or [N, H, W, C] with "
            "C from 1 to 4 and values 0 to 255. Convert it, for instance with: (images * 255).round().astype(np.uint8)"
        )
    return [partial(images.__getitem__, index) for index in range(len(images))]


def _packed(name: str, key: str, data: np.ndarray, offsets: np.ndarray | None) -> list[Callable[[], bytes]]:
    good = offsets is not None and offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1
    if offsets is None or not good or data.dtype != np.uint8 or data.ndim != 1:
        raise CardiganError(
            f"{key} in {name} is {data.dtype} {list(data.shape)} with offsets "
            f"{'missing' if offsets is None else f'{offsets.dtype} {list(offsets.shape)}'}; expected uint8 [bytes] and "
            "whole numbers [N + 1]. Save plain arrays instead: np.savez(path, images=..., labels=...)"
        )
    if offsets[0] < 0 or offsets[-1] > len(data) or (offsets[1:] < offsets[:-1]).any():
        raise CardiganError(f"The offsets of {key} in {name} do not rise within 0 to {len(data)}. Save it again.")
    return [lambda a=a, b=b: data[a:b].tobytes() for a, b in itertools.pairwise(offsets.tolist())]


def _check_labels(name: str, labels: np.ndarray, count: int) -> tuple[str, ...]:
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise CardiganError(
            f"The labels in {name} are {labels.dtype} {list(labels.shape)}; expected one whole number for each of "
            f"{counted(count, 'image')}, [{count}]. Convert them with: labels.astype(np.int64).reshape(-1)"
        )
    wrong = (labels < 0) | (labels >= count)
    if wrong.any():
        number = counted(int(wrong.sum()), f"label in {name} is", f"labels in {name} are")
        raise CardiganError(
            f"{number} outside 0 to {count - 1:,}: {offenders(labels, wrong)}. Expected classes counted from 0; leave "
            "such images out, or number the classes again with: np.unique(labels, return_inverse=True)[1]"
        )
    return tuple(map(str, range(int(labels.max()) + 1)))
