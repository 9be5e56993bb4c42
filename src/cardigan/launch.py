"""Starting and resuming a run: the table where data, recipe and training are brought together."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardigan import recipes
from cardigan.contracts import Batches
from cardigan.data import Store, open_source, prepare
from cardigan.data.batches import batches
from cardigan.data.degrade import Pairs
from cardigan.data.holding import Split, hold_out, keep
from cardigan.description import describe
from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder, remove_empty
from cardigan.randomness import generator
from cardigan.recipes import Compromise, Recipe, Task
from cardigan.request import Request, check, check_size, choose_size, differences, pick_device
from cardigan.runs import Run, add_event
from cardigan.session import Session
from cardigan.settings import RunSettings, Settings
from cardigan.training import checkpoint as checkpoints
from cardigan.training.loop import Training
from cardigan.trials import Budget, Drawn, Exam, HeldOut, Restored
from cardigan.trials.drawn import FEWEST_REAL, planned, samples
from cardigan.watchers.progress import display

SHOWN_REAL = 64
"""Real images that are kept in the run's folder, to be shown beside the generated ones."""


def train(
    source: str | Path,
    *,
    recipe: str = "auto",
    size: int | tuple[int, int] | None = None,
    images: int | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Train a GAN on images; the same call again goes on where it stopped.

    Args:
        source: a folder of images or of class folders, a zip of either, an ``.npz``, one large image, a Hugging Face
            data set id, or ``"digits"``.
        recipe: how; see ``cardigan recipes``.
        size: side of the images in pixels, or (height, width); None chooses by the data and the device.
        images: the budget in images drawn from the data. Such a run is a function of its settings and seed.
        minutes: the budget in minutes, instead.
        out: the run's folder; by default ``runs/SOURCE-RECIPE``.
        seed: of all randomness.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
        resume: there must be something to go on with, and it may go on with another budget or other settings.
        quiet: show no progress.
        **settings: of the data, the run and the recipe; see ``cardigan recipes NAME``.

    Returns:
        The finished run.

    Raises:
        CardiganError: if anything asked for cannot be done; the message lists all of it.
        InterruptedRunError: if a signal stopped it, after all was saved.
    """
    request = Request(
        source=str(source), recipe=recipe, size=size, images=images, minutes=minutes, seed=seed, settings=dict(settings)
    )
    checked = check(request, device=device)
    folder = RunFolder(Path(out) if out else default_folder(request))
    made = folder.make()
    try:
        with folder.locked():
            session = open_session(folder, request, checked, pick_device(device), resume=resume, quiet=quiet)
            session.train()
            return session.finish()
    finally:
        remove_empty(made)


def default_folder(request: Request) -> Path:
    """``runs/SOURCE-RECIPE``.

    Example:
        >>> default_folder(Request("photos/cats.zip", recipe="dcgan")).as_posix()
        'runs/cats-dcgan'
    """
    stem = Path(request.source.rpartition(":")[2]).resolve().stem or "run"
    return Path("runs") / f"{stem}-{request.recipe}"


def open_session(
    folder: RunFolder, request: Request, settings: Settings, device: str, *, resume: bool, quiet: bool
) -> Session:
    """Bring everything to where training can go on: data, recipe, networks and the newest checkpoint."""
    previous = folder.read_config() if folder.config.exists() else None
    saved = _find_checkpoint(folder, request, previous, resume=resume)
    store = open_store(request, settings, device, previous if saved else None, quiet=quiet)
    height, width, channels = store.shape
    classes = len(store.classes) if store.labels is not None else 0
    task = Task(height, width, channels, classes=classes, count=len(store), device=device.partition(":")[0])
    task = replace(task, minutes=request.minutes if request.images is None else None)
    check_size(request.recipe, task.height, task.width, task.channels)
    recipe = recipes.prepare(request.recipe, task, seed=request.seed, **settings.recipe)
    training = Training(
        recipe.gan, optimizers=recipe.optimizers, half_life=recipe.half_life, seed=request.seed, device=device
    )
    split = hold_out(store, share=settings.data.hold_out, draws=recipe.degradation is None)
    drawn, held = _batches(store, split, recipe, seed=request.seed, device=device)
    config = describe(request, settings, recipe, training, store, split, device)
    if held:
        exam = _restored(held, recipe, settings.run)
    else:
        exam = _drawn(store, split, training, settings.run, Budget(**config["budget"]))
        config["because"] += exam.because if exam else ()
    session = Session(folder, config, settings, recipe, training, drawn, store, held, exam, quiet)
    if previous and saved:
        _check_data(previous["data"], config["data"], resume=resume)
    folder.sweep()
    checkpoints.tidy(folder.checkpoints, saved.rejected if saved else ())
    if saved:
        session.go_back(saved.checkpoint)
        for text in saved.told(previous, config):
            add_event(folder, text, images=training.progress.images)
            session.say(text)
    if not saved or not previous or previous["data"].get("split") != split.fingerprint:
        folder.samples.mkdir(exist_ok=True)
        keep(store, split, folder.samples)
    write_config(folder, config)
    if not saved:
        session.say("\n".join([*config["because"], *(f"Warning: {text}" for text in config["data"]["warnings"])]))
        _begin(session)
    return session


def _batches(store: Store, split: Split, recipe: Recipe, *, seed: int, device: str) -> tuple[Batches, HeldOut | None]:
    """What training draws from, and what a restoration is measured on."""
    drawn = batches(
        store,
        batch_size=recipe.batch_size,
        seed=seed,
        device=device,
        flip=recipe.flip,
        labels=bool(recipe.gan.generator.classes),
        places=split.training,
    )
    if recipe.degradation is None:
        return drawn, None
    return Pairs(drawn, recipe.degradation, seed=seed), HeldOut.of(store, split.held, recipe.degradation, seed=seed)


def _restored(held: HeldOut, recipe: Recipe, run: RunSettings) -> Exam:
    """What a restoration is measured by."""
    if given := [key for key in ("trials", "score_features") if getattr(run, key) is not None]:
        raise CardiganError(
            f"{' and '.join(given)} cannot be set here: a restoration is measured as its recipe says, by PSNR and "
            f"texture. Leave {'it' if len(given) == 1 else 'them'} out."
        )
    return Restored(held, recipe.choice or Compromise())


def _drawn(store: Store, split: Split, training: Training, run: RunSettings, budget: Budget) -> Drawn | None:
    """What a generator that draws is scored by; None if it is not."""
    trials = planned(budget, samples(*store.shape[:2]), run.trials)
    if not trials or len(split.training) < FEWEST_REAL:
        return None
    return Drawn.of(
        store,
        split,
        trials=trials,
        sparing=run.trials is None,
        classes=bool(training.gan.generator.classes),
        seed=training.seed,
        features=run.score_features,
        device=str(training.device),
    )


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from, and what was wrong with newer ones."""

    checkpoint: checkpoints.Checkpoint
    rejected: dict[str, str]

    def told(self, previous: dict[str, Any] | None, config: dict[str, Any]) -> list[str]:
        """What the user should know about this resume."""
        state = self.checkpoint.state
        texts = [f"{name} rejected: {reason}" for name, reason in self.rejected.items()]
        texts.append(f"Resumed after {state['images']:,} images from {self.checkpoint.folder.name} (verified).")
        if previous:
            texts += [f"Changed on resume: {text}" for text in differences(previous["request"], config["request"])]
            before, now = previous["data"], config["data"]
            if before["fingerprint"] != now["fingerprint"]:
                texts.append(f"The data has changed: {before['count']:,} images before, {now['count']:,} now.")
            if before.get("split") != now["split"]:
                texts.append(
                    f"Other images are held out: {before.get('held_out', 0):,} before, {now['held_out']:,} now. Some "
                    f"of them may have been trained on, so a test for copying is not to be trusted."
                )
            moved = [key for key in ("version", "torch", "device", "threads") if previous[key] != config[key]]
            texts += [f"{key} was {previous[key]}, is {config[key]}." for key in moved]
            if moved or len(texts) > 1 + len(self.rejected) or config["budget"]["minutes"] or config["device"] != "cpu":
                texts.append("From here on the same seed decides, but not the same bits as without the interruption.")
            else:
                texts.append("From here on bit for bit as without the interruption.")
        return texts


def _find_checkpoint(
    folder: RunFolder, request: Request, previous: dict[str, Any] | None, *, resume: bool
) -> Found | None:
    """The checkpoint to go on from; None for a fresh start.

    Raises:
        CardiganError: if the folder belongs to another run, or has a history but no usable checkpoint.
    """
    checkpoint, rejected = checkpoints.newest(folder.checkpoints)
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in rejected.items())
    fresh = "To start anew, choose another --out."
    if resume and checkpoint is None:
        raise CardiganError(f"There is no checkpoint to resume from in {folder.path}.{reasons}\n{fresh}")
    if checkpoint is None and folder.has_history():
        raise CardiganError(f"{folder.path} holds a run without a usable checkpoint.{reasons}\n{fresh}")
    if previous is None and (checkpoint is not None or any(folder.path.glob("[!.]*"))):
        raise CardiganError(f"{folder.path} is in use and is not a run of Cardigan: it has no config.json. {fresh}")
    changed = differences(previous["request"], request.to_dict()) if previous and checkpoint else []
    if changed and not resume:
        raise CardiganError(
            f"{folder.path} holds another run: {'; '.join(changed)}. Choose another --out for a new run, or add "
            f"--resume to go on with the changed settings."
        )
    return Found(checkpoint, rejected) if checkpoint else None


