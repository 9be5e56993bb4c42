"""Pictures in files, one by one: read, changed, and written beside nothing that they could spoil."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cardigan.data.decode import ALPHA, EXTENSIONS, BadImage, decode
from cardigan.data.options import DataSettings
from cardigan.data.words import printable
from cardigan.errors import CardiganError
from cardigan.report.grids import save_png

Pixels = npt.NDArray[np.uint8]
Change = Callable[[Pixels, Callable[[int, int], None]], Pixels]
"""Pixels, and what to call with the number of parts that are done and of all -> other pixels."""


def change_files(
    change: Change, paths: Iterable[Path], out: Path, *, on_progress: Callable[[float, str], None]
) -> tuple[int, list[str]]:
    """Change every picture and write each result as a PNG; one that cannot be read does not stop the others.

    Args:
        change: what happens to a picture.
        paths: files, and folders of images.
        out: the folder of the results; see :func:`plan` for their names.
        on_progress: called with the share of the work that is done, and where it stands in words.

    Returns:
        How many were written, and what is wrong with the others, in words.

    Raises:
        CardiganError: if a result cannot be written.
    """
    pairs, problems = plan(paths, out)
    written = 0
    for place, (path, target) in enumerate(pairs):

        def announce(done: int, total: int, place: int = place) -> None:
            on_progress((place + done / total) / len(pairs), f"{place + 1:,} of {len(pairs):,} images")

        try:
            pixels = read_picture(path)
        except CardiganError as problem:
            problems.append(f"{printable(str(path))}: {problem}")
            continue
        changed = change(pixels, announce)
        try:
            save_png(changed, target)
        except OSError as error:
            raise CardiganError(f"Cannot write to {out}: {error.strerror or error}. Choose another --out.") from error
        written += 1
    return written, problems


def read_picture(path: Path) -> Pixels:
    """The pixels of a file, upright, in 8 bits; transparent parts stay transparent.

    Raises:
        CardiganError: with the reason, if it cannot be read.
    """
    try:
        blob = path.read_bytes()
        decoded = decode(blob, any_shape=True)
        if ALPHA in decoded.notes:
            decoded = decode(blob, DataSettings(channels=decoded.pixels.shape[2] + 1), any_shape=True)
    except BadImage as problem:
        # The advice after a limit names a setting of training.
        raise CardiganError(str(problem).partition(" (raise it with")[0]) from problem
    except OSError as problem:
        raise CardiganError(problem.strerror or str(problem)) from problem
    return decoded.pixels


def plan(paths: Iterable[Path], out: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Which files are restored, and where each result goes.

    A result is called as its picture, ``.png``; from a folder it keeps the names of sub-folders. No two results share a
    name, not even on a disk that holds A and a for the same, and no file is written over in a folder that pictures come
    from. What lies in ``out`` is no picture of a folder around it.

    Args:
        paths: files, and folders of images.
        out: the folder of the results.

    Returns:
        (picture, result) pairs in the order of ``paths``, each picture once; and what is wrong with folders, in words.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    problems = []
    for path in paths:
        inside = list(_images_in(path, out)) if path.is_dir() else [path]
        if not inside:
            problems.append(f"{printable(str(path))}: no images in this folder; expected {', '.join(EXTENSIONS)}")
        for each in inside:
            name = each.relative_to(path) if path.is_dir() else Path(each.name)
            found.setdefault(each.resolve(), (each, name.with_suffix("")))
    guarded = {folder for place, (path, _) in found.items() for folder in (place.parent, path.parent.resolve())}
    pairs, taken = [], set()
    for path, name in found.values():
        target = next(each for each in _candidates(out, name) if _is_free(each, taken, guarded))
        taken.add(str(target).casefold())
        pairs.append((path, target))
    return pairs, problems


def _candidates(out: Path, name: Path) -> Iterator[Path]:
    """``a.png``, ``a-2.png`` and so on."""
    yield out / name.with_name(f"{name.name}.png")
    yield from (out / name.with_name(f"{name.name}-{number}.png") for number in itertools.count(2))


def _is_free(target: Path, taken: set[str], guarded: set[Path]) -> bool:
    """Whether nothing is lost if a result is called so; an earlier result, in a folder of results, may be replaced."""
    if str(target).casefold() in taken:
        return False
    return not (target.parent.resolve() in guarded and (target.exists() or target.is_symlink()))


def _images_in(folder: Path, out: Path) -> Iterator[Path]:
    """The image files below a folder, by name; hidden ones and those below ``out`` are left out."""
    own = out.resolve()
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        result = own != folder.resolve() and own in path.resolve().parents
        if path.suffix.lower() in EXTENSIONS and not hidden and not result and path.is_file():
            yield path
