"""People's judgement: a page on this machine, on which people say what is real, or which of two runs is better.

``session`` plans what is asked, ``pictures`` makes the pictures, ``desk`` takes the answers, ``answers`` keeps them,
``results`` counts them; ``page`` is what raters see, and ``server`` hands it out.

Source: the task without time limit after *HYPE: A Benchmark for Human eYe Perceptual Evaluation of Generative Models*,
Zhou et al., 2019.
"""

import os
import sys
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.judge.answers import Answers
from cardigan.judge.desk import Desk, read_plan
from cardigan.judge.pictures import preference, real_or_fake
from cardigan.judge.results import Results, analyse
from cardigan.judge.server import Server
from cardigan.runs import Run

__all__ = ["Results", "collected", "judge"]

FOLDER = "judgements"
"""In a run's folder: plans and answers."""


def judge(
    run: Run | str | Path,
    against: Run | str | Path | None = None,
    *,
    count: int | None = None,
    seed: int = 0,
    port: int = 0,
    open_browser: bool = True,
    announce: Callable[[str], None] | None = None,
) -> Results:
    """Let people judge a run in a browser on this machine, until Ctrl-C.

    Each answer is kept as it is given, in ``judgements/`` in the run's folder. The same call goes on with the same
    questions; raters, any number, tell themselves apart by a nickname.

    Args:
        run: whose samples are judged.
        against: another run: which of the two is better? None: real or fake?
        count: pictures or pairs a rater; None is 100, or as many as the held-out images allow.
        seed: of samples and orders.
        port: 0 picks a free one.
        open_browser: open the page where there is a screen.
        announce: is told where the page is; None prints it.

    Returns:
        What all answers to these questions come to.

    Raises:
        CardiganError: if the run cannot be judged so, or the port or the folder cannot be had.
    """
    first = run if isinstance(run, Run) else Run(run)
    if against is None:
        gallery = real_or_fake(first, count=count, seed=seed)
    else:
        gallery = preference(first, against if isinstance(against, Run) else Run(against), count=count, seed=seed)
    desk = Desk(gallery, first.path / FOLDER)
    with Server(desk, port=port) as server:
        told = announce or partial(print, flush=True)
        told(f"Judge at {server.url}\nCtrl-C ends it; answers are kept in {desk.answers.path}")
        if open_browser and _has_screen():
            # Some browsers return only when they are closed.
            threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        with suppress(KeyboardInterrupt):
            server.serve_forever()
    return desk.results()


def collected(run: str | Path) -> list[tuple[Path, Results]]:
    """What people have answered so far: of each plan the file of its answers and what they come to.

    Args:
        run: the run's folder.

    Raises:
        CardiganError: if it is no run, nobody was asked yet, or a file is damaged.
    """
    folder = RunFolder(Path(run))
    folder.read_config()
    plans = sorted((folder.path / FOLDER).glob("*.json"))
    if not plans:
        raise CardiganError(f"Nobody has judged {run} yet. Type: cardigan judge {run}")
    files = [path.with_suffix(".csv") for path in plans]
    return [(file, analyse(read_plan(path), Answers(file))) for path, file in zip(plans, files, strict=True)]


def _has_screen() -> bool:
    """Whether a browser can show anything; in a bare terminal, one that runs in text would take it over."""
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
