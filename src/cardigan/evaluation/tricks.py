"""What good numbers may hide: samples that are copies, repeat each other, leave classes out, or were compressed.

Each function looks for one trick and says what came of it; an alarm says that the trick was found. Held-out images,
taken for samples, raise none. None is returned where a trick cannot be looked for.
"""

import hashlib
import math
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.evaluation.card import Finding
from cardigan.evaluation.extractors_contract import Pixels, Values
from cardigan.metrics.copying import CALIBRATED, EXCESS, Copying, copying
from cardigan.metrics.duplicates import duplicates, support
from cardigan.metrics.neighbours import neighbours

FEW_SAMPLES = 1_000
"""Below this, scores say little."""
FEW_REAL = 500
"""Below this, other real images would move the scores."""
SAME = 0.1
"""Distance of gradients up to which two pictures are the same: blurred or compressed ones are, new versions are not."""
REPEATED = 0.05
"""Share of samples that repeat others, beyond that among real images, which is worth an alarm."""
SIGNIFICANCE = 1e-6
"""Of a class that is left out: rarer by chance than once in a million."""
LEFT_OUT = 0.1
"""A class with less than this share of its due is called missing."""
NARROW, RIGHT = 0.75, 0.9
"""Shares of what training images have: samples that cover less are narrow, if they are as precise as that or more."""
FLAT = 0.75
"""A cosine coefficient smaller than this is 0 but for the rounding of pixels."""
COMPRESSED = 0.015
"""By how much more of such coefficients lie on the grid of JPEG than on others, beyond that in real images. Pictures
that never were JPEG have 0.005 at most, digits of quality 75 to 95 at least 0.02, photos and drawings 0.1 and more."""
BLOCK = 8
"""Pixels a side of what JPEG compresses together."""
MOST = 1_000
"""Images that are looked at for compression."""
REGION = 32
"""Blocks of an image, down and across, that are looked at."""
LIVE = 8.0
"""A block shows something if one of its coefficients is as large; blank ones tell nothing."""
CHUNK = 1024


def few_samples(count: int) -> Finding | None:
    """Too few samples for their numbers to be steady."""
    if count >= FEW_SAMPLES:
        return None
    return Finding("few samples", f"Only {count:,} samples: rough numbers. Take {FEW_SAMPLES:,} or more.")


def few_real(count: int, reference: str) -> Finding | None:
    """Few real images, or none that are held out."""
    if reference != "held-out":
        return Finding(
            "no floor",
            f"Too few images are held out: measured against the {count:,} training images, where copies score best.",
            alarm=False,
        )
    if count >= FEW_REAL:
        return None
    return Finding(
        "few real images",
        f"Only {count:,} real images: others would move every number by more than the spread.",
        alarm=False,
    )


def repeats(samples: Values, real: Values, *, estimated: bool = True) -> Finding:
    """Samples that are the same picture, to the pixel or nearly, more often than as many real images are.

    How often those are is taken from the pairs of real images, at the upper end of what their number leaves open.

    Args:
        samples: descriptors (N, D), two or more.
        real: descriptors (M, D) of real images, two or more.
        estimated: whether to say how many different images the generator makes. Where it copies, or that could not be
            tested, its images may be versions of a few, which a count of pairs would take for different ones.
    """
    mine, theirs = (duplicates(each, threshold=SAME) for each in (samples, real))
    found = sum(len(group) - 1 for group in mine.groups)
    expected = _repeating(mine.count, support(theirs.count, theirs.collisions).low)
    alarm = found / mine.count - expected > REPEATED
    if estimated:
        text = support(mine.count, mine.collisions).sentence
    else:
        text = f"No two of {mine.count:,} samples are duplicates." if not found else ""
        text += " How many different images there are is not estimated: only where a test finds no copies."
    if found:
        repeat = "repeats" if found == 1 else "repeat"
        text = f"{found:,} of {mine.count:,} samples ({found / mine.count:.1%}) {repeat} another one. {text.strip()}"
    if alarm:
        text += f" Of as many real images, {expected:.1%} or less would."
    return Finding("repeats", text, alarm)


