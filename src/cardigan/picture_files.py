"""Pictures in files, one by one: read, changed, and written beside nothing that they could spoil."""

import hashlib
import io
import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cardigan.data.decode import ALPHA, BadImage, decode
from cardigan.data.formats import EXTENSIONS, OTHER_PICTURES, TITLES
from cardigan.data.layout import is_run
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.values import Range
from cardigan.data.words import printable
from cardigan.errors import CardiganError
from cardigan.report.grids import to_pillow, write_bytes

Pixels = npt.NDArray[np.uint8]
Change = Callable[[Pixels, Callable[[int, int], None]], Pixels]
"""Pixels, and what to call with the number of parts that are done and of all -> other pixels."""

Saved = Callable[[int], None]

SOFTWARE = "cardigan restore"
"""What a result says it was made by, in a text of its PNG file; nothing else is ever written over."""
_MARK = b"tEXtSoftware\0" + SOFTWARE.encode()
_HEAD = 4096
"""Bytes in which the mark lies, if a file has it: Pillow writes texts before pixels."""


def change_files(
    change: Change,
    paths: Iterable[Path],
    out: Path,
    *,
    on_progress: Callable[[float, str], None],
    settings: DataSettings = DEFAULTS,
    span: Range | None = None,
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Change every picture and write each result as a PNG; one that cannot be read does not stop the others.

    Args:
        change: what happens to a picture; a MemoryError tells that this one is too large.
        paths: files, and folders of images.
        out: the folder of the results, made before the work; see :func:`plan` for their names.
        on_progress: called with the share of the work that is done, and where it stands in words.
        settings: as for :func:`read_picture`.
        span: as for :func:`read_picture`.

    Returns:
        (picture, result) of each that was written, and what is wrong with the others, in words.

    Raises:
        CardiganError: if a result cannot be written.
    """
    pairs, problems = plan(paths, out)
    written: list[tuple[Path, Path]] = []
    with _written_to(out, {target.parent for _, target in pairs}):
        for place, (path, target) in enumerate(pairs):

            def announce(done: int, total: int, place: int = place) -> None:
                on_progress((place + done / total) / len(pairs), f"{place + 1:,} of {len(pairs):,} images")

            try:
                pixels = read_picture(path, settings, span)
            except CardiganError as problem:
                problems.append(f"{printable(str(path))}: {problem}")
                continue
            try:
                changed = change(pixels, announce)
                with _told_of(out):
                    save_result(changed, target, path)
            except MemoryError as problem:
                high, wide = pixels.shape[:2]
                told = str(problem) or f"{high}x{wide} pixels are too many for the memory; restore it in parts"
                problems.append(f"{printable(str(path))}: {told}")
                continue
            written.append((path, target))
    return written, problems


@contextmanager
def _written_to(out: Path, folders: Iterable[Path]) -> Iterator[None]:
    """Folders that are made and tried before the work, and removed after it where nothing came into them.

    Raises:
        CardiganError: if one of them cannot be written to.
    """
    made: list[Path] = []
    try:
        with _told_of(out):
            for folder in sorted(folders):
                made += [each for each in (folder, *folder.parents) if not each.exists() and each not in made]
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        yield
    finally:
        for folder in sorted(made, reverse=True):  # what lies in a folder comes after it
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _told_of(out: Path) -> Iterator[None]:
    """Failures to write, in the user's words."""
    try:
        yield
    except OSError as error:
        raise CardiganError(
            f"Cannot write to {printable(str(out))}: {error.strerror or error}. Choose another --out."
        ) from error


def save_result(pixels: Pixels, path: Path, source: Path) -> None:
    """Write pixels, uint8 (H, W, C), as a PNG that says it is a result; the file appears whole or not at all.

    Args:
        pixels: of the result.
        path: of the file.
        source: the picture that it was made from; the file knows it again by a hash of its place.
    """
    told, buffer = PngInfo(), io.BytesIO()
    told.add_text("Software", SOFTWARE)
    told.add_text("Source", _place(source))
    to_pillow(pixels).save(buffer, format="PNG", pnginfo=told)  # optimizing a large picture takes minutes
    write_bytes(buffer.getvalue(), path)


def is_result(path: Path, source: Path | None = None) -> bool:
    """Whether a file was written by :func:`save_result`; what cannot be read was not.

    Args:
        path: of the file.
        source: only a result of this picture counts, which may be written over.

    Example:
        >>> is_result(Path(__file__))
        False
    """
    if not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False
    texts = head.partition(b"IDAT")[0] if head.startswith(b"\x89PNG") else b""
    return _MARK in texts and (source is None or b"tEXtSource\0" + _place(source).encode() in texts)


def _place(source: Path) -> str:
    return hashlib.blake2b(os.fsencode(source.resolve()), digest_size=16).hexdigest()


def read_picture(path: Path, settings: DataSettings = DEFAULTS, span: Range | None = None) -> Pixels:
    """The pixels of a file, upright, in 8 bits; transparent parts stay transparent.

    Args:
        path: of the file.
        settings: ``value_range`` and ``max_megapixels`` are read.
        span: the values that are black and white in a file of more than 8 bits; None where nothing is known of it.

    Raises:
        CardiganError: with the reason, if it cannot be read.
    """
    try:
        blob = path.read_bytes()
        told = (lambda: span) if span else None
        decoded = decode(blob, replace(settings, channels=None), any_shape=True, span=told)
        if ALPHA in decoded.notes:
            whole = replace(settings, channels=decoded.pixels.shape[2] + 1)
            decoded = decode(blob, whole, any_shape=True, span=told)
    except BadImage as problem:
        raise CardiganError(str(problem)) from problem
    except OSError as problem:
        raise CardiganError(problem.strerror or str(problem)) from problem
    return decoded.pixels


def plan(paths: Iterable[Path], out: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Which files are restored, and where each result goes.

    The result of ``a.jpg`` is ``a.png``, or ``a.jpg.png`` where that is taken; from a folder it keeps the names of
    sub-folders. No two results share a name, not even on a disk that holds A and a for the same, and no file is written
    over but an earlier result of the same picture. A result is no picture of the folder where it is found, nor is what
    lies in ``out``; a file that is named is restored
    whatever it is.

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
        if path.is_dir():
            problems += _unread_in(path)
        fresh = [each for each in inside if not is_result(each)] if path.is_dir() else inside
        if not inside:
            problems.append(f"{printable(str(path))}: no images in this folder; expected {TITLES}")
        elif not fresh:
            problems.append(
                f"{printable(str(path))}: all images in this folder are results of cardigan restore; to restore them "
                f"again, name the files: {printable(str(path / '*.png'))}"
            )
        for each in fresh:
            name = each.relative_to(path) if path.is_dir() else Path(each.name)
            found.setdefault(each.resolve(), (each, name))
    taken, pairs = {_key(place) for place in found}, []
    for path, name in found.values():
        target = next(each for each in _candidates(out, name) if _is_free(each, taken, path))
        taken.add(_key(target))
        pairs.append((path, target))
    return pairs, problems


def _key(path: Path) -> str:
    """What two paths share that may be the same file."""
    return str(path.parent.resolve() / path.name).casefold()


def _candidates(out: Path, name: Path) -> Iterator[Path]:
    """For ``a.jpg``: ``a.png``, ``a.jpg.png``, ``a.jpg-2.png`` and so on."""
    yield out / name.with_suffix("").with_name(f"{name.stem}.png")
    yield out / name.with_name(f"{name.name}.png")
    yield from (out / name.with_name(f"{name.name}-{number}.png") for number in itertools.count(2))


def _is_free(target: Path, taken: set[str], source: Path) -> bool:
    """Whether nothing is lost if the result of a picture is called so; its earlier result is no loss."""
    if _key(target) in taken:
        return False
    return not (target.exists() or target.is_symlink()) or (not target.is_symlink() and is_result(target, source))


def _unread_in(folder: Path) -> list[str]:
    """Pictures of a folder that are of a kind that is not read, in words."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in OTHER_PICTURES and path.is_file()]
    return [
        f"{printable(str(path))}: {OTHER_PICTURES[path.suffix.lower()]}, which is not read; convert it to PNG or JPEG"
        for path in found
    ]


def _marks_a_run(config: Path) -> bool:
    try:
        return is_run(config.read_bytes())
    except OSError:
        return False


def _images_in(folder: Path, out: Path) -> Iterator[Path]:
    """The image files below a folder, by name; hidden ones and those below ``out`` are left out."""
    own = out.resolve()
    runs = {config.parent for config in folder.rglob("config.json") if config.parent != folder and _marks_a_run(config)}
    for path in sorted(folder.rglob("*")):
        if not runs.isdisjoint(path.parents):
            continue  # what a run has drawn is no picture of the user's
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        result = own != folder.resolve() and own in path.resolve().parents
        if path.suffix.lower() in EXTENSIONS and not hidden and not result and path.is_file():
            yield path


GENERATOR = "Generator"
"""The text of a PNG file that names the generator that drew it, by the SHA-256 of its weights."""


def save_samples(
    blocks: Iterable[Pixels], names: Sequence[str], folder: Path, *, generator: str, on_saved: Saved
) -> None:
    """Write images as PNG files, each as soon as it is drawn.

    Args:
        blocks: of images, uint8 (N, H, W, C).
        names: a file name for each image.
        folder: where to; made if it is missing.
        generator: the SHA-256 of the weights of the generator that drew them, which each file tells.
        on_saved: called with the number of images that are written.

    Raises:
        CardiganError: if one cannot be written.
    """
    told = PngInfo()
    told.add_text(GENERATOR, generator)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place, pixels in enumerate(pixels for block in blocks for pixels in block):
            buffer = io.BytesIO()
            to_pillow(pixels).save(buffer, format="PNG", optimize=True, pnginfo=told)
            write_bytes(buffer.getvalue(), folder / names[place])
            on_saved(place + 1)
    except OSError as error:
        raise CardiganError(f"Cannot write to {folder}: {error.strerror or error}. Choose another --out.") from error


def folder_for(folder: Path, names: Iterable[str], *, generator: str, chosen: bool) -> Path:
    """A folder in which images of two generators are not mixed, and none is written over.

    Args:
        folder: where the images should go.
        names: of the images to come.
        generator: that draws them, by the SHA-256 of its weights.
        chosen: whether the user named the folder; it is then refused, where another would be found.

    Raises:
        CardiganError: if the folder is the user's choice and holds images of another generator.

    Example:
        >>> folder_for(Path("nowhere"), ["0.png"], generator="a1", chosen=True).name
        'nowhere'
    """
    names = list(names)
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    free = next(each for each in itertools.chain([folder], numbered) if not _mixed(each, names, generator))
    if chosen and free != folder:
        raise CardiganError(
            f"{folder} holds images of another generator, so nothing was written. Choose another --out, such as "
            f"--out {free}"
        )
    return free


def _mixed(folder: Path, names: Iterable[str], generator: str) -> bool:
    """Whether a folder has images of another generator, or other files of these names."""
    taken = (folder / name for name in names if (folder / name).exists())
    drawn = itertools.islice(sorted(folder.glob("*seed*-[0-9]*.png")), 1)
    return any(_drawn_by(path) != generator for path in itertools.chain(drawn, taken))


def _drawn_by(path: Path) -> str | None:
    """The generator that drew an image, None if the file does not tell."""
    try:
        with Image.open(path) as picture:
            return picture.info.get(GENERATOR)
    except OSError:
        return None
