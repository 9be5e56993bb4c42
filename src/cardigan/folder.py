"""A run's folder: what lies where, whose it is, and who is writing into it.

``config.json`` says what was asked for; ``records.jsonl`` what happened; ``checkpoints/`` lets it go on; ``samples/``
shows it learning; ``generator/`` is the model; ``report.html`` shows it all.
"""

import json
import math
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.paths import path_of

LOCK_NAME = ".lock"
CONFIG_KEYS = frozenset(
    {
        *("version", "torch", "device", "threads", "command", "request", "budget"),
        *("shape", "resolved", "parameters", "because", "data"),
    }
)
"""What a run's configuration consists of."""
THIS_PROCESS = uuid.uuid4().hex
"""Tells this process from an earlier one that had the same number, as the first process of a container does."""


@dataclass(frozen=True)
class RunFolder:
    """Names in a run's folder.

    Example:
        >>> RunFolder(Path("runs/faces")).config.name
        'config.json'
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", path_of(self.path))

    @property
    def config(self) -> Path:
        """What was asked for."""
        return self.path / "config.json"

    @property
    def records(self) -> Path:
        """What happened, one JSON object a line."""
        return self.path / "records.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Folders to resume from."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Pictures drawn from the same latents through training."""
        return self.path / "samples"

    @property
    def generator(self) -> Path:
        """The published model."""
        return self.path / "generator"

    @property
    def pretrained(self) -> Path:
        """Of a restoration: the model before adversarial training."""
        return self.path / "pretrained"

    @property
    def best(self) -> Path:
        """In training: the model that measured best so far, in a folder named by images seen."""
        return self.path / "best"

    @property
    def trials(self) -> Path:
        """Measurements of the generator while it trained, one JSON object a line."""
        return self.path / "trials.jsonl"

    @property
    def nonfinite(self) -> Path:
        """The step whose numbers were none, for whoever looks for the cause."""
        return self.path / "nonfinite.json"

    @property
    def report(self) -> Path:
        """The page that shows it all."""
        return self.path / "report.html"

    def check_there(self) -> None:
        """Refuse a folder that is no run at a glance.

        Raises:
            CardiganError: if it has no configuration.
        """
        if not self.config.is_file():
            raise CardiganError(
                f"{self.path} is not a run: it has no config.json. Train one first: cardigan train SOURCE"
            )

    def read_config(self) -> dict[str, Any]:
        """The configuration.

        Raises:
            CardiganError: if this is no run folder, or its configuration is damaged.
        """
        self.check_there()
        try:
            config = json.loads(self.config.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CardiganError(
                f"{self.config} is damaged ({error}). Restore it, or train into another --out."
            ) from error
        missing = sorted(CONFIG_KEYS - set(config)) if isinstance(config, dict) else sorted(CONFIG_KEYS)
        if missing:
            raise CardiganError(
                f"{self.config} is not the configuration of a run of this version of Cardigan: it has no "
                f"{', '.join(map(repr, missing))}. Choose another --out; nothing was changed here."
            )
        return config

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration, whole or not at all."""
        replace_durably(self.config, json.dumps(config, indent=1).encode())

    def read_records(self) -> list[dict[str, Any]]:
        """All records; a last line that a crash cut short is left out."""
        return read_lines(self.records)

    def read_events(self) -> list[dict[str, Any]]:
        """What happened beside training, in order: resumes, rejected checkpoints, remedies."""
        return read_lines(self.path / "events.jsonl")

    def add_event(self, text: str, *, images: int) -> None:
        """Note something that happened to the run."""
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"images": images, "text": text}) + "\n")

    def sweep(self) -> None:
        """Remove what a killed process left half written; only the holder of the lock may."""
        for leftover in [
            *self.path.glob(".*.partial-*"),
            *self.path.glob("*/.*.partial-*"),
            *self.path.glob(".probe-*"),
        ]:
            leftover.unlink(missing_ok=True)

    def has_history(self) -> bool:
        """Whether training ever began here: unfinished saves alone do not count, for nothing was promised yet."""
        return self.records.exists() or any(path.suffix == "" for path in self.checkpoints.glob("*step-*"))

    def make(self) -> list[Path]:
        """Create the folder and prove that it can be written.

        Returns:
            The folders that were not there before, innermost first.

        Raises:
            CardiganError: if it cannot.
        """
        probe = self.path / f".probe-{os.getpid()}"
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise CardiganError(
                f"The run cannot be written to {self.path}: {error.strerror or error}. Nothing was started. Choose a "
                f"folder that you may write to with --out."
            ) from error
        return missing

    def in_use(self) -> bool:
        """Whether a process is training here."""
        try:
            _refuse_if_held(self.path / LOCK_NAME, self.path)
        except CardiganError:
            return True
        return False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        A lock whose process is gone is taken over; one on another host cannot be checked and is respected.

        Raises:
            CardiganError: if another process holds it.
        """
        lock, mine = self.path / LOCK_NAME, {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        mine["process"] = THIS_PROCESS
        # The content comes with the name, by a hard link that fails if the name exists: no one sees an empty lock.
        draft = self.path / f"{LOCK_NAME}-{os.getpid()}"
        draft.write_text(json.dumps(mine), encoding="utf-8")
        try:
            while not _link(draft, lock):
                _take_away(lock, _refuse_if_held(lock, self.path))
        finally:
            draft.unlink(missing_ok=True)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file, one a line, up to one that a crash cut short; [] without the file."""
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def ways_trained(config: Mapping[str, Any], images: float = math.inf) -> list[str]:
    """How the networks of a run were computed in its sittings, in words; each way once, in order.

    Args:
        config: of the run. Its "sittings" say for each sitting after how many images it began, on which device, and
            how the networks ran.
        images: seen by the generator that is asked about; sittings after it do not count.

    Returns:
        [] for a run that noted no sittings.

    Example:
        >>> plain = {"images": 0, "device": "cuda", "precision": "float32", "compiled": False}
        >>> later = {"images": 9_600, "device": "cuda", "precision": "bfloat16", "compiled": True}
        >>> ways_trained({"sittings": [plain, later]})
        ['float32 on cuda', 'bfloat16, compiled on cuda']
        >>> ways_trained({"sittings": [plain, later]}, images=9_600)
        ['float32 on cuda']
    """
    counted = [sitting for sitting in config.get("sittings", ()) if sitting["images"] < images]
    ways = (
        f"{each['precision']}{', compiled' * each['compiled']}"
        f"{', channels first' * (not each.get('channels_last', True))} on {each['device']}"
        for each in counted
    )
    return list(dict.fromkeys(ways))


def fast_paths(config: Mapping[str, Any]) -> str:
    """What the last self-check of a run's device found, in words; "" where there was none.

    Args:
        config: of the run.

    Example:
        >>> found = {"same": ["fused optimizer", "channels last"], "dropped": {"bfloat16": "it fails"}}
        >>> fast_paths({"sittings": [{"self_check": found}]})
        'fused optimizer, channels last: as the plain way; done without bfloat16'
    """
    checks = [sitting["self_check"] for sitting in config.get("sittings", ()) if sitting.get("self_check")]
    last = checks[-1] if checks else {}
    parts = [f"{', '.join(last['same'])}: as the plain way"] if last.get("same") else []
    parts += [f"done without {', '.join(last['dropped'])}"] if last.get("dropped") else []
    return "; ".join(parts)


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders that hold nothing, so that a refused command leaves nothing behind."""
    for path in folders:
        with suppress(OSError):
            path.rmdir()


def _link(draft: Path, lock: Path) -> bool:
    try:
        lock.hardlink_to(draft)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links, such as a USB stick's
        try:
            with lock.open("x", encoding="utf-8") as file:
                file.write(draft.read_text(encoding="utf-8"))
        except FileExistsError:
            return False
    return True


def _take_away(lock: Path, stale: str) -> None:
    """Remove a stale lock, but not a new one that another process has put in its place meanwhile."""
    aside = lock.with_name(f"{LOCK_NAME}-stale-{os.getpid()}")
    with suppress(FileNotFoundError):
        lock.rename(aside)
        if aside.read_text(encoding="utf-8", errors="replace") != stale:
            _link(aside, lock)
        aside.unlink()


def _refuse_if_held(lock: Path, run: Path) -> str:
    """The content of a stale lock; raises where it is held."""
    text = ""
    try:
        text = lock.read_text(encoding="utf-8", errors="replace")
        holder = json.loads(text)
        pid, host, since = int(holder["pid"]), str(holder["host"]), float(holder["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return text  # gone meanwhile, or damaged and nobody's
    here = host == socket.gethostname()
    namesake = pid == os.getpid() and holder.get("process") != THIS_PROCESS
    if not here or (_alive(pid) and not namesake):
        told = time.strftime("%H:%M", time.localtime(since))
        mend = "Wait for it or stop it" if here else f"If that process is gone, remove {lock}"
        raise CardiganError(
            f"The run {run} is in use by process {pid} on {host} since {told}. {mend}, or choose another --out."
        )
    return text


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
