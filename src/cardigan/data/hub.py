"""Data sets of the Hugging Face Hub, read by its own library, which is only imported when one is asked for."""

from functools import partial
from pathlib import Path
from typing import Any

from cardigan.data.decode import BadImage
from cardigan.data.items import Item, Source
from cardigan.data.words import counted, printable
from cardigan.errors import CardiganError, MissingExtraError


def data_set(name: str, *, folder: bool = False) -> Source:
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
    kinds = counted(len(classes), "class", "classes") if classes else "no classes"
    description = f"{counted(len(rows), 'image')} of the column {printable(pictures[0])}, {kinds}"
    return Source(text, description, tuple(items), f"{text} {data._fingerprint}", classes, remarks)


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
        ) from problem


def _probe(name: str) -> None:
    """Ask the Hub once, so that a machine without a network learns of it in seconds, not after many retries."""
    import huggingface_hub

    if not huggingface_hub.constants.HF_HUB_OFFLINE:
        huggingface_hub.HfApi().dataset_info(name, timeout=5)


def _read_row(rows: Any, index: int, column: str) -> bytes:
    picture = rows[index][column]
    if picture is None:
        raise BadImage("the row holds no image")
    return picture["bytes"] if picture["bytes"] is not None else Path(picture["path"]).read_bytes()
