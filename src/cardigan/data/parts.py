"""Parts of a data set that is divided already: folders called train, val or masks are no classes.

A folder's name is cut into words, and a role is only given where all words are known. So ``no_mask`` is a class, while
``train_masks``, ``val2017`` and ``JPEGImages`` are parts. Where one of several folders has no role, all are classes.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cardigan.data.words import counted, first, printable
from cardigan.errors import CardiganError

ALL, CLASSES = "all", "classes"
"""Settings of ``split`` that are no folder's name: all parts as one heap, and parts as classes."""

Role = Literal["train", "held", "side", "piece", "pictures", "notes"]
"""What a folder is: to train on, kept back, one side of a pair, one piece of many, the pictures, or notes on them."""

_WORDS: dict[Role, str] = {
    "notes": "mask masks label labels annotation annotations anno annos annot annots segmentation segmentations seg "
    "segs segmap groundtruth gt depth depths thumb thumbs thumbnail thumbnails preview previews bbox bboxes contours",
    "held": "val valid validate validation valset valid8 test tests testing testset tst dev devel devset eval "
    "evaluation evalset holdout heldout unlabeled unlabelled unsup unsupervised unused extra extras",
    "train": "train training trains trainset trn trainval",
    "piece": "fold folds part parts chunk chunks shard shards batch batches",
    "pictures": "image images img imgs photo photos picture pictures pics jpeg jpegs jpg jpgs png pngs rgb frames",
}
_ROLES: dict[str, Role] = {word: role for role, words in _WORDS.items() for word in words.split()}
_FILLERS = frozenset(
    (
        "set",
        "sets",
        "split",
        "data",
        "dataset",
        "folder",
        "dir",
        "class",
        "object",
        "ground",
        "truth",
        "original",
        "originals",
        "x",
        "of",
    )
)
_MAX_DEPTH = 8