def copies(
    samples: Values,
    training: Values,
    held_out: Values,
    *,
    mirrored: Values | None = None,
    exact: int = 0,
    searched: float = 1.0,
) -> Finding:
    """Samples that are training images, blurred or mirrored ones included: :mod:`cardigan.metrics.copying` judges.

    Where too few images are held out for its verdict, samples are counted that are the same picture as a training
    image, against training images that are the same as another one.

    Args:
        samples: descriptors (N, D).
        training: descriptors (M, D) of training images, 6 or more.
        held_out: descriptors (K, D).
        mirrored: descriptors (M, D) of the training images mirrored.
        exact: samples that are training images to the pixel.
        searched: the share of the training images that ``training`` is, above 0 to 1.
    """
    unseen = held_out if len(held_out) else None
    verdict = copying(samples, training, unseen, mirrored=mirrored, searched=searched, chunk=CHUNK)
    said, alarm = verdict.sentence, bool(verdict.copies)
    if verdict.copies is None:
        said, alarm = _the_same(verdict, [training, *([] if mirrored is None else [mirrored])])
    if exact:
        which = "is a training image" if exact == 1 else "are training images"
        said = f"{exact:,} of {len(samples):,} samples {which} to the pixel. {said}"
        alarm = alarm or exact / len(samples) >= EXCESS
    return Finding("copies", said, alarm)


def exact_copies(parts: Sequence[Pixels], known: Container[bytes]) -> int:
    """How many samples are training images to the pixel.

    Args:
        parts: uint8 (n, H, W, C), part by part.
        known: the :func:`digest` of each training image.

    Example:
        >>> images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
        >>> exact_copies([images[:1], images[:1], images[1:] + 1], set(map(digest, images)))
        2
    """
    return sum(digest(image) in known for part in parts for image in part)


