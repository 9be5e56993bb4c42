"""What the files of a folder or an archive are together: a flat heap of images, class folders, or parts of a set."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cardigan.data import parts
from cardigan.data.formats import EXTENSIONS, HEAD, OTHER_PICTURES, TITLES, BadImage, is_image
from cardigan.data.items import Item, Source
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.tables import ENDINGS as TABLES
from cardigan.data.tables import Labels, labels_of
from cardigan.data.words import counted, first, printable
from cardigan.errors import CardiganError

HIDDEN, SPECIAL = "hidden or system", "special (pipe or device)"
LINKS = "links that lead out of the folder"
RUNS = "in run folders of Cardigan"

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
CONTAINERS = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".parquet", ".npz")
MOST_TABLES = 500
"""Tables that are looked into; where there are more, they are notes on single images."""
LARGEST_TABLE = 2**28
"""Bytes of a table that is looked into: 256 MiB."""
LARGEST_CONFIG = 2**22

_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"}
_NO_IMAGES = {".xml", ".html", ".py", ".md", ".yaml", ".yml", ".mat", ".pkl", ".npy", ".h5", *VIDEOS, *CONTAINERS}
"""Endings of files that are never opened to see whether they are images."""
_CHUNKS = (100, 1_000, 10_000)


class Found(NamedTuple):
    """A file: its name, how to get its bytes, and what changes whenever the content does."""

    name: str
    read: Callable[[], bytes]
    stamp: tuple[int, ...]


@dataclass
class Listing:
    """What a walk through a folder or an archive has found; names are paths with slashes, relative to its root."""

    found: list[Found] = field(default_factory=list)
    """Every image."""
    tables: list[Found] = field(default_factory=list)
    """Every file that may be a table of labels."""
    configs: list[Found] = field(default_factory=list)
    """Every ``config.json``; those of our runs mark what is no data."""
    folders: list[str] = field(default_factory=list)
    """Every folder, those without images too."""
    ignored: Counter[str] = field(default_factory=Counter)
    """What was left out and why."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of what looked like an image, but is never opened."""
    containers: list[str] = field(default_factory=list)
    """The first few files that hold files of their own."""
    remarks: list[str] = field(default_factory=list)
    """What the user should know about the walk."""

    def add(self, file: Found, size: int, head: Callable[[], bytes]) -> None:
        """Sort a file by its name, and by its content where the name says nothing.

        Args:
            file: the file.
            size: its bytes.
            head: gives its first bytes, :data:`~cardigan.data.formats.HEAD` at least.
        """
        if any(map(is_hidden, file.name.split("/"))):
            self.ignored[HIDDEN] += 1
            return
        ending = os.path.splitext(file.name)[1].lower()  # noqa: PTH122  (names are not always paths of this system)
        if ending in EXTENSIONS:
            self.found.append(file)
        elif file.name.rpartition("/")[2] == "config.json" and size <= LARGEST_CONFIG:
            self.configs.append(file)
        elif ending in TABLES and size <= LARGEST_TABLE:
            self.tables.append(file)
        elif ending not in _NO_IMAGES and ending not in OTHER_PICTURES and _seems_image(head):
            self.found.append(file)
        else:
            self.ignore(file.name)

    def ignore(self, name: str) -> None:
        """Count a file that is left out, by its ending."""
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122
        self.ignored[printable(ending) or "without an ending"] += 1
        if ending in CONTAINERS and len(self.containers) < 3:
            self.containers.append(name)


def _seems_image(head: Callable[[], bytes]) -> bool:
    try:
        return is_image(head()[:HEAD])
    except (OSError, BadImage):
        return False


def is_hidden(part: str) -> bool:
    """Whether a file or folder of that name is of no concern to the user."""
    return part.startswith(".") or part.lower() in _SYSTEM


def is_run(config: bytes) -> bool:
    r"""Whether a ``config.json`` is that of a run of Cardigan, whose pictures are no data.

    Example:
        >>> is_run(b'{"command": "cardigan train x", "request": {}, "resolved": {}}'), is_run(b"[]"), is_run(b"\xff")
        (True, False, False)
    """
    try:
        facts = json.loads(config)
    except ValueError:
        return False
    return isinstance(facts, dict) and {"command", "request", "resolved"} <= facts.keys()


