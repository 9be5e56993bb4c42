"""Real images and images in files, brought to one size and as many channels, before they are measured."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.data import DataSettings, Source, Store, open_source, prepare
from cardigan.data.decode import ALPHA
from cardigan.data.holding import hold_out, training_part
from cardigan.data.words import counted, counts, first, printable, sides
from cardigan.errors import CardiganError
from cardigan.evaluation.extractors_contract import Pixels
from cardigan.evaluation.measure import Real
from cardigan.evaluation.tricks import digest
from cardigan.metrics.copying import SEARCHED
from cardigan.randomness import derive

MOST = 10_000
"""Real images of a kind that are looked at; of more, so many are drawn by lot."""
MOST_BYTES = 2**30
"""Of large images fewer are looked at: together no more than that, and no fewer than :data:`FEWEST`."""
FEWEST = 500
SETTINGS = DataSettings(allow_upscale=True)
"""How images are read that nobody chose settings for."""
MARGIN = 3
"""A source whose every class has so many items keeps two of each, where some are not images, or copies."""

Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Real images, and what to know about them."""

    real: Real
    remarks: tuple[str, ...]


def of_a_run(samples: Path, config: dict[str, Any]) -> Gathered | None:
    """What a run was trained on, and what it held out.

    Args:
        samples: the folder of the run's samples, which tells what was held out.
        config: of the run.

    Returns:
        None if its data is not in this machine's cache.
    """
    part = training_part(samples, config.get("store", ""), config["data"]["fingerprint"])
    if part is None:
        return None
    store, places = part
    # From the store: the run's folder keeps no more of them than a report shows.
    return _gathered(store, places, _drawn(np.setdiff1d(np.arange(len(store)), places), store))


def beside_a_run(source: str | Path, samples: Path, config: dict[str, Any], settings: DataSettings) -> Gathered:
    """Other images than those that a run held out: nothing that it was trained on is taken for unseen.

    Args:
        source: of the images.
        samples: the folder of the run's samples.
        config: of the run.
        settings: of the run's data.
    """
    height, width, channels = config["shape"]
    # The very same data is known again by its fingerprint, so it has to be read in the very same way.
    store = read(source, (height, width), replace(settings, allow_upscale=True, channels=channels))
    told = _remarks(store, (height, width))
    part = training_part(samples, config.get("store", ""), config["data"]["fingerprint"])
    if part is None and store.fingerprint == config["data"]["fingerprint"]:
        split = hold_out(store, share=settings.hold_out)
        if split.fingerprint == config["data"].get("split"):
            return _gathered(store, split.training, _drawn(split.held, store), told)
    if part is None:
        return _divided(
            store,
            (
                *told,
                "The images that the run was trained on are not in this machine's cache, so which of these it has seen "
                "is not known.",
            ),
        )
    known, places = part
    learnt = {digest(image) for image in known.images[places]}
    asked = np.sort(_by_lot(np.arange(len(store)), store))
    unseen = asked[[digest(store.images[place]) not in learnt for place in asked]]
    if trained := len(asked) - len(unseen):
        was = counted(trained, "of these images was", "of these images were")
        told += (f"{was} trained on, and left out of what samples are measured against.",)
    return _gathered(known, places, np.array(store.images[unseen]), told)


def of_files(
    source: str | Path, against: str | Path, size: Size | None, settings: DataSettings | None = None
) -> tuple[Store, Gathered]:
    """Generated images in files, and real ones, at the size of the former.

    Both are read in colour if either has any, for samples without it would look like grey photos.

    Args:
        source: of the generated images.
        against: source of the real ones.
        size: height and width; None takes those of the generated images.
        settings: how both are read; None reads them as they are.
    """
    given = settings or SETTINGS
    for each in (source, against):
        if open_source(each, given).crops:
            raise CardiganError(
                f"{each} is one picture, which would be cut into pieces. Scores need many pictures. Name a folder, a "
                f"zip or an array of them."
            )
    ours = replace(given, duplicates="keep", labels=False)
    mine = read(source, size, ours)
    theirs = read(against, mine.shape[:2], given)
    channels = max(mine.shape[2], theirs.shape[2])
    if mine.shape[2] != channels:
        mine = read(source, size, replace(ours, channels=channels))
    if theirs.shape[2] != channels:
        theirs = read(against, mine.shape[:2], replace(given, channels=channels))
    told = (*_remarks(mine, size), *_remarks(theirs, mine.shape[:2]))
    return mine, _divided(
        theirs,
        (*told, "Which of the real images were learnt from is not known; a part of them stands for held-out ones."),
    )


