"""Data sets of the Hugging Face Hub and parquet files, read by the Hub's own library, imported only when asked for."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cardigan.data import parts
from cardigan.data.formats import HEAD, BadImage, is_image
from cardigan.data.items import Item, Source
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.tables import Labels, labels_in
from cardigan.data.words import counted, first, printable
from cardigan.errors import CardiganError, MissingExtraError

MAX_TOTAL = 2**38
"""Bytes that parquet files may unpack to: 256 GiB."""


def data_set(name: str, *, folder: bool = False, settings: DataSettings = DEFAULTS) -> Source:
    """A data set of the Hugging Face Hub, or with ``folder`` a local folder read by the same library."""
    datasets = _library(f"Reading {printable(name)} as a Hugging Face data set (there is no such folder or file here)")
    text = f"imagefolder:{name}" if folder else name
    data = _load(datasets, name, folder=folder, split=settings.split or "train")
    return _rows(datasets, data, text, f"{text} {data._fingerprint}", settings)


def parquet(paths: Sequence[Path], name: str, settings: DataSettings = DEFAULTS) -> Source:
    """Parquet files with a column of images, as the Hub keeps them. Of several parts, the training part is read.

    Args:
        paths: the files.
        name: what the user called them.
        settings: ``split``, ``labels`` and ``labels_from`` are read.

    Raises:
        CardiganError: if they cannot be read, have no column of images, or it is unclear which part is meant.
        MissingExtraError: if the library is not installed.
    """
    datasets = _library(f"Reading {printable(name)}, which is parquet,")
    # A file's part is the first word of its name, as in train-00000-of-00001.parquet, or its folder.
    named = [_part(path) for path in paths]
    tree = parts.chosen(name, named, settings.split)
    chosen = [paths[place] for place in tree.places]
    _check_parquet(chosen)
    try:
        data = datasets.load_dataset("parquet", data_files=[str(path) for path in chosen], split="train")
    except Exception as problem:  # damaged files and the library itself have errors of their own
        raise CardiganError(_unreadable(name, problem)) from problem
    stamps = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in chosen]
    return _rows(datasets, data, name, f"parquet {stamps}", settings, tree.remarks, own=True)


def rows_of(data: Any, name: str, settings: DataSettings = DEFAULTS) -> Source:
    """A data set of the Hub's library that a program has loaded already."""
    return _rows(_library("A data set of the Hub"), data, name, f"{name} {data._fingerprint}", settings)


def _part(path: Path) -> str:
    """A path whose folder is the part that a file belongs to."""
    word = re.split(r"[-_.]", path.stem)[0]
    folder = word if parts.role(word) in ("train", "held") else path.parent.name
    return f"{folder}/{path.name}" if parts.role(folder) in ("train", "held") else path.name


def _check_parquet(paths: Sequence[Path]) -> None:
    """Refuse what is damaged, and what would fill the disk."""
    import pyarrow.parquet  # pyright: ignore[reportMissingImports]

    total = 0
    for path in paths:
        try:
            facts = pyarrow.parquet.ParquetFile(path).metadata
        except Exception as problem:  # as above
            raise CardiganError(_unreadable(str(path), problem)) from problem
        total += sum(facts.row_group(at).total_byte_size for at in range(facts.num_row_groups))
    if total > MAX_TOTAL:
        raise CardiganError(
            f"{printable(str(paths[0]))} and its like unpack to {total / 2**30:,.1f} GiB. Expected at most "
            f"{MAX_TOTAL / 2**30:,.0f} GiB; give fewer files."
        )


def _unreadable(name: str, problem: Exception) -> str:
    reason = printable(str(problem).strip().partition("\n")[0])
    return (
        f"{printable(name)} cannot be read as parquet ({type(problem).__name__}: {reason}). Expected whole files with "
        "a column of images; copy them again, or write the images as files."
    )


def _library(feature: str) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(feature, extra="hub") from None
    return datasets


