"""Files that survive a crash: under a name there is the whole content or what was there before."""

import os
import uuid
from pathlib import Path


def write_durably(path: Path, blob: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with path.open("xb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, blob: bytes) -> None:
    """Write a file so that under its name there is always the old content or the new, never a part."""
    partial = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        write_durably(partial, blob)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk. Windows has no such call; the promise is weaker there."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
