"""Does a run's generator copy? Its samples are compared with what it was trained on, and with what it never saw.

What is found lies in the run's folder: the numbers in ``copying.json``, the pictures of the gallery in
``samples/copying.npz``. As long as the generator and its data are the same, it is not sought again, so a report can be
written anew where the data is gone.
"""

import io
import json
import math
import shlex
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cardigan.data.holding import held_out_images, training_part
from cardigan.data.store import Store
from cardigan.data.verdicts import NOT_MANY
from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.metrics.copying import CLOSEST, FEWEST_HELD_OUT, NEIGHBOUR, SEARCHED, TWIN, copying
from cardigan.metrics.descriptor import SIDE, gradients, mirrored, pixels
from cardigan.metrics.neighbours import neighbours
from cardigan.randomness import derive
from cardigan.report.copying import STORED_SIDE, Likeness, Neighbour, Pair
from cardigan.report.grids import reduce

Pixels = npt.NDArray[np.uint8]
Found = dict[str, Any]

FORMAT = 2
"""Raise it when the same run would be judged otherwise."""
SEED = derive(0, "samples searched for copies")
"""Of the samples: a draw that is shown nowhere else."""
SAMPLES, FEWEST_SAMPLES = 500, 100
SAMPLE_PIXELS = 250 * 128 * 128
"""Of large pictures fewer samples are drawn, for drawing takes most of the time: together no more pixels than that."""
SHOWN = 4
"""Pictures in each part of the gallery."""
CHUNK = 1024
LEVELS = 255


def likeness(folder: RunFolder, config: Mapping[str, Any], sha256: str, draw: Callable[[int, int], Pixels]) -> Likeness:
    """What a report says about copying.

    Args:
        folder: of the run.
        config: of the run.
        sha256: of the published generator; tells whether what was found before is about this one.
        draw: (count, seed) -> samples, uint8 (count, H, W, C).

    Returns:
        The verdict with its gallery; without training images, why there is none.
    """
    key = {
        "format": FORMAT,
        "generator": sha256,
        "data": config["data"]["fingerprint"],
        "split": config["data"].get("split"),
    }
    known = _read(folder, key)
    if known is None:
        if not (folder.samples / "held-out-places.npy").exists():
            return Likeness(
                verdict="Whether the generator copies was not tested: samples/held-out-places.npy is missing, which "
                "tells training images from held-out ones. Bring it back from a copy of the run; runs of earlier "
                "versions of Cardigan have none."
            )
        part = training_part(folder.samples, config.get("store", ""), config["data"]["fingerprint"])
        if part is None:
            return Likeness(verdict=f"Whether the generator copies was not tested: {_how_to_prepare(folder, config)}")
        found, pictures = search(draw, *part, held_out_images(folder.samples))
        known = key | found, pictures
        _write(folder, *known)
    return _told(*known)


def _how_to_prepare(folder: RunFolder, config: Mapping[str, Any]) -> str:
    return (
        f"the prepared images of this run are not in this machine's cache. Type: {config['command']} --out "
        f"{shlex.quote(str(folder.path))}; that prepares them again, and where training is done only writes this page "
        f"anew."
    )


def warning(folder: RunFolder) -> str:
    """What the user should hear at the end of a training: that the generator copies, or that few images cannot tell."""
    found = _json(folder)
    untested = found.get("copies") is None and found.get("trained_on", NOT_MANY) < NOT_MANY
    return str(found.get("sentence", "")) if found.get("copies") or untested else ""


