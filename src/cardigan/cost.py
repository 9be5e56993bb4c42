"""What a run costs: memory, speed, and the time that so many images take."""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from cardigan.durable import replace_durably
from cardigan.report.page import duration

PER = 100_000
"""Images that the time is told for."""
KEYS = ("process_memory", "device_memory")
STATUS = Path("/proc/self/status")


def peak_memory(device: torch.device | str) -> dict[str, int]:
    """The most memory, in bytes, that this process has held at once so far.

    Args:
        device: that trains.

    Returns:
        ``process_memory``, of the machine's, where the operating system tells; ``device_memory``, of a CUDA device's,
        by tensors.

    Example:
        >>> all(count > 2**20 for count in peak_memory("cpu").values())
        True
    """
    found = {} if (peak := _process_peak()) is None else {"process_memory": peak}
    if torch.device(device).type == "cuda":
        found["device_memory"] = torch.cuda.max_memory_allocated(device)
    return found


def _process_peak() -> int | None:
    with suppress(OSError, KeyError):  # not on Linux
        # Not getrusage's number there: that begins with the peak of whoever started this process.
        lines = dict(line.split(":", 1) for line in STATUS.read_text(encoding="utf-8").splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    with suppress(ImportError):  # Windows has no such module
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _unit(sys.platform)
    return None


def _unit(platform: str) -> int:
    """Bytes that the operating system counts peaks in.

    Example:
        >>> _unit("linux"), _unit("darwin")
        (1024, 1)
    """
    return 1 if platform == "darwin" else 1024


def note_memory(path: Path, device: torch.device | str) -> None:
    """Keep the peak in a run's ``cost.json``, the highest of all its sittings."""
    before, now = read_cost(path), peak_memory(device)
    highest = {key: max(each.get(key, 0) for each in (before, now)) for key in before.keys() | now.keys()}
    if highest != before:
        replace_durably(path, json.dumps(highest, indent=1, sort_keys=True).encode())


def read_cost(path: Path) -> dict[str, int]:
    """What :func:`note_memory` kept; {} where there is nothing of it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: found[key] for key in KEYS if isinstance(found, dict) and isinstance(found.get(key), int)}


def told(cost: Mapping[str, int], records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Memory, speed and time as (name, value), as far as they are known.

    Args:
        cost: of :func:`read_cost`.
        records: of the run, with "images_per_second".

    Example:
        >>> told({"process_memory": 3 * 2**29}, [{"images_per_second": speed} for speed in (500.0, 10.0, 400.0)])
        [('Speed', '400 images/s'), ('100,000 images take', '4 min 10 s'), ('Peak memory', '1.5 GiB')]
    """
    facts = []
    speeds = [line["images_per_second"] for line in records if line.get("images_per_second")]
    if speeds:
        speed = statistics.median(speeds)
        facts.append(("Speed", f"{speed:,.0f} images/s" if speed >= 10 else f"{speed:.2g} images/s"))
        facts.append((f"{PER:,} images take", duration(PER / speed)))
    places = (("device_memory", " of the GPU's"), ("process_memory", " of the machine's" * ("device_memory" in cost)))
    if known := [f"{_size(cost[key])}{whose}" for key, whose in places if key in cost]:
        facts.append(("Peak memory", ", ".join(known)))
    return facts


def _size(count: int) -> str:
    """Bytes in words.

    Example:
        >>> _size(700 * 2**20), _size(12 * 2**30)
        ('700 MiB', '12.0 GiB')
    """
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