def laid_out(name: str, listing: Listing, key: bytes, settings: DataSettings = DEFAULTS) -> Source:
    """Tell class folders, parts of a divided set and a flat heap from each other.

    Classes are direct sub-folders that all hold images themselves, or what a table beside the images says. Sub-folders
    that are called as parts of a set, ``train`` or ``val`` or ``masks``, are no classes: the training part is read.

    Args:
        name: what the user called the whole.
        listing: what was found, in the order of the images.
        key: what else than the names and stamps of the images tells this source from another.
        settings: ``split``, ``labels`` and ``labels_from`` are read.

    Raises:
        CardiganError: if there is no image, if this is a run of Cardigan, or if it is unclear which part is meant.
    """
    _leave_out_runs(name, listing)
    if not listing.found and not listing.rejected:
        raise CardiganError(_nothing(name, listing))
    tree = parts.chosen(name, [file.name for file in listing.found], settings.split)
    files = [listing.found[place] for place in tree.places]
    folders = _class_folders(tree, listing, settings)
    table = _from_tables(listing, files, settings, folders)
    classes, labels = (table.classes, table.labels) if table else (folders.classes, folders.labels)
    kept, out = [], []
    for file, label in zip(files, labels, strict=True):
        (out if table and label is None and table.classes else kept).append((file, label))
    if not kept and out:
        raise CardiganError(f"No image in {printable(name)} has a label in {printable(table.name if table else '')}.")
    listing.rejected += [(file.name, f"has no label in {table.name}") for file, _ in out if table]
    digest = hashlib.sha256(key)
    for file, label in kept:
        digest.update(repr((file.name, file.stamp, label if table else None)).encode("utf-8", "surrogatepass"))
    items = tuple(Item(file.name, file.read, label) for file, label in kept)
    what = f"{counted(len(kept), 'image')}{folders.inside}, {table.told}" if table else folders.told
    remarks = (*listing.remarks, *tree.remarks, *(table.remarks if table else folders.remarks))
    for unread in _unread(listing):
        remarks += (unread,)
    return Source(
        name, what, items, digest.hexdigest(), classes, remarks, dict(listing.ignored), tuple(listing.rejected)
    )


def _leave_out_runs(name: str, listing: Listing) -> None:
    """Forget everything in a run's folder: its pictures were drawn by a generator, and are no data."""
    runs = []
    for config in listing.configs:
        try:
            ours = is_run(config.read())
        except (OSError, BadImage):
            ours = False
        if ours:
            runs.append(config.name.removesuffix("config.json"))
        else:
            listing.ignore(config.name)
    if "" in runs:
        raise CardiganError(
            f"{printable(name)} is the folder of a run of Cardigan, and its pictures are no data to train on. Give the "
            f"images that it was trained on, or a folder inside it to read just that: {printable(name)}/samples"
        )
    if not runs:
        return
    within = tuple(runs)
    drawn = sum(file.name.startswith(within) for file in listing.found)
    listing.ignored[RUNS] += drawn
    listing.found[:] = [file for file in listing.found if not file.name.startswith(within)]
    listing.tables[:] = [file for file in listing.tables if not file.name.startswith(within)]
    listing.rejected[:] = [entry for entry in listing.rejected if not entry[0].startswith(within)]
    ours = {folder for run in runs for folder in _above(run)}
    listing.folders[:] = [
        folder
        for folder in listing.folders
        if not f"{folder.rstrip('/')}/".startswith(within) and f"{folder.rstrip('/')}/" not in ours
    ]


def _above(folder: str) -> Iterable[str]:
    """``a/b/`` is below ``a/`` and ``a/b/``."""
    split = folder.rstrip("/").split("/")
    return ("/".join(split[:depth]) + "/" for depth in range(1, len(split) + 1))


def _nothing(name: str, listing: Listing) -> str:
    """Why a source has no images, and what to do."""
    for table in listing.tables:
        listing.ignore(table.name)
    saw = ", ".join(f"{number:,} {what}" for what, number in listing.ignored.items())
    advice = "Check the path, or try: cardigan scan digits"
    shown = printable(name)
    if listing.ignored[LINKS]:
        advice = "To follow the links: --set links=follow"
    elif listing.containers and os.path.isdir(name):  # noqa: PTH112
        advice = f"Give one of its files: {first(printable(os.path.join(name, each)) for each in listing.containers)}"  # noqa: PTH118
    elif any(listing.ignored[ending] for ending in VIDEOS):
        advice = "Take pictures out of a video with: ffmpeg -i VIDEO frames/%06d.png"
    elif listing.ignored[".mdb"]:
        advice = "An LMDB is not read: write its images as files, or as an .npz with numpy.savez(path, images=...)"
    elif unread := list(_unread(listing)):
        advice = unread[0]
    elif listing.ignored[RUNS]:
        advice = "The pictures of runs are no data. Give the folder of the images"
    return f"No images in {shown}. Looked for {TITLES}; saw {saw or 'nothing'}. {advice}"