def search(
    draw: Callable[[int, int], Pixels], store: Store, places: npt.NDArray[np.int64], held_out: Pixels | None
) -> tuple[Found, Pixels]:
    """Compare samples with training and held-out images.

    Args:
        draw: (count, seed) -> samples, uint8 (count, H, W, C).
        store: the data.
        places: of the training images in it.
        held_out: uint8 (K, H, W, C), or None.

    Returns:
        What is kept as JSON; and the pictures of the gallery, uint8 (rows, 3, H, W, C), none larger than
        ``STORED_SIDE``: in each row a picture and the training images nearest to it by pixels and by features.
    """
    unseen = store.images[:0] if held_out is None else held_out
    testable = len(unseen) >= FEWEST_HELD_OUT
    chosen = np.sort(np.random.default_rng(SEED).permutation(places)[:SEARCHED])
    count = SAMPLE_PIXELS // math.prod(store.images.shape[1:3]) if testable else FEWEST_SAMPLES
    samples = draw(min(max(count, FEWEST_SAMPLES), SAMPLES), SEED)
    found: Found = {"samples": len(samples), "trained_on": len(places), "compared_with": len(chosen)}
    found |= {"held_out": len(unseen), "cut": bool(store.pieces), "gallery": []}
    learnt = _Learnt(store, chosen)
    calibration = gradients(unseen) if testable else None
    try:
        straight, turned = learnt.features
        searched = len(chosen) / len(places)
        judged = copying(gradients(samples), straight, calibration, mirrored=turned, searched=searched, chunk=CHUNK)
    except CardiganError as problem:  # too few training images
        return found | {"sentence": str(problem), "copies": None}, samples[:0, None]
    found["sentence"] = judged.sentence
    found |= {name: value for name, value in vars(judged).items() if not isinstance(value, np.ndarray)}
    pictures = []
    for name, images in _groups(samples, judged.order, unseen).items():
        rows, beside = learnt.nearest(images)
        found["gallery"] += [{"group": name} | row for row in rows]
        pictures += beside
    return found, np.stack(pictures)


def _groups(samples: Pixels, order: npt.NDArray[np.int64], unseen: Pixels) -> dict[str, Pixels]:
    """What the gallery shows: the first in order, others as they come, which is in none, and held-out images."""
    others = np.setdiff1d(np.arange(len(samples)), order[:SHOWN])
    evenly = np.linspace(0, max(len(unseen) - 1, 0), min(SHOWN, len(unseen))).round().astype(int)
    groups = {"suspicious": samples[order[:SHOWN]], "by lot": samples[others[:SHOWN]], "held out": unseen[evenly]}
    return {name: images for name, images in groups.items() if len(images)}


