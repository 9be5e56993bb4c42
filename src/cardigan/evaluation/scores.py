"""The numbers of a score card, each with its spread over the parts and its floor: what real images get as samples.

What depends on the number of images (all but kernel distance and authenticity) is taken of as many samples as the floor
is of, for a bias that only one of the two has would look like quality.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cardigan.errors import CardiganError
from cardigan.evaluation.card import Better, Score
from cardigan.evaluation.extractors_contract import Seen, Values
from cardigan.metrics.authenticity import authenticity
from cardigan.metrics.frechet import frechet_distance, infinite, moments
from cardigan.metrics.inception_score import inception_score
from cardigan.metrics.kernel import kernel_distance
from cardigan.metrics.manifold import Manifold, manifold
from cardigan.metrics.per_class import per_class
from cardigan.randomness import derive

NEIGHBOURS = 5
"""For precision and recall: *Reliable Fidelity and Diversity Metrics for Generative Models*, Naeem et al., 2020."""
POINTS = 2
"""Numbers of images through which the Fréchet distance is extrapolated: all of a part, and half of them."""
BIASED_BELOW = 10_000
"""Images below which the Fréchet distance is said to be biased."""
FEWEST_OF_A_CLASS = 10
"""Images, real or generated, below which a class is not measured by itself."""
CLASS_SUBSETS = 10
"""Pairs of subsets for the kernel distance of a class: there are many classes, and their order is what counts."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What an extractor saw.

    Args:
        mine: of the samples, part by part, equally many in each.
        theirs: of the real images that samples are measured against.
        learnt: of the training images.
        held_out: ``theirs`` were not learnt from, so there is a floor.
    """

    mine: Sequence[Seen]
    theirs: Seen
    learnt: Seen
    held_out: bool

    @property
    def compared(self) -> int:
        """How many samples of each part enter scores that depend on their number."""
        count = len(self.mine[0].features)
        return min(count, len(self.learnt.features)) if self.held_out else count

    @property
    def few(self) -> list[Values]:
        """Features of so many samples of each part."""
        return [some(part.features, self.compared) for part in self.mine]

    @property
    def floor(self) -> Values | None:
        """Features of as many training images, which take the place of samples for the floor."""
        return some(self.learnt.features, self.compared) if self.held_out else None


def some(values: Values, count: int) -> Values:
    """``count`` of the rows, evenly spread; all where there are no more.

    Example:
        >>> some(np.arange(5), 3).tolist(), some(np.arange(2), 3).tolist()
        ([0, 2, 4], [0, 1])
    """
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)]


def kernel(looks: Looks) -> Score:
    """The kernel distance. Unbiased, so every sample counts."""
    least = "around 0" if looks.floor is None else "near that of real images"
    note = f"unbiased, so the number to read first; {least} nothing is told apart, and it may be negative"
    floor = None if looks.floor is None else _kernel_distance(looks.theirs.features, looks.floor)
    values = [_kernel_distance(looks.theirs.features, part.features) for part in looks.mine]
    return _score("kid", values, floor, "low", note)


def frechet(looks: Looks) -> Score:
    """The Fréchet distance, where there are more images than features."""
    theirs, floor = looks.theirs.features, looks.floor
    width, real = theirs.shape[1], len(theirs)
    count = min(real, looks.compared)
    if count <= width:
        return Score(
            "fd",
            None,
            None,
            None,
            "low",
            f"not given: the covariance of {width:,} features takes more than {width:,} images, real and generated, "
            f"and there are {count:,}; read the kernel distance",
        )
    note = f"of {real:,} real and {looks.compared:,} generated images: it depends on both, so compare no others"
    note += "; biased with so few, so read the kernel distance first" * (count < BIASED_BELOW)
    known = moments(theirs)
    least = None if floor is None else frechet_distance(known, floor)
    return _score("fd", [frechet_distance(known, part) for part in looks.few], least, "low", note)


def extrapolated(looks: Looks) -> Score:
    """The Fréchet distance of infinitely many samples, where half of a part are more than features.

    Of as many samples as the floor is of all the same: what the line misses the truth by depends on their number.
    """
    theirs, floor = looks.theirs.features, looks.floor
    least, real = theirs.shape[1] + 1, len(theirs)
    if real < least or looks.compared < 2 * least:
        note = (
            f"not given: of {least - 1:,} features it takes {least:,} real and {2 * least:,} generated images or more, "
            f"and there are {real:,} and {looks.compared:,}; read the kernel distance"
        )
        return Score("fd-infinity", None, None, None, "low", note)
    known = moments(theirs)

    def distance(values: Values) -> float:
        rng = np.random.default_rng(derive(0, "halves of the extrapolated Fréchet distance"))
        return infinite(known, values, points=POINTS, rng=rng)

    note = (
        f"extrapolated to infinitely many generated images; the number of real ones, {real:,}, still counts, so "
        f"compare no others; it may be negative"
    )
    values = [distance(part) for part in looks.few]
    return _score("fd-infinity", values, None if floor is None else distance(floor), "low", note)


def manifolds(looks: Looks) -> tuple[list[Score], tuple[list[Manifold], Manifold | None]]:
    """Precision, recall, density and coverage; and what they were read from, of each part and of the floor."""
    notes = {
        "precision": "samples that lie among real images: how good they look",
        "recall": "real images that lie among samples: how varied they are",
        "density": "how densely samples lie among real images; may exceed 1",
        "coverage": "real images that a sample is near to: how varied they are, minding outliers less",
    }
    theirs = looks.theirs.features
    found = [manifold(theirs, part, k=NEIGHBOURS) for part in looks.few]
    floor = None if looks.floor is None else manifold(theirs, looks.floor, k=NEIGHBOURS)
    scores = [
        _score(
            name,
            [getattr(part, name) for part in found],
            None if floor is None else getattr(floor, name),
            "high",
            note,
        )
        for name, note in notes.items()
    ]
    return scores, (found, floor)


def authentic(looks: Looks) -> Score:
    """Authenticity. Its floor is that of held-out images."""
    learnt = looks.learnt.features
    floor = authenticity(looks.theirs.features, learnt) if looks.held_out else None
    values = [authenticity(part.features, learnt) for part in looks.mine]
    note = "samples no nearer to a training image than its own neighbour is; far below real images hints at copies"
    return _score("authenticity", values, floor, "near", note)


def inception(looks: Looks, extractor: str) -> list[Score]:
    """The Inception Score, where the extractor classifies. Its floor is the score of as many real images."""
    if looks.theirs.probabilities is None or looks.learnt.probabilities is None:
        return []
    count = looks.compared
    values = [_recognised(some(part.probabilities, count)) for part in looks.mine if part.probabilities is not None]
    heaps = (looks.theirs.probabilities, looks.learnt.probabilities)
    floor = next((_recognised(some(heap, count)) for heap in heaps if len(heap) >= count), None)
    note = f"of {count:,} samples, and higher with more; looks at no real image"
    if extractor == "inception":
        note += "; old papers take 50,000 samples in 10 parts"
    else:
        note += f"; by the classes of {extractor}, so comparable with itself only"
    return [_score("is", values, floor, "high", note)]


def classes(
    looks: Looks, labels: Sequence[npt.NDArray[np.integer]], real: npt.NDArray[np.integer], names: Sequence[str]
) -> dict[str, float | None]:
    """Of each class the kernel distance between its samples and the training images of that class.

    Training images, for of held-out ones there are few in each class.

    Args:
        looks: what was seen.
        labels: the classes that were drawn, part by part.
        real: the classes of the training images.
        names: of the classes.

    Returns:
        The distances by name; None where a class has too few images.
    """

    def distance(theirs: Values, mine: Values) -> float:
        if min(len(theirs), len(mine)) < FEWEST_OF_A_CLASS:
            raise CardiganError(f"A class takes {FEWEST_OF_A_CLASS} images of either kind.")
        return _kernel_distance(theirs, mine, subsets=CLASS_SUBSETS)

    mine = np.concatenate([part.features for part in looks.mine])
    try:
        found, _ = per_class(
            distance, looks.learnt.features, mine, real_labels=real, fake_labels=np.concatenate(labels)
        )
    except CardiganError:  # none has enough images
        found = {}
    return {name: found.get(place) for place, name in enumerate(names)}


def _kernel_distance(theirs: Values, mine: Values, subsets: int = 100) -> float:
    rng = np.random.default_rng(derive(0, "subsets of the kernel distance"))
    return kernel_distance(theirs, mine, subsets=subsets, rng=rng)[0]


def _recognised(probabilities: Values) -> float:
    return inception_score(probabilities, splits=1)[0]


def _score(metric: str, values: list[float], floor: float | None, better: Better, note: str) -> Score:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Score(metric, float(np.mean(values)), spread, floor, better, note, tuple(map(float, values)))
