"""One clock, one seed: every random number is a function of (seed, stream, clock).

Nothing depends on how often a generator was called before, so a resumed run draws what the uninterrupted one would
have drawn, and no random state needs saving.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor

STREAMS = 2
"""How numbers are drawn. 1: PyTorch's generator on a CPU was seeded, which reads 32 bits of a seed, so that some
streams were the same. 2: its whole state is filled. A checkpoint says which one it was made with."""

ROWS = 256
"""Rows that :func:`normal_rows` draws from one stream: each is a function of its place, and few streams are begun."""

WORDS = 624
"""The Mersenne Twister's state, in words of 32 bits."""

# The bytes of torch.Generator.get_state() on a CPU.
_STATE = np.dtype(
    [
        ("seed", "u8"),
        ("left", "i4"),
        ("seeded", "i4"),
        ("next", "u8"),
        ("words", "u8", WORDS),
        ("normals", "f8", 3),
        ("has_normal", "i4"),
        ("float", "f4", 2),
        ("has_float", "u4"),
    ]
)


def derive(seed: int, stream: str, clock: int = 0) -> int:
    """A 63-bit seed for one stream at one moment, for generators that read all of it; see :func:`generator`.

    Args:
        seed: the run's seed.
        stream: what the numbers are for, such as ``"latents"``.
        clock: the moment, usually images seen.

    Example:
        >>> derive(0, "latents", 64) == derive(0, "latents", 64)
        True
        >>> derive(0, "latents", 64) == derive(0, "order", 64)
        False
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{clock}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, stream: str, clock: int = 0, *, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh random generator for one stream at one moment, on ``device``.

    Different streams and moments share no numbers: on a CPU the whole state of the generator is a digest of them, on
    other devices 63 bits of it are, and those generators read all 63.

    Example:
        >>> draw = torch.randn(2, generator=generator(0, "latents", 64))
        >>> torch.equal(draw, torch.randn(2, generator=generator(0, "latents", 64)))
        True
    """
    return _begin(torch.Generator(device=device), seed, stream, clock)


def normal_rows(count: int, width: int, *, seed: int, stream: str) -> Tensor:
    """Rows of standard normal numbers, (count, width), each a function of (seed, stream, its place) alone.

    Example:
        >>> rows = normal_rows(300, 4, seed=0, stream="sample")
        >>> torch.equal(normal_rows(2, 4, seed=0, stream="sample"), rows[:2])
        True
    """
    blocks = [torch.randn(ROWS, width, generator=generator(seed, stream, start)) for start in range(0, count, ROWS)]
    return torch.cat(blocks)[:count] if blocks else torch.zeros(0, width)


def _begin(rng: torch.Generator, seed: int, stream: str, clock: int) -> torch.Generator:
    """Put a generator at the beginning of a stream."""
    if rng.device.type != "cpu":
        return rng.manual_seed(derive(seed, stream, clock))
    digest = hashlib.shake_256(f"{seed}/{stream}/{clock}".encode()).digest(4 * WORDS)
    state = np.zeros(1, dtype=_STATE)
    state["seed"], state["left"], state["seeded"] = derive(seed, stream, clock), 1, 1
    state["words"] = np.frombuffer(digest, dtype="<u4")
    rng.set_state(torch.from_numpy(state.view(np.uint8)))
    return rng


@contextmanager
def seeded(seed: int, stream: str, clock: int = 0, *, device: torch.device | str = "cpu") -> Iterator[None]:
    """Run a block with torch's global generators seeded, and give the caller's random state back afterwards.

    For layers that draw from the global generator, such as dropout.

    Example:
        >>> with seeded(0, "dropout", 64):
        ...     first = torch.rand(3)
        >>> with seeded(0, "dropout", 64):
        ...     torch.equal(first, torch.rand(3))
        True
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[]), _own_generator_seeded(device, derive(seed, stream, clock)):
        # torch.manual_seed would also visit every other backend and costs more than a small network's layer.
        _begin(torch.default_generator, seed, stream, clock)
        yield


@contextmanager
def _own_generator_seeded(device: torch.device, value: int) -> Iterator[None]:
    """Seed the global generator that a device has beside the CPU's, and give its state back afterwards."""
    if device.type == "cpu":
        yield
        return
    backend = torch.get_device_module(device)
    before = backend.get_rng_state(device)
    try:
        with backend.device(device) if device.type == "cuda" else nullcontext():  # else the current one is seeded
            backend.manual_seed(value)
        yield
    finally:
        backend.set_rng_state(before, device)
