"""Authenticity: the share of samples that lie no nearer to a training image than its own nearest fellow does.

Source: *How Faithful is your Synthetic Data? Sample-level Metrics for Evaluating and Auditing Generative Models*, Alaa,
van Breugel, Saveliev and van der Schaar, 2022.
"""

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.metrics.neighbours import fit, neighbours, vectors


def authenticity(samples: npt.ArrayLike, training: npt.ArrayLike, *, chunk: int = 1024) -> float:
    """The share of authentic samples: further from their nearest training image than that is from its nearest other.

    1 is not the healthy value, and a lower one is no proof of copying: among new images of the very distribution that
    was learnt from, many lie nearer to a training image than any other training image does. Measure held-out images in
    the place of samples, and read the number against theirs; far below is suspect, and far above says that samples are
    further off than real images, be it by faults. ``copying`` gives a verdict.

    Args:
        samples: features (N, F).
        training: features (M, F) of all training images, at least 2. Of several that are nearest, the first counts.
        chunk: vectors that are compared with as many others at once; it changes memory and time, not the share.

    Returns:
        A share, 0 to 1; papers give it as AuthPct, in percent.

    Raises:
        CardiganError: if there are no samples or less than 2 training images, lengths differ, or a value is not finite.

    Example:
        >>> authenticity([[0.1], [2.5]], [[0.0], [1.0], [5.0], [6.0]])
        0.5
    """
    ours, learnt = vectors("samples", samples), vectors("training images", training)
    fit("training images", learnt, ours)
    if len(learnt) < 2:
        raise CardiganError(
            f"Authenticity reads how far training images lie from each other, so it takes at least 2, got "
            f"{len(learnt)}. Give all of them."
        )
    near, places = neighbours(ours, [learnt], 1, chunk)
    own, _ = neighbours(learnt, [learnt], 1, chunk, own=np.arange(len(learnt)))
    return float(np.mean(near[:, 0] > own[places[:, 0], 0]))
