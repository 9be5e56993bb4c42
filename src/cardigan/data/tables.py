"""Tables beside images that say their classes: ``dataset.json``, ``metadata.jsonl``, any CSV with a column of files.

Which column names the files is seen from the images, not from its title. Which column holds the classes is seen from
its title, or from its being the only one. Where that is not clear, nothing is guessed: it is said what was seen.
"""

import csv
import io
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cardigan.data.formats import EXTENSIONS, BadImage
from cardigan.data.words import counted, first, printable
from cardigan.errors import CardiganError

ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".txt")
"""Endings of files that may be tables of labels."""
FOLDERS = "folders"
"""The setting of ``labels_from`` that asks for the classes of the folders."""
MOST = 0.9
"""Share of the images that a table must name, so that its classes are taken unasked."""

_TITLES = (
    *("label", "labels", "class", "classes", "class_name", "label_name", "classname", "labelname", "category"),
    *("class_id", "classid", "class_label", "label_id", "labelid", "category_id", "target", "y", "species", "breed"),
    *("diagnosis", "genus", "style", "genre", "type", "kind", "tag", "cls", "lbl", "category_name"),
)
_INSTEAD = "The folders are not read as classes. If they are: --set labels_from=folders"
_SAMPLE = 500
_LONGEST = 100


@dataclass(frozen=True)
class Labels:
    """What a table says.

    Args:
        name: of the table, with its column.
        classes: names of the classes; () where the table says that there are none.
        labels: index into them for each image, None where the table does not name it.
        told: what was understood, in words.
        remarks: what the user should know.
    """

    name: str
    classes: tuple[str, ...]
    labels: list[int | None]
    told: str
    remarks: tuple[str, ...] = ()


def labels_of(
    tables: Iterable[tuple[str, Callable[[], bytes]]],
    images: Sequence[str],
    own: Sequence[int | None] | None = None,
    wanted: str | None = None,
) -> tuple[Labels | None, set[str], tuple[str, ...]]:
    r"""The classes of images by the tables that lie beside them.

    Args:
        tables: (name, how to get the bytes) of each file that may be a table.
        images: the names of the images.
        own: the classes that folders give to the images, None where they give none.
        wanted: ``folders``, or a column, a table, or ``TABLE:COLUMN``; None chooses where it is clear.

    Returns:
        The labels, None where folders or nobody gives them; the names of the tables that were understood; and remarks
        on those that were not used.

    Raises:
        CardiganError: if there is no such table or column as is wanted.

    Example:
        >>> table = b"id,breed\n1,pug\n2,beagle\n3,pug\n4,beagle\n"
        >>> labels, _, _ = labels_of([("dogs.csv", lambda: table)], ["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
        >>> labels.classes, labels.labels, labels.told
        (('beagle', 'pug'), [1, 0, 1, 0], '2 classes from dogs.csv (column breed)')
    """
    if wanted == FOLDERS:
        return None, set(), ()
    index = _Index(images)
    found: dict[tuple[str, ...], _Table] = {}
    used: set[str] = set()
    remarks: list[str] = []
    for name, read in tables:
        table = _read(name, read, index)
        if isinstance(table, str):
            remarks.append(table)
        if not isinstance(table, _Table):
            continue
        used.add(name)
        if table.titles in found and table.titles:
            found[table.titles] = found[table.titles].joined(table)  # one table for each folder, all of one kind
        else:
            found[table.titles or (name,)] = table
    given = [_answer(table, images, own, wanted) for table in found.values()]
    remarks += [answer for answer in given if isinstance(answer, str)]
    labels = sorted((each for each in given if isinstance(each, Labels)), key=_covered, reverse=True)
    if wanted and not labels:
        there = first((table.told() for table in found.values()), 5) or "no table that names these images"
        raise CardiganError(
            f"labels_from is {wanted!r}, but there is no such column of classes. Found {there}. Type --set "
            f"labels_from=COLUMN or TABLE:COLUMN, or --set labels=false."
        )
    if len(labels) > 1 and not all(_same(labels[0].labels, other.labels) for other in labels[1:]):
        names = [each.name for each in labels]
        remarks.append(
            f"Classes are found in {first(names)}, and they differ: read without them. Type --set labels_from="
            f"{names[0].partition(' ')[0]} to choose."
        )
        return None, used, tuple(remarks)
    return (labels[0] if labels else None), used, tuple(remarks)


