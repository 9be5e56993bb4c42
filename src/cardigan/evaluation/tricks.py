"""What good numbers may hide: samples that are copies, repeat each other, leave classes out, or were compressed.

Each function looks for one trick and names it, or returns None. Held-out images, taken for samples, are none of these.
"""

import math

import numpy as np
import numpy.typing as npt

from cardigan.evaluation.card import Finding
from cardigan.evaluation.extractors_contract import Pixels
from cardigan.metrics.copying import copying
from cardigan.metrics.descriptor import gradients
from cardigan.metrics.duplicates import Duplicates, duplicates, support

FEW_SAMPLES = 1_000
"""Below this, scores say little."""
SAME = 0.1
"""Distance of gradients up to which two pictures are the same: blurred or compressed ones are, new versions are not."""
REPEATED = 0.05
"""Share of samples that repeat others, beyond that among real images, which is worth an alarm."""
SIGNIFICANCE = 1e-6
"""Of a class or a bin that is left out: rarer by chance than once in a million."""
LEFT_OUT = 0.1
"""A class with less than this share of its due is called missing."""
FLAT = 0.75
"""A cosine coefficient smaller than this is 0 but for the rounding of pixels."""
COMPRESSED = 0.03
"""By how much the share of such coefficients differs between the grid of JPEG and another one."""
BLOCK = 8
"""Pixels a side of what JPEG compresses together."""
MOST = 1_000
"""Images that are looked at for compression."""


def few_samples(count: int) -> Finding | None:
    """Too few samples for their numbers to be steady."""
    if count >= FEW_SAMPLES:
        return None
    return Finding("few samples", f"Only {count} samples: every number here is rough. Take {FEW_SAMPLES:,} or more.")


def repeats(samples: Pixels, real: Pixels) -> Finding | None:
    """Samples that are the same picture, to the pixel or nearly, more often than real images are.

    Args:
        samples: uint8 (N, H, W, C), two or more.
        real: uint8 (M, H, W, C), two or more, to know how often real images repeat.
    """
    mine, theirs = (duplicates(gradients(images), threshold=SAME) for images in (samples, real))
    extra = _repeating(mine) / mine.count - _repeating(theirs) / theirs.count
    if extra <= REPEATED:
        return None
    return Finding(
        "repeats",
        f"{_repeating(mine):,} of {mine.count:,} samples repeat another one, and {_repeating(theirs):,} of "
        f"{theirs.count:,} real images do. {support(mine.count, mine.collisions).sentence}",
    )


def copies(samples: Pixels, training: Pixels, held_out: Pixels) -> Finding | None:
    """Samples that are training images, blurred or mirrored ones included: :mod:`cardigan.metrics.copying` judges.

    Args:
        samples: uint8 (N, H, W, C).
        training: uint8 (M, H, W, C), 6 or more.
        held_out: uint8 (K, H, W, C).
    """
    verdict = copying(
        gradients(samples),
        gradients(training),
        gradients(held_out) if len(held_out) else None,
        mirrored=gradients(training[:, :, ::-1]),
    )
    if verdict.copies:
        return Finding("copies", verdict.sentence)
    if verdict.copies is None:
        return Finding("copies", verdict.sentence, alarm=False)
    return None


def missing(
    samples: npt.NDArray[np.integer], real: npt.NDArray[np.integer], names: list[str], *, what: str = "classes"
) -> Finding | None:
    """Classes that samples leave out although real images have them.

    Args:
        samples: the class of each sample, as a classifier sees it, (N,).
        real: the class of each real image, as the same classifier sees it, (M,).
        names: of the classes.
        what: the classes are called.

    Example:
        >>> real = np.repeat([0, 1], 500)
        >>> missing(np.zeros(300, int), real, ["cats", "dogs"]).text
        '1 of 2 classes is left out: dogs.'
    """
    mine, theirs = (np.bincount(labels, minlength=len(names)) for labels in (samples, real))
    share = theirs / max(1, theirs.sum())
    gone = [
        place
        for place in range(len(names))
        if mine[place] < LEFT_OUT * share[place] * len(samples)
        and _at_most(int(mine[place]), len(samples), float(share[place])) < SIGNIFICANCE
    ]
    if not gone:
        return None
    told = ", ".join(names[place] for place in gone[:10]) + ", …" * (len(gone) > 10)
    return Finding("missing classes", f"{len(gone)} of {len(names)} {what} {_is(len(gone))} left out: {told}.")


