"""Writing checkpoints while training goes on."""

import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardigan.beside import beside
from cardigan.training.checkpoint import Copy, write
from cardigan.training.loop import Training

SHORTEST_GRACE = 15
"""Seconds that the least patient cloud leaves between SIGTERM and SIGKILL."""


@dataclass(frozen=True)
class Written:
    """A checkpoint that is safe.

    Args:
        images: images seen by the training that it holds.
        seconds: what copying and writing took.
    """

    images: int
    seconds: float

    @property
    def warning(self) -> str:
        """What to tell the user of a slow disk, or nothing.

        Example:
            >>> Written(images=640, seconds=2.5).warning
            ''
        """
        if self.seconds <= SHORTEST_GRACE:
            return ""
        return (
            f"Saving took {self.seconds:.0f} s: a machine that is taken away within {SHORTEST_GRACE} s loses what is "
            "new."
        )


class Writer:
    """Writes checkpoints one after the other, each of a copy, so that training need not wait.

    Args:
        folder: the folder of checkpoints.

    Example:
        >>> writer = Writer(Path("checkpoints"))
        >>> writer.wait() is None  # nothing is being written
        True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pending: Future[Written] | None = None

    def start(self, training: Training, extra: dict[str, Any]) -> None:
        """Begin to write a checkpoint of the training as it is now, with ``extra`` JSON values.

        Call :meth:`wait` before the next one: two copies in memory could be more than there is.
        """
        if self._pending:
            raise RuntimeError("the last checkpoint is still being written; wait() for it first")
        began = time.monotonic()
        self._pending = beside(self._write, Copy.of(training, extra), began)

    def _write(self, copy: Copy, began: float) -> Written:
        write(self.folder, copy)
        return Written(copy.state["images"], time.monotonic() - began)

    @property
    def done(self) -> bool:
        """Whether a checkpoint was written, or could not be, that nobody has waited for."""
        return self._pending is not None and self._pending.done()

    def wait(self) -> Written | None:
        """The checkpoint that was begun, once it is safe; None if there is none.

        Raises:
            CardiganError: as :func:`cardigan.training.checkpoint.save` does.
        """
        pending, self._pending = self._pending, None
        return pending.result() if pending else None