def open_store(
    request: Request, settings: Settings, device: str, previous: dict[str, Any] | None, *, quiet: bool
) -> Store:
    """The source as a store, at the size asked for or chosen."""
    source = open_source(request.source)
    with display("reading ", shown=not quiet) as bar:

        def show(done: int, total: int) -> None:
            bar.show(done / max(total, 1), f"{done:,} of {total:,} files")

        size = request.sides or (tuple(previous["shape"][:2]) if previous else None)
        size = size or choose_size(source, request.recipe, settings.data, device, own=settings.recipe, on_progress=show)
        return prepare(source, size=size, settings=settings.data, on_progress=show)


def _check_data(before: dict[str, Any], now: dict[str, Any], *, resume: bool) -> None:
    if resume:
        return
    if before["fingerprint"] != now["fingerprint"]:
        raise CardiganError(
            f"The data has changed since this run began: {before['count']:,} images then, {now['count']:,} now, or "
            f"other content. Restore it, choose another --out, or add --resume to go on with the changed data."
        )
    if before.get("split") != now["split"]:
        raise CardiganError(
            f"Other images would be held out than when this run began: {before.get('held_out', 0):,} then, "
            f"{now['held_out']:,} now, by another version of Cardigan. Choose another --out, or add --resume to go on; "
            f"then some of those held out have been trained on."
        )


def write_config(folder: RunFolder, config: dict[str, Any]) -> None:
    """Write ``config.json``, whole or not at all."""
    replace_durably(folder.config, json.dumps(config, indent=1).encode())


def _begin(session: Session) -> None:
    """The first files of a run; the checkpoint of step 0 says that it has begun."""
    folder, store = session.folder, session.store
    folder.samples.mkdir(exist_ok=True)
    chosen = torch.randperm(len(store), generator=generator(0, "shown real images"))[:SHOWN_REAL].numpy()
    if session.held_out:
        np.save(folder.samples / "true.npy", session.held_out.true)
        np.save(folder.samples / "given.npy", session.held_out.given)
    else:
        np.save(folder.samples / "real.npy", store.images[np.sort(chosen)])
    session.save()