def narrow(covered: float, precise: float, floor_covered: float, floor_precise: float) -> Finding | None:
    """Samples that look right but cover much less of the real images than training images do.

    Args:
        covered: coverage by the samples, 0 to 1.
        precise: their precision, 0 to 1.
        floor_covered: coverage by as many training images.
        floor_precise: their precision.
    """
    if covered >= 0.75 * floor_covered or precise < 0.75 * floor_precise:
        return None
    return Finding(
        "narrow",
        f"The samples look right but are not as varied: they cover {covered:.0%} of the real images, where as many "
        f"training images cover {floor_covered:.0%}.",
    )


def compressed(samples: Pixels, real: Pixels) -> Finding | None:
    """Samples that went through JPEG although the real images did not, which flatters some scores.

    JPEG leaves most cosine coefficients of its blocks of 8x8 pixels at 0; on a grid shifted by half a block they are
    not. Real images calibrate it.

    Args:
        samples: uint8 (N, H, W, C).
        real: uint8 (M, H, W, C).
    """
    if min(samples.shape[1:3]) < 3 * BLOCK:
        return None
    mine, theirs = _grid(samples), _grid(real)
    apart = float(mine.mean() - theirs.mean())
    error = math.sqrt(mine.var(ddof=1) / len(mine) + theirs.var(ddof=1) / len(theirs)) if len(mine) > 1 else math.inf
    if apart < COMPRESSED or apart < 5 * error:
        return None
    return Finding(
        "compressed",
        f"The samples bear the marks of JPEG, which the real images do not ({mine.mean():.0%} more of the coefficients "
        f"vanish on its grid than beside it, {theirs.mean():.0%} of real ones). Compression can make scores better "
        f"than the images are: save and measure PNG files.",
    )


def _repeating(found: Duplicates) -> int:
    """Images that repeat one that came before."""
    return sum(len(group) - 1 for group in found.groups)


def _grid(images: Pixels) -> npt.NDArray[np.float64]:
    """Of each image, by how much the share of vanishing coefficients is larger on JPEG's grid than beside it."""
    chosen = images[np.linspace(0, len(images) - 1, min(MOST, len(images))).round().astype(int)]
    grey = chosen[..., :3].mean(axis=3) if chosen.shape[3] >= 3 else chosen[..., 0].astype(np.float64)
    half = BLOCK // 2
    return _flat(grey) - _flat(grey[:, half:-half, half:-half])


def _flat(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The share of each image's cosine coefficients that are about 0, the constant one aside."""
    rows, columns = (side // BLOCK for side in grey.shape[1:3])
    blocks = grey[:, : rows * BLOCK, : columns * BLOCK].reshape(len(grey), rows, BLOCK, columns, BLOCK)
    blocks = blocks.transpose(0, 1, 3, 2, 4)
    places = np.arange(BLOCK)
    basis = np.cos(np.pi * (places + 0.5) * places[:, None] / BLOCK) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    coefficients = np.abs(basis @ blocks @ basis.T) < FLAT
    coefficients[..., 0, 0] = False
    return coefficients.sum(axis=(1, 2, 3, 4)) / (rows * columns * (BLOCK**2 - 1))


def _at_most(found: int, count: int, share: float) -> float:
    """The chance of so many or fewer among ``count``, each with chance ``share``."""
    if not 0 < share < 1:
        return 1.0
    logs = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        + k * math.log(share) + (count - k) * math.log1p(-share)
        for k in range(found + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
