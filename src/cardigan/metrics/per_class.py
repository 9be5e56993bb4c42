"""Any measure, class by class: where a generator is good, and what it neglects."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError

Value = TypeVar("Value")
Features = npt.NDArray[Any]


def per_class(
    measure: Callable[[Features, Features], Value],
    real: npt.ArrayLike,
    fake: npt.ArrayLike,
    *,
    real_labels: npt.ArrayLike,
    fake_labels: npt.ArrayLike,
) -> tuple[dict[int, Value], dict[int, str]]:
    """Compare real and generated images of each class by themselves.

    Args:
        measure: compares features (n, F) of real images with (m, F) of generated ones, such as ``frechet_distance``.
        real: features (N, F) of real images.
        fake: features (M, F) of generated ones.
        real_labels: integers (N,).
        fake_labels: integers (M,), the class that each was asked to be.

    Returns:
        The value of each class; and for each class that has none, why: a side has no images of it, or too few for the
        measure. Both are in the order of classes.

    Raises:
        CardiganError: if there are not as many labels as images, they are no integers, or no class can be measured.

    Example:
        >>> from cardigan.metrics.frechet import frechet_distance
        >>> real, fake = [[0.0], [2.0], [5.0]], [[3.0], [5.0]]
        >>> per_class(frechet_distance, real, fake, real_labels=[0, 0, 1], fake_labels=[0, 0])
        ({0: 9.0}, {1: 'there are 1 real and 0 generated images'})
    """
    ours, theirs = np.asarray(real), np.asarray(fake)
    mine, other = _labels("real", real_labels, len(ours)), _labels("generated", fake_labels, len(theirs))
    values: dict[int, Value] = {}
    reasons: dict[int, str] = {}
    for label in np.union1d(mine, other).tolist():
        some, others = ours[mine == label], theirs[other == label]
        if not (len(some) and len(others)):
            reasons[label] = f"there are {len(some)} real and {len(others)} generated images"
            continue
        try:
            values[label] = measure(some, others)
        except CardiganError as error:
            reasons[label] = str(error)
    if not values:
        first = next((f" Class {label}: {reason}" for label, reason in reasons.items()), "")
        raise CardiganError(f"None of {len(reasons)} classes can be measured.{first}")
    return values, reasons


def _labels(name: str, labels: npt.ArrayLike, count: int) -> npt.NDArray[np.integer[Any]]:
    found = np.asarray(labels)
    if found.shape != (count,) or (count and not np.issubdtype(found.dtype, np.integer)):
        raise CardiganError(
            f"There is one label, an integer, for each of {count} {name} images; got {found.dtype} of the shape "
            f"{found.shape}."
        )
    return found
