"""Inception score: are pictures recognised for sure, and as many different things? High is good. A legacy number.

It never looks at real images, so it does not notice that a generator repeats one picture a class, or draws classes that
the data do not have. It means something where the classes are those of the data, as for ImageNet; it is here for
comparison with older papers.

Source: *Improved Techniques for Training GANs*, Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen, 2016; why not
to trust it: *A Note on the Inception Score*, Barratt and Sharma, 2018.
"""

import itertools

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.heaps import Values, heap

ROUNDING = 1e-3
"""How far from 1 probabilities of an image may add up to, for networks that ran in half precision."""


def inception_score(probabilities: npt.ArrayLike, *, splits: int = 10) -> tuple[float, float]:
    """The exponential of how much, on average, an image's probabilities differ from those of all images.

    Args:
        probabilities: of each class for each image (N, C), as a softmax gives them, images in random order.
        splits: parts, one after another, that are measured by themselves. Fewer images a part have a lower score, so
            compare scores of equally many images and splits.

    Returns:
        The mean over parts, 1 to C, and their standard deviation, 0.0 for one part.

    Raises:
        CardiganError: if rows are no probabilities, or there are less images than parts.

    Example:
        >>> inception_score([[1.0, 0.0], [0.0, 1.0]], splits=1)
        (2.0, 0.0)
    """
    rows = _checked(heap("classified", probabilities))
    if not 1 <= splits <= len(rows):
        raise CardiganError(
            f"Images are split into 1 part or more of at least 1 image, got splits={splits} and {len(rows)} images. "
            f"Usual are splits=10 and 50,000 images."
        )
    edges = np.arange(splits + 1) * len(rows) // splits
    scores = [_score(rows[start:end]) for start, end in itertools.pairwise(edges)]
    return float(np.mean(scores)), float(np.std(scores))


def _score(rows: Values) -> float:
    whole = rows.mean(axis=0)
    return float(np.exp((_informations(rows).sum(axis=1)).mean() - _informations(whole).sum()))


def _informations(chances: Values) -> Values:
    """p log p, which is 0 where p is."""
    return chances * np.log(np.where(chances > 0, chances, 1.0))


def _checked(found: npt.ArrayLike) -> Values:
    rows = np.asarray(found, dtype=np.float64)
    sums = rows.sum(axis=1)
    wrong = np.flatnonzero((rows < 0).any(axis=1) | (np.abs(sums - 1) > ROUNDING))
    if len(wrong):
        place = wrong[0]
        raise CardiganError(
            f"Probabilities of an image are 0 or more and add up to 1; those of {len(wrong)} of {len(rows)} images are "
            f"not. Those of image {place} start at {rows[place].min():.4g} and add up to {sums[place]:.4g}. Apply "
            f"softmax to a network's logits first."
        )
    return rows / sums[:, None]
