"""The commands that measure and compare: evaluate, compare, judge. ``cli`` puts them beside the others."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from cardigan import arguments
from cardigan.arguments import Whole
from cardigan.folder import RunFolder


def evaluate(
    subject: Path,
    /,
    *,
    against: str | None = None,
    features: str | None = None,
    count: Whole | None = None,
    seed: Whole = 0,
    size: str | None = None,
    device: str = "auto",
    out: Path | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> None:
    """Measure how good images are, and whether good numbers would deceive.

    Parameters
    ----------
    subject
        A run; or generated images, as a folder, a zip or an .npz.
    against
        Real images to measure against. A run is measured against its own data, held-out images first.
    features
        What looks at the images: inception, inception=FILE, dinov2, dinov2=FILE, own, pixels, gradients, timm:NAME,
        FILE.safetensors or package.module:function. The best that is on this machine if left out.
    count
        Samples in each of three parts; 1000 if left out.
    seed
        Of the draws.
    size
        At which files are compared, in pixels or HEIGHTxWIDTH; their own if left out.
    device
        auto, cpu, cuda, cuda:N or mps.
    out
        Where the score card is written, as JSON; RUN/scores.json if left out.
    set_
        KEY=VALUE: how images in files are read, such as split=test or value_range=0..4095.
    """
    sides, settings = arguments.size(size), arguments.pairs(set_ or [])
    if against:
        from cardigan.data.sources import check_there

        check_there([against])
    from cardigan.evaluation.words import told
    from cardigan.request import pick_device
    from cardigan.scoring import evaluate as measure

    card = measure(
        subject,
        against=against,
        features=features,
        count=count,
        seed=seed,
        size=sides,
        device=pick_device(device),
        out=out,
        on_step=lambda text: print(f"{text} ...", file=sys.stderr),  # noqa: T201
        **settings,
    )
    print(told(card))  # noqa: T201


def compare(*cards: Path, metric: str = "kid") -> None:
    """Rank runs that were measured in the same way; refuse those that were not.

    Parameters
    ----------
    cards
        Runs that were evaluated, or score cards.
    metric
        kid, fd, fd-infinity, precision, recall, density, coverage, authenticity or is.
    """
    from cardigan.evaluation.ranking import compare as rank
    from cardigan.evaluation.words import ranked
    from cardigan.scoring import card_of

    print(ranked(rank([card_of(path) for path in cards], metric=metric)))  # noqa: T201


def judge(
    run: Path,
    other: Path | None = None,
    /,
    *,
    count: Whole | None = None,
    seed: Whole = 0,
    port: Whole = 0,
    browser: bool = True,
    results: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Let people judge, on a page on this machine: real or fake, or which of two runs is better.

    Parameters
    ----------
    run
        The run's folder; answers are kept in it.
    other
        A second run's folder: ask which of the two is better.
    count
        Pictures or pairs for each person; 100, or as many as the held-out images allow, if left out.
    seed
        Of the pictures and their order.
    port
        Of the page on 127.0.0.1; a free one if left out.
    browser
        Open the page.
    results
        Ask nobody; print what was answered so far, and where the CSV files are.
    """
    for each in (run, other):
        if each:
            RunFolder(each).check_there()
    from cardigan import judge as room

    if results:
        print("\n\n".join(f"{told.describe()}\n\n{file}" for file, told in room.collected(run)))  # noqa: T201
        return
    told = room.judge(run, other, count=count, seed=seed, port=port, open_browser=browser)
    print(f"\n{told.describe()}")  # noqa: T201
