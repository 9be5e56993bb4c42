"""Images that a program holds already: arrays, tensors, pictures of Pillow, data sets of torch and of the Hub."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cardigan.data.arrays import from_memory, labels_in
from cardigan.data.hub import rows_of
from cardigan.data.items import Item, Source
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.words import counted
from cardigan.errors import CardiganError

NAME = "images-in-memory"
"""What a source is called that has no name of its own."""

_KEYS = ("image", "img", "images", "pixel_values", "picture", "x")
_LABELS = ("label", "labels", "target", "class", "y")


def given(images: Any, settings: DataSettings = DEFAULTS) -> Source:
    """Images in memory as a source.

    Args:
        images: an array or tensor (N, H, W), (N, H, W, C) or (N, C, H, W), alone or in a tuple with its labels (N,); a
            sequence of arrays (H, W) or (H, W, C) or of pictures of Pillow, of any sizes; or a data set: an object with
            a length whose items are such pictures, or tuples that begin with one and a label. What values of arrays
            mean is told by :func:`~cardigan.data.arrays.images_in`.
        settings: ``labels`` is read.

    Raises:
        CardiganError: if these are no images, or can be read in more than one way.

    Example:
        >>> given([Image.new("RGB", (16, 9)), Image.new("L", (8, 8))]).description
        '2 images in memory, no labels'
    """
    if hasattr(images, "features") and hasattr(images, "cast_column"):
        return rows_of(images, NAME, settings)
    if hasattr(images, "tensors"):  # torch's TensorDataset
        images = tuple(images.tensors[:2]) if len(images.tensors) > 1 else images.tensors[0]
    if _is_array(images):
        return from_memory(_array(images), name=NAME)
    if isinstance(images, tuple) and len(images) == 2 and _is_array(images[0]) and np.ndim(_array(images[0])) > 2:
        first, labels = _array(images[0]), _array(images[1])
        if np.ndim(labels) in (1, 2) and len(labels) == len(first):
            return from_memory(first, labels if settings.labels else None, name=NAME)
    if isinstance(images, dict | set) or not hasattr(images, "__getitem__") or not hasattr(images, "__len__"):
        raise CardiganError(
            f"The source is a {type(images).__name__}. Expected a path, an array, a list of pictures, or a data set "
            "with a length. From a generator or a loader, make a list: train(list(images))"
        )
    if not len(images):
        raise CardiganError(f"The source is an empty {type(images).__name__}. Expected at least 2 images.")
    return _of_sequence(images, settings)


def _of_sequence(images: Any, settings: DataSettings) -> Source:
    """A list of pictures, or a data set that gives them one by one."""
    pictures, labels = _seen(images)
    classes, indices = (), [None] * len(images)
    if labels and settings.labels:
        known = labels_in(np.array(labels), len(images))
        named = getattr(images, "classes", None)
        whole = isinstance(named, Sequence) and known.classes == tuple(map(str, range(len(named))))
        classes = tuple(map(str, named)) if named and whole else known.classes
        indices = known.indices.tolist()
    if pictures is not None:
        return replace(
            from_memory(np.stack(pictures), labels if labels and settings.labels else None, name=NAME), classes=classes
        )
    digest = hashlib.sha256()
    for at in range(len(images)):
        content = _content(_picture(images[at]))
        digest.update(content if isinstance(content, bytes) else repr(content.shape).encode() + content.tobytes())
    digest.update(repr((classes, indices)).encode())
    items = (Item(f"image {at}", partial(_read, images, at), indices[at]) for at in range(len(images)))
    kinds = f" in {counted(len(classes), 'class', 'classes')}" if classes else ", no labels"
    described = f"{counted(len(images), 'image')} in memory{kinds}"
    return Source(NAME, described, tuple(items), digest.hexdigest(), classes)


def _seen(images: Any) -> tuple[list[npt.NDArray[Any]] | None, list[Any]]:
    """The pictures as arrays, where all are arrays of one shape, else None; and the labels, where all have one."""
    arrays: list[npt.NDArray[Any]] | None = []
    labels = []
    for at in range(len(images)):
        entry = images[at]
        picture, label = _picture(entry), _label(entry)
        if label is not None:
            labels.append(label)
        if arrays is not None:
            if _is_array(picture) and (not arrays or _array(picture).shape == arrays[0].shape):
                arrays.append(_array(picture))
            else:
                arrays = None
    return arrays, labels if len(labels) == len(images) else []


def _picture(entry: Any) -> Any:
    """The picture in one entry of a data set."""
    if isinstance(entry, dict):
        key = next((key for key in _KEYS if key in entry), None)
        if key is None:
            raise CardiganError(f"An item of the data set has the keys {', '.join(map(str, entry))}; expected image.")
        return entry[key]
    return entry[0] if isinstance(entry, tuple | list) and entry else entry


def _label(entry: Any) -> Any:
    """The label in one entry of a data set, None without one."""
    if isinstance(entry, dict):
        value = next((entry[key] for key in _LABELS if key in entry), None)
    else:
        value = entry[1] if isinstance(entry, tuple | list) and len(entry) > 1 else None
    if value is None or isinstance(value, str | int):
        return value
    array = _array(value) if _is_array(value) else np.asarray(value)
    return array.item() if array.size == 1 and array.dtype.kind in "iub" else None


def _read(images: Any, at: int) -> bytes | npt.NDArray[Any]:
    return _content(_picture(images[at]))


def _content(picture: Any) -> bytes | npt.NDArray[Any]:
    """A picture as a file's bytes, or as pixels (H, W, C)."""
    if isinstance(picture, Image.Image):
        file = io.BytesIO()
        # TIFF keeps nearly every mode of Pillow as it is, so the rules for files hold for it.
        (picture.convert("RGB") if picture.mode in ("HSV", "La", "RGBa") else picture).save(file, "TIFF")
        return file.getvalue()
    if not _is_array(picture):
        raise CardiganError(
            f"An image is a {type(picture).__name__}; expected an array, a tensor or a picture of Pillow. Convert it "
            "first, for instance with: numpy.asarray(image)"
        )
    array = _array(picture)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4 and array.shape[0] > 4):
        raise CardiganError(
            f"An image is {array.dtype} {list(array.shape)}; expected (H, W), (H, W, C) or (C, H, W), C from 1 to 4."
        )
    if array.ndim == 3 and array.shape[2] > 4:
        array = np.moveaxis(array, 0, 2)
    return np.ascontiguousarray(array)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "detach") and hasattr(value, "numpy"))


def _array(value: Any) -> npt.NDArray[Any]:
    """A tensor as an array; an array as it is."""
    return value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
