"""Where images come from. A source is a value: a name, what was understood of it, and its items in a fixed order.

An item knows its name, perhaps its class, and how to get its bytes; nothing is decoded and nothing is extracted here.
:func:`open_source` turns what a user types into a source.
"""

import difflib
import hashlib
import io
import itertools
import os
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cardigan.data.decode import DEFAULTS, EXTENSIONS, BadImage, DataSettings, Pixels, decode, printable
from cardigan.errors import CardiganError, MissingExtraError

MAX_MEMBERS = 1_000_000
"""Files in one archive."""
MAX_TOTAL = 2**38
"""Bytes that one archive may unpack to: 256 GiB."""
MAX_MEMBER = 2**29
"""Bytes that one archived file may unpack to: 512 MiB."""
MAX_RATIO = 500
"""Unpacked over packed size of a member of more than 1 MiB; images hardly shrink at all."""
CROPS = 2000
"""Crops that are cut from one large image."""

_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"}
_HIDDEN, _LINKS, _SPECIAL = "hidden or system", "symbolic links, not followed", "pipes or devices, never opened"


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source.

    Args:
        name: as the source calls it; may hold anything, so print it through :func:`~cardigan.data.printable`.
        read: gives the file's bytes, or pixels as uint8 (H, W) or (H, W, C); raises BadImage or OSError.
        label: index into the source's classes, or None.
    """

    name: str
    read: Callable[[], bytes | Pixels]
    label: int | None = None


@dataclass(frozen=True)
class Source:
    """Images in a fixed order.

    Args:
        name: what the user called it.
        description: what was understood of it, in words.
        items: the images.
        key: changes whenever the content does; names the store that is made from it.
        classes: the names that labels point to; () for data without classes.
        remarks: what the user should know about how it was read.
        ignored: what was left out and why, with counts.
        rejected: (name, reason) of what looked like an image but was never opened.
        crops: for one large image: gives the source of its crops, from (height, width) or None and the settings.

    Example:
        >>> source = open_source("digits")
        >>> len(source), source.classes[3], source.items[0].read().shape
        (1797, '3', (16, 16))
    """

    name: str
    description: str
    items: tuple[Item, ...]
    key: str
    classes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    ignored: dict[str, int] = field(default_factory=dict)
    rejected: tuple[tuple[str, str], ...] = ()
    crops: "Callable[[tuple[int, int] | None, DataSettings], Source] | None" = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def sized(self, size: tuple[int, int] | None, settings: DataSettings = DEFAULTS) -> "Source":
        """The source at a size, (height, width) in pixels; only one large image, cut into crops, depends on it."""
        return self.crops(size, settings) if self.crops else self


def open_source(text: str | Path) -> Source:
    """Find out what the user means and list its images.

    Args:
        text: a folder of images, a folder of class folders, a zip of either, an ``.npz``, one large image,
            ``owner/name`` or ``hub:name`` for a data set of the Hugging Face Hub, ``imagefolder:PATH`` for a local one
            read by its library, or ``digits``. What lies on the disk wins over the Hub; ``digits`` always means the
            embedded set (write ``./digits`` for a folder of that name), and so never a run that was called so.

    Raises:
        CardiganError: if there is nothing there, or no images in it.
        MissingExtraError: if the Hub is asked for and its library is not installed.
    """
    if not str(text).strip():
        raise CardiganError(
            f"The source is {str(text)!r}. Expected a folder of images, a .zip, an .npz, one large image, a Hugging "
            "Face data set such as owner/name, or digits. Try: cardigan scan digits"
        )
    if text == "digits":
        return digits()
    kind, _, rest = str(text).partition(":")
    if kind in ("hub", "imagefolder"):
        return hub(rest, folder=kind == "imagefolder")
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
        for ending, reader in ((".zip", archive), (".npz", arrays), *((ending, large_image) for ending in EXTENSIONS)):
            if path.suffix.lower() == ending:
                return reader(path)
    raise CardiganError(
        f"{printable(str(path))} is no source of images. Expected a folder, a .zip, an .npz or one large image "
        f"({_endings()}). If it belongs to a folder of images, give the folder: {printable(str(path.parent))}"
    )


def folder(path: Path) -> Source:
    """A folder, read with all its sub-folders; links are not followed and pipes and devices never opened."""
    found: list[tuple[str, Callable[[], bytes]]] = []
    ignored: Counter[str] = Counter()
    rejected: list[tuple[str, str]] = []
    listing = hashlib.sha256(os.fsencode(path.resolve()))
    folders: list[str] = []
    for name, entry in _walk(path, "", ignored, rejected, folders):
        status = entry.stat(follow_symlinks=False)
        found.append((name, partial(_read_file, entry.path, status.st_size, status.st_mtime_ns)))
        listing.update(repr((name, status.st_size, status.st_mtime_ns)).encode())
    return _laid_out(str(path), found, ignored, rejected, folders, listing.hexdigest())


def archive(path: Path) -> Source:
    """A zip, never extracted: its members are read as streams, and the dangerous ones are listed and left alone."""
    found: list[tuple[str, Callable[[], bytes]]] = []
    ignored: Counter[str] = Counter()
    rejected: list[tuple[str, str]] = []
    listing = hashlib.sha256()
    try:
        opened = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise CardiganError(
            f"{printable(str(path))} cannot be read as a zip: {problem}. Expected a whole .zip file; copy it again, or "
            "unpack it and give the folder."
        ) from None
    members = opened.infolist()
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or total > MAX_TOTAL:
        raise CardiganError(
            f"{printable(str(path))} holds {len(members):,} files that unpack to {total / 2**30:,.1f} GiB. Expected at "
            f"most {MAX_MEMBERS:,} files and {MAX_TOTAL / 2**30:,.0f} GiB; unpack it yourself and give the folder."
        )
    for member in members:
        name = member.filename.replace("\\", "/")
        reason = _danger(member, name)
        if not member.is_dir() and reason:
            rejected.append((name, reason))
        elif not member.is_dir() and _wanted(name, ignored):
            found.append((name, partial(_read_member, opened, member)))
            listing.update(repr((name, member.file_size, member.CRC)).encode())
    found.sort(key=lambda pair: pair[0])
    folders = [member.filename for member in members if member.is_dir() and not _danger(member, member.filename)]
    return _laid_out(str(path), found, ignored, rejected, folders, listing.hexdigest())


def arrays(path: Path, *, split: str = "train") -> Source:
    """An ``.npz`` of ``<split>_images`` or ``images``, or of JPEG files end to end: ``<split>_jpeg`` and ``_offsets``.

    Images are uint8 (N, H, W) or (N, H, W, C) with 1 to 4 channels; labels are whole numbers (N,) from 0.
    """
    name = printable(str(path))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = list(stored.files)
            key = next((key for key in (f"{split}_images", "images", f"{split}_jpeg") if key in names), None)
            if key is None:
                raise CardiganError(
                    f"{name} holds {', '.join(map(printable, names)) or 'nothing'}; expected {split}_images or images "
                    f"(uint8, [N, H, W] or [N, H, W, C]). Save it with: np.savez({name!r}, images=..., labels=...)"
                )
            stem = key.removesuffix("images").removesuffix("jpeg")
            images = stored[key]
            labels = stored[f"{stem}labels"] if f"{stem}labels" in names else None
            offsets = stored[f"{stem}offsets"] if key.endswith("jpeg") and f"{stem}offsets" in names else None
    except CardiganError:
        raise
    except Exception as problem:  # damaged archives raise almost anything
        raise CardiganError(
            f"{name} cannot be read as an .npz: {problem}. Expected plain arrays without Python objects; save it "
            "again with: np.savez(path, images=..., labels=...)"
        ) from None
    reads = _packed(name, key, images, offsets) if key.endswith("jpeg") else _rows(name, key, images)
    classes = _check_labels(name, labels, len(reads)) if labels is not None else ()
    items = (
        Item(f"{key}[{index}]", read, None if labels is None else int(labels[index]))
        for index, read in enumerate(reads)
    )
    description = f"{len(reads):,} images of {key}" + (f" in {len(classes)} classes" if classes else ", no labels")
    with path.open("rb") as file:
        return Source(str(path), description, tuple(items), hashlib.file_digest(file, "sha256").hexdigest(), classes)


def hub(name: str, *, folder: bool = False) -> Source:
    """A data set of the Hugging Face Hub, or with ``folder`` a local folder read by the same library."""
    try:
        import datasets
    except ImportError:
        feature = f"Reading {printable(name)} as a Hugging Face data set (there is no such folder or file here)"
        raise MissingExtraError(feature, extra="hub") from None
    text = f"imagefolder:{name}" if folder else name
    data = _load(datasets, name, folder=folder)
    pictures = [key for key, feature in data.features.items() if isinstance(feature, datasets.Image)]
    if not pictures:
        raise CardiganError(
            f"The data set {printable(text)} has the columns {', '.join(data.column_names)}; expected one of images."
        )
    column = next((key for key, feature in data.features.items() if isinstance(feature, datasets.ClassLabel)), None)
    labels = data[column][:] if column else None
    remarks = ()
    if labels and any(label is None or label < 0 for label in labels):
        labels, remarks = None, (f"Not every image has a value in {column}, so the set is read without classes.",)
    classes = tuple(map(str, data.features[column].names)) if column and labels else ()
    rows = data.select_columns([pictures[0]]).cast_column(pictures[0], datasets.Image(decode=False))
    items = (
        Item(f"row {index}", partial(_read_row, rows, index, pictures[0]), int(labels[index]) if labels else None)
        for index in range(len(rows))
    )
    kinds = f"{len(classes)} classes" if classes else "no classes"
    description = f"{len(rows):,} images of the column {printable(pictures[0])}, {kinds}"
    return Source(text, description, tuple(items), f"{text} {data._fingerprint}", classes, remarks)


def large_image(path: Path) -> Source:
    """One large image; its crops are cut when a size is asked for."""

    def crops(size: tuple[int, int] | None, settings: DataSettings) -> Source:
        name = printable(str(path))
        try:
            content = path.read_bytes()
            pixels = decode(content, settings).pixels
        except (BadImage, OSError) as problem:
            raise CardiganError(
                f"{name} cannot be used: {problem}. Expected one whole image to cut crops from."
            ) from None
        high, wide = pixels.shape[:2]
        height, width = size or (min(256, 1 << (min(high, wide) // 2).bit_length() - 1),) * 2
        if high < 2 * height or wide < 2 * width:
            raise CardiganError(
                f"{name} is {wide}x{high}; crops of {width}x{height} need an image of at least {2 * width}x"
                f"{2 * height}. Type a smaller size: --size {min(high, wide) // 2}, or give a folder of images."
            )
        across = wide - width + 1
        places = (high - height + 1) * across
        chosen = np.random.default_rng(0).choice(places, size=min(CROPS, places), replace=False)
        items = tuple(
            Item(f"{name} at ({top}, {left})", partial(_crop, pixels, top, left, height, width))
            for top, left in ((int(place) // across, int(place) % across) for place in chosen)
        )
        return replace(
            source,
            description=f"one image of {wide}x{high}, cut into {len(items):,} crops of {width}x{height}",
            items=items,
            key=f"{hashlib.sha256(content).hexdigest()} crops {height}x{width} {len(items)}",
            remarks=("The crops overlap: none of them can be held out to test for copying.",),
            crops=None,
        )

    source = Source(str(path), "one large image, cut into crops", (), key="", crops=crops)
    return source


def digits() -> Source:
    """The embedded set: 1,797 handwritten digits, drawn as 16x16 grey images in ten classes.

    The scans are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998, UCI
    Machine Learning Repository, CC BY 4.0), 8x8 with values 0 to 16, as scikit-learn's ``load_digits`` gives them.
    They are scaled to 0..255 and enlarged twice with a smooth filter.
    """
    stored = resources.files("cardigan.data").joinpath("digits.npz").read_bytes()
    with np.load(io.BytesIO(stored), allow_pickle=False) as file:
        scans, labels = file["images"], file["labels"]
    items = tuple(
        Item(f"digits[{index}]", partial(_enlarged, scan), int(label))
        for index, (scan, label) in enumerate(zip(scans, labels, strict=True))
    )
    return Source(
        "digits",
        "1,797 embedded scans of handwritten digits in 10 classes",
        items,
        f"digits {hashlib.sha256(stored).hexdigest()}",
        tuple("0123456789"),
    )


def _enlarged(scan: Pixels) -> Pixels:
    grey = Image.fromarray(((scan.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8))
    return np.asarray(grey.resize((16, 16), Image.Resampling.BICUBIC))


def _crop(pixels: Pixels, top: int, left: int, height: int, width: int) -> Pixels:
    return pixels[top : top + height, left : left + width]


def _endings() -> str:
    return ", ".join(ending[1:] for ending in EXTENSIONS)


def _walk(
    folder: Path | str,
    prefix: str,
    ignored: Counter[str],
    rejected: list[tuple[str, str]],
    folders: list[str],
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Every image file below a folder, sorted by name, as (name relative to the root, entry)."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as problem:
        if not prefix:
            raise CardiganError(
                f"The folder {printable(str(folder))} cannot be read: {problem.strerror}. Check its rights."
            ) from None
        rejected.append((prefix, f"the folder cannot be read: {problem.strerror}"))
        return
    for entry in listed:
        name = prefix + entry.name
        if entry.is_symlink():
            ignored[_LINKS] += 1
        elif entry.is_dir(follow_symlinks=False):
            if _is_hidden(entry.name):
                ignored[_HIDDEN] += 1
            else:
                folders.append(name)
                yield from _walk(entry.path, f"{name}/", ignored, rejected, folders)
        elif not entry.is_file(follow_symlinks=False):
            ignored[_SPECIAL] += 1
        elif _wanted(name, ignored):
            yield name, entry


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in _SYSTEM


def _wanted(name: str, ignored: Counter[str]) -> bool:
    """Whether a file's name is that of an image; counts it among the ignored where it is not."""
    if any(map(_is_hidden, name.split("/"))):
        ignored[_HIDDEN] += 1
        return False
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122  (names are not always paths of this system)
    if ending not in EXTENSIONS:
        ignored[printable(ending) or "files without an ending"] += 1
    return ending in EXTENSIONS


