"""Samples measured against real images: every score with its spread and its floor, and what scores would hide."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cardigan.data.store import fingerprint
from cardigan.errors import CardiganError
from cardigan.evaluation import tricks
from cardigan.evaluation.cache import seen
from cardigan.evaluation.card import Finding, Protocol, Score
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, Values
from cardigan.metrics.authenticity import authenticity
from cardigan.metrics.frechet import frechet_distance
from cardigan.metrics.inception_score import inception_score
from cardigan.metrics.kernel import kernel_distance
from cardigan.metrics.manifold import Manifold, manifold
from cardigan.randomness import derive

NEIGHBOURS = 5
"""For precision and recall: *Reliable Fidelity and Diversity Metrics for Generative Models*, Naeem et al., 2020."""
FEWEST_HELD_OUT = 50
"""With fewer held-out images than that, samples are measured against training images."""
BIASED_BELOW = 10_000
"""Images below which the Fréchet distance is said to be biased."""


@dataclass(frozen=True, eq=False)
class Real:
    """The real images.

    Args:
        training: that were learnt from, uint8 (N, H, W, C).
        held_out: that were not, uint8 (M, H, W, C), M from 0 on.
        labels: of the training images (N,), or None.
        names: of the classes.
    """

    training: Pixels
    held_out: Pixels
    labels: npt.NDArray[np.integer] | None = None
    names: tuple[str, ...] = ()

    @property
    def reference(self) -> tuple[str, Pixels]:
        """What samples are measured against, and its name."""
        if len(self.held_out) >= FEWEST_HELD_OUT:
            return "held-out", self.held_out
        return "training", self.training


@dataclass(frozen=True)
class Origin:
    """Where samples come from, as far as it has to be the same for a comparison: see :class:`Protocol`."""

    weights: str = "as given"
    truncation: float | None = None
    labels: str = "as given"
    seeds: tuple[int, ...] = ()


def measure(
    parts: Sequence[Pixels],
    real: Real,
    extractor: Extractor,
    *,
    origin: Origin | None = None,
    cache: str | Path | None = None,
) -> tuple[Protocol, tuple[Score, ...], tuple[Finding, ...]]:
    """Everything that is known about some samples.

    Args:
        parts: uint8 (n, H, W, C) each, equally many: draws from different seeds, or the parts of a folder. Each is
            measured by itself; what they differ by is the spread.
        real: what to measure against, of the same shape.
        extractor: through which.
        origin: of the samples.
        cache: where features are kept; None for the usual place.

    Returns:
        How was measured, the scores, and what they would hide.

    Raises:
        CardiganError: if shapes differ, or there is too little to measure.
    """
    _check(parts, real)
    name, reference = real.reference
    eyes = _Eyes(extractor, cache)
    theirs, learnt = eyes(reference), eyes(real.training)
    mine = [eyes(part) for part in parts]
    floor = _as_many(learnt.features, len(parts[0])) if name == "held-out" else None
    manifolds = [manifold(theirs.features, part.features, k=_neighbours(theirs, part)) for part in mine]
    floor_manifold = None if floor is None else manifold(theirs.features, floor, k=min(NEIGHBOURS, len(floor) - 1))
    scores = [
        _kernel(theirs, mine, floor),
        _frechet(theirs, mine, floor),
        *_manifold_scores(manifolds, floor_manifold),
        _authentic(mine, learnt, theirs if name == "held-out" else None),
        *_inception(extractor, mine, theirs),
    ]
    origin = origin or Origin()
    protocol = Protocol(
        extractor=extractor.name,
        digest=extractor.digest,
        preprocessing=extractor.preprocessing,
        shape=(reference.shape[1], reference.shape[2], reference.shape[3]),
        reference=name,
        fingerprint=fingerprint(reference, None, ()),
        real=len(reference),
        generated=len(parts[0]),
        parts=len(parts),
        weights=origin.weights,
        truncation=origin.truncation,
        labels=origin.labels,
        seeds=origin.seeds,
        neighbours=NEIGHBOURS,
    )
    return protocol, tuple(scores), tuple(_findings(parts, real, extractor, mine, learnt, manifolds, floor_manifold))


class _Eyes:
    """What an extractor says of images, from the cache where it can."""

    def __init__(self, extractor: Extractor, cache: str | Path | None) -> None:
        self.extractor, self.cache = extractor, cache

    def __call__(self, images: Pixels) -> Seen:
        return seen(self.extractor, images, cache=self.cache)


def _check(parts: Sequence[Pixels], real: Real) -> None:
    if not parts or min(map(len, parts)) <= NEIGHBOURS:
        counts = ", ".join(str(len(part)) for part in parts) or "none"
        raise CardiganError(f"Scores take more than {NEIGHBOURS} samples in each part, got {counts}. Draw more.")
    if len(real.reference[1]) <= NEIGHBOURS:
        raise CardiganError(
            f"Scores take more than {NEIGHBOURS} real images, got {len(real.reference[1])}. Measure against more."
        )
    for part in parts:
        if part.shape[1:] != real.training.shape[1:] or len(part) != len(parts[0]):
            raise CardiganError(
                f"Samples of shape {part.shape} cannot be measured against real images of shape "
                f"{real.training.shape}. Bring both to one size and as many channels."
            )


def _as_many(values: Values, count: int) -> Values:
    """``count`` of them, spread evenly, or all if there are fewer."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)]