def _unread(listing: Listing) -> Iterable[str]:
    """Pictures of kinds that are not read."""
    kinds: Counter[str] = Counter()
    for ending, what in OTHER_PICTURES.items():
        kinds[what] += listing.ignored[ending]
    if kinds.total():
        told = first(f"{what} {number:,}" for what, number in kinds.items() if number)
        be = "picture is" if kinds.total() == 1 else "pictures are"
        yield f"{kinds.total():,} {be} of a kind that is not read ({told}): convert to PNG or JPEG."


@dataclass(frozen=True)
class _Folders:
    """What the sub-folders say: classes, or none."""

    classes: tuple[str, ...]
    labels: Sequence[int | None]
    told: str
    inside: str
    remarks: tuple[str, ...]


def _class_folders(tree: "parts.Tree", listing: Listing, settings: DataSettings) -> _Folders:
    """The classes, if every image lies in a direct sub-folder, and all of these hold images themselves."""
    paths = tree.paths
    tops = Counter(path[0] for path in paths if len(path) > 1)
    loose = ["/".join(path) for path in paths if len(path) == 1]
    direct = {path[0] for path in paths if len(path) == 2}
    inside = f" (inside {printable('/'.join(tree.inside))})" if tree.inside else ""
    chunks = len(tops) > 1 and settings.split != parts.CLASSES and _are_chunks(paths)
    if len(tops) > 1 and not loose and direct == set(tops) and not chunks:
        classes = tuple(sorted(tops))
        label = {top: index for index, top in enumerate(classes)}
        told = f"{len(classes):,} class folders, {counted(len(paths), 'image')}{inside}"
        remarks = (*_remark_empty(listing.folders, tree.inside, classes), *tree.doubts)
        return _Folders(classes, [label[path[0]] for path in paths], told, inside, remarks)
    told = _heap(len(paths), len(loose), len(tops), inside)
    remarks = _remark_heap(loose, sorted(set(tops) - direct)) if len(tops) > 1 and not tree.merged else ()
    if chunks:
        numbers = first(map(printable, sorted(tops)), 3)
        remarks = (f"The sub-folders {numbers} only number the files, and are no classes. Else: --set split=classes",)
    return _Folders((), [None] * len(paths), told, inside, remarks)


def _are_chunks(paths: Sequence[tuple[str, ...]]) -> bool:
    """Whether folders hold so many files each, numbered through: 00000/00999.png, 01000/01000.png."""
    pairs = []
    for path in paths:
        number = re.search(r"(\d+)(?:\.\w+)?$", path[-1])
        if len(path) != 2 or not path[0].isdecimal() or not number:
            return False
        pairs.append((int(path[0]), int(number[1])))
    return any(all(folder in (file // size, file // size * size) for folder, file in pairs) for size in _CHUNKS)


def _from_tables(listing: Listing, files: list[Found], settings: DataSettings, folders: _Folders) -> Labels | None:
    """What tables beside the images say of their classes; None where they say nothing, or folders are to be used."""
    if not settings.labels or len(listing.tables) > MOST_TABLES:
        found, told = None, ()
    else:
        own = list(folders.labels) if folders.classes else None
        tables = [(table.name, table.read) for table in listing.tables]
        found, used, told = labels_of(tables, [file.name for file in files], own, settings.labels_from)
        listing.tables[:] = [table for table in listing.tables if table.name not in used]
    for table in listing.tables:
        listing.ignore(table.name)
    listing.remarks += told
    return found


def _heap(count: int, loose: int, folders: int, inside: str) -> str:
    """A flat heap in words; where images lie both beside sub-folders and in them, how many of each."""
    where = f" in {counted(folders, 'sub-folder')}" if folders else ""
    if folders and loose:
        where = f", {loose:,} of them beside and {count - loose:,}{where}"
    return f"a flat heap of {counted(count, 'image')}{inside}{where}, no classes"


def _remark_empty(folders: Iterable[str], wrapped: Sequence[str], classes: tuple[str, ...]) -> tuple[str, ...]:
    beside = sorted({part[-1] for part in map(_split, folders) if part[:-1] == list(wrapped)})
    empty = [name for name in beside if name not in classes and not is_hidden(name)]
    return (f"Class folders without images are left out: {', '.join(map(printable, empty))}.",) if empty else ()


def _remark_heap(loose: list[str], hollow: list[str]) -> tuple[str, ...]:
    """Why sub-folders are no classes, and what would make them some."""
    if loose:
        lie = counted(len(loose), "image lies", "images lie")
        why = f"{lie} beside them: {first(map(printable, loose), 3)}. To train with classes, move each into one"
    else:
        hold = "holds no image itself" if len(hollow) == 1 else "hold no images themselves"
        why = f"{first(map(printable, hollow), 3)} {hold}. To train with classes, give the folder of the class folders"
    return (f"The sub-folders were not read as classes, because {why}.",)


def _split(name: str) -> list[str]:
    return name.rstrip("/").split("/")