class _Learnt:
    """The training images that are searched, and how they are compared, in both orientations.

    Their forms are held in memory; the pictures are read again for the few that are shown.
    """

    def __init__(self, store: Store, places: npt.NDArray[np.int64]) -> None:
        self.store, self.places = store, places
        forms = np.concatenate([gradients(block) for block in store.blocks(places)])
        self.features = [forms, mirrored(forms)]

    def nearest(self, images: Pixels) -> tuple[list[Found], list[Pixels]]:
        """Of each picture the nearest training images: in words of JSON, and as (3, H, W, C)."""
        near, spots = neighbours(gradients(images), self.features, NEIGHBOUR, CHUNK)
        ratios = np.divide(near[:, 0], near[:, -1], out=np.ones(len(near)), where=near[:, -1] > 0)
        levels, same = self._by_pixels(images)
        seen = np.concatenate([same, spots[:, 0]])
        names = self.store.names(self.places[seen])
        rows, pictures = [], []
        for at, image in enumerate(images):
            found: Found = {}
            shown = [image]
            for measure, describe, which, distance in (
                ("pixels", pixels, at, levels[at]),
                ("features", gradients, len(images) + at, near[at, 0]),
            ):
                real = np.array(self.store.images[self.places[seen[which]]])
                own, straight, turned = describe(np.stack([image, real, real[:, ::-1]]))
                flipped = bool(np.linalg.norm(own - turned) < np.linalg.norm(own - straight))
                found[measure] = {"image": names[which], "distance": float(distance), "mirrored": flipped}
                shown.append(real[:, ::-1] if flipped else real)
            rows.append(found | {"ratio": float(ratios[at])})
            pictures.append(np.stack([reduce(np.ascontiguousarray(each), side=STORED_SIDE) for each in shown]))
        return rows, pictures

    def _by_pixels(self, images: Pixels) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Of each picture the training image nearest to it by pixels: how many levels apart, and which, (N,) each."""
        small, start = pixels(images), 0
        least, spots = np.full(len(images), np.inf), np.zeros(len(images), dtype=np.int64)
        for block in self.store.blocks(self.places):
            theirs = pixels(block)
            turned = theirs.reshape(len(block), SIDE, SIDE, -1)[:, :, ::-1].reshape(theirs.shape)
            near, here = neighbours(small, [theirs, turned], 1, CHUNK)
            nearer = near[:, 0] < least
            least, spots = np.where(nearer, near[:, 0], least), np.where(nearer, here[:, 0] + start, spots)
            start += len(block)
        return LEVELS * least / math.sqrt(small.shape[1]), spots


def _json(folder: RunFolder) -> Found:
    try:
        found = json.loads((folder.path / "copying.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(folder: RunFolder, key: Found) -> tuple[Found, Pixels] | None:
    """What was found about this generator, if anything was."""
    found = _json(folder)
    if not found.items() >= key.items():
        return None
    try:
        kept = io.BytesIO((folder.samples / "copying.npz").read_bytes())
        pictures = np.load(kept, allow_pickle=False)["pictures"]
        return (found, pictures) if len(found["gallery"]) == len(pictures) else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _write(folder: RunFolder, found: Found, pictures: Pixels) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, pictures=pictures)
    (folder.path / "copying.json").unlink(missing_ok=True)  # never numbers of one generator beside pictures of another
    replace_durably(folder.samples / "copying.npz", buffer.getvalue())
    replace_durably(folder.path / "copying.json", json.dumps(found, indent=1).encode())


GROUPS = {
    "suspicious": ("Most like copies", "Of {samples:,} samples, those that stand out most."),
    "by lot": ("Drawn by lot", "Other samples, not chosen."),
    "held out": (
        "Held-out images",
        "Real pictures that were never trained on: so near lie pictures that copy nothing.",
    ),
}


def _told(found: Found, pictures: Pixels) -> Likeness:
    """What was found, in words."""
    groups = []
    for name, (title, about) in GROUPS.items():
        mine = [(row, trio) for row, trio in zip(found["gallery"], pictures, strict=True) if row["group"] == name]
        if mine:
            groups.append((title, about.format(**found), [_pair(row, trio) for row, trio in mine]))
    return Likeness(
        verdict=found["sentence"],
        alarm=bool(found["copies"]),
        measures=_measures(found),
        remarks=_remarks(found),
        groups=groups,
    )


def _pair(row: Found, trio: Pixels) -> Pair:
    twin = " (twin)" if row["ratio"] < TWIN else ""
    captions = (
        f"by pixels, {row['pixels']['distance']:.0f} levels",
        f"by forms, {row['features']['distance']:.2f}, ratio {row['ratio']:.2f}{twin}",
    )
    beside = [
        Neighbour(shown, row[measure]["image"], caption, row[measure]["mirrored"])
        for shown, measure, caption in zip(trio[1:], ("pixels", "features"), captions, strict=True)
    ]
    return Pair(trio[0], "held-out image" if row["group"] == "held out" else "sample", beside)


def _measures(found: Found) -> list[tuple[str, str, str, str]]:
    if found.get("twins") is None:
        return []
    share = lambda value: "not known" if value is None else f"{value:.1%}"  # noqa: E731
    rows = [
        (
            "Twins of one training image",
            share(found["twins"]),
            share(found["expected"]),
            f"Less than {TWIN:g} times as far from it as from the {NEIGHBOUR}th nearest. The verdict rests on this.",
        )
    ]
    if found["closer"] is not None:
        rows.append(
            (
                "Closer to training images than held-out images are",
                share(found["closer"]),
                share(found["closer_expected"]),
                f"Than all but the closest {CLOSEST:.0%} of them. Blurred or plain samples are, too, without copying.",
            )
        )
    return rows


def _remarks(found: Found) -> list[str]:
    remarks = []
    if found["compared_with"] < found["trained_on"]:
        remarks.append(
            f"Compared with {found['compared_with']:,} of {found['trained_on']:,} training images, drawn by lot: "
            f"copies of the others are not seen."
        )
    share = math.ceil(100 * FEWEST_HELD_OUT / (found["trained_on"] + found["held_out"])) / 100
    # Pieces of one photo are held out together or not at all, so there may be nothing to be asked for.
    if found["held_out"] < FEWEST_HELD_OUT and share <= 0.5 and not found["cut"]:
        remarks.append(
            f"To have this tested, train again with images held out: --set hold_out={max(share, 0.1):g} and another "
            f"--out."
        )
    return remarks
