"""Being asked to stop: finish the step, save, and leave with the exit code that the signal stands for."""

import os
import signal
import threading
from types import FrameType, TracebackType


class InterruptedRunError(Exception):
    """Training stopped because a signal asked for it, after all was saved.

    Args:
        number: of the signal.
        message: what was saved and how to go on.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = 128 + number


class Interrupts:
    """Listens for Ctrl-C, SIGTERM and a closed terminal while the block runs.

    The first signal is remembered in ``number``; a Ctrl-C after it leaves at once. Only a program's main thread may
    listen; elsewhere this does nothing. A signal that is ignored when the block begins stays ignored, which is the
    custom: nohup ignores a closed terminal, and scripts ignore Ctrl-C for their background jobs.

    Example:
        >>> with Interrupts() as interrupts:
        ...     interrupts.number is None
        True
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # pyright: ignore[reportArgumentType]

    def _heard(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None and number == signal.SIGINT, self.number or number
        # Plain writes: print may be interrupted half way by this very handler.
        if again:
            os.write(2, b"\nStopped at once. Work since the last checkpoint is lost.\n")
            os._exit(130)
        if number == signal.SIGINT:
            os.write(2, b"\nFinishing the step and saving; Ctrl-C again to stop at once.\n")
