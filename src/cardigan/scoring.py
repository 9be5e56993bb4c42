"""How good is it? Samples of a run, or images in files, measured against real ones; kept as a score card."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cardigan._version import __version__
from cardigan.data import DataSettings, Store
from cardigan.errors import CardiganError
from cardigan.evaluation.card import CARD, ScoreCard, load_card
from cardigan.evaluation.extractors import default_extractor, extractor
from cardigan.evaluation.extractors_contract import Pixels
from cardigan.evaluation.gathering import Gathered, beside_a_run, of_a_run, of_files
from cardigan.evaluation.measure import Origin, measure
from cardigan.evaluation.scores import NEIGHBOURS
from cardigan.folder import RunFolder, read_lines, ways_trained
from cardigan.out_of_memory import telling_of_memory
from cardigan.paths import path_of
from cardigan.randomness import derive
from cardigan.runs import Run
from cardigan.settings import resolve, resolve_data

COUNT = 1_000
"""Samples in each part."""
MOST_BYTES = 2**29
"""Of large images fewer are drawn where the user names no number: a part takes no more than that."""
PARTS = 3
"""Parts: draws from as many seeds."""
FEWEST_IN_A_PART = 20
"""Files are divided into parts where each has so many."""

Told = Callable[[str], None]


def evaluate(
    subject: str | Path | Run,
    *,
    against: str | Path | None = None,
    features: str | None = None,
    count: int | None = None,
    seed: int = 0,
    size: int | tuple[int, int] | None = None,
    device: torch.device | str | None = None,
    out: Path | None = None,
    on_step: Told = lambda text: None,
    **settings: Any,
) -> ScoreCard:
    """Measure how good images are, and whether good numbers would deceive.

    Args:
        subject: a run, opened or its folder; or generated images: a folder, a zip, an ``.npz``.
        against: real images, as the subject's. None measures a run against the images that it held out. A run is
            measured against all of these but those that it was trained on; of other subjects it is not known what they
            learnt from, so of 100 or more a tenth stands for held-out ones.
        features: what looks at the images, as :func:`cardigan.evaluation.extractors.extractor` reads it; None takes
            the best that is on this machine, and says why.
        count: samples in each of three parts; None is 1,000, and fewer of large images. Files are all taken.
        seed: of the draws.
        size: (height, width) at which files are compared, or the side of a square; None takes the subject's.
        device: where networks run, also the generator; None takes the device that the run trained on if this machine
            has it, else the CPU.
        out: where the card is written; None for ``scores.json`` in the run's folder, whose report is then written anew,
            and nowhere for other subjects.
        on_step: called with what is about to be done.
        **settings: how images in files are read, as ``split`` or ``value_range``; beside a run those of ``against``.

    Returns:
        The score card.

    Raises:
        CardiganError: if the subject or the real images cannot be read or do not fit each other, or the card cannot be
            written.
        TooLittleMemoryError: if the memory runs out.

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
    subject = subject.path if isinstance(subject, Run) else path_of(subject)
    run = _as_run(subject, against)
    _check(subject, run, count, size)
    reading = _reading(run, against, settings)
    path = path_of(out) if out else (run.path / CARD if run is not None else None)
    if path is not None:
        _check_writable(path)
    device = torch.device(device or (run.device if run is not None else "cpu"))
    with telling_of_memory(f"Measuring {subject} on {device}", _less(run, count, device)):
        card = _measured(subject, run, against, reading, features, count, seed, size, device, on_step)
    if path is not None:
        _save(card, path)
    if run is not None and out is None and run.folder.report.exists():
        _report(run, on_step)
    return card


