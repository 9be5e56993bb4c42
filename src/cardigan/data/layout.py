"""What the files of a folder or an archive are together: a flat heap of images, or class folders."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cardigan.data.decode import EXTENSIONS
from cardigan.data.items import Item, Source
from cardigan.data.words import counted, first, printable
from cardigan.errors import CardiganError

HIDDEN, LINKS, SPECIAL = "hidden or system", "linked (not followed)", "special (pipe or device)"

_SYSTEM = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "icon\r"}


@dataclass
class Listing:
    """What a walk through a folder or an archive has found; names are paths with slashes, relative to its root."""

    found: list[tuple[str, Callable[[], bytes]]] = field(default_factory=list)
    """(name, how to get the bytes) of every image."""
    folders: list[str] = field(default_factory=list)
    """Every folder, those without images too."""
    ignored: Counter[str] = field(default_factory=Counter)
    """What was left out and why."""
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of what looked like an image, but is never opened."""

    def wants(self, name: str) -> bool:
        """Whether a file's name is that of an image; counts it among the ignored where it is not."""
        if any(map(is_hidden, name.split("/"))):
            self.ignored[HIDDEN] += 1
            return False
        ending = os.path.splitext(name)[1].lower()  # noqa: PTH122  (names are not always paths of this system)
        if ending not in EXTENSIONS:
            self.ignored[printable(ending) or "without an ending"] += 1
        return ending in EXTENSIONS


def is_hidden(part: str) -> bool:
    """Whether a file or folder of that name is of no concern to the user."""
    return part.startswith(".") or part.lower() in _SYSTEM


def endings() -> str:
    """The endings of image files, for a message."""
    return ", ".join(ending[1:] for ending in EXTENSIONS)


def laid_out(name: str, listing: Listing, key: str) -> Source:
    """Tell class folders from a flat heap: classes are direct sub-folders that all hold images themselves.

    Args:
        name: what the user called the whole.
        listing: what was found, in the order of the images.
        key: changes whenever the content does.

    Raises:
        CardiganError: if there is no image.
    """
    if not listing.found and not listing.rejected:
        saw = ", ".join(f"{number:,} {what}" for what, number in listing.ignored.items())
        raise CardiganError(
            f"No images in {printable(name)}. Looked for {endings()}; saw {saw or 'nothing'}. Check the path, or try: "
            "cardigan scan digits"
        )
    parts = [_split(path) for path, _ in listing.found]
    depth = 0
    while parts and all(len(part) > depth + 2 and part[depth] == parts[0][depth] for part in parts):
        depth += 1  # one folder that wraps everything is looked through
    wrapped = parts[0][:depth] if parts else []
    tops = Counter(part[depth] for part in parts if len(part) > depth + 1)
    loose = [path for (path, _), part in zip(listing.found, parts, strict=True) if len(part) == depth + 1]
    direct = {part[depth] for part in parts if len(part) == depth + 2}
    inside = f" (inside {printable('/'.join(wrapped))})" if depth else ""
    if len(tops) > 1 and not loose and direct == set(tops):
        classes = tuple(sorted(tops))
        label = {top: index for index, top in enumerate(classes)}
        labels = [label[part[depth]] for part in parts]
        what = f"{len(classes):,} class folders, {counted(len(parts), 'image')}{inside}"
        remarks = _remark_empty(listing.folders, wrapped, classes)
    else:
        classes, labels = (), [None] * len(parts)
        what = _heap(len(parts), len(loose), len(tops), inside)
        remarks = _remark_heap(loose, sorted(set(tops) - direct)) if len(tops) > 1 else ()
    items = tuple(Item(path, read, at) for (path, read), at in zip(listing.found, labels, strict=True))
    return Source(name, what, items, key, classes, remarks, dict(listing.ignored), tuple(listing.rejected))


def _heap(count: int, loose: int, folders: int, inside: str) -> str:
    """A flat heap in words; where images lie both beside sub-folders and in them, how many of each."""
    where = f" in {counted(folders, 'sub-folder')}" if folders else ""
    if folders and loose:
        where = f", {loose:,} of them beside and {count - loose:,}{where}"
    return f"a flat heap of {counted(count, 'image')}{inside}{where}, no classes"


def _remark_empty(folders: Iterable[str], wrapped: list[str], classes: tuple[str, ...]) -> tuple[str, ...]:
    beside = sorted({part[-1] for part in map(_split, folders) if part[:-1] == wrapped})
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