def read(source: str | Path, size: Size | None, settings: DataSettings) -> Store:
    """The images of a source; their classes only where each has some."""
    opened = open_source(source, settings)
    if settings.labels and not _labelled(opened):
        settings = replace(settings, labels=False)
    return prepare(opened, size=size, settings=settings)


def _labelled(source: Source) -> bool:
    """Whether there are classes, none of which would be refused for having too few images."""
    counts = Counter(item.label for item in source.items)
    return all(counts[label] >= MARGIN for label in range(len(source.classes)))


def _divided(store: Store, told: tuple[str, ...]) -> Gathered:
    """Images of which it is not known what was learnt from: a tenth of 100 or more stands for held-out ones."""
    split = hold_out(store)
    return _gathered(store, split.training, _drawn(split.held, store), told)


def _gathered(store: Store, places: npt.NDArray[np.int64], held_out: Pixels, told: tuple[str, ...] = ()) -> Gathered:
    chosen = np.sort(_by_lot(places, store))
    if len(chosen) < len(places):
        told += (f"Of {len(places):,} training images, {len(chosen):,} are measured, drawn by lot.",)
    searched = np.sort(_shuffled(places)[:SEARCHED])
    if len(searched) < len(places):
        told += (
            f"Copies are sought among {len(searched):,} of {len(places):,} training images, drawn by lot: copies of "
            f"the others are not seen.",
        )
    labels = None if store.labels is None or len(store.classes) < 2 else np.array(store.labels[chosen])
    real = Real(
        np.array(store.images[chosen]),
        held_out,
        labels,
        store.classes,
        searched=lambda: store.blocks(searched),
        learnt=len(places),
    )
    return Gathered(real, told)


def _drawn(places: npt.NDArray[np.int64], store: Store) -> Pixels:
    return np.array(store.images[np.sort(_by_lot(places, store))])


def _by_lot(places: npt.NDArray[np.int64], store: Store) -> npt.NDArray[np.int64]:
    return _shuffled(places)[: _most(store)]


def _shuffled(places: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.random.default_rng(derive(0, "real images that are measured")).permutation(places)


def _most(store: Store) -> int:
    return min(MOST, max(FEWEST, MOST_BYTES // store.images[:1].nbytes))


def _remarks(store: Store, size: Size | None) -> tuple[str, ...]:
    """What was done to the images of a source."""
    name, told = printable(store.source), []
    told += [f"{name}: {text}" for text in store.scan.get("remarks", ())]
    if ignored := store.scan.get("ignored"):
        told.append(f"Of {name}, not read: {counts(ignored)}.")
    bad = store.scan.get("bad", ())
    if bad:
        told.append(
            f"{counted(len(bad), 'file')} of {name} cannot be used and {'is' if len(bad) == 1 else 'are'} left out: "
            f"{first(f'{file} ({reason})' for file, reason in bad)}."
        )
    if clear := store.scan.get("notes", {}).get(ALPHA, 0):
        are = counted(clear, f"image of {name} is", f"images of {name} are")
        told.append(f"{are} transparent in places: {ALPHA}.")
    smallest = store.scan.get("sizes", {}).get("smallest")
    if size is not None and smallest and (smallest[0] < size[0] or smallest[1] < size[1]):
        told.append(
            f"Images of {name} are smaller than {sides(size)}, the smallest {smallest[0]}x{smallest[1]}, and "
            f"were enlarged: such images are blurred."
        )
    return tuple(told)
