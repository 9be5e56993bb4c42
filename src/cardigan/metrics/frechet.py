"""Fréchet distance (FID where features are Inception's): how far two normal distributions lie apart. Low is near.

It reads means and covariances only, and it is biased: between two samples of one distribution it is positive, the more
so the fewer there are, and by how much depends on the generator. So it compares nothing but measurements with equally
many images, on the same extractor. Below about 10,000 images look at the kernel distance first, and at ``infinite``.

Source: *GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium*, Heusel, Ramsauer,
Unterthiner, Nessler and Hochreiter, 2017; the closed form: *The Fréchet Distance between Multivariate Normal
Distributions*, Dowson and Landau, 1982; ``infinite``: *Effectively Unbiased FID and Inception Score and Where to Find
Them*, Chong and Forsyth, 2020, by halves as in *Notes on Bias in Estimation*, Quenouille, 1956; merging: *Updating
Formulae and a Pairwise Algorithm for Computing Sample Variances*, Chan, Golub and LeVeque, 1979.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import Heap, Values, alike, blocks, heap

POINTS = 2
"""Numbers of images at which ``infinite`` measures."""
ROUNDING = 1e-6
"""How far below 0, as a share of the largest, an eigenvalue may lie: so far that of a covariance that was stored in
single precision does. What lies below 0 counts as 0."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What the distance reads of a set of images.

    Attributes:
        count: of images.
        mean: of each feature (F,).
        covariance: of the features (F, F), with ``count - 1`` in the denominator.

    Raises:
        CardiganError: if the covariance is not a symmetric matrix of finite numbers that fits the mean.
    """

    count: int
    mean: Values
    covariance: Values

    def __post_init__(self) -> None:
        mean, covariance = np.asarray(self.mean), np.asarray(self.covariance)
        if mean.ndim != 1 or not len(mean) or covariance.shape != mean.shape * 2:
            raise CardiganError(
                f"Moments are a mean (F,) and a covariance (F, F), got {mean.shape} and {covariance.shape}."
            )
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise CardiganError("Moments are finite; these hold inf or NaN. Measure the features again.")
        if not np.allclose(covariance, covariance.T, rtol=1e-6, atol=1e-9 * np.abs(covariance).max()):
            raise CardiganError("A covariance is the same mirrored at its diagonal; this one is not.")


Side = Moments | npt.ArrayLike | Iterator[npt.ArrayLike]


def moments(features: npt.ArrayLike | Iterator[npt.ArrayLike]) -> Moments:
    """Count, mean and covariance, in double precision, without holding more than a chunk.

    Args:
        features: (N, F), or an iterator over such chunks, for sets that are too large to lie in memory. How they are
            cut changes nothing beyond the 12th digit.

    Raises:
        CardiganError: if there are less than two images, chunks do not fit, or a value is not finite.

    Example:
        >>> found = moments([[0.0, 1.0], [2.0, 5.0]])
        >>> found.count, found.mean.tolist(), found.covariance.tolist()
        (2, [1.0, 3.0], [[2.0, 4.0], [4.0, 8.0]])
        >>> moments(iter([[[0.0, 1.0]], [[2.0, 5.0]]])).covariance.tolist()
        [[2.0, 4.0], [4.0, 8.0]]
    """
    count, mean, scatter = 0, np.zeros(1), np.zeros((1, 1))
    for chunk in _chunks(features):
        if count and chunk.shape[1] != len(mean):
            raise CardiganError(
                f"Chunks have as many features each, got {len(mean)} and then {chunk.shape[1]}. Use one extractor."
            )
        more, middle = len(chunk), chunk.mean(axis=0)
        around = chunk - middle
        moved = middle - mean
        total = count + more
        scatter = scatter + around.T @ around + np.outer(moved, moved) * (count * more / total)
        mean = mean + moved * (more / total)
        count = total
    if count < 2:
        raise CardiganError(f"A covariance takes at least 2 images, and there are {count}. Measure more images.")
    return Moments(count, mean, scatter / (count - 1))


def frechet_distance(real: Side, fake: Side) -> float:
    """The squared Fréchet distance between normal distributions with the moments of two sets of images.

    Args:
        real: features (N, F) of real images, an iterator over chunks of them, or their moments.
        fake: the same of generated ones.

    Returns:
        From 0, in squared units of a feature. What rounding makes of 0 is never negative.

    Raises:
        CardiganError: if a side has less than two images, their lengths differ, a value is not finite, or a covariance
            is none.

    Example:
        >>> frechet_distance([[0.0], [2.0]], [[3.0], [5.0]])
        9.0
        >>> wide = Moments(1000, np.array([3.0]), np.array([[4.0]]))
        >>> frechet_distance(Moments(1000, np.array([0.0]), np.array([[1.0]])), wide)
        10.0
    """
    return _distance(_normal("real", real), _normal("generated", fake))


def infinite(
    real: Side, fake: npt.ArrayLike, *, points: int = POINTS, fewest: int | None = None, rng: np.random.Generator
) -> float:
    """The Fréchet distance that infinitely many generated images would have: a line over 1/n, read where it is 0.

    Numbers of generated images cease to matter, those of real ones do not: give all of them, and the same each time.

    The bias is a line over 1/n only where images are many more than features. Near as many, it grows faster, and the
    line ends too low: of 10 times as many images as independent features, the authors' 15 points from a tenth on take
    away a third more than the bias. All images and both halves of them, the default, take away a twentieth more, and
    stray as little from draw to draw at a fifth of the cost.

    Args:
        real: features (N, F) of real images, an iterator over chunks of them, or their moments.
        fake: features (M, F) of generated ones, all that there are.
        points: numbers of images, evenly spaced up to all, at which the distance is measured.
        fewest: the smallest of them, more than F; None is half of the images.
        rng: deals the images out; at each point as many heaps are measured as there are without a common image.

    Returns:
        In squared units of a feature. It is an estimate, which may be negative where the distance is about 0.

    Raises:
        CardiganError: as ``frechet_distance``; if there are less than 2 points; and if there are no more than F images
            in the smallest measurement or less than twice as many in the largest.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> whole = Moments(10**9, np.zeros(4), np.eye(4))
        >>> fake = rng.normal(size=(400, 4))
        >>> abs(infinite(whole, fake, rng=rng)) < frechet_distance(whole, fake)
        True
    """
    known, values = _normal("real", real), heap("generated", fake, least=2)
    alike(known[0], values)
    features = values.shape[1]
    least = len(values) // 2 if fewest is None else fewest
    if points < 2:
        raise CardiganError(f"A line takes at least 2 points, got points={points}. Usual is points={POINTS}.")
    if least <= features or len(values) < 2 * least:
        raise CardiganError(
            f"The distance is extrapolated from measurements with more images than features, {features}, up to at "
            f"least twice as many; here from {least} up to {len(values)} generated images. Generate more, or read the "
            f"kernel distance, which does not depend on their number."
        )
    counts = np.linspace(least, len(values), points).round().astype(int)
    found = [_mean_distance(known, values[rng.permutation(len(values))], count) for count in counts]
    return float(np.polyfit(1 / counts, found, 1)[1])


def _mean_distance(known: tuple[Values, Values], values: Heap, count: int) -> float:
    """The mean distance of heaps of ``count`` of the values, one after the other."""
    tops = range(0, len(values) - count + 1, count)
    return float(np.mean([_distance(known, _normal("generated", values[top : top + count])) for top in tops]))


def _chunks(features: npt.ArrayLike | Iterator[npt.ArrayLike]) -> Iterator[Values]:
    """Rows in double precision, some at a time."""
    for chunk in features if isinstance(features, Iterator) else [features]:
        for block in blocks(heap("measured", chunk)):
            yield block.astype(np.float64)


def _normal(name: str, side: Side) -> tuple[Values, Values]:
    """The mean (F,) of a side, and a factor (R, F) whose product with itself, transposed first, is the covariance."""
    if isinstance(side, Iterator):
        side = moments(side)
    if not isinstance(side, Moments):
        values = heap(name, side, least=2)
        if len(values) <= values.shape[1]:
            # The centred features are a factor already, smaller and more precise than one of their covariance.
            mean = values.mean(axis=0, dtype=np.float64)
            return mean, np.subtract(values, mean, dtype=np.float64) / math.sqrt(len(values) - 1)
        side = moments(values)
    return side.mean, _factor(name, side.covariance)


def _factor(name: str, covariance: Values) -> Values:
    try:
        return np.asarray(np.linalg.cholesky(covariance).T, dtype=np.float64)
    except np.linalg.LinAlgError:  # singular, so that rounding may leave eigenvalues a little below 0
        values, vectors = np.linalg.eigh(covariance)
    if values[0] < -ROUNDING * max(abs(values[0]), values[-1]):
        raise CardiganError(
            f"No images have the covariance of {name} ones: its smallest eigenvalue is {values[0]:.3g}, where none is "
            f"below 0. Measure the features again."
        )
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T


def _distance(ours: tuple[Values, Values], theirs: tuple[Values, Values]) -> float:
    """The trace of the root of the product of covariances is the sum of singular values of the product of factors.

    No root of a matrix is taken, which singular covariances would cost half the digits.
    """
    (mean, factor), (other, across) = ours, theirs
    alike(mean, other)
    together = np.linalg.svd(factor @ across.T, compute_uv=False).sum()
    apart = ((mean - other) ** 2).sum()
    return max(0.0, float(apart + (factor**2).sum() + (across**2).sum() - 2 * together))