def digest(image: Pixels) -> bytes:
    """What tells an image, uint8 (H, W, C), from others of its shape."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def missing(
    samples: npt.NDArray[np.integer], real: npt.NDArray[np.integer], names: Sequence[str], *, what: str = "classes"
) -> Finding:
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
        there = int(np.count_nonzero(theirs))
        text = f"None of the {there} {what} is left out." if there > 1 else "The data has 1 class, and it is there."
        return Finding("missing classes", text, alarm=False)
    told = ", ".join(names[place] for place in gone[:10]) + f" and {len(gone) - 10} more" * (len(gone) > 10)
    return Finding("missing classes", f"{len(gone)} of {len(names)} {what} {_is(len(gone))} left out: {told}.")


def narrow(covered: float, precise: float, floor_covered: float, floor_precise: float) -> Finding | None:
    """Samples that look right but cover much less of the real images than training images do.

    Args:
        covered: coverage by the samples, 0 to 1.
        precise: their precision, 0 to 1.
        floor_covered: coverage by as many training images.
        floor_precise: their precision.
    """
    if covered >= NARROW * floor_covered or precise < RIGHT * floor_precise:
        return None
    return Finding(
        "narrow",
        f"The samples look right but are not as varied: they cover {covered:.0%} of the real images, where as many "
        f"training images cover {floor_covered:.0%}.",
    )


def compressed(samples: Sequence[Pixels], real: Pixels) -> Finding | None:
    """Samples that went through JPEG although the real images did not, which flatters some scores; or the reverse.

    JPEG leaves many cosine coefficients of its blocks of 8x8 pixels at 0; on grids shifted by half a block they are
    not. Real images calibrate it.

    Args:
        samples: uint8 (n, H, W, C), part by part.
        real: uint8 (M, H, W, C), two or more.

    Returns:
        None if images are too small to tell, or both are alike.
    """
    if min(real.shape[1:3]) < 3 * BLOCK:
        return None
    mine, theirs = np.concatenate([_grid(part, MOST // len(samples)) for part in samples]), _grid(real, MOST)
    if min(len(mine), len(theirs)) < 2:
        return None
    apart = float(mine.mean() - theirs.mean())
    error = math.sqrt(mine.var(ddof=1) / len(mine) + theirs.var(ddof=1) / len(theirs))
    # The side that is accused bears the marks itself: the other may lie below 0, where it says nothing of JPEG.
    accused = mine if apart > 0 else theirs
    if min(abs(apart), accused.mean()) < COMPRESSED or abs(apart) < 5 * error:
        return None
    numbers = (
        f"{mine.mean():.1%} more of the coefficients vanish on JPEG's grid than on others, and {theirs.mean():.1%} in "
        f"real images"
    )
    if apart < 0:
        return Finding(
            "compressed",
            f"The real images bear the marks of JPEG, and the samples do not ({numbers}). That counts against the "
            f"samples where it should not: measure against images that were never compressed, or at a smaller size.",
            alarm=False,
        )
    return Finding(
        "compressed",
        f"The samples bear the marks of JPEG, and the real images do not ({numbers}). Compression can make scores "
        f"better than the images are: save and measure PNG files.",
    )


def _repeating(count: int, kinds: float) -> float:
    """The share of so many images that repeat one before, drawn out of so many different ones.

    Example:
        >>> round(_repeating(2, 1e6) * 1e6, 2), _repeating(100, 1.0)
        (0.5, 0.99)
    """
    missed = -1.0 if kinds <= 1 else math.expm1(count * math.log1p(-1 / kinds))
    return max(0.0, 1 + max(1.0, kinds) / count * missed)


def _the_same(verdict: Copying, variants: Sequence[Values]) -> tuple[str, bool]:
    """What is said of copies without held-out images, and whether it is an alarm."""
    some = np.linspace(0, len(variants[0]) - 1, min(len(variants[0]), CALIBRATED)).round().astype(np.int64)
    own, _ = neighbours(variants[0][some], variants, 1, CHUNK, own=some)
    found, expected = float((verdict.distances < SAME).mean()), float((own < SAME).mean())
    if found - expected <= REPEATED:
        return verdict.sentence, False
    return (
        f"{found:.1%} of {len(verdict.distances):,} samples are all but the same picture as a training image; of "
        f"training images, {expected:.1%} are the same as another one."
    ), True


def _grid(images: Pixels, most: int) -> npt.NDArray[np.float64]:
    """Of each image that is not blank, by how much more coefficients vanish on JPEG's grid than on shifted ones."""
    chosen = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)
    half, found = BLOCK // 2, []
    for start in range(0, len(chosen), CHUNK // 16):
        some = images[chosen[start : start + CHUNK // 16], : REGION * BLOCK + half, : REGION * BLOCK + half]
        grey = some[..., :3].mean(axis=3) if some.shape[3] >= 3 else some[..., 0].astype(np.float64)
        flat, live = _flat(grey, 0, 0)
        shifted = [_flat(grey, down, across) for down, across in ((half, half), (0, half), (half, 0))]
        others, alive = (np.sum(each, axis=0) for each in zip(*shifted, strict=True))
        seen = (live > 0) & (alive > 0)
        found.append(flat[seen] / live[seen] - others[seen] / alive[seen])
    return np.concatenate(found)


def _flat(grey: npt.NDArray[np.float64], down: int, across: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Of each image, on a grid that begins ``down`` and ``across``: the shares of cosine coefficients that are about 0,
    the constant one aside, added up over the blocks that show something; and how many blocks do."""
    rows, columns = ((side - BLOCK // 2) // BLOCK for side in grey.shape[1:3])
    blocks = grey[:, down : down + rows * BLOCK, across : across + columns * BLOCK]
    blocks = blocks.reshape(len(grey), rows, BLOCK, columns, BLOCK).transpose(0, 1, 3, 2, 4)
    places = np.arange(BLOCK)
    basis = np.cos(np.pi * (places + 0.5) * places[:, None] / BLOCK) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    coefficients = np.abs(basis @ blocks @ basis.T)
    coefficients[..., 0, 0] = np.inf
    flat = (coefficients < FLAT).sum(axis=(3, 4)) / (BLOCK**2 - 1)
    coefficients[..., 0, 0] = 0
    live = coefficients.max(axis=(3, 4)) >= LIVE
    return (flat * live).sum(axis=(1, 2)), live.sum(axis=(1, 2))


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
