"""How much memory is left, and how much of it images may take."""

import os
from pathlib import Path

import torch

GUESS = 4 * 2**30
"""Bytes that are taken to be free where nobody tells."""
MOST = 1 / 2
"""Of the memory that is free before there are networks, images take no more."""
LEAST = 1 / 8
"""So much of it they may take where it is small."""
ROOM = 6 * 2**30
"""Bytes that are left to networks, optimizers and activations where there is more. On a card of 8 GiB, of which the
driver leaves about 7, images then take about 1 GiB."""


def room_for_images(free: float) -> float:
    """Bytes that images may take of so many that are free before networks are made.

    Example:
        >>> [round(room_for_images(free * 2**30) / 2**30, 2) for free in (1, 7, 10, 80)]
        [0.12, 1.0, 4.0, 40.0]
    """
    return min(MOST * free, max(LEAST * free, free - ROOM))


def free_memory(device: torch.device) -> int:
    """Bytes that are free where ``device`` keeps its tensors; a careful guess where nobody tells.

    Of the host's memory, what can be had without swapping: pages that only cache files count as free. Where a container
    is allowed less, what is left of that.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(min(_available(), _allowed()))


def _available(meminfo: Path = Path("/proc/meminfo")) -> int:
    try:
        return _numbers(meminfo)["MemAvailable:"] * 2**10
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return GUESS


def _allowed(group: Path = Path("/sys/fs/cgroup")) -> float:
    """What the control group (version 2) of a container leaves, infinity without one."""
    try:
        most = int((group / "memory.max").read_text())  # "max" where there is no limit
        used = int((group / "memory.current").read_text()) - _numbers(group / "memory.stat").get("inactive_file", 0)
    except (OSError, ValueError):
        return float("inf")
    return max(most - used, 0)


def _numbers(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    words = (line.split() for line in path.read_text().splitlines())
    return {name: int(number) for name, number, *_ in words}
