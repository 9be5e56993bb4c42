"""Where images come from: :func:`open_source` turns what a user types into a source."""

import difflib
import os
import re
import stat
from pathlib import Path

from cardigan.data.archives import archive
from cardigan.data.arrays import npy, npz
from cardigan.data.crops import large_image
from cardigan.data.decode import EXTENSIONS
from cardigan.data.digits import digits
from cardigan.data.folders import folder
from cardigan.data.hub import data_set
from cardigan.data.items import Item, Source
from cardigan.data.layout import endings
from cardigan.data.words import printable
from cardigan.errors import CardiganError

__all__ = ["Item", "Source", "open_source"]


def open_source(text: str | Path) -> Source:
    """Find out what the user means and list its images.

    Args:
        text: a folder of images, a folder of class folders, a zip of either, an ``.npz`` or ``.npy``, one large image,
            ``owner/name`` or ``hub:name`` for a data set of the Hugging Face Hub, ``imagefolder:PATH`` for a local one
            read by its library, or ``digits``. What lies on the disk wins over the Hub; ``digits`` always means the
            embedded set (write ``./digits`` for a folder of that name), and so never a run that was called so.

    Raises:
        CardiganError: if there is nothing there, or no images in it.
        MissingExtraError: if the Hub is asked for and its library is not installed.
    """
    if not str(text).strip():
        raise CardiganError(
            f"The source is {str(text)!r}. Expected a folder of images, a .zip, an .npz or .npy, one large image, a "
            "Hugging Face data set such as owner/name, or digits. Try: cardigan scan digits"
        )
    if text == "digits":
        return digits()
    kind, _, rest = str(text).partition(":")
    if kind in ("hub", "imagefolder"):
        return data_set(rest, folder=kind == "imagefolder")
    path = Path(text).expanduser()
    try:
        mode = path.stat().st_mode
    except PermissionError as problem:
        raise CardiganError(f"{printable(str(path))} cannot be read: {problem.strerror}. Check its rights.") from None
    except (OSError, ValueError):
        return _not_on_disk(str(text), path)
    if stat.S_ISDIR(mode):
        return folder(path)
    if stat.S_ISREG(mode):
        for ending, reader in (
            (".zip", archive),
            (".npz", npz),
            (".npy", npy),
            *((ending, large_image) for ending in EXTENSIONS),
        ):
            if path.suffix.lower() == ending:
                return reader(path)
    raise CardiganError(
        f"{printable(str(path))} is no source of images. Expected a folder, a .zip, an .npz, an .npy or one large "
        f"image ({endings()}). If it belongs to a folder of images, give the folder: {printable(str(path.parent))}"
    )


def _not_on_disk(text: str, path: Path) -> Source:
    """A Hub data set by its looks, or a path that does not exist."""
    is_id = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text) and not text.lower().endswith(
        (*EXTENSIONS, ".zip", ".npz", ".npy")
    )
    if is_id and not path.parent.exists():
        return data_set(text)
    parent = path.parent
    try:
        names = [*(str(parent / name) for name in os.listdir(parent)), "digits"]  # noqa: PTH208
    except (OSError, ValueError):
        names = ["digits"]
    close = difflib.get_close_matches(str(path), names, n=1)
    hint = f"Did you mean {printable(close[0])}?" if close else "Check the path, or try: cardigan scan digits"
    raise CardiganError(
        f"There is no folder or file {printable(text)}. Expected a folder of images, a .zip, an .npz or .npy, one "
        f"large image, a Hugging Face data set such as owner/name, or digits. {hint}"
    )
