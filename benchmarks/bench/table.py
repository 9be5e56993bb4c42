"""What is measured: rows of a table, kept as JSON with the machine that gave them."""

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
SETS = ("OMP_", "GOMP_", "KMP_", "MKL_", "MALLOC_", "LD_PRELOAD")
"""Beginnings of the environment variables that decide on threads and memory."""


@dataclass(frozen=True)
class Row:
    """One thing that was measured, by one arm or by two that took turns.

    Args:
        name: what was done.
        unit: of the values.
        values: of each arm, one for each round; of two arms the second is ours.
        more: more is better; else less is.
        cpu: the same by the time of the processor instead of the clock's, where it is known: it hardly sees what else
            the machine does.
        goal: what the ratio should reach.
        note: what the reader must know.
        short: what README calls it; "" leaves it out there.
    """

    name: str
    unit: str
    values: Mapping[str, Sequence[float]]
    more: bool = True
    cpu: Mapping[str, Sequence[float]] = field(default_factory=dict)
    goal: float | None = None
    note: str = ""
    short: str = ""

    @property
    def ratio(self) -> tuple[float, float, float] | None:
        """How many times better ours is: of the medians, and the lowest and highest of the rounds."""
        return better(self.values, more=self.more)

    @property
    def cpu_ratio(self) -> tuple[float, float, float] | None:
        """The same by the time of the processor."""
        return better(self.cpu, more=self.more)


def better(values: Mapping[str, Sequence[float]], *, more: bool) -> tuple[float, float, float] | None:
    """How many times better the second arm is than the first: ratio of medians, lowest and highest of the rounds."""
    if len(values) != 2:
        return None
    theirs, ours = values.values()
    pairs = list(zip(theirs, ours, strict=True))
    above, below = (1, 0) if more else (0, 1)
    found = [pair[above] / pair[below] for pair in pairs]
    middle = [statistics.median(pair[side] for pair in pairs) for side in (0, 1)]
    return middle[above] / middle[below], min(found), max(found)


@dataclass(frozen=True)
class Result:
    """The answer to one question.

    Args:
        question: its name.
        rows: what was measured.
        machine: where, and with which versions.
        skipped: what could not be measured, and why.
        made: when, in UTC.
        seconds: that it took.
        quick: a try with sizes that say nothing.
    """

    question: str
    rows: Sequence[Row]
    machine: Mapping[str, Any]
    skipped: Sequence[str] = ()
    made: str = ""
    seconds: float = 0.0
    quick: bool = False

    def write(self, folder: Path) -> Path:
        """Keep it under its date."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.made[:10]}-{self.question}.json"
        told = asdict(self)
        for row, known in zip(told["rows"], self.rows, strict=True):
            row["ratio"] = known.ratio  # for readers; it is computed anew when the file is read
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return path


def read(path: Path) -> Result:
    """A result that was kept."""
    told = json.loads(path.read_text(encoding="utf-8"))
    for row in told["rows"]:
        del row["ratio"]
    return Result(**told | {"rows": [Row(**row) for row in told["rows"]]})


def newest(folder: Path, question: str) -> Result | None:
    """The last answer to a question, if there is one."""
    paths = sorted(folder.glob(f"????-??-??-{question}.json"))
    return read(paths[-1]) if paths else None


def now() -> str:
    """The date and time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def machine(threads: int) -> dict[str, Any]:
    """Where this runs, and with which versions."""
    import numpy
    import PIL
    import torch

    import cardigan

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load": [round(value, 1) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "cardigan": cardigan.__version__,
        "commit": commit(),
        "environment": {key: value for key, value in sorted(os.environ.items()) if key.startswith(SETS)},
    }


def commit(tree: Path = Path(__file__).parents[2]) -> str:
    """Which state of the code this is, with a plus if it was changed since; empty where git does not tell."""
    asked = ["git", "-C", str(tree), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
