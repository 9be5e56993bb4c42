"""The command line: few flags, good errors. Nothing heavy is imported until work begins."""

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Parameter, UnknownCommandError, UnknownOptionError

from cardigan import arguments, spelling
from cardigan._version import __version__
from cardigan.cli_measure import compare, evaluate, judge
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.interrupts import InterruptedRunError
from cardigan.out_of_memory import asked_for, ran_out
from cardigan.paths import expanded
from cardigan.place import tells, told
from cardigan.tuning import tune_process

if TYPE_CHECKING:
    from cardigan.runs import Model, Run

PROGRESS_FROM = 256
"""Images from which drawing shows how far it is."""

app = App(
    name="cardigan",
    help="Train generative adversarial networks on your own images, and use the result.",
    version=__version__,
    result_action="return_value",
    help_epilogue="Start here: cardigan train digits --minutes 1",
)


@app.command
def train(
    *source: str,
    recipe: str = "auto",
    size: str | None = None,
    images: arguments.Whole | None = None,
    minutes: arguments.Minutes | None = None,
    out: Path | None = None,
    seed: arguments.Whole = 0,
    device: str = "auto",
    resume: Annotated[bool, Parameter(negative="")] = False,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> None:
    """Train on images. The same command again goes on where it stopped.

    Parameters
    ----------
    source
        A folder of images or of class folders, a zip or tar of either, files or a pattern of them, an .npz, one large
        image, a Hugging Face data set id, or "digits", an embedded set.
    recipe
        How to train; "cardigan recipes" lists them.
    size
        Side of the images in pixels, or HEIGHTxWIDTH such as 48x80, the order of all messages. Chosen by data and
        device if left out.
    images
        Budget in images, such as 500000, 500k or 2M. Such a run can be repeated bit for bit.
    minutes
        Budget in minutes instead, such as 10, 90s or 1h30m. 10 if neither is given and the recipe has no own.
    out
        The run's folder; runs/SOURCE-RECIPE if left out.
    seed
        Of all randomness.
    device
        auto, cpu, cuda, cuda:N or mps.
    resume
        Insist on going on, also with another budget or other settings.
    set_
        KEY=VALUE, any number of times: settings of the data, the run and the recipe; "cardigan recipes NAME" lists
        them.
    """
    settings: dict[str, Any] = dict(arguments.pairs(set_ or []))
    sides = arguments.size(size)
    spelling.check(recipe, settings, device=device)
    from cardigan.data.sources import check_there

    check_there(source)
    from cardigan.following import FinishedElsewhereError
    from cardigan.launch import train as start

    try:
        run = start(
            source[0] if len(source) == 1 else source,
            recipe=recipe,
            size=sides,
            images=images,
            minutes=minutes,
            out=out,
            seed=seed,
            device=device,
            resume=resume,
            **settings,
        )
    except FinishedElsewhereError:
        return
    if told().speaks:
        _closing(run)


@app.command
def sample(
    run: Path,
    /,
    *,
    count: arguments.Whole = 16,
    seed: arguments.Whole = 0,
    label: str | None = None,
    truncation: float = 1.0,
    out: Path | None = None,
) -> None:
    """Draw images from a run and save each as a PNG.

    Parameters
    ----------
    run
        The run's folder, or its generator/ alone.
    count
        How many.
    seed
        Of the draw; the same seed draws the same images.
    label
        A class, by name or number; all classes as often as in the data if left out.
    truncation
        Below 1: less variety, fewer failures.
    out
        Where to; RUN/drawn if left out, or RUN/drawn-2 where that has images of another generator.
    """
    RunFolder(run).check_there()
    from cardigan.data.words import counted
    from cardigan.picture_files import folder_for, save_samples
    from cardigan.runs import load
    from cardigan.watchers.progress import display

    opened = load(run)
    blocks = opened.samples(count, seed=seed, label=label, truncation=truncation)
    _remark(opened)
    told = [] if label is None else [arguments.slug(label)]
    prefix = "-".join([*told, f"seed{seed}", *([] if truncation == 1.0 else [f"truncation{truncation:g}"])])
    names, generator = [f"{prefix}-{place:05d}.png" for place in range(count)], opened.facts["sha256"]
    wanted = out or run / "drawn"
    folder = folder_for(wanted, names, generator=generator, chosen=out is not None)
    with display("drawing ", shown=count > PROGRESS_FROM) as bar:
        save_samples(
            blocks,
            names,
            folder,
            generator=generator,
            on_saved=lambda done: bar.show(done / count, f"{done:,} of {count:,} images"),
        )
    if folder != wanted:
        print(f"{wanted} holds images of another generator, so these are in a new folder.", file=sys.stderr)  # noqa: T201
    print(f"{counted(count, 'image')} in {folder}")  # noqa: T201


@app.command
def restore(
    run: Path,
    /,
    *images: Path,
    out: Path | None = None,
    faithful: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> None:
    """Restore images with a run that was trained to: enlarge, repair, denoise or colour them.

    Parameters
    ----------
    run
        The run's folder.
    images
        Files, and folders of images.
    out
        Where to; RUN/restored if left out. The result of a.jpg is a.png, or a.jpg.png where that is taken.
    faithful
        Invent no texture: softer, and nearer to the truth pixel by pixel.
    device
        auto, cpu, cuda, cuda:N or mps.
    set_
        KEY=VALUE: max_megapixels and value_range of the images.
    """
    RunFolder(run).check_there()
    from cardigan.data.values import parsed
    from cardigan.data.words import counted, printable
    from cardigan.picture_files import change_files
    from cardigan.request import pick_device
    from cardigan.runs import load
    from cardigan.settings import resolve_data
    from cardigan.watchers.progress import display

    if not images:
        raise CardiganError(f"No image is named. Type: cardigan restore {run} IMAGE, any number of files and folders.")
    settings: dict[str, Any] = {"faithful": faithful, "device": pick_device(device)}
    opened, folder = load(run), out or run / "restored"
    reading, wrong = resolve_data(arguments.pairs(set_ or []))
    if reading is None:
        raise CardiganError("\n".join(wrong))
    _remark(opened)
    with display("restoring") as bar:
        done, problems = change_files(
            lambda pixels, on_tile: opened.restore(pixels, on_tile=on_tile, **settings),
            images,
            folder,
            on_progress=bar.show,
            settings=reading,
            span=parsed(opened.value_range),
        )
    if done:
        print(f"{counted(len(done), 'image')} in {folder}")  # noqa: T201
    for source, target in done:
        if target.name != f"{source.stem}.png":
            print(f"  {printable(str(source))} became {printable(target.name)}")  # noqa: T201
    if problems:
        raise CardiganError(
            "\n  ".join([f"{len(problems)} of {len(done) + len(problems)} could not be restored:", *problems])
        )


@app.command
def report(run: Path, /) -> None:
    """Write a run's report.html anew.

    Parameters
    ----------
    run
        The run's folder.
    """
    RunFolder(run).check_there()
    from cardigan.runs import Run

    opened = Run(run)
    _remark(opened)
    print(opened.report())  # noqa: T201


@app.command(name="recipes")
def list_recipes(name: str | None = None, /) -> None:
    """List the recipes, or show one with its settings.

    Parameters
    ----------
    name
        The recipe to show.
    """
    from cardigan import recipe_text

    print(recipe_text.overview() if name is None else recipe_text.details(name))  # noqa: T201


@app.command
def scan(
    *source: str,
    size: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> None:
    """Decode every file of a source once and say what is in it.

    Parameters
    ----------
    source
        As for train.
    size
        Also count the images that are smaller than this, a side in pixels or HEIGHTxWIDTH.
    set_
        KEY=VALUE: settings of the data.
    """
    from cardigan.data import DataSettings, open_source
    from cardigan.data import scan as look
    from cardigan.watchers.progress import display

    sides = arguments.size(size)
    settings = DataSettings()
    if set_:
        from cardigan.settings import resolve_data  # brings torch, which a plain scan does without

        settings, problems = resolve_data(arguments.pairs(set_))
        if settings is None:
            raise CardiganError("\n".join(problems))
    opened = open_source(source[0] if len(source) == 1 else source, settings)
    with display("reading ") as bar:
        both = (sides, sides) if isinstance(sides, int) else sides
        found = look(
            opened,
            settings=settings,
            size=both,
            on_progress=lambda done, total: bar.show(done / max(total, 1), f"{done:,} of {total:,} files"),
        )
    print(found.render())  # noqa: T201
    if found.refusals:
        sys.exit(2)


for _command in (evaluate, compare, judge):
    app.command(_command)


def _remark(model: "Model") -> None:
    """Say so where the generator is not one of a finished run."""
    if model.remark:
        print(model.remark, file=sys.stderr)  # noqa: T201


def _closing(run: "Run") -> None:
    """The last lines of a training: where everything is."""
    print(f"\nmodel    {run.folder.generator}\nsamples  {run.folder.samples}\nreport   {run.folder.report}")  # noqa: T201


def _fail(message: str) -> NoReturn:
    print(f"cardigan: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


def _told(error: CardiganError | CycloptsError, words: list[str]) -> str:
    """What a user's mistake is answered with."""
    if isinstance(error.__cause__, CardiganError):  # a converter's own words
        return str(error.__cause__)
    if isinstance(error, UnknownOptionError) and words[:1] == ["train"]:
        return spelling.option(words, error.token.keyword or error.token.value)
    meant = spelling.command(words[0]) if isinstance(error, UnknownCommandError) and words else None
    return f'There is no command "{words[0]}". Did you mean "{meant}"?' if meant else str(error)


def main(words: list[str] | None = None) -> None:
    """Run the command line; a user's mistake ends with its message and exit code 2, without a traceback."""
    tune_process()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an old console shows "?" for what it cannot show
            stream.reconfigure(errors="replace")
    words = sys.argv[1:] if words is None else words
    try:
        spelling.check_tokens(words)
        app(expanded(words), exit_on_error=False, print_error=False)
    except (CardiganError, CycloptsError) as error:
        if not tells(error, told()):
            sys.exit(2)
        _fail(_told(error, words))
    except InterruptedRunError as error:
        if tells(error, told()):
            print(f"cardigan: {error}", file=sys.stderr)  # noqa: T201
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)  # as a shell reports a program that wrote to a closed pipe
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        _fail(
            f"The memory of this machine or of its GPU is full{asked_for(error)}. Close other programs that use it, or "
            f"give fewer or smaller images."
        )
    except OSError as error:
        _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