def _rows(
    datasets: Any,
    data: Any,
    text: str,
    key: str,
    settings: DataSettings,
    remarks: tuple[str, ...] = (),
    *,
    own: bool = False,
) -> Source:
    """The images of a data set, with their classes; ``own`` refuses rows that hold a path in place of an image."""
    pictures = _pictures(datasets, data)
    if not pictures:
        raise CardiganError(
            f"The data set {printable(text)} has the columns {', '.join(data.column_names)}; expected one of images."
        )
    column = pictures[0]
    if len(pictures) > 1:
        others = first(map(printable, pictures[1:]))
        remarks += (f"The images are those of the column {printable(column)}; {others} is not read.",)
    found, told = _labels(datasets, data, text, column, settings)
    labels, classes = (found.labels, found.classes) if found else (None, ())
    rows = data.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    items = (
        Item(f"row {index}", partial(_read_row, rows, index, column, own), labels[index] if labels else None)
        for index in range(len(rows))
    )
    kinds = counted(len(classes), "class", "classes") if classes else "no classes"
    description = f"{counted(len(rows), 'image')} of the column {printable(column)}, {kinds}"
    key = f"{key} {column} {found.name if found else ''}"
    return Source(text, description, tuple(items), key, classes, (*remarks, *told))


def _pictures(datasets: Any, data: Any) -> list[str]:
    """The columns of images: declared ones, else those that hold the bytes of files."""
    declared = [key for key, feature in data.features.items() if isinstance(feature, datasets.Image)]
    return declared or [key for key in data.column_names if _holds_files(data, key)]


def _holds_files(data: Any, key: str) -> bool:
    for at in range(min(8, len(data))):
        value = data[at][key]
        value = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(value, bytes):
            return is_image(value[:HEAD])
    return False


def _labels(
    datasets: Any, data: Any, text: str, column: str, settings: DataSettings
) -> tuple[Labels | None, tuple[str, ...]]:
    """The classes by a declared column, else by one that looks like it, and what to say where there is none."""
    if not settings.labels:
        return None, ()
    declared = [key for key, feature in data.features.items() if isinstance(feature, datasets.ClassLabel)]
    wanted = settings.labels_from
    key = wanted if wanted in declared else declared[0] if declared and not wanted else None
    if key:
        names, labels = data.features[key].names, data[key][:]
        if any(label is None or label < 0 for label in labels):
            return None, (f"Not every image has a value in {key}, so the set is read without classes.",)
        told = ()
        if len(declared) > 1 and not wanted:
            others = first(printable(each) for each in declared if each != key)
            told = (f"The classes are those of {printable(key)}. Others: --set labels_from={others}",)
        return Labels(key, tuple(map(str, names)), list(map(int, labels)), key), told
    plain = [
        key
        for key, feature in data.features.items()
        if key != column and getattr(feature, "dtype", "").startswith(("string", "large_string", "int", "uint", "bool"))
    ]
    answer = labels_in(text, {key: data[key][:] for key in plain}, [f"row {at}" for at in range(len(data))], wanted)
    return (answer, ()) if isinstance(answer, Labels) else (None, (answer,) if answer else ())


def _load(datasets: Any, name: str, *, folder: bool, split: str) -> Any:
    """One split of a data set, or an error that comes quickly and says what to do."""
    try:
        if folder:
            return datasets.load_dataset("imagefolder", data_dir=name, split=split)
        _probe(name)
        return datasets.load_dataset(name, split=split)
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
        ) from problem


def _probe(name: str) -> None:
    """Ask the Hub once, so that a machine without a network learns of it in seconds, not after many retries."""
    import huggingface_hub

    if not huggingface_hub.constants.HF_HUB_OFFLINE:
        huggingface_hub.HfApi().dataset_info(name, timeout=5)


def _read_row(rows: Any, index: int, column: str, own: bool) -> bytes:
    picture = rows[index][column]
    if picture is None:
        raise BadImage("the row holds no image")
    if picture["bytes"] is not None:
        return picture["bytes"]
    if own:
        raise BadImage("the row holds a path, not an image")  # which could be any file of this machine
    return Path(picture["path"]).read_bytes()
