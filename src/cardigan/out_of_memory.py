"""Memory that runs out: how it is recognised, and how the user is told."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from cardigan.errors import CardiganError

# PyTorch has a class of error for GPUs of NVIDIA alone. Everywhere else it raises RuntimeErrors, and says what it is.
_SAID = re.compile(
    "out of memory|allocate memory|not enough memory|insufficient memory|DefaultCPUAllocator|ALLOC_FAILED|"
    "cudaErrorMemoryAllocation|bad_alloc|Invalid buffer size|Storage size calculation overflowed",
    re.IGNORECASE,
)
_ASKED = re.compile(r"to allocate ([\d.]+) ?(bytes|[KMGTPE]i?B)", re.IGNORECASE)


class TooLittleMemoryError(CardiganError, MemoryError):
    """Something does not fit into the memory that is free; the message says what would."""


def ran_out(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is of memory that ran out and was not told in words yet.

    Example:
        >>> ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
        True
        >>> ran_out(MemoryError()), ran_out(RuntimeError("shapes cannot be multiplied"))
        (True, False)
    """
    found: BaseException | None = error
    while found is not None and not isinstance(found, TooLittleMemoryError):
        full = isinstance(found, MemoryError) or (isinstance(found, OSError) and found.errno == errno.ENOMEM)
        if full or (isinstance(found, RuntimeError) and _SAID.search(f"{type(found).__name__}: {found}")):
            return True
        found = found.__cause__
    return False


def asked_for(error: BaseException) -> str:
    """How much memory was asked for, in words; "" where the error does not tell.

    Example:
        >>> asked_for(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 7.79 GiB."))
        ' (2.00 GiB more were asked for)'
        >>> asked_for(RuntimeError("can't allocate memory: you tried to allocate 3221225472 bytes."))
        ' (3.00 GiB more were asked for)'
        >>> asked_for(MemoryError())
        ''
    """
    found: BaseException | None = error
    while found is not None:
        if told := _ASKED.search(str(found)):
            number, unit = float(told[1]), told[2]
            amount = f"{number / 2**30:.2f} GiB" if unit == "bytes" else f"{told[1]} {unit}"
            return f" ({amount} more were asked for)"
        found = found.__cause__
    return ""


@contextmanager
def telling_of_memory(what: str, instead: str) -> Iterator[None]:
    """Turn an error of memory that runs out in the block into our own.

    Args:
        what: does not fit, as the beginning of a sentence.
        instead: what to do, as sentences.

    Raises:
        TooLittleMemoryError: if the memory runs out.
    """
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise TooLittleMemoryError(
            f"{what} does not fit into the memory that is free{asked_for(error)}. {instead}"
        ) from error
