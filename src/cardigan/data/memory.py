"""How much memory is left."""

import os
from pathlib import Path

import torch

GUESS = 4 * 2**30
"""Bytes that are taken to be free where nobody tells."""


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
