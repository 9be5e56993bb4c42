"""Modes: of a known number of things that data show, how many a generator makes, and how evenly.

The test beds are stacked MNIST, three digits as the channels of a picture, 1,000 kinds that a classifier reads, and
mixtures of Gaussians in the plane, 8 on a ring or 25 on a grid.

Source: *Unrolled Generative Adversarial Networks*, Metz, Poole, Pfau and Sohl-Dickstein, 2017; *VEEGAN: Reducing Mode
Collapse in GANs using Implicit Variational Learning*, Srivastava, Valkov, Russell, Gutmann and Sutton, 2017; *PacGAN:
The Power of Two Samples in Generative Adversarial Networks*, Lin, Khetan, Fanti and Oh, 2018.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import heap

Counts = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Modes:
    """Which modes were made.

    Attributes:
        found: modes with a sample, 0 to ``total``.
        total: modes that there are, equally frequent ones.
        divergence: Kullback and Leibler's, of the samples' modes from equal shares, in nats: 0, all equally often, to
            log(total), one only. Of few samples it is above 0 by chance, by about total / 2N.
        quality: share of samples that lie at a mode, 0 to 1; None for classes, where each sample has one.
    """

    found: int
    total: int
    divergence: float
    quality: float | None = None


def class_modes(labels: npt.ArrayLike, total: int) -> Modes:
    """Modes that are classes, by the labels that a classifier gave to samples.

    Args:
        labels: integers (N,), 0 to total - 1.
        total: classes that there are; 1,000 for stacked MNIST.

    Raises:
        CardiganError: if there are no labels, or they are none of these classes.

    Example:
        >>> class_modes([0, 0, 2, 2], 4)
        Modes(found=2, total=4, divergence=0.6931471805599453, quality=None)
    """
    found = np.asarray(labels)
    if found.ndim != 1 or not len(found) or not np.issubdtype(found.dtype, np.integer):
        raise CardiganError(
            f"Labels are integers of the shape (N,), one a sample; got {found.dtype} of the shape {found.shape}."
        )
    if total < 1 or found.min() < 0 or found.max() >= total:
        raise CardiganError(
            f"Labels of {total} classes are 0 to {total - 1}, got {found.min()} to {found.max()}. Give the number of "
            f"classes that there are, with those that no sample shows."
        )
    counts = np.bincount(found, minlength=total)
    return Modes(int(np.count_nonzero(counts)), total, _divergence(counts))


def point_modes(points: npt.ArrayLike, centres: npt.ArrayLike, *, deviation: float, within: float = 3.0) -> Modes:
    """Modes that are round Gaussians: found where at least one sample lies near enough.

    Args:
        points: samples (N, D).
        centres: of all modes (M, D).
        deviation: the standard deviation of a mode along each coordinate.
        within: how many deviations from the nearest centre a sample lies at most to be a good one. In the plane 98.9 %
            of true samples lie within 3.

    Returns:
        ``found`` counts modes with a good sample, ``quality`` is the share of good ones, and ``divergence`` is of the
        nearest modes of all samples.

    Raises:
        CardiganError: if there are no points or centres, coordinates differ in number or are not finite, or deviation
            or within is not above 0.

    Example:
        >>> points = [[0.0, 0.1], [0.0, 0.2], [1.0, 0.0], [1.0, 0.9]]
        >>> point_modes(points, [[0.0, 0.0], [1.0, 0.0]], deviation=0.1)
        Modes(found=2, total=2, divergence=0.0, quality=0.75)
    """
    ours, middles = heap("generated", points).astype(np.float64), heap("central", centres).astype(np.float64)
    if ours.shape[1] != middles.shape[1]:
        raise CardiganError(
            f"Points have {ours.shape[1]} coordinates and centres {middles.shape[1]}. Give centres in the space of the "
            f"points."
        )
    if not (0 < deviation < math.inf and 0 < within < math.inf):
        raise CardiganError(
            f"A mode is finite and wider than a point, got deviation={deviation:g}, within={within:g}. Usual is "
            f"within=3."
        )
    nearest, squares = np.zeros(len(ours), np.intp), np.full(len(ours), np.inf)
    for place, middle in enumerate(middles):
        these = ((ours - middle) ** 2).sum(axis=1)
        nearer = these < squares
        nearest[nearer], squares[nearer] = place, these[nearer]
    good = np.sqrt(squares) <= within * deviation
    counts = np.bincount(nearest, minlength=len(middles))
    return Modes(len(np.unique(nearest[good])), len(middles), _divergence(counts), float(good.mean()))


def _divergence(counts: Counts) -> float:
    shares = counts[counts > 0] / counts.sum()
    return max(0.0, float((shares * np.log(shares * len(counts))).sum()))