def _less(run: Run | None, count: int | None, device: torch.device) -> str:
    """What takes less memory."""
    fewer = max((count or COUNT) // 2, FEWEST_IN_A_PART)
    ways = ["a smaller --size" if run is None else f"--count {fewer}"]
    ways += [] if device.type == "cpu" else ["--device cpu"]
    return f"Type {' or '.join(ways)}, or close other programs that use it."


def _measured(
    subject: str | Path,
    run: Run | None,
    against: str | Path | None,
    reading: DataSettings,
    features: str | None,
    count: int | None,
    seed: int,
    size: int | tuple[int, int] | None,
    device: torch.device,
    on_step: Told,
) -> ScoreCard:
    """The score card."""
    if run is not None:
        found = _of_run(run, against, reading, count, seed, device, on_step)
    else:
        on_step("reading the images")
        sides = (size, size) if isinstance(size, int) else size
        store, gathered = of_files(subject, str(against), sides, reading)
        found = _Found(_split(store, seed), gathered, Origin(seeds=(seed,)))
    real = found.gathered.real
    on_step("looking for an extractor")
    if features is None:
        eyes, why = default_extractor(real.training, real.labels, device=device)
    else:
        eyes, why = extractor(features, images=real.training, labels=real.labels, device=device), "As asked for."
    on_step(f"looking through {eyes.name} at {sum(map(len, found.parts)):,} samples")
    measured = measure(found.parts, real, eyes, origin=replace(found.origin, device=device.type), labels=found.labels)
    return ScoreCard(
        subject=str(subject),
        protocol=measured.protocol,
        scores=measured.scores,
        findings=measured.findings,
        because=(why, *([f"{eyes.name}: {eyes.note}."] if eyes.note else []), *found.gathered.remarks),
        made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        trained=found.trained,
        classes=measured.classes,
        versions=f"Cardigan {__version__}, torch {torch.__version__}",
    )


def card_of(path: str | Path) -> ScoreCard:
    """The score card of a run, or in a file.

    Raises:
        CardiganError: if there is none, or it is about a generator that the run does not have any more.
    """
    found = path_of(path)
    if not found.is_dir():
        return load_card(found)
    card = load_card(found / CARD)
    if RunFolder(found).config.is_file() and card.trained.get("generator") != Run(found).facts["sha256"]:
        raise CardiganError(
            f"The score card of {found} is about another generator than the run has now. Measure again: cardigan "
            f"evaluate {found}"
        )
    return card


@dataclass(frozen=True, eq=False)
class _Found:
    """What is measured, and against what."""

    parts: list[Pixels]
    gathered: Gathered
    origin: Origin
    labels: Sequence[npt.NDArray[np.integer]] | None = None
    trained: dict[str, Any] = field(default_factory=dict)


def _as_run(subject: str | Path, against: str | Path | None) -> Run | None:
    """The subject as a run, None where it is none and need not be."""
    if RunFolder(Path(subject)).config.is_file():
        return Run(subject)
    if against is not None:
        return None
    if not Path(subject).exists():
        raise CardiganError(
            f"There is nothing at {subject}. Expected a run's folder, or generated images and --against IMAGES."
        )
    raise CardiganError(
        f"{subject} is no run, so there is nothing to measure it against. Name real images: cardigan evaluate "
        f"{subject} --against IMAGES"
    )


def _check(subject: str | Path, run: Run | None, count: int | None, size: object) -> None:
    """Everything that can be known to be wrong before any work."""
    if count is not None and run is None:
        raise CardiganError(f"--count is of a run's draws; all images in {subject} are measured. Leave --count out.")
    if count is not None and count <= NEIGHBOURS:
        raise CardiganError(
            f"--count is {count}, expected the number of samples in each part: more than {NEIGHBOURS}, better {COUNT}."
        )
    if run is None:
        return
    run.sample(0)  # says what to do where the run cannot draw
    if size is not None:
        height, width = run.config["shape"][:2]
        raise CardiganError(f"A run is measured at its own size, {height}x{width}. Leave --size out.")


def _check_writable(path: Path) -> None:
    """Measuring takes minutes, so what would stop its result from being kept is told before."""
    problem = None
    if path.is_dir():
        problem = "it is a folder"
    elif not path.parent.is_dir():
        problem = f"{path.parent} is no folder"
    else:
        probe = path.parent / f".{path.name}.probe"
        try:
            probe.touch()
            probe.unlink()
        except OSError as error:
            problem = error.strerror or str(error)
    if problem:
        raise CardiganError(f"The score card cannot be written to {path}: {problem}. Choose another --out.")


def _of_run(
    run: Run,
    against: str | Path | None,
    reading: DataSettings,
    count: int | None,
    seed: int,
    device: torch.device,
    on_step: Told,
) -> _Found:
    on_step("reading the real images")
    samples, config = run.folder.samples, run.config
    gathered = of_a_run(samples, config) if against is None else beside_a_run(against, samples, config, reading)
    if gathered is None:
        raise CardiganError(
            f"The images that {run.path} was trained on are not in this machine's cache any more. Name them: cardigan "
            f"evaluate {run.path} --against {config['data']['source']}"
        )
    said = [run.remark, _chosen(run) if against is None else ""]
    gathered = replace(gathered, remarks=(*gathered.remarks, *filter(None, said)))
    each = count or min(COUNT, max(FEWEST_IN_A_PART, MOST_BYTES // int(np.prod(config["shape"]))))
    on_step(f"drawing {PARTS} x {each:,} samples")
    seeds = [derive(seed, "samples that are measured", part) for part in range(PARTS)]
    labels = None
    if run.classes and gathered.real.labels is not None and gathered.real.names == tuple(run.classes):
        labels = [run.labels(each, seed=part) for part in seeds]
    request, facts = config["request"], run.facts
    origin = Origin(
        weights="averaged" if config["resolved"]["half_life"] else "as trained",
        truncation=1.0,
        labels="as in the data" if run.classes else "none",
        seeds=(seed,),
        looked_through=_looked_through(request["settings"]),
    )
    trained = {
        "generator": facts["sha256"],
        "data": config["data"]["fingerprint"],
        "recipe": request["recipe"],
        "seed": request["seed"],
        "images": facts.get("images"),
        "ways": ways_trained(config, facts.get("images") or math.inf),
    }
    return _Found([run.sample(each, seed=part, device=device) for part in seeds], gathered, origin, labels, trained)


def _chosen(run: Run) -> str:
    """What the choice of the generator owes to the images that it is measured against."""
    trials = [line for line in read_lines(run.folder.trials) if "kid" in line and not line.get("again")]
    if len(trials) < 2 or "held-out" not in trials[0]["against"]:
        return ""
    return (
        f"Which generator to keep was decided among {len(trials)} by their distance to some of these held-out images, "
        f"on other noise than it is measured on now: its scores are a little lucky."
    )


def _reading(run: Run | None, against: str | Path | None, given: dict[str, Any]) -> DataSettings:
    """How files are read: as a run's data was, or as they are; what the user gives comes first.

    Raises:
        CardiganError: if a setting is unknown or wrong, or there is nothing that is read.
    """
    if run is not None and against is None and given:
        raise CardiganError(
            f"{', '.join(given)} cannot be set here: a run is measured on its own data, as it was read. Name other "
            f"images with --against, or leave the settings out."
        )
    request = {"recipe": "auto", "settings": {"allow_upscale": True}} if run is None else run.config["request"]
    _, problems = resolve_data(given)
    found, _ = resolve(request["recipe"], request["settings"] | given) if not problems else (None, [])
    if problems:
        raise CardiganError("\n".join(problems))
    return DataSettings(allow_upscale=True) if found is None else found.data


def _looked_through(settings: dict[str, str]) -> str:
    """The pretrained network by which a recipe judges: in the discriminator, or in a perceptual loss."""
    return next((settings[key] for key in ("backbone", "features") if settings.get(key, "none") != "none"), "")


def _split(store: Store, seed: int) -> list[Pixels]:
    """Images in three parts of equal size, drawn by lot; in one where they are few."""
    order = np.random.default_rng(derive(seed, "parts of a folder")).permutation(len(store))
    parts = PARTS if len(store) >= PARTS * FEWEST_IN_A_PART else 1
    each = len(store) // parts
    return [np.array(store.images[np.sort(order[part * each : (part + 1) * each])]) for part in range(parts)]


def _save(card: ScoreCard, path: Path) -> None:
    try:
        card.save(path)
    except OSError as error:
        raise CardiganError(
            f"The score card cannot be written to {path}: {error.strerror or error}. Choose another --out."
        ) from error


def _report(run: Run, on_step: Told) -> None:
    on_step("writing the report anew")
    try:
        run.report()
    except CardiganError as error:  # the score card is safe, and says it all
        on_step(f"the report was not written: {error}")
