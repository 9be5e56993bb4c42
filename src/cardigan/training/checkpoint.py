"""Checkpoints that survive a crash at any moment.

A checkpoint is a folder ``step-N`` whose last-written file, ``manifest.json``, names every other file with its size and
SHA-256. It is written under another name, flushed to the disk, read back and checked, and only then renamed; older ones
are removed only after that. What is written is a copy, so that training need not wait for it. Tensors are safetensors,
everything else JSON: nothing in it can run code.
"""

import hashlib
import json
import math
import shutil
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from cardigan.durable import sync_folder, write_durably
from cardigan.errors import CardiganError
from cardigan.training.loop import PLAYERS, Training
from cardigan.training.state import Checkpoint, capture, restore

__all__ = ["BadCheckpointError", "Checkpoint", "Copy", "capture", "newest", "restore", "save", "tidy", "write"]

SCHEMA = 1
KEEP = 2
"""Verified checkpoints that are kept. One would be too few: it may be the one that is being replaced."""
FILES = frozenset(
    ["state.json", "average.safetensors"]
    + [f"{player}{part}.safetensors" for player in PLAYERS for part in ("", "-optimizer")]
)
"""What a checkpoint consists of, beside its manifest."""
OPTIONAL = frozenset({"augment.safetensors"})
"""What it has besides where the augmentation learns too."""


