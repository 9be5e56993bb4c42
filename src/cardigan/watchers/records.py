"""``records.jsonl``: what happened, one line a second or so, kept in step with the checkpoints."""

import json
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from cardigan.clock import StepRecord
from cardigan.durable import replace_durably


class RecordsWriter:
    """Writes the mean of every named loss and logit since the last line.

    Args:
        path: the file; lines that lie beyond ``images`` are cut off, so that a resumed run has one history.
        images: where the run stands.
        seconds: of training so far.
        interval: seconds between lines.
    """

    def __init__(self, path: Path, *, images: int = 0, seconds: float = 0.0, interval: float = 1.0) -> None:
        self.path, self.interval = path, interval
        _cut(path, images)
        self._sums: dict[tuple[str, str], Tensor] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self._last_images, self._last_seconds = images, seconds
        self._due = time.monotonic() + interval

    def see(self, record: StepRecord) -> dict[str, Any] | None:
        """Take in a record; the line that was written, when one was due."""
        kinds = {"losses": record.losses, "logits": record.logits, "gauges": record.gauges}
        named = {(kind, name): value for kind, values in kinds.items() for name, value in values.items()}
        for name, value in named.items():
            # Sums stay on the device: reading them out each step would stall a GPU.
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        return self.flush(record) if time.monotonic() >= self._due else None

    def flush(self, record: StepRecord) -> dict[str, Any] | None:
        """Write what has gathered; None when nothing has."""
        if not self._sums:
            return None
        progress = record.progress
        means: dict[str, dict[str, float]] = {"losses": {}, "logits": {}}
        for (kind, name), total in self._sums.items():
            means.setdefault(kind, {})[name] = float(total) / self._counts[kind, name]
        elapsed = progress.seconds - self._last_seconds
        speed = (progress.images - self._last_images) / elapsed if elapsed > 0 else 0.0
        line = {
            "images": progress.images,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(speed, 1),
            **means,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._sums, self._counts = {}, {}
        self._last_images, self._last_seconds = progress.images, progress.seconds
        self._due = time.monotonic() + self.interval
        return line


def _cut(path: Path, images: int) -> None:
    """Remove the lines that a resumed run will write again, and a line that a crash cut short."""
    if not path.exists():
        return
    kept = []
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        try:
            if json.loads(line)["images"] > images:
                break
        except (ValueError, KeyError):
            break
        kept.append(line + "\n")
    if "".join(kept) != text:
        replace_durably(path, "".join(kept).encode())