def role(name: str) -> Role | None:
    """What a folder of that name is in a divided data set, or None.

    Example:
        >>> [role(name) for name in ("Training", "val2017", "train_masks", "trainA", "fold_3", "cats", "no_mask")]
        ['train', 'held', 'notes', 'side', 'piece', None, None]
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+", name)
    letters = [word for word in words if len(word) == 1 and word.isalpha() and word != "x"]
    known = [word.lower() for word in words if word not in letters]
    roles = {_ROLES[word] for word in known if word in _ROLES}
    if not roles or not all(word in _ROLES or word in _FILLERS or word.isdigit() for word in known):
        return None
    if "notes" in roles:
        return "notes"
    if "held" in roles:
        return "held"
    if letters:
        return "side" if "train" in roles and len(letters) == 1 else None
    if "train" in roles:
        return "train"
    if "piece" in roles:
        return "piece" if any(word.isdigit() for word in known) else None
    return "pictures"


@dataclass(frozen=True)
class Tree:
    """Images by the folders that may be classes.

    Args:
        places: of the images that are read, among all.
        paths: of each, without the folders that hold everything and those that are parts.
        inside: the folders that hold everything that is read; () where several parts are read as one.
        merged: whether several parts are read as one.
        remarks: what was left out, and how to have it.
        doubts: folders among the classes that are called as parts are.
    """

    places: tuple[int, ...]
    paths: tuple[tuple[str, ...], ...]
    inside: tuple[str, ...]
    merged: bool
    remarks: tuple[str, ...]
    doubts: tuple[str, ...]


def chosen(source: str, names: Sequence[str], split: str | None) -> Tree:
    """The images that are read of a set that may be divided into parts.

    Args:
        source: what the user called the whole.
        names: of the images: paths with slashes.
        split: names of folders with commas between them, ``all``, ``classes``, or None for the training part.

    Raises:
        CardiganError: if it is unclear which part is meant, or there is no part of that name.
    """
    paths = {place: tuple(name.split("/")) for place, name in enumerate(names)}
    inside: tuple[str, ...] = ()
    merged, used = False, split in (None, ALL, CLASSES)
    remarks: list[str] = []
    for _ in range(_MAX_DEPTH):
        while paths and len({path[0] for path in paths.values()}) == 1 and min(map(len, paths.values())) > 2:
            top = next(iter(paths.values()))[0]
            used |= split == top
            inside = inside if merged else (*inside, top)
            paths = {place: path[1:] for place, path in paths.items()}
        level, wanted = _level(source, paths, split)
        if level is None:
            break
        used |= split is not None and sorted(split.split(",")) == wanted
        counts = Counter(path[level] for path in paths.values() if len(path) > level + 1)
        beside = sum(len(path) <= level + 1 for path in paths.values())
        remarks += _told(counts, wanted, beside, split)
        paths = {
            place: path[:level] + path[level + 1 :]
            for place, path in paths.items()
            if len(path) > level + 1 and path[level] in wanted
        }
        merged |= len(wanted) > 1 or level > 0
        inside = () if merged else (*inside, *wanted)
    if not used:
        there = sorted({folder for name in names for folder in name.split("/")[:-1]})
        raise CardiganError(
            f"split is {split!r}, but {printable(source)} has no folder of that name. It holds "
            f"{first(map(printable, there), 12) or 'no folders'}. Type one of them, or leave --set split out."
        )
    doubts = () if split == CLASSES else tuple(_doubts(paths.values()))
    return Tree(tuple(paths), tuple(paths.values()), inside, merged, tuple(remarks), doubts)


def _level(source: str, paths: dict[int, tuple[str, ...]], split: str | None) -> tuple[int | None, list[str]]:
    """The level of folders that are parts, and which of them are read; None where no level is."""
    for level in (0, 1):
        counts = Counter(path[level] for path in paths.values() if len(path) > level + 1)
        whole = level == 0 or sum(counts.values()) == len(paths)  # parts in every class, or none
        if split not in (None, ALL, CLASSES):
            wanted = [name for name in (split or "").split(",") if name in counts]
            if wanted and whole and len(wanted) == len((split or "").split(",")):
                return level, sorted(wanted)
        roles: dict[str, Role | None] = {name: role(name) for name in counts}
        parted = len(counts) > 1 - level and None not in roles.values() and split != CLASSES
        if not parted or not whole:
            continue
        if split == ALL:
            return level, sorted(counts)
        known: dict[str, Role] = {name: each for name, each in roles.items() if each is not None}
        wanted = _wanted(known)
        if wanted:
            return level, wanted
        if wanted is None and split is None:
            raise CardiganError(_ask(source, counts, roles, level))
    return None, []


def _wanted(roles: dict[str, Role]) -> list[str] | None:
    """The folders to train on; [] where they are classes after all, None where the user must say it."""
    of = {each: sorted(name for name, own in roles.items() if own == each) for each in roles.values()}
    if len(of.get("side", ())) > 1:
        return None
    for each in ("train", "side"):
        if of.get(each):
            return of[each]
    if of.get("held"):
        return None
    if of.get("piece"):
        return of["piece"]
    if of.get("notes") and of.get("pictures"):
        return of["pictures"] if len(of["pictures"]) == 1 else None
    return []


def _ask(source: str, counts: Counter[str], roles: dict[str, Role | None], level: int) -> str:
    name = printable(source.rstrip("/"))
    those = first([f"{printable(each)} ({counts[each]:,})" for each in sorted(counts)], 8)
    what = "sides of a pair" if "side" in roles.values() else "parts of a data set"
    here = [each for each in sorted(counts) if roles[each] in ("side", "held", "pictures", "train")]
    example = here[0] if here else min(counts)
    folder = "" if level else f" or give the folder {name}/{printable(example)};"
    return (
        f"{name} holds {those}: by their names {what}, not classes, and none is the one to train on. Type --set "
        f"split={example};{folder} for all as one: --set split=all; as classes: --set split=classes"
    )


def _told(counts: Counter[str], wanted: list[str], beside: int, split: str | None) -> Iterable[str]:
    """What was read and what was left out."""
    out = [f"{printable(name)} ({counts[name]:,})" for name in sorted(counts) if name not in wanted]
    out += [f"{counted(beside, 'image')} beside the folders"] if beside else []
    read = first(map(printable, wanted), 4)
    if not out:
        if split is None and len(wanted) > 1:
            yield f"{read} are parts of a data set, not classes, and are read as one. As classes: --set split=classes"
        return
    be = "is" if len(out) == 1 and not beside else "are"
    as_ = "a part" if be == "is" else "parts"
    how = " Others: --set split=NAME, all as one: split=all, as classes: split=classes" if split is None else ""
    yield f"Only {read} is read: {first(out, 6)} {be} left out, as {as_} of a data set, not classes.{how}"


def _doubts(paths: Iterable[tuple[str, ...]]) -> Iterable[str]:
    """Folders among real classes that may be no class."""
    tops = sorted({path[0] for path in paths if len(path) > 1})
    odd = [name for name in tops if role(name) in ("train", "held", "side")]
    if odd and len(tops) > len(odd):
        one = len(odd) == 1
        yield (
            f"{first(map(printable, odd))} {'is read as a class' if one else 'are read as classes'}, like the folders "
            f"beside {'it' if one else 'them'}. If {'it is no class' if one else 'they are none'}, move "
            f"{'it' if one else 'them'} out."
        )
