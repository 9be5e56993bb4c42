"""How a process of ours treats the processor and its memory; importing Cardigan into another program sets nothing."""

import ctypes
import os

_ALLOCATOR = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def tune_process() -> None:
    """Let threads wait briefly, and keep memory between the steps of a training.

    Has to be called before torch is first imported. A user's own settings win, each for what it is about. Nothing
    changes what is computed.
    """
    # Threads that spin for long while they wait stop each other on a machine that others use too (decision 007).
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    if not any(name.startswith(_ALLOCATOR) for name in os.environ):
        keep_memory()


def keep_memory() -> bool:
    """Tell the allocator of the GNU C library to keep what is let go for the next request (decision 014).

    By default it gives large blocks back to the system and asks for them anew, many times in each step of a training;
    and each page that comes from the system has to be cleared first. The process then holds its peak until it ends.

    Returns:
        Whether it listens; other C libraries have no such call.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    trim_threshold, most_mapped, never, none = -1, -4, -1, 0
    return bool(mallopt(trim_threshold, never) and mallopt(most_mapped, none))
