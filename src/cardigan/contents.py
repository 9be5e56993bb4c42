"""What the report of a run shows, gathered from its folder and drawn by its generator."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cardigan.contracts import GeneratorNetwork
from cardigan.copies import likeness
from cardigan.cost import read_cost, told
from cardigan.data.words import counted
from cardigan.errors import CardiganError
from cardigan.evaluation.shown import scores_of
from cardigan.folder import RunFolder, fast_paths, read_lines, ways_trained
from cardigan.pixels import to_float
from cardigan.report.page import MOST_CLASSES, Contents, duration
from cardigan.sample import draw, interpolation

Opened = tuple[GeneratorNetwork, dict[str, Any]]
"""A published generator and its facts."""
Sample = Callable[..., npt.NDArray[np.uint8]]

COMPARED = 12
"""Restored pieces in a report."""
REPORTED = 64
"""Generated images in a report."""


def contents(
    folder: RunFolder,
    config: dict[str, Any],
    kept: Opened,
    *,
    before: Opened | None,
    sample: Sample,
) -> Contents:
    """Everything that the report of a run shows.

    Args:
        folder: of the run.
        config: of the run.
        kept: the generator that was published.
        before: of a restoration, the one from before the game; None where there is none.
        sample: draws as :meth:`cardigan.runs.Run.sample` does.

    Raises:
        CardiganError: if a restoration has lost the pictures that it is shown by.
    """
    records = folder.read_records()
    shown = _restored(folder, kept, before) if "degrade" in kept[1] else _drawn(folder, config, kept, sample)
    return Contents(
        title=folder.path.resolve().name,
        summary=_summary(folder, config, kept[1], records),
        settings={"request": config["request"], "recipe": config["resolved"]},
        data=config["data"],
        snapshots=_snapshots(folder),
        records=records,
        notes=[*config["because"], *(event["text"] for event in folder.read_events())],
        command=config["command"],
        version=config["version"],
        **shown,
    )


def _drawn(folder: RunFolder, config: dict[str, Any], kept: Opened, sample: Sample) -> dict[str, Any]:
    """What a report shows of a generator that draws from latents."""
    network, facts = kept
    names, per_class = list(facts.get("classes", {})), None
    if names:
        shown = range(min(len(names), MOST_CLASSES))
        per_class = np.stack([sample(8, seed=1, label=place) for place in shown])
    real = folder.samples / "real.npy"
    generated = sample(REPORTED)
    return {
        "real": np.load(real, allow_pickle=False) if real.exists() else generated[:0],
        "generated": generated,
        "interpolation": interpolation(network),
        "per_class": per_class,
        "class_names": names,
        "scores": scores_of(folder.path, facts["sha256"]),
        "trials": _trials(folder, "kid", facts),
        "likeness": likeness(folder, config, facts["sha256"], lambda count, seed: sample(count, seed=seed)),
    }


def _restored(folder: RunFolder, kept: Opened, before: Opened | None) -> dict[str, Any]:
    """What a report shows of a generator that restores: held-out pieces as given, between, restored and true."""
    network, facts = kept
    paths = [folder.samples / f"{name}.npy" for name in ("given", "true")]
    if missing := [path for path in paths if not path.exists()]:
        raise CardiganError(
            f"{missing[0]} is missing, so a report has no pictures to compare. Bring it back from a copy of the "
            f"run; its generator works without it."
        )
    given, true = (np.load(path, allow_pickle=False) for path in paths)
    chosen = np.linspace(0, len(true) - 1, min(COMPARED, len(true))).round().astype(int)
    given, true = given[chosen], true[chosen]
    source = to_float(torch.from_numpy(given))
    columns = [("as given", given), ("restored", draw(network, source)), ("true", true)]
    if before is not None and before[1]["sha256"] != facts["sha256"]:
        columns.insert(1, ("before the game", draw(before[0], source)))
    return {"real": true[:0], "generated": true[:0], "comparison": columns, "trials": _trials(folder, "psnr", facts)}


def _trials(folder: RunFolder, measure: str, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What was measured in training, and which of it was kept."""
    lines = [line for line in read_lines(folder.trials) if measure in line]
    return [line | {"best": line["images"] == facts["images"]} for line in lines]


def _summary(
    folder: RunFolder, config: dict[str, Any], facts: dict[str, Any], records: Sequence[dict[str, Any]]
) -> list[tuple[str, str]]:
    last = records[-1] if records else {"images": 0, "seconds": 0.0}
    height, width, channels = config["shape"]
    weights = {name: f"{count:,}" for name, count in config["parameters"].items()}
    undone, ways, checks = facts.get("degrade"), ways_trained(config), fast_paths(config)
    return [
        ("Recipe", config["request"]["recipe"]),
        *([("Undoes", undone)] if undone else []),
        ("Data", f"{counted(config['data']['count'], 'image')} from {config['data']['source']}"),
        ("Size", f"{width} x {height}, {channels} channel{'s' if channels > 1 else ''}"),
        ("Images seen", f"{last['images']:,}"),
        ("Training time", duration(last["seconds"])),
        *told(read_cost(folder.path / "cost.json"), records),
        ("Device", config["device"]),
        *([("Networks ran in", ", then ".join(ways))] if ways else []),
        *([("Fast paths", checks)] if checks else []),
        ("Parameters", f"generator {weights['generator']}, discriminator {weights['discriminator']}"),
    ]


def _snapshots(folder: RunFolder) -> list[tuple[int, npt.NDArray[np.uint8]]]:
    paths = sorted(path for path in folder.samples.glob("*.png") if path.stem.isdigit())
    frames = []
    for path in paths:
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
        frames.append((int(path.stem), pixels[:, :, None] if pixels.ndim == 2 else pixels))
    return frames
