"""Where images come from: :func:`open_source` turns what a user types into a source."""

import difflib
import glob
import os
import re
import shlex
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cardigan.data import archives
from cardigan.data.arrays import npy, npz
from cardigan.data.crops import large_image
from cardigan.data.digits import digits
from cardigan.data.folders import files, folder
from cardigan.data.formats import EXTENSIONS, HEAD, is_image
from cardigan.data.given import NAME, given
from cardigan.data.hub import data_set, parquet
from cardigan.data.items import Item, Source
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.words import first, printable
from cardigan.errors import CardiganError
from cardigan.paths import path_of

__all__ = ["Item", "Source", "called", "open_source", "pattern"]

EXPECTED = (
    "a folder of images, a .zip or .tar, an .npz or .npy, one large image, a Hugging Face data set such as owner/name, "
    "or digits"
)

_Reader = Callable[[Path, DataSettings], Source]
_READERS: tuple[tuple[tuple[str, ...], _Reader], ...] = (
    ((".zip",), archives.archive),
    (archives.TARS, archives.tar),
    ((".npz",), lambda path, settings: npz(path, split=settings.split or "train")),
    ((".npy",), lambda path, _: npy(path)),
    ((".parquet",), lambda path, settings: parquet([path], str(path), settings)),
    (EXTENSIONS, lambda path, _: large_image(path)),
)
_FOUND = tuple(ending for endings, _ in _READERS for ending in endings)
_MOST_TYPED = 8
_HUB_ID = r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*"

_REMEDIES = {
    (".h5", ".hdf5"): (
        "HDF5",
        "save its array of images: python -c \"import h5py, numpy; numpy.savez('images.npz', "
        "images=h5py.File('{name}')['images'][:])\"",
    ),
    (".mdb", ".lmdb"): ("an LMDB", "write its images as files into a folder, or save them with numpy.savez"),
    (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"): (
        "a video",
        "take its pictures out: mkdir frames && ffmpeg -i {quoted} frames/%06d.png, and give frames",
    ),
    (".7z", ".rar", ".zst", ".tzst", ".lz4", ".z"): (
        "an archive of a kind that is not read",
        "unpack it and give the folder",
    ),
    (".gz", ".bz2", ".xz"): ("one packed file", "unpack it (gzip -d, bzip2 -d or xz -d) and give what is inside"),
    (".pkl", ".pickle", ".pt", ".pth", ".joblib"): (
        "Python's own format, which can run any code and is never read",
        "save its array of images with numpy.savez('images.npz', images=...)",
    ),
    (".mat",): (
        "MATLAB's format",
        "save its array of images: python -c \"import scipy.io, numpy; numpy.savez('images.npz', "
        "images=scipy.io.loadmat('{name}')['X'])\"",
    ),
    (".tfrecord", ".tfrecords", ".rec", ".beton", ".arrow"): (
        "a container of another library",
        "write its images as files into a folder, or save them with numpy.savez",
    ),
    (".csv", ".tsv", ".json", ".jsonl", ".txt"): ("a table", "put it beside the images and give their folder"),
}


def called(source: Any) -> str:
    """One text for what a user gave as a source.

    Example:
        >>> called(Path("photos")), called(["a.png", "b.png"]), called([[0]])
        ('photos', 'a.png b.png', 'images-in-memory')
    """
    if isinstance(source, str | Path):
        return str(source)
    if isinstance(source, Source):
        return source.name
    return pattern(source) if _are_paths(source) else NAME


def _are_paths(source: Any) -> bool:
    return isinstance(source, list | tuple) and all(isinstance(each, str | Path) for each in source)