def labels_in(
    name: str, columns: dict[str, Sequence[Any]], images: Sequence[str], wanted: str | None = None
) -> Labels | str | None:
    """The classes of images whose table has a row for each of them.

    Args:
        name: of the table.
        columns: the values of each column, in the order of the images.
        images: the names of the images.
        wanted: as for :func:`labels_of`.

    Returns:
        The labels; a remark on why no column is taken for classes; or None where there is no column.

    Example:
        >>> labels_in("cats", {"breed": ["tabby", "siamese", "tabby", "siamese"]}, ["0", "1", "2", "3"]).classes
        ('siamese', 'tabby')
    """
    titles = tuple(columns)
    rows: list[tuple[int, Sequence[Any]]] = list(enumerate(zip(*columns.values(), strict=True))) if titles else []
    answer = _answer(_Table(name, titles, rows), images, None, wanted)
    if answer is None and wanted:
        raise CardiganError(
            f"labels_from is {wanted!r}, but {printable(name)} has the columns {first(map(printable, titles), 12)}. "
            "Type --set labels_from=COLUMN, or --set labels=false."
        )
    return answer


def _covered(labels: Labels) -> int:
    return sum(label is not None for label in labels.labels)


def _same(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether two divisions into classes are the same where both say something."""
    pairs = {(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


class _Index:
    """Finds an image by what a table calls it: with or without folders, an ending, or leading zeros."""

    def __init__(self, images: Sequence[str]) -> None:
        self._by: tuple[dict[str, int | None], ...] = ({}, {}, {}, {})
        self._numbers: dict[int, int | None] = {}
        for place, name in enumerate(images):
            path = unicodedata.normalize("NFC", name)
            base = path.rpartition("/")[2]
            for table, key in zip(self._by, (path, _stem(path), base, _stem(base)), strict=True):
                table[key] = None if key in table else place
            if _stem(base).isdecimal():
                number = int(_stem(base))
                self._numbers[number] = None if number in self._numbers else place

    def find(self, folder: str, value: Any) -> int | None:
        """The place of an image, None where no image or more than one is meant."""
        if isinstance(value, bool) or not isinstance(value, str | int):
            return None
        text = unicodedata.normalize("NFC", str(value).strip()).replace("\\", "/").removeprefix("./").lstrip("/")
        full, stems, bases, base_stems = self._by
        tails = [folder + text, text]
        while "/" in tails[-1]:
            tails.append(tails[-1].partition("/")[2])
        for tail in tails:
            for table in (full, stems):
                if (place := table.get(tail)) is not None:
                    return place
        base = tails[-1]
        for table, key in ((bases, base), (base_stems, base), (base_stems, _stem(base))):
            if key and (place := table.get(key)) is not None:
                return place
        return self._numbers.get(int(base)) if base.isdecimal() and len(base) < 19 else None


def _stem(name: str) -> str:
    """A name without the ending of an image, where it has one."""
    head, dot, ending = name.rpartition(".")
    return head if dot and f".{ending.lower()}" in EXTENSIONS else name


@dataclass(frozen=True)
class _Table:
    """A table whose files were found: for each image that it names, its values.

    Args:
        name: of the file.
        titles: of the other columns than that of the files.
        rows: (place of the image, the values) for each line that names one.
        none: whether it says that there are no labels.
    """

    name: str
    titles: tuple[str, ...]
    rows: list[tuple[int, Sequence[Any]]]
    none: bool = False

    def joined(self, other: "_Table") -> "_Table":
        return _Table(self.name, self.titles, self.rows + other.rows)

    def told(self) -> str:
        return f"{printable(self.name)} with the columns {first(map(printable, self.titles), 12)}"

    def column(self, at: int) -> list[tuple[int, Any]]:
        return [(place, _value(values[at]) if at < len(values) else None) for place, values in self.rows]


def _read(name: str, read: Callable[[], bytes], index: _Index) -> _Table | str | None:
    """A file as a table; a remark where it names images that are not here; None where it is no table of images."""
    try:
        parsed = list(_parsed(name, read()))
    except (OSError, BadImage, ValueError, RecursionError, csv.Error):
        return None
    if parsed == [None]:
        return _Table(name, (), [], none=True)
    rows = [row for row in parsed if row is not None]
    folder = unicodedata.normalize("NFC", name.rpartition("/")[0])
    folder = f"{folder}/" if folder else ""
    sample = rows[1 :: max(1, len(rows) // _SAMPLE)] or rows
    width = max((len(row) for row in sample), default=0)
    hits = [len({index.find(folder, row[at]) for row in sample if at < len(row)} - {None}) for at in range(width)]
    if max(hits, default=0) < 2:  # one number may be like the name of an image by chance
        return _missed(name, sample, width)
    at = max(range(width), key=lambda column: hits[column])
    titled = bool(rows) and at < len(rows[0]) and index.find(folder, rows[0][at]) is None
    titles = (
        [str(title).strip() for title in rows[0]] if titled else [f"column {number + 1}" for number in range(width)]
    )
    named = ((index.find(folder, row[at]), [*row[:at], *row[at + 1 :]]) for row in rows[titled:] if at < len(row))
    return _Table(
        name,
        tuple(title for place, title in enumerate(titles) if place != at),
        [(place, values) for place, values in named if place is not None],
    )


def _missed(name: str, sample: Sequence[Sequence[Any]], width: int) -> str | None:
    """What is said of a table that names images, none of which is here."""
    for at in range(width):
        values = [str(row[at]) for row in sample if at < len(row)]
        named = [value for value in values if value.lower().endswith(EXTENSIONS)]
        if named and len(named) > len(values) / 2:
            return (
                f"{printable(name)} names images, none of which is among those read: {first(map(printable, named), 2)}."
            )
    return None


def _parsed(name: str, data: bytes) -> Iterator[list[Any] | None]:
    """The rows of a file, the first of them being titles; a single None where it says that there are no labels."""
    text = _text(data)
    if name.lower().endswith(".jsonl"):
        yield from _of_dictionaries([json.loads(line) for line in text.splitlines() if line.strip()])
    elif name.lower().endswith(".json"):
        yield from _of_json(json.loads(text))
    else:
        lines = text.splitlines()
        line = next((line for line in lines if line.strip()), "")
        delimiter = max(",;\t|", key=line.count)
        if line.count(delimiter) == 0:
            yield from (row.split() for row in lines if row.strip())  # a list of "file class", as ImageNet's
        else:
            yield from (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(row))


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _of_json(content: Any) -> Iterator[list[Any] | None]:
    """Rows of StyleGAN's ``{"labels": [[file, class], ...]}``, of a dictionary by file, or of dictionaries."""
    if isinstance(content, dict) and "labels" in content:
        content = content["labels"]
        if content is None:
            yield None
            return
    if isinstance(content, dict) and content:
        if all(isinstance(value, dict) for value in content.values()):
            content = [{"file_name": name, **value} for name, value in content.items()]
        else:
            content = [[name, value] for name, value in content.items()]
    if isinstance(content, list) and content and all(isinstance(row, dict) for row in content):
        yield from _of_dictionaries(content)
    elif isinstance(content, list) and all(isinstance(row, list) and len(row) == 2 for row in content):
        yield ["file_name", "label"]
        yield from content


def _of_dictionaries(rows: list[dict[str, Any]]) -> Iterator[list[Any]]:
    titles = list(dict.fromkeys(title for row in rows for title in row))
    yield titles
    yield from ([row.get(title) for title in titles] for row in rows)


def _value(value: Any) -> Any:
    """A cell as a class: a text or a whole number, None for nothing; others are left as they are, and are no class."""
    if isinstance(value, list):
        if len(value) > 1 and set(value) <= {0, 1} and sum(value) == 1:
            return value.index(1)
        return _value(value[0]) if len(value) == 1 else tuple(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = unicodedata.normalize("NFC", value.strip())
        if not value or value.lower() in ("nan", "null", "none", "na"):
            return None
        try:
            number = float(value)
        except ValueError:
            return value
        plain = value.removesuffix(".0").lstrip("-")
        if not plain.isdecimal() or (plain != "0" and plain.startswith("0")):
            return number if "." in value else value
        return int(number)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    return value


def _answer(
    table: _Table, images: Sequence[str], own: Sequence[int | None] | None, wanted: str | None
) -> Labels | str | None:
    """What a table says: labels, a remark on why it is not used, or None where folders say the same."""
    name: str = printable(table.name)
    if table.none:
        whole = "/" not in table.name or all(image.startswith(table.name.rpartition("/")[0]) for image in images)
        if wanted or not whole:
            return None
        return Labels(name, (), [None] * len(images), f"no classes, as {name} says", (_INSTEAD,) if own else ())
    columns = _wanted(table, wanted)
    if columns is None:
        return None
    if columns is False:
        serving = [title for at, title in enumerate(table.titles) if _serves(table.column(at))]
        covered = len({place for place, _ in table.rows})
        if not table.titles:
            return None
        if serving:
            return (
                f"{name} names {covered:,} of {len(images):,} images, but which of its columns holds the classes is "
                f"not clear: {first(map(printable, serving), 8)}. Type --set labels_from={printable(serving[0])}, or "
                "--set labels=false."
            )
        return (
            f"{name} names {covered:,} of {len(images):,} images, but none of its columns looks like classes: "
            f"{first(map(printable, table.titles), 8)}."
        )
    title, values = columns
    labels: dict[int, Any] = {}
    torn: set[int] = set()
    for place, value in values:
        if value is not None and labels.setdefault(place, value) != value:
            torn.add(place)
    if torn:
        some = first((printable(images[place]) for place in sorted(torn)), 2)
        many = counted(len(torn), "image")
        return f"{name} gives more than one {printable(title)} to {many} ({some}), so it is not read as classes."
    told = f"{name} (column {printable(title)})" if table.name.endswith((".csv", ".tsv", ".jsonl")) else name
    if not wanted and len(labels) < MOST * len(images):
        return (
            f"{told} gives classes to {len(labels):,} of {len(images):,} images only, so they are not used. To train "
            f"on these only: --set labels_from={printable(title)}"
        )
    kinds = sorted(set(labels.values()), key=lambda value: (isinstance(value, str), value))
    at = {value: place for place, value in enumerate(kinds)}
    given = [at[labels[place]] if place in labels else None for place in range(len(images))]
    if own and not wanted and _same(given, own):
        return None
    remarks = (_INSTEAD,) if own else ()
    what = f"{counted(len(kinds), 'class', 'classes')} from {told}"
    return Labels(told, tuple(map(str, kinds)), given, what, remarks)


def _wanted(table: _Table, wanted: str | None) -> tuple[str, list[tuple[int, Any]]] | Literal[False] | None:
    """The column of the classes; False where it is not clear, None where another table or column is asked for."""
    if wanted:
        base = table.name.rpartition("/")[2]
        if wanted in (table.name, base):
            wanted = None
        else:
            file, _, title = wanted.rpartition(":")
            if title not in table.titles or file not in ("", table.name, base):
                return None
            at = table.titles.index(title)
            return title, table.column(at)
    columns = {title: table.column(at) for at, title in enumerate(table.titles)}
    serving = {title: each for title, each in columns.items() if _serves(each, named=_plain(title) in _TITLES)}
    named = sorted(
        (title for title in serving if _plain(title) in _TITLES), key=lambda title: _TITLES.index(_plain(title))
    )
    if named:
        # A name says more than a number, where both divide the images alike.
        alike = [title for title in named if _alike(serving[title], serving[named[0]])]
        texts = [title for title in alike if any(isinstance(value, str) for _, value in serving[title])]
        return (texts or alike)[0], serving[(texts or alike)[0]]
    if hot := _one_hot(table):
        return hot
    if len(columns) == 1 and serving:
        return next(iter(serving.items()))
    return False


def _plain(title: str) -> str:
    return title.strip().lower().replace(" ", "_").replace("-", "_")


def _serves(values: Sequence[tuple[int, Any]], *, named: bool = False) -> bool:
    """Whether a column may hold classes: two at least, fewer than images, and far fewer where its title says little."""
    given = [value for _, value in values if value is not None]
    if not all(isinstance(value, int) or (isinstance(value, str) and len(value) <= _LONGEST) for value in given):
        return False
    return 2 <= len(set(given)) <= (len(given) - 1 if named else max(2, len(given) // 2))


def _alike(one: Sequence[tuple[int, Any]], other: Sequence[tuple[int, Any]]) -> bool:
    pairs = Counter(zip((value for _, value in one), (value for _, value in other), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _one_hot(table: _Table) -> tuple[str, list[tuple[int, Any]]] | None:
    """A table with a column for each class, exactly one of which is 1 in each line."""
    rows = [(place, [_value(value) for value in values]) for place, values in table.rows]
    if len(table.titles) < 2 or not rows:
        return None
    if not all(set(values) <= {0, 1} and sum(values) == 1 and len(values) == len(table.titles) for _, values in rows):
        return None
    return "of the 1", [(place, table.titles[values.index(1)]) for place, values in rows]