def _neighbours(theirs: Seen, mine: Seen) -> int:
    return min(NEIGHBOURS, len(theirs.features) - 1, len(mine.features) - 1)


def _score(metric: str, values: list[float], floor: float | None, better: str, note: str = "") -> Score:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Score(metric, float(np.mean(values)), spread, floor, "low" if better == "low" else "high", note)


def _kernel(theirs: Seen, mine: Sequence[Seen], floor: Values | None) -> Score:
    def distance(features: Values) -> float:
        rng = np.random.default_rng(derive(0, "subsets of the kernel distance"))
        return kernel_distance(theirs.features, features, rng=rng)[0]

    note = "unbiased; around 0 nothing is told apart, and it may be negative"
    least = None if floor is None else distance(floor)
    return _score("kid", [distance(part.features) for part in mine], least, "low", note)


def _frechet(theirs: Seen, mine: Sequence[Seen], floor: Values | None) -> Score:
    width, count = theirs.features.shape[1], min(len(theirs.features), len(mine[0].features))
    if count <= width:
        return Score(
            "fd",
            None,
            None,
            None,
            "low",
            f"not given: the covariance of {width:,} features takes more than {width:,} images, and there are "
            f"{count:,}; read the kernel distance",
        )
    note = f"of {count:,} images; compare with no other number of them"
    note += f", and below {BIASED_BELOW:,} read the kernel distance first" * (count < BIASED_BELOW)
    least = frechet_distance(theirs.features, floor) if floor is not None and len(floor) > width else None
    return _score("fd", [frechet_distance(theirs.features, part.features) for part in mine], least, "low", note)


def _manifold_scores(found: Sequence[Manifold], floor: Manifold | None) -> list[Score]:
    notes = {
        "precision": "samples among real images: how good they look",
        "recall": "real images among samples: how varied they are",
        "density": "how densely samples lie among real images; may exceed 1",
        "coverage": "real images that a sample is near to",
    }
    return [
        _score(
            name,
            [getattr(part, name) for part in found],
            None if floor is None else getattr(floor, name),
            "high",
            note,
        )
        for name, note in notes.items()
    ]


def _authentic(mine: Sequence[Seen], learnt: Seen, unseen: Seen | None) -> Score:
    least = None if unseen is None else authenticity(unseen.features, learnt.features)
    values = [authenticity(part.features, learnt.features) for part in mine]
    return _score(
        "authenticity", values, least, "high", "1 is not the goal: far below that of held-out images hints at copies"
    )


def _inception(extractor: Extractor, mine: Sequence[Seen], theirs: Seen) -> list[Score]:
    """Where the extractor classifies. Its floor is what the real images get."""
    if theirs.probabilities is None:
        return []
    values = [inception_score(part.probabilities, splits=1)[0] for part in mine if part.probabilities is not None]
    note = "sees no real images; kept for comparison with old papers"
    if extractor.name != "inception":
        note = f"by the classes of {extractor.name}: only comparable with itself"
    return [_score("is", values, inception_score(theirs.probabilities, splits=1)[0], "high", note)]


def _findings(
    parts: Sequence[Pixels],
    real: Real,
    extractor: Extractor,
    mine: Sequence[Seen],
    learnt: Seen,
    manifolds: Sequence[Manifold],
    floor: Manifold | None,
) -> list[Finding]:
    samples = np.concatenate(parts)
    found = [
        tricks.few_samples(len(samples)),
        tricks.repeats(samples, real.training),
        tricks.copies(samples, real.training, real.held_out),
        tricks.compressed(samples, real.training),
    ]
    if floor is not None:
        means = [float(np.mean([getattr(part, name) for part in manifolds])) for name in ("coverage", "precision")]
        found.append(tricks.narrow(*means, floor.coverage, floor.precision))
    if extractor.classes:
        names = list(real.names) if len(real.names) == extractor.classes else list(map(str, range(extractor.classes)))
        found.append(tricks.missing(np.concatenate([_classes(part) for part in mine]), _classes(learnt), names))
    return [finding for finding in found if finding is not None]


def _classes(seen: Seen) -> npt.NDArray[np.int64]:
    assert seen.probabilities is not None
    return seen.probabilities.argmax(axis=1)
