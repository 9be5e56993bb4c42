"""Samples measured against real images: every score with its spread and its floor, and what scores would hide."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cardigan.data.store import fingerprint
from cardigan.errors import CardiganError
from cardigan.evaluation import scores, tricks
from cardigan.evaluation.cache import seen
from cardigan.evaluation.card import Finding, Protocol, Score
from cardigan.evaluation.extractors_arithmetic import gradients
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, Values
from cardigan.evaluation.scores import NEIGHBOURS, POINTS, Looks
from cardigan.metrics.copying import FEWEST_HELD_OUT as FEWEST_TO_TEST
from cardigan.metrics.descriptor import mirrored
from cardigan.metrics.manifold import Manifold

FEWEST_HELD_OUT = 50
"""With fewer held-out images than that, samples are measured against training images."""
GREY = 2
"""Channels up to which images are grey."""
OF_PHOTOS = ("ImageNet", "LVD-142M")
"""What networks that know coloured photos learned from."""


@dataclass(frozen=True, eq=False)
class Real:
    """The real images.

    Args:
        training: that were learnt from, uint8 (N, H, W, C).
        held_out: that were not, uint8 (M, H, W, C), M from 0 on.
        labels: of the training images (N,), or None.
        names: of the classes.
        searched: all images that copies are sought among, uint8 (n, H, W, C), some at a time; None for ``training``.
        learnt: how many were learnt from; None for as many as are searched.
    """

    training: Pixels
    held_out: Pixels
    labels: npt.NDArray[np.integer] | None = None
    names: tuple[str, ...] = ()
    searched: Callable[[], Iterable[Pixels]] | None = None
    learnt: int | None = None

    @property
    def reference(self) -> tuple[str, Pixels]:
        """What samples are measured against, and its name."""
        if len(self.held_out) >= FEWEST_HELD_OUT:
            return "held-out", self.held_out
        return "training", self.training


@dataclass(frozen=True)
class Origin:
    """Where samples come from, as far as it has to be the same for a comparison: see :class:`Protocol`.

    Args:
        weights: see there.
        truncation: see there.
        labels: see there.
        seeds: see there.
        device: see there.
        looked_through: the pretrained network that training was judged by, as the recipe names it; "" without one.
    """

    weights: str = "as given"
    truncation: float | None = None
    labels: str = "as given"
    seeds: tuple[int, ...] = ()
    device: str = "cpu"
    looked_through: str = ""

    @property
    def files(self) -> bool:
        """The samples came as files, and what happened to them is not known."""
        return self.weights == "as given"


@dataclass(frozen=True)
class Measured:
    """What is known about some samples: the parts of a score card."""

    protocol: Protocol
    scores: tuple[Score, ...]
    findings: tuple[Finding, ...]
    classes: Mapping[str, float | None] = field(default_factory=dict)


def measure(
    parts: Sequence[Pixels],
    real: Real,
    extractor: Extractor,
    *,
    origin: Origin | None = None,
    labels: Sequence[npt.NDArray[np.integer]] | None = None,
    cache: str | Path | None = None,
) -> Measured:
    """Everything that is known about some samples.

    Args:
        parts: uint8 (n, H, W, C) each, equally many: draws from different seeds, or the parts of a folder. Each is
            measured by itself; what they differ by is the spread.
        real: what to measure against, of the same shape.
        extractor: through which.
        origin: of the samples.
        labels: the classes that were drawn, (n,) for each part, where they are those of ``real``.
        cache: where features are kept; None for the usual place.

    Raises:
        CardiganError: if shapes differ, or there is too little to measure.
    """
    _check(parts, real)
    origin = origin or Origin()
    name, reference = real.reference
    theirs, learnt, *mine = (
        seen(extractor, images, device=origin.device, cache=cache) for images in (reference, real.training, *parts)
    )
    looks = Looks(mine, theirs, learnt, held_out=name == "held-out")
    manifolds, read = scores.manifolds(looks)
    height, width, channels = reference.shape[1:]
    protocol = Protocol(
        extractor=extractor.name,
        digest=extractor.digest,
        preprocessing=extractor.preprocessing,
        device=origin.device,
        shape=(height, width, channels),
        reference=name,
        fingerprint=fingerprint(reference, None, ()),
        real=len(reference),
        generated=len(parts[0]),
        compared=looks.compared,
        parts=len(parts),
        weights=origin.weights,
        truncation=origin.truncation,
        labels=origin.labels,
        seeds=origin.seeds,
        neighbours=NEIGHBOURS,
        points=POINTS,
    )
    found = [
        *_limits(parts, real, extractor, origin),
        *_tricks(parts, real, origin, cache),
        *_variety(read, looks, extractor, real.names),
    ]
    return Measured(
        protocol,
        (
            scores.kernel(looks),
            scores.frechet(looks),
            scores.extrapolated(looks),
            *manifolds,
            scores.authentic(looks),
            *scores.inception(looks, extractor.name),
        ),
        tuple(finding for finding in found if finding is not None),
        {} if labels is None or real.labels is None else scores.classes(looks, labels, real.labels, real.names),
    )


def _check(parts: Sequence[Pixels], real: Real) -> None:
    if not parts or min(map(len, parts)) <= NEIGHBOURS:
        counts = ", ".join(str(len(part)) for part in parts) or "none"
        raise CardiganError(f"Scores take more than {NEIGHBOURS} samples in each part, got {counts}. Draw more.")
    if len(real.training) <= NEIGHBOURS:
        raise CardiganError(
            f"Scores take more than {NEIGHBOURS} real images to learn from, got {len(real.training)}. Measure against "
            f"more."
        )
    for part in (*parts, real.held_out):
        if part.shape[1:] != real.training.shape[1:]:
            raise CardiganError(
                f"Samples and real images have one shape, got {part.shape[1:]} beside {real.training.shape[1:]}. Bring "
                f"all to one size and as many channels."
            )
    if len({len(part) for part in parts}) > 1:
        raise CardiganError(f"Parts have equally many samples, got {', '.join(str(len(part)) for part in parts)}.")


def _limits(parts: Sequence[Pixels], real: Real, extractor: Extractor, origin: Origin) -> Iterator[Finding | None]:
    """What the numbers cannot say."""
    name, reference = real.reference
    yield tricks.few_samples(sum(map(len, parts)))
    yield tricks.few_real(len(reference), name)
    if reference.shape[3] <= GREY and extractor.learned_from.startswith(OF_PHOTOS):
        yield Finding(
            "grey",
            f"{extractor.name} knows coloured photos, and these images are grey ({extractor.preprocessing}): numbers "
            f"through it are relative only.",
            alarm=False,
        )
    yield _independent(extractor, origin.looked_through)


def _independent(extractor: Extractor, looked_through: str) -> Finding | None:
    """Whether training was judged by what judges now."""
    photos = looked_through.startswith("timm:") and extractor.learned_from.startswith("ImageNet")
    if not looked_through or extractor.learned_from == "nothing":
        return None
    told = f"was trained to please a pretrained network, {looked_through}"
    if looked_through == extractor.name:
        told = f"The generator {told}, and is measured through the same one"
    elif photos:
        told = f"The generator {told}, and {extractor.name} learned from ImageNet as well"
    else:
        return Finding(
            "not independent",
            f"The generator {told}. Whether {extractor.name} learned from the same images is not known; if so, its "
            f"numbers flatter this generator.",
            alarm=False,
        )
    return Finding(
        "not independent",
        f"{told}: its numbers flatter this generator beside others. Look through one that learned elsewhere, such as "
        f"--features dinov2.",
        alarm=False,
    )


def _tricks(parts: Sequence[Pixels], real: Real, origin: Origin, cache: str | Path | None) -> Iterator[Finding | None]:
    """What shows in pictures and their gradients."""
    eyes = gradients()

    def described(images: Pixels) -> Values:
        return seen(eyes, images, cache=cache).features

    samples = np.concatenate([described(part) for part in parts])
    known, found = set[bytes](), []
    for block in real.searched() if real.searched else [real.training]:
        found.append(described(block))
        known.update(map(tricks.digest, block))
    training = np.concatenate(found)
    held_out = described(real.held_out) if len(real.held_out) else training[:0]
    copies = tricks.copies(
        samples,
        training,
        held_out,
        mirrored=mirrored(training),
        exact=tricks.exact_copies(parts, known),
        searched=len(training) / (real.learnt or len(training)),
    )
    yield copies
    tested = len(held_out) >= FEWEST_TO_TEST and not copies.alarm
    yield tricks.repeats(samples, scores.some(training, len(samples)), estimated=tested)
    if origin.files:
        yield tricks.compressed(parts, real.training)


def _variety(
    read: tuple[Sequence[Manifold], Manifold | None], looks: Looks, extractor: Extractor, names: tuple[str, ...]
) -> Iterator[Finding | None]:
    """What is left out, as the extractor sees it."""
    found, floor = read
    if floor is not None:
        coverage, precision = (
            float(np.mean([getattr(part, name) for part in found])) for name in ("coverage", "precision")
        )
        yield tricks.narrow(coverage, precision, floor.coverage, floor.precision)
    # Inception's thousand classes are not the data's: what shifts among them need not be missing.
    if extractor.classes and not extractor.learned_from.startswith(OF_PHOTOS):
        own = len(names) == extractor.classes
        yield tricks.missing(
            np.concatenate([_classes(part) for part in looks.mine]),
            _classes(looks.learnt),
            names if own else [str(number) for number in range(extractor.classes)],
            what="classes" if own else f"classes of {extractor.name}",
        )


def _classes(part: Seen) -> npt.NDArray[np.int64]:
    assert part.probabilities is not None
    return part.probabilities.argmax(axis=1)
