"""One clock, one seed: every random number is a function of (seed, stream, clock).

Nothing depends on how often a generator was called before, so a resumed run draws what the uninterrupted one would
have drawn, and no random state needs saving.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


def derive(seed: int, stream: str, clock: int = 0) -> int:
    """A 63-bit seed for one stream at one moment.

    Args:
        seed: the run's seed.
        stream: what the numbers are for, such as ``"latents"``; different names never share numbers.
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

    Example:
        >>> draw = torch.randn(2, generator=generator(0, "latents", 64))
        >>> torch.equal(draw, torch.randn(2, generator=generator(0, "latents", 64)))
        True
    """
    return torch.Generator(device=device).manual_seed(derive(seed, stream, clock))


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
    value = derive(seed, stream, clock)
    with torch.random.fork_rng(devices=[]), _own_generator_seeded(device, value):
        # torch.manual_seed would also visit every other backend and costs more than a small network's layer.
        torch.default_generator.manual_seed(value)
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