@dataclass(frozen=True)
class Copy:
    """A training as it stood at one moment, in memory of its own.

    Args:
        files: tensors by file name and by their own name.
        state: everything that is not a tensor.
    """

    files: dict[str, dict[str, Tensor]]
    state: dict[str, Any]

    @classmethod
    def of(cls, training: Training, extra: dict[str, Any]) -> "Copy":
        """Copy a training, which is not changed by it, nor is any random state; ``extra``: JSON values to keep."""
        files, state = capture(training)
        copies = {
            file: {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
            for file, tensors in files.items()
        }
        return cls(copies, state | extra)


def save(folder: Path, training: Training, extra: dict[str, Any]) -> Path:
    """Write a checkpoint by the protocol above, then remove all but the newest ``KEEP``.

    Args:
        folder: the folder of checkpoints.
        training: what to save; it is not changed by it, nor is any random state.
        extra: JSON values to keep with it.

    Raises:
        CardiganError: if the disk is full or the folder cannot be written; earlier checkpoints are untouched.
    """
    return write(folder, Copy.of(training, extra))


def write(folder: Path, copy: Copy) -> Path:
    """:func:`save`, of a training as it stood when it was copied."""
    step = copy.state["turns"]
    final = folder / _name(step)
    told = json.dumps(copy.state, indent=1)
    with suppress(BadCheckpointError, OSError):
        if _read(final).state == json.loads(told):
            return final  # saved a moment ago: to write it again would put it at risk
    partial = folder / f"{final.name}.partial-{uuid.uuid4().hex[:8]}"
    try:
        blobs = {f"{name}.safetensors": safetensors.torch.save(tensors) for name, tensors in copy.files.items()}
        blobs["state.json"] = told.encode()
        _check_space(folder, sum(map(len, blobs.values())))
        partial.mkdir(parents=True)
        listing = {name: {"bytes": len(blob), "sha256": _digest(blob)} for name, blob in blobs.items()}
        manifest = {
            "schema": SCHEMA,
            "step": step,
            "images": copy.state["images"],
            "torch": torch.__version__,
            "files": listing,
        }
        for name, blob in blobs.items():
            write_durably(partial / name, blob)
        write_durably(partial / "manifest.json", json.dumps(manifest, indent=1).encode())
        _read(partial)
        sync_folder(partial)
        if final.exists():  # the same step, damaged
            _discard(final)
        partial.rename(final)
        sync_folder(folder)
    except (OSError, BadCheckpointError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        safe = [path.name for path in _committed(folder)]
        kept = f"{safe[0]} is safe" if safe else "No checkpoint was written yet"
        if isinstance(error, BadCheckpointError):
            raise CardiganError(
                f"The checkpoint of step {step} in {folder} would not be usable: {error} {kept}. Lower the learning "
                f"rate if its numbers are not finite; suspect the disk if it was damaged."
            ) from error
        raise CardiganError(
            f"The checkpoint of step {step} could not be written to {folder}: {error.strerror or error}. {kept}. "
            f"Free space or mend the permissions, then run the same command again."
        ) from error
    for old in _committed(folder)[KEEP:]:
        # The new one is safe: one that cannot be removed is no reason to stop, and the next save tries again.
        with suppress(OSError):
            _discard(old)
    return final


def newest(folder: Path) -> tuple[Checkpoint | None, dict[str, str]]:
    """The newest checkpoint that passes every check; and for each newer one, by name, why it was passed over.

    Args:
        folder: the folder of checkpoints; it may be absent.
    """
    rejected: dict[str, str] = {}
    for path in _committed(folder):
        try:
            return _read(path), rejected
        except (BadCheckpointError, OSError) as error:
            rejected[path.name] = str(error)
    return None, rejected


def tidy(folder: Path, rejected: Iterable[str]) -> int:
    """Before training goes on: remove what interrupted saves left, and set rejected checkpoints aside.

    Args:
        folder: the folder of checkpoints; it may be absent.
        rejected: names of checkpoints; they are kept under ``rejected-...`` for whoever wants to look.

    Returns:
        How many unfinished saves were removed.
    """
    unfinished = list(folder.glob("*.partial-*"))
    for leftover in [*unfinished, *folder.glob("*.trash-*")]:
        shutil.rmtree(leftover, ignore_errors=True)
    for name in rejected:
        (folder / name).rename(folder / f"rejected-{name}-{uuid.uuid4().hex[:8]}")
    return len(unfinished)


class BadCheckpointError(CardiganError):
    """A checkpoint that must not be used; the message says why."""


def _read(path: Path) -> Checkpoint:
    """Read a checkpoint and verify all of it.

    Raises:
        BadCheckpointError: with the first fault that was found.
    """
    manifest = _json(path / "manifest.json")
    if manifest.get("schema") != SCHEMA:
        raise BadCheckpointError(
            f"its format is version {manifest.get('schema')!r}, this Cardigan reads {SCHEMA}. Upgrade Cardigan."
        )
    try:
        listing = {name: (told["bytes"], told["sha256"]) for name, told in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadCheckpointError(f"manifest.json is malformed ({error!r}).") from error
    if wrong := sorted((FILES - listing.keys()) | (listing.keys() - FILES - OPTIONAL)):
        raise BadCheckpointError(f"manifest.json does not list the files of a checkpoint; see {wrong[0]!r}.")
    files: dict[str, dict[str, Tensor]] = {}
    for name, (size, digest) in listing.items():
        if not (path / name).is_file():
            raise BadCheckpointError(f"{name} is missing.")
        blob = (path / name).read_bytes()
        if len(blob) != size:
            raise BadCheckpointError(f"{name} has {len(blob)} bytes instead of {size}.")
        if _digest(blob) != digest:
            raise BadCheckpointError(f"{name} does not match its SHA-256; its content was changed or damaged.")
        if name.endswith(".safetensors"):
            files[name.removesuffix(".safetensors")] = _tensors(name, blob)
    state = _json(path / "state.json")
    step = state["turns"]
    if manifest.get("step") != step or path.name.partition(".")[0] != _name(step):
        raise BadCheckpointError(f"it holds step {step}, but its name or manifest.json tells another.")
    return Checkpoint(path, step, state, files)


def _tensors(name: str, blob: bytes) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load(blob)
    except SafetensorError as error:
        raise BadCheckpointError(f"{name} is not a valid safetensors file ({error}).") from error
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not math.isfinite(float(tensor.sum())) and not bool(tensor.isfinite().all()):
            raise BadCheckpointError(f"{name} holds numbers that are not finite, in {key}.")
    return tensors


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadCheckpointError(f"{path.name} is missing.") from error
    except ValueError as error:
        raise BadCheckpointError(f"{path.name} is not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise BadCheckpointError(f"{path.name} is not a JSON object.")
    return value


def _name(step: int) -> str:
    return f"step-{step:09d}"


def _committed(folder: Path) -> list[Path]:
    """The folders that bear a final name, newest first."""
    return sorted((path for path in folder.glob("step-*") if path.name[5:].isdigit()), reverse=True)


def _discard(path: Path) -> None:
    """Remove a folder so that a crash leaves it whole or under a name that nobody reads."""
    trash = path.with_name(f"{path.name}.trash-{uuid.uuid4().hex[:8]}")
    path.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def _check_space(folder: Path, wanted: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < 1.2 * wanted:
        raise OSError(f"disk full: {wanted / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free")


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