def _read_file(path: str, size: int, modified: int) -> bytes:
    """The bytes of a file that is still the one that was listed."""
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116  (a string per file, not a Path, saves memory)
    except FileNotFoundError:
        raise BadImage("disappeared after the folder was listed") from None
    if not stat.S_ISREG(status.st_mode) or (status.st_size, status.st_mtime_ns) != (size, modified):
        raise BadImage("changed after the folder was listed")
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def _danger(member: zipfile.ZipInfo, name: str) -> str | None:
    """Why a member is never opened, or None."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
        return "its path leads out of the archive"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device"
    if member.flag_bits & 1:
        return "encrypted"
    if member.file_size > MAX_MEMBER:
        return f"unpacks to {member.file_size / 2**20:,.0f} MiB, over the limit of {MAX_MEMBER / 2**20:,.0f}"
    if member.file_size > 2**20 and member.file_size > MAX_RATIO * member.compress_size:
        return f"unpacks to over {MAX_RATIO} times its size, like a zip bomb"
    return None


def _read_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        with opened.open(member) as stream:
            return stream.read(member.file_size)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError) as problem:
        raise BadImage(f"damaged in the zip ({problem})") from None
    except Exception as problem:  # decompressors have errors of their own
        raise BadImage(f"damaged in the zip ({type(problem).__name__}: {problem})") from None


def _read_row(rows: Any, index: int, column: str) -> bytes:
    picture = rows[index][column]
    if picture is None:
        raise BadImage("the row holds no image")
    return picture["bytes"] if picture["bytes"] is not None else Path(picture["path"]).read_bytes()


def _laid_out(
    name: str,
    found: list[tuple[str, Callable[[], bytes]]],
    ignored: Counter[str],
    rejected: list[tuple[str, str]],
    folders: Iterable[str],
    listing: str,
) -> Source:
    """Tell class folders from a flat heap: classes are direct sub-folders that all hold images themselves."""
    if not found and not rejected:
        saw = ", ".join(f"{count} {what}" for what, count in ignored.items())
        raise CardiganError(
            f"No images in {printable(name)}. Looked for {_endings()}; saw {saw or 'nothing'}. Check the path, or try: "
            "cardigan scan digits"
        )
    parts = [_split(path) for path, _ in found]
    depth = 0
    while parts and all(len(part) > depth + 2 and part[depth] == parts[0][depth] for part in parts):
        depth += 1  # one folder that wraps everything is looked through
    wrapped = parts[0][:depth] if parts else []
    tops = Counter(part[depth] for part in parts if len(part) > depth + 1)
    loose = len(parts) - sum(tops.values())
    beside = sorted({part[-1] for part in map(_split, folders) if part[:-1] == wrapped})
    direct = {part[depth] for part in parts if len(part) == depth + 2}
    inside = f" (inside {printable('/'.join(wrapped))})" if depth else ""
    count = f"{len(found):,} images{inside}"
    if len(tops) > 1 and not loose and direct == set(tops):
        classes = tuple(sorted(tops))
        label = {top: index for index, top in enumerate(classes)}
        items = tuple(Item(path, read, label[part[depth]]) for (path, read), part in zip(found, parts, strict=True))
        what = f"{len(classes)} class folders, {count}"
        empty = [top for top in beside if top not in label and not _is_hidden(top)]
        remarks = (f"Class folders without images are left out: {', '.join(map(printable, empty))}.",) if empty else ()
        return Source(name, what, items, listing, classes, remarks, dict(ignored), tuple(rejected))
    remarks = ()
    if len(tops) > 1:
        why = f"{loose} images lie beside them" if loose else "some of them hold no images of their own"
        remarks = (f"The {len(tops)} sub-folders were not read as classes, because {why}.",)
    what = f"a flat heap of {count}" + (f" in {len(tops)} sub-folders" if tops else "") + ", no classes"
    items = tuple(Item(path, read) for path, read in found)
    return Source(name, what, items, listing, (), remarks, dict(ignored), tuple(rejected))


def _split(name: str) -> list[str]:
    return name.rstrip("/").split("/")


def _rows(name: str, key: str, images: np.ndarray) -> list[Callable[[], Pixels]]:
    good = images.ndim in (3, 4) and (images.ndim == 3 or images.shape[3] in (1, 2, 3, 4)) and len(images) > 0
    if images.dtype != np.uint8 or not good:
        raise CardiganError(
            f"{key} in {name} is {images.dtype} {list(images.shape)}; expected uint8 [N, H, W] or [N, H, W, C] with "
            "C from 1 to 4 and values 0 to 255. Convert it, for instance with: (images * 255).round().astype(np.uint8)"
        )
    return [partial(images.__getitem__, index) for index in range(len(images))]


def _packed(name: str, key: str, data: np.ndarray, offsets: np.ndarray | None) -> list[Callable[[], bytes]]:
    good = offsets is not None and offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1
    if offsets is None or not good or data.dtype != np.uint8 or data.ndim != 1:
        raise CardiganError(
            f"{key} in {name} is {data.dtype} {list(data.shape)} with offsets "
            f"{'missing' if offsets is None else f'{offsets.dtype} {list(offsets.shape)}'}; expected uint8 [bytes] and "
            "whole numbers [N + 1]. Save plain arrays instead: np.savez(path, images=..., labels=...)"
        )
    if offsets[0] < 0 or offsets[-1] > len(data) or (np.diff(offsets) < 0).any():
        raise CardiganError(f"The offsets of {key} in {name} do not rise within 0 to {len(data)}. Save it again.")
    return [lambda a=a, b=b: data[a:b].tobytes() for a, b in itertools.pairwise(offsets.tolist())]


def _check_labels(name: str, labels: np.ndarray, count: int) -> tuple[str, ...]:
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise CardiganError(
            f"The labels in {name} are {labels.dtype} {list(labels.shape)}; expected one whole number for each of the "
            f"{count:,} images, [{count}]. Convert them with: labels.astype(np.int64).reshape(-1)"
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= count))
    if len(wrong):
        first = ", ".join(f"{labels[index]} at {index}" for index in wrong[:5])
        raise CardiganError(
            f"{len(wrong):,} labels in {name} are outside 0 to {count - 1:,}: {first}. Expected classes counted from "
            "0; leave such images out, or number the classes again with: np.unique(labels, return_inverse=True)[1]"
        )
    return tuple(map(str, range(int(labels.max()) + 1)))


def _load(datasets: Any, name: str, *, folder: bool) -> Any:
    """The training split of a data set, or an error that comes quickly and says what to do."""
    try:
        if folder:
            return datasets.load_dataset("imagefolder", data_dir=name, split="train")
        _probe(name)
        return datasets.load_dataset(name, split="train")
    except Exception as problem:  # networks, servers, files and the library itself all have errors of their own
        advice = (
            "Expected a folder of images; without imagefolder: it is read directly."
            if folder
            else "If this machine is offline, download the data set elsewhere and give its folder; a copy that the "
            "datasets library has already cached is read with HF_HUB_OFFLINE=1. A private set needs HF_TOKEN. No "
            "file or folder of that name lies here either."
        )
        text = printable(f"imagefolder:{name}" if folder else name)
        reason = printable(str(problem).strip().partition("\n")[0])
        raise CardiganError(
            f"The data set {text} cannot be loaded ({type(problem).__name__}: {reason}). {advice}"
        ) from (problem)


def _probe(name: str) -> None:
    """Ask the Hub once, so that a machine without a network learns of it in seconds, not after many retries."""
    import huggingface_hub

    if not huggingface_hub.constants.HF_HUB_OFFLINE:
        huggingface_hub.HfApi().dataset_info(name, timeout=5)


def _not_on_disk(text: str, path: Path) -> Source:
    """A Hub data set by its looks, or a path that does not exist."""
    endings = (*EXTENSIONS, ".zip", ".npz")
    is_id = re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text) and not text.lower().endswith(endings)
    if is_id and not path.parent.exists():
        return hub(text)
    parent = path.parent
    try:
        names = [*(str(parent / name) for name in os.listdir(parent)), "digits"]  # noqa: PTH208
    except (OSError, ValueError):
        names = ["digits"]
    close = difflib.get_close_matches(str(path), names, n=1)
    hint = f"Did you mean {printable(close[0])}?" if close else "Check the path, or try: cardigan scan digits"
    raise CardiganError(
        f"There is no folder or file {printable(text)}. Expected a folder of images, a .zip, an .npz, one large image, "
        f"a Hugging Face data set such as owner/name, or digits. {hint}"
    )