def open_source(text: Any, settings: DataSettings = DEFAULTS) -> Source:
    """Find out what the user means and list its images.

    Args:
        text: a folder of images, a folder of class folders, a zip or tar of either, an ``.npz`` or ``.npy``, parquet
            files or their folder, one large image, ``owner/name`` or ``hub:name`` for a data set of the Hugging Face
            Hub, ``imagefolder:PATH`` for a local one read by its library, or ``digits``; a pattern such as
            ``photos/*.png``, or a list of files and folders; or images in memory, see
            :func:`~cardigan.data.given.given`. What lies on the disk wins over the Hub; ``digits`` always means the
            embedded set (write ``./digits`` for a folder of that name), and so never a run that was called so.
        settings: ``split``, ``labels``, ``labels_from`` and ``links`` are read.

    Raises:
        CardiganError: if there is nothing there, or no images in it.
        MissingExtraError: if the Hub or parquet is asked for and its library is not installed.
    """
    if isinstance(text, Source):
        return text
    if not isinstance(text, str | Path):
        if not _are_paths(text):
            return given(text, settings)
        several = list(text)
        if len(several) != 1:
            return _several(several, settings)
        text = several[0]
    if not str(text).strip():
        raise CardiganError(f"The source is {str(text)!r}. Expected {EXPECTED}. Try: cardigan scan digits")
    if text == "digits":
        return digits()
    kind, _, rest = str(text).partition(":")
    if kind in ("hub", "imagefolder"):
        return data_set(rest, folder=kind == "imagefolder", settings=settings)
    if str(text).startswith("file://"):
        text = rest.removeprefix("//").removeprefix("localhost")
    path = path_of(text)
    try:
        mode = path.stat().st_mode
    except PermissionError as problem:
        raise CardiganError(f"{printable(str(path))} cannot be read: {problem.strerror}. Check its rights.") from None
    except (OSError, ValueError):
        return _not_on_disk(str(text), path, settings)
    if stat.S_ISDIR(mode):
        tables = _only_parquet(path)
        return parquet(tables, str(path), settings) if tables else folder(path, settings)
    if stat.S_ISREG(mode) and (reader := _reader(path)):
        return reader(path, settings)
    raise CardiganError(_no_source(path))


def check_there(named: Sequence[str]) -> None:
    """Refuse paths that do not exist, before anything heavy is loaded. What has to be opened to be known passes.

    Args:
        named: the sources on a command line.

    Raises:
        CardiganError: as :func:`open_source` does.

    Example:
        >>> check_there(["digits"]), check_there(["owner/name"])
        (None, None)
    """
    absent = [text for text in named if text != "digits" and not os.path.lexists(path_of(text))]
    if not named or (absent and not any(re.fullmatch(rf"{_HUB_ID}|\w+:.*", text) for text in absent)):
        open_source(list(named))


def _reader(path: Path) -> _Reader | None:
    """What reads a file, by its name, or by its content where the name says nothing."""
    name = path.name.lower()
    for endings, reader in _READERS:
        if name.endswith(endings):
            return reader
    if any(name.endswith(endings) for endings in _REMEDIES):
        return None
    try:
        with path.open("rb") as file:
            return (lambda path, _: large_image(path)) if is_image(file.read(HEAD)) else None
    except OSError:
        return None


def _no_source(path: Path) -> str:
    """What to say of a file that is not read, with what can be done."""
    shown = printable(str(path))
    for endings, (what, remedy) in _REMEDIES.items():
        if path.name.lower().endswith(endings):
            name = printable(path.as_posix())
            instead = remedy.format(name=name, quoted=shlex.quote(name))
            return f"{shown} is {what}, which is not read here. Instead, {instead}."
    return (
        f"{shown} is no source of images. Expected a folder, a .zip or .tar, an .npz, an .npy or one large image "
        f"({first([ending[1:] for ending in EXTENSIONS], 8)}). If it belongs to a folder of images, give the folder: "
        f"{printable(str(path.parent))}"
    )


def _only_parquet(path: Path) -> list[Path]:
    """The parquet files of a folder that holds no images beside them; [] if it is no such folder."""
    found: list[Path] = []
    for root, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if any(name.lower().endswith(EXTENSIONS) for name in names):
            return []
        found += [Path(root) / name for name in sorted(names) if name.lower().endswith(".parquet")]
    return found


