"""Kernel distance (KID): how far two heaps of feature vectors lie apart. Low is near; around 0 they are not told apart.

Unlike the Fréchet distance it is unbiased: what it is on average does not depend on how many images there are, so it
is the number to read where they are few. It may be negative, where two heaps happen to be more alike than chance has
it. How sure it is can be told from a single pair of heaps, by leaving out a part of both at a time.

Source: *Demystifying MMD GANs*, Bińkowski, Sutherland, Arbel and Gretton, 2018; the estimator: *A Kernel Two-Sample
Test*, Gretton, Borgwardt, Rasch, Schölkopf and Smola, 2012, lemma 6; its error: *The Jackknife, the Bootstrap and Other
Resampling Plans*, Efron, 1982.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import Values, alike, heap

Places = npt.NDArray[np.int64]

DEGREE = 3
"""Of the polynomial kernel: means, spreads and skewness count, and how up to three features go together."""
BLOCK = 1000
"""Rows of a kernel matrix that are held at once."""


def kernel_distance(
    real: npt.ArrayLike, fake: npt.ArrayLike, *, subsets: int = 100, size: int = 1000, rng: np.random.Generator
) -> tuple[float, float]:
    """The squared maximum mean discrepancy under the kernel (x·y/F + 1)³, unbiased, averaged over random subsets.

    Args:
        real: features (N, F) of real images, any range.
        fake: features (M, F) of generated ones.
        subsets: how many pairs of subsets are drawn, each without replacement. *More* is steadier, and slower.
        size: of a subset, or as many as the smaller heap has. Where both heaps have no more than that, and equally
            many, there is only one pair of subsets, and it is measured once.
        rng: draws the subsets.

    Returns:
        The mean over subsets, in squared units of the kernel (no upper bound), and their standard deviation, 0.0 where
        one was measured. The spread says how far one subset strays; it is no error of the mean, for subsets share
        images.

    Raises:
        CardiganError: if a heap has less than two vectors, their lengths differ, a value is not finite, or fewer than
            one subset of two are asked for.

    Example:
        >>> real, fake = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]]
        >>> kernel_distance(real, fake, rng=np.random.default_rng(0))
        (-2.375, 0.0)
    """
    ours, theirs = _heaps(real, fake)
    if subsets < 1 or size < 2:
        raise CardiganError(
            f"The kernel distance takes at least 1 subset of at least 2 images, got subsets={subsets}, size={size}. "
            f"Usual are subsets=100, size=1000."
        )
    size = min(size, len(ours), len(theirs))
    if size == len(ours) == len(theirs):
        return _discrepancy(ours, theirs), 0.0
    drawn = (
        (rng.choice(len(ours), size, replace=False), rng.choice(len(theirs), size, replace=False))
        for _ in range(subsets)
    )
    found = [_discrepancy(ours[mine], theirs[other]) for mine, other in drawn]
    return float(np.mean(found)), float(np.std(found))


def with_error(real: npt.ArrayLike, fake: npt.ArrayLike, *, groups: int = 10) -> tuple[float, float]:
    """The kernel distance between two whole heaps, and its standard error by the jackknife.

    Args:
        real: features (N, F) of real images, any range.
        fake: features (M, F) of generated ones; N and M may differ.
        groups: as :func:`leave_out` deals both heaps out.

    Returns:
        The distance as :func:`kernel_distance` has it for heaps measured once, and how far it would stray from draw to
        draw of both heaps. Two fakes that are measured against the same real images stray together: what their
        distances differ by strays less, and :func:`jackknife` of the difference says how far.

    Raises:
        CardiganError: as :func:`leave_out`.

    Example:
        >>> real, fake = np.eye(4), np.zeros((4, 4))
        >>> value, error = with_error(real, fake, groups=2)
        >>> value, kernel_distance(real, fake, rng=np.random.default_rng(0))[0], error
        (0.0, 0.0, 0.0)
    """
    value, left = leave_out(real, fake, groups=groups)
    return value, jackknife(left)


def leave_out(real: npt.ArrayLike, fake: npt.ArrayLike, *, groups: int = 10) -> tuple[float, Values]:
    """The kernel distance between two whole heaps, and what it is without each group of images.

    Args:
        real: features (N, F) of real images, any range.
        fake: features (M, F) of generated ones; N and M may differ.
        groups: that both heaps are dealt out to, one vector after the other; one of each is left out at a time. Less
            where a heap has less vectors than that.

    Returns:
        The distance of all, and the distances (groups,) without each group.

    Raises:
        CardiganError: as :func:`kernel_distance`, and if a heap has less than four vectors.

    Example:
        >>> value, left = leave_out(np.eye(4), np.zeros((4, 4)), groups=2)
        >>> value, left.tolist()
        (0.0, [0.0, 0.0])
    """
    ours, theirs = _heaps(real, fake)
    if min(len(ours), len(theirs), 2 * groups) < 4:
        raise CardiganError(
            f"How sure a kernel distance is can be told from 4 images of each kind in 2 groups or more, got "
            f"{len(ours)} real and {len(theirs)} generated ones in {groups}. Measure more images."
        )
    groups = min(groups, len(ours), len(theirs))
    mine, other = (np.arange(len(side)) % groups for side in (ours, theirs))
    distances = _without(ours, mine, theirs, other, groups)
    return float(distances[0]), distances[1:]


def jackknife(left: npt.ArrayLike) -> float:
    """The standard error of a number, from its values without each group of what it was measured on.

    Of the difference of two numbers that were measured on the same images and latents it takes the differences: what
    both have in common goes, as it does in the difference itself.

    Args:
        left: (groups,), each value without another group.

    Example:
        >>> jackknife([1.0, 3.0]), jackknife([5.0, 5.0, 5.0])
        (1.0, 0.0)
    """
    values = np.asarray(left, np.float64)
    return float(np.sqrt((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum()))


def _without(ours: Values, mine: Places, theirs: Values, other: Places, groups: int) -> Values:
    """The distance between whole heaps, and after it without each group in turn: (1 + groups,)."""
    total = np.zeros(1 + groups)
    for one, first, two, second, weight in (
        (ours, mine, ours, mine, 1.0),
        (theirs, other, theirs, other, 1.0),
        (ours, mine, theirs, other, -2.0),
    ):
        sums = np.zeros((groups, groups))
        counts = np.outer(np.bincount(first, minlength=groups), np.bincount(second, minlength=groups))
        for group in range(groups):
            rows = _kernel(one[first == group] @ two.T, one.shape[1]).sum(axis=0)
            sums[group] = np.bincount(second, weights=rows, minlength=groups)
        if one is two:
            with_itself = _kernel((one**2).sum(axis=1), one.shape[1])
            sums[np.diag_indices(groups)] -= np.bincount(first, weights=with_itself, minlength=groups)
            counts[np.diag_indices(groups)] -= np.bincount(first, minlength=groups)
        total += weight * _left(sums) / _left(counts)
    return total


def _left(table: npt.NDArray[Any]) -> Values:
    """The sum of a table of groups by groups, and what is left of it without each group."""
    return table.sum() - np.concatenate([[0.0], table.sum(axis=0) + table.sum(axis=1) - np.diag(table)])


def _discrepancy(ours: Values, theirs: Values) -> float:
    """The unbiased estimate of MMD²: a vector is compared with every other one, never with itself."""
    within = 0.0
    for side in (ours, theirs):
        with_itself = float(_kernel((side**2).sum(axis=1), side.shape[1]).sum())
        within += (_total(side, side) - with_itself) / (len(side) * (len(side) - 1))
    return within - 2 * _total(ours, theirs) / (len(ours) * len(theirs))


def _total(ours: Values, theirs: Values) -> float:
    """The kernel of every pair, added up, a block of rows at a time."""
    features = ours.shape[1]
    blocks = (ours[start : start + BLOCK] for start in range(0, len(ours), BLOCK))
    return float(sum(_kernel(block @ theirs.T, features).sum() for block in blocks))


def _kernel(products: Values, features: int) -> Values:
    return (products / features + 1.0) ** DEGREE


def _heaps(real: npt.ArrayLike, fake: npt.ArrayLike) -> tuple[Values, Values]:
    """Both heaps in double precision, once they can be compared: each image with another one of its own kind."""
    named = {"real": real, "generated": fake}
    ours, theirs = (heap(name, side, least=2).astype(np.float64, copy=False) for name, side in named.items())
    alike(ours, theirs)
    return ours, theirs
