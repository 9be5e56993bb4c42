"""How good is it? Samples of a run, or images in a folder, measured against real ones; kept as a score card."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardigan.data import DataSettings, Store, open_source, prepare
from cardigan.data.holding import held_out_images, hold_out, training_part
from cardigan.errors import CardiganError
from cardigan.evaluation.card import ScoreCard, load_card
from cardigan.evaluation.extractors import default_extractor, extractor
from cardigan.evaluation.extractors_contract import Pixels
from cardigan.evaluation.measure import Origin, Real, measure
from cardigan.folder import RunFolder
from cardigan.randomness import derive
from cardigan.runs import Run

COUNT = 1_000
"""Samples in each part."""
PARTS = 3
"""Parts: draws from as many seeds."""
MOST_TRAINING = 10_000
"""Training images that are looked at; of more, so many are drawn by lot."""
CARD = "scores.json"
"""The score card's name in a run's folder."""

Told = Callable[[str], None]


def evaluate(
    subject: str | Path,
    *,
    against: str | Path | None = None,
    features: str | None = None,
    count: int | None = None,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    device: torch.device | str = "cpu",
    out: Path | None = None,
    on_step: Told = lambda text: None,
) -> ScoreCard:
    """Measure how good images are, and whether good numbers would deceive.

    Args:
        subject: a run, or generated images: a folder, a zip, an ``.npz``.
        against: real images, as the subject's; of 100 or more, a tenth is taken for held-out ones. A run is measured
            against the images that it was trained on and those it held out, if this is None.
        features: what looks at the images, as :func:`cardigan.evaluation.extractors.extractor` reads it; None takes
            the best that is on this machine, and says why.
        count: samples in each of three parts; 1,000 if None. Images that come as files are all taken.
        seed: of the draws.
        size: (height, width) at which images are compared; None takes the subject's.
        device: where networks run.
        out: where the card is written; None for ``scores.json`` in the run's folder, and nowhere for other subjects.
        on_step: called with what is about to be done.

    Returns:
        The score card.

    Raises:
        CardiganError: if the subject or the real images cannot be read or do not fit each other.

    Example:
        >>> import tempfile
        >>> rng = np.random.default_rng(0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("drawn", "photos"):
        ...         np.savez(f"{folder}/{name}.npz", images=rng.integers(0, 256, (200, 16, 16, 3), dtype=np.uint8))
        ...     card = evaluate(f"{folder}/drawn.npz", against=f"{folder}/photos.npz", features="gradients")
        >>> card.protocol.generated, card.protocol.parts, [finding.name for finding in card.alarms]
        (66, 3, ['few samples'])
    """
    if count is not None and count < 1:
        raise CardiganError(f"--count is {count}, expected the number of samples in each part, such as {COUNT}.")
    run = _as_run(subject)
    if run is None and against is None:
        raise CardiganError(
            f"{subject} is no run, so there is nothing to measure it against. Name real images: cardigan evaluate "
            f"{subject} --against IMAGES"
        )
    if run is not None:
        shape = run.config["shape"]
        if size is not None:
            raise CardiganError(f"A run is measured at its own size, {shape[0]}x{shape[1]}. Leave --size out.")
        on_step("reading the real images")
        real = _of_run(run) if against is None else _of_source(against, size=(shape[0], shape[1]), channels=shape[2])
        on_step("drawing samples")
        parts, origin = _drawn(run, count or COUNT, seed)
        trained = _trained(run)
    else:
        on_step("reading the images")
        store = _read(subject, DataSettings(allow_upscale=True, duplicates="keep", labels=False), size)
        real = _of_source(str(against), size=store.shape[:2], channels=store.shape[2])
        parts, origin, trained = _split(store, seed), Origin(), {}
    on_step("looking for an extractor")
    if features is None:
        eyes, why = default_extractor(real.training, real.labels, device=device)
    else:
        eyes, why = extractor(features, images=real.training, labels=real.labels, device=device), "As asked for."
    on_step(f"looking through {eyes.name} at {sum(map(len, parts)):,} samples")
    protocol, scores, findings = measure(parts, real, eyes, origin=origin)
    card = ScoreCard(
        subject=str(subject),
        protocol=protocol,
        scores=scores,
        findings=findings,
        because=(why, *([eyes.note] if eyes.note else [])),
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        trained=trained,
    )
    path = out or (run.path / CARD if run is not None else None)
    if path is not None:
        try:
            card.save(path)
        except OSError as error:
            raise CardiganError(
                f"The score card cannot be written to {path}: {error.strerror or error}. Choose another --out."
            ) from error
    return card


def card_of(path: str | Path) -> ScoreCard:
    """The score card of a run, or in a file.

    Raises:
        CardiganError: if there is none.
    """
    found = Path(path)
    return load_card(found / CARD if found.is_dir() else found)


def _as_run(subject: str | Path) -> Run | None:
    return Run(subject) if RunFolder(Path(subject)).config.is_file() else None


def _of_run(run: Run) -> Real:
    """What a run was trained on, and what it held out."""
    part = training_part(run.folder.samples, run.config.get("store", ""), run.config["data"]["fingerprint"])
    if part is None:
        raise CardiganError(
            f"The images that {run.path} was trained on are not in this machine's cache any more. Name them: cardigan "
            f"evaluate {run.path} --against {run.config['data']['source']}"
        )
    store, places = part
    unseen = held_out_images(run.folder.samples)
    return _real(store, places, store.images[:0] if unseen is None else unseen)


def _of_source(source: str | Path, *, size: tuple[int, int], channels: int) -> Real:
    """Images of a source, a part of them for held out."""
    store = _read(source, DataSettings(allow_upscale=True, channels=channels), size)
    split = hold_out(store)
    return _real(store, split.training, np.array(store.images[split.held]))


def _real(store: Store, places: np.ndarray, held_out: Pixels) -> Real:
    rng = np.random.default_rng(derive(0, "training images that are measured against"))
    chosen = np.sort(rng.permutation(places)[:MOST_TRAINING])
    labels = None if store.labels is None or len(store.classes) < 2 else np.array(store.labels[chosen])
    return Real(np.array(store.images[chosen]), held_out, labels, store.classes)


def _read(source: str | Path, settings: DataSettings, size: tuple[int, int] | None) -> Store:
    return prepare(open_source(source), size=size, settings=settings)


def _drawn(run: Run, count: int, seed: int) -> tuple[list[Pixels], Origin]:
    seeds = tuple(derive(seed, "samples that are measured", part) for part in range(PARTS))
    labels = "as in the data" if run.classes else "none"
    averaged = "averaged" if run.config["resolved"]["half_life"] else "as trained"
    origin = Origin(weights=averaged, truncation=1.0, labels=labels, seeds=(seed, *range(PARTS)))
    return [run.sample(count, seed=each) for each in seeds], origin


def _split(store: Store, seed: int) -> list[Pixels]:
    """A folder's images in three parts of equal size, drawn by lot; in one where they are few."""
    order = np.random.default_rng(derive(seed, "parts of a folder")).permutation(len(store))
    parts = PARTS if len(store) >= PARTS * 20 else 1
    each = len(store) // parts
    return [np.array(store.images[np.sort(order[part * each : (part + 1) * each])]) for part in range(parts)]


def _trained(run: Run) -> dict[str, Any]:
    request = run.config["request"]
    return {"data": run.config["data"]["fingerprint"], "recipe": request["recipe"], "seed": request["seed"]}