def _several(named: list[str | Path], settings: DataSettings, name: str = "") -> Source:
    """Files and folders, named one by one or by a shell's pattern."""
    if not named:
        raise CardiganError(f"No source is named. Expected {EXPECTED}. Try: cardigan scan digits")
    paths = [Path(each).expanduser() for each in named]
    missing = [path for path in paths if not os.path.lexists(path)]
    if missing:
        raise CardiganError(
            f"{len(named):,} sources are named, and there is no file or folder {printable(str(missing[0]))}. Expected "
            "files and folders of images; options come after them, as in --size 64"
        )
    archived = [
        path
        for path in paths
        if path.is_file() and path.name.lower().endswith((".zip", ".npz", ".npy", *archives.TARS))
    ]
    if archived:
        raise CardiganError(
            f"{len(named):,} sources are named, and {printable(str(archived[0]))} is one that is read alone. Name it "
            "only, or unpack it and name the folder."
        )
    root = Path(os.path.commonpath([os.path.abspath(path.parent) for path in paths]))  # noqa: PTH100
    chosen = [os.path.relpath(os.path.abspath(path), root).replace(os.sep, "/") for path in paths]  # noqa: PTH100
    name = name or pattern(named)
    # A pattern of folders is what the folder that holds them would be; those that are named one by one are no classes.
    one = all(path.is_dir() for path in paths) and not glob.has_magic(name) and settings.split is None
    if not one or any("," in each or "/" in each for each in chosen):
        return files(name, root, chosen, settings)
    found = files(name, root, chosen, replace(settings, split=",".join(chosen)))
    told = (
        f"{first(map(printable, chosen), 4)} are read as one. To train with classes, give the folder that holds them."
    )
    return replace(found, remarks=(*found.remarks, told))


def pattern(given: Sequence[str | Path]) -> str:
    """One text for files and folders that were named together: the pattern that gives them, or all of them.

    Example:
        >>> pattern(["photos", "more"])
        'photos more'
    """
    texts = [str(each) for each in given]
    if len(texts) == 1:
        return texts[0]
    folders = {os.path.dirname(text) for text in texts}  # noqa: PTH120
    if len(folders) == 1:
        above = folders.pop()
        suffixes = {os.path.splitext(text)[1] for text in texts}  # noqa: PTH122
        for name in (f"*{suffixes.pop()}" if len(suffixes) == 1 else "*", "*"):
            found = os.path.join(glob.escape(above), name)  # noqa: PTH118
            if sorted(glob.glob(found)) == sorted(texts):  # noqa: PTH207
                return found
    if len(texts) <= _MOST_TYPED:
        return shlex.join(texts)
    above = os.path.commonpath([os.path.dirname(text) or "." for text in texts])  # noqa: PTH120
    return f"{above} ({len(texts):,} files)"


def _not_on_disk(text: str, path: Path, settings: DataSettings) -> Source:
    """Files by a pattern, a Hub data set by its looks, or a path that does not exist."""
    if glob.has_magic(str(path)):
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
        if found:
            return _several([Path(each) for each in found], settings, text)
    if re.match(r"(https?|ftp|s3|gs|kaggle)://?|kaggle:", text):
        raise CardiganError(_address(text))
    is_id = re.fullmatch(_HUB_ID, text) and not text.lower().endswith(_FOUND)
    if is_id and not path.parent.exists():
        return data_set(text, settings=settings)
    parent = path.parent
    try:
        names = [*(str(parent / name) for name in os.listdir(parent)), "digits"]  # noqa: PTH208
    except (OSError, ValueError):
        names = ["digits"]
    close = difflib.get_close_matches(str(path), names, n=1)
    hint = f"Did you mean {printable(close[0])}?" if close else "Check the path, or try: cardigan scan digits"
    what = "match for the pattern" if glob.has_magic(str(path)) else "folder or file"
    raise CardiganError(f"There is no {what} {printable(text)}. Expected {EXPECTED}. {hint}")


def _address(text: str) -> str:
    """What to do with an address: nothing is ever fetched but from the Hub."""
    shown = printable(text)
    name = text.rstrip("/").rpartition("/")[2] or "images.zip"
    if text.startswith("kaggle:"):
        return (
            f"{shown} is a data set of Kaggle, which is not fetched here. Download it, then name the zip: kaggle "
            f"datasets download {shlex.quote(text.removeprefix('kaggle:').strip('/'))}"
        )
    if "huggingface.co/datasets/" in text:
        return f"{shown} is an address. Name the data set by its id: {printable(text.partition('/datasets/')[2])}"
    how = "aws s3 cp" if text.startswith("s3:") else "gsutil cp" if text.startswith("gs:") else "curl -L"
    fetch = f"{how} -o {shlex.quote(name)} {shlex.quote(text)}" if how == "curl -L" else f"{how} {shlex.quote(text)} ."
    return f"{shown} is an address; images are read from this machine's disk. Download them first: {printable(fetch)}"
