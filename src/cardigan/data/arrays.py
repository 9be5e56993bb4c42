"""Images in arrays: what an array is, in words, and the arrays of an ``.npz`` or ``.npy``.

Networks want arrays in many layouts and ranges. An array that can be read in one way only is read so, and told. For any
other the message says what was seen and what to type.
"""

import hashlib
import itertools
import math
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.data.decode import MIN_SIDE
from cardigan.data.items import Item, Source
from cardigan.data.values import NotFiniteError, Range, black_and_white, values_of
from cardigan.data.words import counted, first, offenders, printable
from cardigan.errors import CardiganError

Array = npt.NDArray[Any]

MAX_TOTAL = 2**34
"""Bytes that the arrays of one file may unpack to, all of which are held in memory: 16 GiB."""
MAX_RATIO = 500
"""Unpacked over packed size of an array of more than 1 GiB; images hardly shrink at all."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_TEST = re.compile(r"(?:^|[_\-. ])(?:test|val|valid|validation|dev|eval)(?:$|[_\-. ])")
_LABELS = ("labels", "label", "y", "targets", "target", "classes", "class")
"""What labels are called."""
_PAIRS = (("images", "labels"), ("image", "label"), ("data", "labels"), ("x", "y"), ("arr_0", "arr_1"))


@dataclass(frozen=True)
class ImageArray:
    """What an array of images is.

    Args:
        pixels: (N, H, W, C) with 1 to 4 channels, of the type that was given.
        span: the values that are black and white; None for uint8.
        told: what was seen, in words; "" for uint8 (N, H, W) and (N, H, W, C).
    """

    pixels: Array
    span: Range | None
    told: str


@dataclass(frozen=True)
class LabelArray:
    """What an array of labels is.

    Args:
        indices: int64 (N,), into ``classes``.
        classes: the names of the classes.
        told: what was seen, in words; "" for whole numbers that count from 0.
    """

    indices: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    told: str


def images_in(images: Any, what: str = "images") -> ImageArray:
    """Say what an array of images is: its layout, its channels and its range.

    Args:
        images: N images in one array. Channels lie last or first, or there are none; values are bool, whole numbers or
            floats.
        what: how messages call it.

    Raises:
        CardiganError: if there is more than one way to read it, or none; the message names what was seen and an
            expression in ``images`` that works for it.

    Example:
        >>> seen = images_in(np.zeros((5, 3, 32, 32), np.float32))
        >>> seen.pixels.shape, seen.span, seen.told
        ((5, 32, 32, 3), (0.0, 1.0), 'float32 0 to 0, channels first')
    """
    try:
        array = np.asarray(images)
    except ValueError:
        raise CardiganError(
            f"{what} is a list of arrays of different shapes; expected one shape. Save such images as files and give "
            "their folder."
        ) from None
    if array.dtype.kind not in "buif" or array.size == 0:
        raise _unreadable(array, what)
    pixels, layout = _laid_out(array, what)
    if array.dtype == np.uint8:
        return ImageArray(pixels, None, layout)
    try:
        values = values_of(array)
    except NotFiniteError as problem:
        raise CardiganError(
            f"{what} holds {problem.value} at {list(problem.index)}; expected finite numbers. Leave such images out, "
            "or write black there: np.nan_to_num(images, nan=0, posinf=0, neginf=0)"
        ) from None
    kind = f"{array.dtype} {values.low:,.6g} to {values.high:,.6g}"
    return ImageArray(pixels, black_and_white(values), f"{kind}, {layout}" if layout else kind)


def _unreadable(array: Array, what: str) -> CardiganError:
    """The error about an array that holds no numbers of pictures."""
    seen = f"{what} is {array.dtype} {list(array.shape)}"
    if array.dtype.kind == "c":
        return CardiganError(f"{seen}: complex numbers. Expected real ones; their sizes, perhaps: np.abs(images)")
    if array.dtype.kind == "O":
        return CardiganError(
            f"{seen}: Python objects, such as images of different sizes. Expected numbers in one array; save such "
            "images as files and give their folder."
        )
    return CardiganError(
        f"{seen}; expected numbers, [N, H, W] or [N, H, W, C] with C from 1 to 4, of at least 1 image."
    )


def _laid_out(array: Array, what: str) -> tuple[Array, str]:
    """The array as (N, H, W, C), and the layout in words where it had to be found out."""
    seen, shape = f"{what} is {array.dtype} {list(array.shape)}", array.shape
    if array.ndim == 3 and not (shape[2] <= 4 and min(shape[:2]) >= MIN_SIDE):
        return array[..., None], ""
    if array.ndim == 4:
        last, leading = shape[3] <= 4, shape[1] <= 4
        if last and leading:
            raise CardiganError(
                f"{seen}: channels may lie first ({shape[1]}, of {_sides(shape[2:])} pixels) or last ({shape[3]}, of "
                f"{_sides(shape[1:3])} pixels). Both are too small: each side must have at least {MIN_SIDE} pixels."
            )
        if last:
            return array, ""
        if leading:
            return np.moveaxis(array, 1, 3), "channels first"
    raise CardiganError(f"{seen}; expected [N, H, W] or [N, H, W, C] with C from 1 to 4. {_remedy(shape)}")


def _sides(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def _remedy(shape: tuple[int, ...]) -> str:
    """What to do with an array of a shape that no images have."""
    if len(shape) == 3 or (len(shape) == 2 and not _square(shape[1]) and min(shape) >= MIN_SIDE):
        return "It looks like one image. Save it as a PNG and give that file: it is cut into crops."
    if len(shape) == 2 and (side := _square(shape[1])):
        if side**2 == shape[1]:
            return f"If each row is an image: images.reshape(-1, {side}, {side})"
        return (
            f"If each row is an image, type images.reshape(-1, 3, {side}, {side}) where all red values come first, as "
            f"in CIFAR, else images.reshape(-1, {side}, {side}, 3)"
        )
    if len(shape) == 4 and shape[2] <= 4:
        return "If the images are counted last, as in MATLAB: images.transpose(3, 0, 1, 2)"
    if len(shape) == 4:
        take = "images[..., :3]" if shape[3] < shape[1] else "images[:, :3]"
        return f"To train on the first three channels: {take}"
    if len(shape) > 4:
        return f"To put the first axes together: images.reshape(-1, {', '.join(map(str, shape[-3:]))})"
    return "Put images of one size together with: np.stack(images)"


def _square(length: int) -> int:
    """The side of a square image of so many numbers, grey or RGB; 0 if there is none."""
    for area in (length, length // 3 if length % 3 == 0 else 0):
        if (side := math.isqrt(area)) ** 2 == area and side >= MIN_SIDE:
            return side
    return 0


def labels_in(labels: Any, count: int, what: str = "labels") -> LabelArray:
    """Say what an array of labels is: numbers, texts or one-hot rows, one for each image.

    Args:
        labels: of N images.
        count: N.
        what: how messages call it.

    Raises:
        CardiganError: if they are no classes; the message names what was seen, and an expression in ``labels`` that
            works for it.

    Example:
        >>> labels_in([[0, 1], [1, 0], [0, 1]], 3).indices.tolist(), labels_in(["dog", "cat"], 2).classes
        ([1, 0, 1], ('cat', 'dog'))
    """
    given = np.asarray(labels)
    array = given
    if array.dtype.kind == "O" and array.size and all(isinstance(each, str) for each in array.flat):
        array = array.astype(str)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    told = []
    if array.ndim == 2 and 1 in array.shape and array.size == count:
        array, told = array.reshape(-1), [f"from {list(given.shape)}"]
    seen = f"{what} is {given.dtype} {list(given.shape)}"
    if array.ndim == 2 and len(array) == count and array.dtype.kind in "buif":
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            row = int(np.argmax(((array != 0) & (array != 1)).any(axis=1) | (array.sum(axis=1) != 1)))
            raise CardiganError(
                f"{seen}, and row {row} is not one-hot. Expected one class for each image. To take the largest of each "
                "row as the class: labels.argmax(axis=1)"
            )
        return LabelArray(array.argmax(axis=1), tuple(map(str, range(array.shape[-1]))), "one-hot")
    if array.shape != (count,):
        raise CardiganError(
            f"{seen}; expected one label for each of {counted(count, 'image')}, [{count}]. Give images and labels that "
            "belong together, or leave the labels out."
        )
    return _named(array, what, told)


def _named(array: Array, what: str, told: list[str]) -> LabelArray:
    """Classes of labels (N,), named by the values that occur."""
    if array.dtype.kind == "U":
        names, indices = np.unique(array, return_inverse=True)
        return LabelArray(indices.astype(np.int64), tuple(map(str, names)), ", ".join([*told, "texts"]))
    if array.dtype.kind == "f":
        wrong = ~(np.isfinite(array) & (array == np.floor(np.where(np.isfinite(array), array, 0.5))))
        if wrong.any():
            number = counted(int(wrong.sum()), "value is", "values are")
            raise CardiganError(
                f"{what}: {number} no whole number: "
                f"{offenders(array, wrong)}. Expected one class for each image; a measurement is none. Leave the "
                "labels out, or make two classes: (labels > np.nanmedian(labels)).astype(int)"
            )
        array, told = array.astype(np.int64), [*told, "whole floats"]
    if array.dtype.kind not in "bui":
        raise CardiganError(f"{what} is {array.dtype}; expected whole numbers, texts or one-hot rows.")
    names, indices = np.unique(array, return_inverse=True)
    if array.dtype.kind != "b" and names[0] < 0 and names.tolist() != [-1, 1]:
        below = counted(int((array < 0).sum()), "value is", "values are")
        raise CardiganError(
            f"{what}: {below} below 0: {offenders(array, array < 0)}. Often that means an image without a class. "
            "Leave such images out, or make it a class too: np.unique(labels, return_inverse=True)[1]"
        )
    if names.tolist() != list(range(len(names))):
        told = [*told, f"named {names[0]} to {names[-1]}"]
    return LabelArray(indices.astype(np.int64), tuple(map(str, names)), ", ".join(told))


def from_memory(images: Any, labels: Any = None, *, name: str = "arrays") -> Source:
    """A source of images that are in memory.

    Args:
        images: as for :func:`images_in`.
        labels: as for :func:`labels_in`, None for images without classes.
        name: what the user called the whole.

    Raises:
        CardiganError: if they cannot be read in one way only.

    Example:
        >>> source = from_memory(np.zeros((2, 1, 8, 9), bool), ["no", "yes"])
        >>> source.description, source.classes, source.items[1].read().shape
        ('2 images (bool 0 to 0, channels first) in 2 classes (texts)', ('no', 'yes'), (8, 9, 1))
    """
    found = images_in(images)
    known = None if labels is None else labels_in(labels, len(found.pixels))
    digest = hashlib.sha256(repr((found.pixels.dtype, found.pixels.shape, known and known.classes)).encode())
    for each in found.pixels:
        digest.update(np.ascontiguousarray(each).data)
    if known:
        digest.update(known.indices.astype("<i8").data)
    return _of_array(name, digest.hexdigest(), found, known)


def npy(path: Path) -> Source:
    """A ``.npy`` of images, which stays on the disk while it is read; see :func:`images_in`."""
    name = printable(str(path))
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as problem:  # damaged files raise almost anything
        raise CardiganError(
            f"{name} cannot be read as an .npy: {problem}. Expected one plain array without Python objects; save it "
            "again with: np.save(path, images)"
        ) from None
    return _of_array(str(path), _digest(path), images_in(images, name), None)


def npz(path: Path, *, split: str = "train") -> Source:
    """An ``.npz`` with one array of images, or with JPEG files end to end: ``<split>_jpeg`` and ``<split>_offsets``.

    ``<split>_images`` and ``images`` come first; else it is the one array that looks like images and is not named as
    test or validation data. Labels bear the matching name (``train_labels``, ``y_train``, ``arr_1``), or are the one
    array that holds a label for each image. What is not read is told. See :func:`images_in` and :func:`labels_in`.
    """
    name = printable(str(path))
    try:
        with zipfile.ZipFile(path) as file:
            stored = _Stored(file, name, split)
            images, offsets, labels = map(stored.read, (stored.images, stored.offsets, stored.labels))
    except CardiganError:
        raise
    except Exception as problem:  # damaged archives raise almost anything
        raise CardiganError(
            f"{name} cannot be read as an .npz: {problem}. Expected plain arrays without Python objects; save it "
            "again with: np.savez(path, images=..., labels=...)"
        ) from None
    assert images is not None
    what, key = f"{printable(stored.images)} in {name}", _digest(path)
    packed = _packed(name, stored.images, images, offsets) if stored.images.endswith("jpeg") else None
    found = None if packed is not None else images_in(images, what)
    count = len(found.pixels) if found else len(packed or ())
    known = None if labels is None else labels_in(labels, count, f"{printable(stored.labels)} in {name}")
    called = f" of {printable(stored.images)}"
    if found:
        source = _of_array(str(path), key, found, known, called)
    else:
        source = _source(str(path), key, packed or [], known, called)
    return replace(source, ignored=stored.left)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_array(name: str, key: str, found: ImageArray, known: LabelArray | None, called: str = "") -> Source:
    reads = [partial(found.pixels.__getitem__, at) for at in range(len(found.pixels))]
    source = _source(name, key, reads, known, called + (f" ({found.told})" if found.told else ""))
    return replace(source, span=found.span)


def _source(name: str, key: str, reads: list[Callable[[], Any]], known: LabelArray | None, called: str) -> Source:
    items = (
        Item(f"image {index}", read, None if known is None else int(known.indices[index]))
        for index, read in enumerate(reads)
    )
    kinds = ", no labels"
    if known:
        kinds = f" in {counted(len(known.classes), 'class', 'classes')}" + (f" ({known.told})" if known.told else "")
    description = f"{counted(len(reads), 'image')}{called}{kinds}"
    return Source(name, description, tuple(items), key, known.classes if known else ())


class _Stored:
    """The arrays of an ``.npz`` that are used, chosen by their headers before anything is unpacked.

    Attributes:
        images: the key of the images, or of JPEG files end to end.
        offsets: the key of where each such file begins; "" without.
        labels: the key of the labels; "" without.
        left: what is not read and why, with counts.
    """

    def __init__(self, file: zipfile.ZipFile, name: str, split: str) -> None:
        self._file, self._name = file, name
        self._members = {member.filename.removesuffix(".npy"): member for member in file.infolist()}
        self._headers = {key: _header(file, member) for key, member in self._members.items()}
        named = (key for key in (f"{split}_images", "images", f"{split}_jpeg") if key in self._members)
        self.images = next(named, "") or self._likely_images()
        self.offsets = self.images.removesuffix("jpeg") + "offsets" if self.images.endswith("jpeg") else ""
        self.labels = self._likely_labels()
        used = {self.images, self.offsets, self.labels}
        _check_sizes(file, name, {key: self._members[key] for key in used if key in self._members})
        self.left = {
            f"{printable(key)} ({'test data' if _is_test(key) else 'not used'})": shape[0] if shape else 1
            for key, (shape, _) in self._headers.items()
            if key not in used
        }

    def read(self, key: str) -> Array | None:
        """One array, None if there is none of that name."""
        if key not in self._members:
            return None
        with self._file.open(self._members[key]) as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    def _likely_images(self) -> str:
        """The one array that looks like images."""
        looks = [key for key, (shape, kind) in self._headers.items() if kind in "buifc" and len(shape) in (3, 4)]
        if not looks:  # rows of pixels: what to do with them is said when they are looked at
            looks = [key for key, (shape, _) in self._headers.items() if len(shape) == 2 and _square(shape[1])]
        if set(self._headers) >= {"mu", "sigma"}:
            raise CardiganError(
                f"{self._name} holds mu and sigma: statistics of features, as tools that compute FID keep them, and no "
                "images. Give the images that they were computed from."
            )
        for chosen in (
            [key for key in looks if not _is_test(key)],
            [key for key in looks if re.search(r"(?:^|[_\-. ])(?:train|training)(?:$|[_\-. ])", key.lower())],
            looks,
        ):
            if len(chosen) == 1:
                return chosen[0]
        held = first((f"{printable(key)} {list(shape)}" for key, (shape, _) in self._headers.items()), 12) or "nothing"
        if not looks:
            raise CardiganError(
                f"{self._name} holds {held}; expected one array of images, [N, H, W] or [N, H, W, C]. Save it with: "
                f"np.savez({self._name!r}, images=..., labels=...)"
            )
        raise CardiganError(
            f"{self._name} holds {held}: {len(looks)} arrays may be the images. Save those that you mean under that "
            f"name: np.savez('images.npz', images=np.load({self._name!r})[{looks[0]!r}])"
        )

    def _likely_labels(self) -> str:
        """The array with the name that belongs to the images', else the one that holds a label for each image."""
        for ours, theirs in (*_PAIRS, ("jpeg", "labels")):
            for images, labels in ((ours, theirs), (ours.upper(), theirs), (ours.upper(), theirs.upper())):
                parts = re.split(r"(?<![A-Za-z])" + re.escape(images) + r"(?![A-Za-z0-9])", self.images)
                if len(parts) == 2 and (key := labels.join(parts)) in self._members:
                    return key
        count = self._headers[self.images][0][:1]
        fitting = [
            key
            for key, (shape, kind) in self._headers.items()
            if key != self.images
            and kind in "buifUS"
            and len(shape) in (1, 2)
            and shape[:1] == count
            and not _is_test(key)
        ]
        known = [key for key in fitting if key.lower() in _LABELS]
        return known[0] if known else fitting[0] if len(fitting) == 1 else ""


def _is_test(key: str) -> bool:
    """Whether a name says that an array is not to be trained on."""
    return _TEST.search(key.lower()) is not None


def _header(file: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], str]:
    """Shape and kind of an array; () and "" if its header cannot be read."""
    try:
        with file.open(member) as stream:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
        return shape, dtype.kind
    except Exception:  # an array that is not used may be anything
        return (), ""


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


def _packed(name: str, key: str, data: Array, offsets: Array | None) -> list[Callable[[], bytes]]:
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
