"""Starting and resuming a run: the table where data, recipe and training are brought together."""

import gc
import glob
import json
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cardigan import recipes
from cardigan.contracts import Batches
from cardigan.course import respread, standing_at
from cardigan.crew import Crew, joined
from cardigan.data import Store, open_source, prepare
from cardigan.data.batches import batches
from cardigan.data.degrade import Pairs
from cardigan.data.holding import Split, hold_out, keep
from cardigan.data.scan import told as told_of
from cardigan.data.sources import called
from cardigan.description import describe
from cardigan.device_checks import DeviceCheck
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder, read_lines, remove_empty
from cardigan.following import Following
from cardigan.found import (
    ASIDE,
    ENDS,
    Found,
    changes,
    check_data,
    check_left,
    check_shape,
    find_checkpoint,
    finished,
    money,
    spent_of,
    told_budget,
)
from cardigan.out_of_memory import TooLittleMemoryError, asked_for, ran_out
from cardigan.place import LostProcessError, told
from cardigan.randomness import generator
from cardigan.recipes import Compromise, Recipe, Task
from cardigan.request import Request, check, check_size, choose_size, pick_device, smaller_size
from cardigan.runs import Run
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
    source: Any,
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

    Started by torchrun or ``accelerate launch``, the processes train together: see docs/scale.md.

    Args:
        source: a folder of images or of class folders, a zip or tar of either, an ``.npz``, one large image, a Hugging
            Face data set id, or ``"digits"``; a list of files; or images in memory: an array or tensor, alone or in a
            tuple with its labels, a list of arrays or of pictures of Pillow, or a data set of torch or of the Hub.
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
        The finished run; of several processes, in each of them, when the first one has finished.

    Raises:
        CardiganError: if anything asked for cannot be done; the message lists all of it.
        InterruptedRunError: if a signal stopped it, after all was saved.
        LostProcessError: if several processes train together and one of them is gone.
        TooLittleMemoryError: if the memory runs out, and once more with the images left on disk.
        FinishedElsewhereError: in a process that cannot see the folder, after the first one has finished the run.
    """
    request = Request(
        source=called(source),
        recipe=recipe,
        size=size,
        images=images,
        minutes=minutes,
        seed=seed,
        settings=dict(settings),
    )
    folder = RunFolder(Path(out) if out else default_folder(request))
    with joined() as crew, ExitStack() as stack:
        with crew.one_fate():
            checked = check(request, device=device)
            chosen = crew.device(pick_device(device))
            if crew.first:
                stack.callback(remove_empty, folder.make())
                stack.enter_context(folder.locked())
        if (unlike := crew.compare(chosen)) and crew.first and not quiet:
            print(unlike, file=sys.stderr, flush=True)  # noqa: T201
        seconds, again = 0.0, False
        while True:
            session = None
            try:
                session = open_session(
                    folder, request, checked, chosen, source, resume=resume, quiet=quiet, crew=crew, resident=not again
                )
                progress = session.training.progress
                progress.seconds = max(progress.seconds, seconds)
                session.train()
                return session.finish()
            except LostProcessError as error:
                if session is None:
                    raise
                raise LostProcessError(error.reason, _kept(session.saved)) from error
            except Exception as error:
                if not ran_out(error):
                    raise
                if again or crew.count > 1:  # several processes cannot begin again while one of them waits
                    raise _too_little(error, request, checked, chosen, session, crew) from error
                text = (
                    f"{_whose(chosen)} is full{asked_for(error)}. Training begins once more at the last checkpoint, "
                    f"and the images stay on disk."
                )
            # Here, where the error does not hold what is to be freed any more.
            if not quiet:
                print(text, file=sys.stderr, flush=True)  # noqa: T201
            if session:
                seconds = session.training.progress.seconds  # time does not go back
                folder.add_event(text, images=session.training.progress.images)
            session = progress = None
            again = True
            _free()


def _free() -> None:
    """Give back the memory that nothing refers to any more."""
    gc.collect()
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _whose(device: str) -> str:
    return "The memory of this machine" if device == "cpu" else f"The memory of {device}"


def _too_little(
    error: Exception, request: Request, settings: Settings, device: str, session: Session | Following | None, crew: Crew
) -> TooLittleMemoryError:
    """What a user is told whose training does not fit into the memory: what is safe, and what would fit."""
    batch = session.recipe.batch_size if session else settings.recipe.get("batch_size")
    sides = session.training.gan.generator.shape[1:] if session else request.sides
    ways = []
    if (half := (batch or 0) // 2 // crew.count * crew.count) > 1:
        ways.append(f"type --set batch_size={half}{' --resume to go on' if session else ''}.")
    if smaller := smaller_size(request, settings, *sides) if sides else None:
        high, wide = smaller
        size = f"--size {high}" if high == wide else f"--size {high}x{wide}"
        ways.append(f"type {size}{' and another --out for a smaller run' if session else ''}.")
    who = f"Process {crew.number}, on {socket.gethostname()}: " if crew.count > 1 else ""
    kept = f"The last checkpoint, of {session.saved:,} images, is safe." if session else "What was saved is as it was."
    told = [f"{who}{_whose(device)} is full{asked_for(error)}.", kept, " Or ".join(ways).replace("type", "Type", 1)]
    return TooLittleMemoryError(" ".join([*filter(None, told), "Or close other programs that use this memory."]))


def _kept(images: int) -> str:
    """What a run that lost a process still has."""
    on = "the same command goes on from there, with as many processes as you like."
    return f"The last checkpoint is of {images:,} images; {on}"


def default_folder(request: Request) -> Path:
    """``runs/SOURCE-RECIPE``.

    Example:
        >>> default_folder(Request("photos/cats.zip", recipe="dcgan")).as_posix()
        'runs/cats-dcgan'
        >>> default_folder(Request("photos/*.png", recipe="dcgan")).as_posix()
        'runs/photos-dcgan'
    """
    path = Path(request.source.rpartition(":")[2])
    while glob.has_magic(path.name) and not path.exists():
        path = path.parent
    stem = path.resolve().stem or "run"
    return Path("runs") / f"{stem}-{request.recipe}"


def open_session(
    folder: RunFolder,
    request: Request,
    settings: Settings,
    device: str,
    source: Any = None,
    *,
    resume: bool,
    quiet: bool,
    crew: Crew,
    resident: bool = True,
) -> Session | Following:
    """Bring everything to where training can go on: data, recipe, networks and the newest checkpoint.

    Only the first process knows the run's folder; the others get from it what they need. The source is what the request
    calls so, where it is not given. Images that are not to be ``resident`` are read where they lie.
    """
    previous = saved = session = None
    with crew.one_fate():
        if crew.first:
            previous = folder.read_config() if folder.config.exists() else None
            saved = find_checkpoint(folder, request, previous, resume=resume)
    store = _in_turn(crew, request, settings, device, previous["shape"] if previous and saved else None, quiet, source)
    with crew.one_fate():
        if previous and saved:
            check_shape(previous["shape"], list(store.shape))
        recipe = _recipe(request, settings, store, device)
        crew.check(recipe.batch_size)
        split = hold_out(store, share=settings.data.hold_out, draws=recipe.degradation is None)
        drawn = _batches(store, split, recipe, seed=request.seed, device=device, resident=resident)
        held = None
    training = Training(
        recipe.gan,
        optimizers=recipe.optimizers,
        half_life=recipe.half_life,
        seed=request.seed,
        device=device,
        precision=settings.run.precision,
    )
    with crew.one_fate():
        if crew.first:
            kind = device if crew.count == 1 else device.partition(":")[0]
            config = describe(request, settings, recipe, training, store, split, kind)
            config["processes"] = crew.count
            config["sittings"] = previous.get("sittings", []) if previous and saved else []
            if recipe.degradation:
                # Measurements of earlier versions have no key: their runs go on choosing and reporting on one set.
                divided = all("key" in line for line in read_lines(folder.trials))
                held = HeldOut.of(store, split.held, recipe.degradation, seed=request.seed, divided=divided)
                exam = _restored(held, recipe, settings.run)
            else:
                exam = _drawn(store, split, training, settings.run, Budget(**config["budget"]))
                config["because"] += exam.because if exam else ()
            session = Session(folder, config, settings, recipe, training, drawn, store, held, exam, quiet, crew)
            _take_up(session, request, split, previous, saved, resume=resume)
    config = json.loads(crew.bytes_from(json.dumps(session.config if session else None).encode()))
    sitting = session or Following(crew, folder, config, recipe, training, drawn)
    sitting.device_check = DeviceCheck(
        settings.run.self_check,
        facts={"recipe": request.recipe, "shape": config["shape"], **config["resolved"]},
        say=session.say if session else lambda text: None,
    )
    return sitting


def _recipe(request: Request, settings: Settings, store: Store, device: str) -> Recipe:
    height, width, channels = store.shape
    classes = len(store.classes) if store.labels is not None else 0
    task = Task(height, width, channels, classes=classes, count=len(store), device=device.partition(":")[0])
    task = replace(task, minutes=request.minutes if request.images is None else None)
    check_size(request.recipe, task.height, task.width, task.channels)
    return recipes.prepare(request.recipe, task, seed=request.seed, **settings.recipe)


def _take_up(
    session: Session,
    request: Request,
    split: Split,
    previous: dict[str, Any] | None,
    saved: Found | None,
    *,
    resume: bool,
) -> None:
    """Go on from the checkpoint that was found, or write the first files."""
    folder, config, texts = session.folder, session.config, []
    if previous and saved:
        check_data(previous["data"], config["data"], resume=resume)
        texts = _go_on(session, request, previous, saved)
    folder.sweep()
    checkpoints.tidy(folder.checkpoints, saved.rejected if saved else ())
    for text in texts:
        folder.add_event(text, images=session.training.progress.images)
        session.say(text)
    if not saved or not previous or previous["data"].get("split") != split.fingerprint:
        folder.samples.mkdir(exist_ok=True)
        keep(session.store, split, folder.samples)
    folder.write_config(config)
    if not saved:
        about = told_of(session.store.scan) if session.store.scan else []
        warnings = (f"Warning: {text}" for text in config["data"]["warnings"])
        session.say("\n".join([*about, *config["because"], *warnings]))
        _begin(session)


def _go_on(session: Session, request: Request, previous: dict[str, Any], saved: Found) -> list[str]:
    """Take a session to its checkpoint and give it the rest of its budget; what to note of that.

    Raises:
        CardiganError: if nothing is left to train, and more was asked for than to see that.
    """
    folder, config, recipe = session.folder, session.config, session.recipe
    state, asked = saved.checkpoint.state, config["budget"]
    clock = {"images": state["images"], "seconds": state["seconds"]}
    try:
        session.go_back(saved.checkpoint)
    except CardiganError as error:
        changed = changes(previous, config["request"])
        raise CardiganError(f"{error} What differs: {'; '.join(changed)}." if changed else str(error)) from error
    config["budget"] = previous["budget"]
    before, over = session.budget, session.over
    if money(previous) != (asked["images"], asked["minutes"]):
        config["budget"] = asdict(respread(recipe, before, Budget(**asked), **clock))
    if not session.over:
        if [text for text in changes(previous, config["request"]) if text.split(" ")[0] not in ASIDE]:
            session.training.rate_scale, session.faults = 1.0, []  # the user has taken it in hand
        stands = [standing_at(recipe, budget, **clock) for budget in (before, session.budget)]
        same = session.budget == before
        told = [] if same else told_budget(session.budget, *stands, scale=session.training.rate_scale)
        return saved.told(previous, config, told, scale=session.training.rate_scale)
    spent = spent_of(session.budget, **clock)
    check_left(folder, previous, config, spent=spent, over=over)
    if session.budget != before:
        return [*saved.passed_over(), f"{ENDS} {spent[0].upper()}{spent[1:]}."]
    session.say(finished(folder, request, session.budget, **clock))
    return saved.passed_over()


def _batches(store: Store, split: Split, recipe: Recipe, *, seed: int, device: str, resident: bool) -> Batches:
    """What training draws from."""
    drawn = batches(
        store,
        batch_size=recipe.batch_size,
        seed=seed,
        device=device,
        flip=recipe.flip,
        labels=bool(recipe.gan.generator.classes),
        places=split.training,
        resident=resident,
    )
    return drawn if recipe.degradation is None else Pairs(drawn, recipe.degradation, seed=seed)


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


def _in_turn(
    crew: Crew,
    request: Request,
    settings: Settings,
    device: str,
    shape: Sequence[int] | None,
    quiet: bool,
    source: Any = None,
) -> Store:
    """The source as a store in every process: first the first prepares it, then one on each machine, then the rest."""
    mine, store, first = (0 if crew.first else 1 if told().local == 0 else 2), None, None
    for phase in range(3 if crew.count > 1 else 1):
        with crew.one_fate():
            if phase == mine:
                store = open_store(request, settings, device, shape, source, quiet=quiet or not crew.first)
                if first and store.fingerprint != first["fingerprint"]:
                    raise CardiganError(
                        f"The images of {request.source} here are others than those of process 0. Give all machines "
                        f"the same data."
                    )
        if phase == 0:
            found = {"shape": store.shape, "fingerprint": store.fingerprint} if store else None
            first = json.loads(crew.bytes_from(json.dumps(found).encode()))
            shape = first["shape"]
    assert store is not None
    return store


def open_store(
    request: Request,
    settings: Settings,
    device: str,
    shape: Sequence[int] | None,
    source: Any = None,
    *,
    quiet: bool,
) -> Store:
    """The source as a store, at the size asked for or chosen."""
    data = settings.data
    source = open_source(request.source if source is None else source, data)
    if "ONLY" in vars(recipes.find(request.recipe)):
        data = replace(data, allow_upscale=True)  # there is no smaller size to offer
    with display("reading ", shown=not quiet) as bar:

        def show(done: int, total: int) -> None:
            bar.show(done / max(total, 1), f"{done:,} of {total:,} files")

        size = request.sides or ((shape[0], shape[1]) if shape else None)
        size = size or choose_size(
            source,
            request.recipe,
            data,
            device,
            own=settings.recipe,
            minutes=request.minutes,
            on_progress=show,
        )
        store = prepare(source, size=size, settings=data, on_progress=show)
        if shape and data.channels is None and store.shape[2] != shape[2]:
            # A run that began with three channels goes on with them, though its images are grey.
            store = prepare(source, size=size, settings=replace(data, channels=shape[2]), on_progress=show)
        return store


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
