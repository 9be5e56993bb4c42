"""What a person sees while a run trains: a bar in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cardigan.data.words import significant

PLAIN_INTERVAL = 10.0
"""Seconds between lines where there is no terminal."""


class Display(Protocol):
    """Shows how far things are."""

    def show(self, done: float, text: str) -> None:
        """``done`` is the share of the work, 0 to 1."""
        ...


class Silent:
    """Shows nothing."""

    def show(self, done: float, text: str) -> None:
        """Nothing."""


class Plain:
    """One line now and then, on standard error, for logs.

    Args:
        title: at the beginning of each line.
        every: seconds between lines.
    """

    def __init__(self, title: str, every: float = PLAIN_INTERVAL) -> None:
        self.title, self.every, self.due = title, every, 0.0

    def show(self, done: float, text: str) -> None:
        """Print a line when the last one is old enough, or when all is done."""
        if time.monotonic() >= self.due or done >= 1.0:
            self.due = time.monotonic() + self.every
            with suppress(OSError):  # nobody listens any more; training goes on
                print(f"{self.title} {done:4.0%}  {text}", file=sys.stderr, flush=True)  # noqa: T201


class Bar:
    """A bar that moves."""

    def __init__(self, progress: Progress, title: str) -> None:
        self.progress = progress
        self.task = progress.add_task(title, total=1.0, text="")

    def show(self, done: float, text: str) -> None:
        """Move the bar."""
        self.progress.update(self.task, completed=done, text=text)


@contextmanager
def display(title: str, *, shown: bool = True, every: float = PLAIN_INTERVAL) -> Iterator[Display]:
    """The display that suits where standard error goes.

    Args:
        title: what is being done.
        shown: false shows nothing.
        every: seconds between lines where there is no terminal; 0 for each that there is.

    Example:
        >>> with display("training", shown=False) as bar:
        ...     bar.show(0.5, "half way")
    """
    console = Console(stderr=True)
    if not shown:
        yield Silent()
    elif not console.is_terminal or console.is_dumb_terminal:
        yield Plain(title, every)
    else:
        columns = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
        ]
        with Progress(*columns, console=console, refresh_per_second=4) as progress:
            yield Bar(progress, title)


def sentence(line: dict[str, Any], *, remaining: float) -> str:
    """One record as a person reads it.

    Example:
        >>> line = {"images": 64000, "images_per_second": 2048.0, "losses": {"generator/adversarial": 1.25}}
        >>> sentence(line, remaining=75)
        '64,000 images · 2,048/s · 1:15 left · generator 1.25'
    """
    losses = [
        f"{name.removesuffix('/adversarial').replace('/', ' ')} {significant(value)}"
        for name, value in line["losses"].items()
    ]
    left = f"{int(remaining) // 60}:{int(remaining) % 60:02d} left"
    return " · ".join([f"{line['images']:,} images", f"{line['images_per_second']:,.0f}/s", left, *losses])
