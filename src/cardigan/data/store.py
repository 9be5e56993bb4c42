"""The store: every image at one size in one memory-mapped file, made once and reused.

A store is a folder of ``images.u8`` (raw uint8, N x H x W x C), ``labels.npy`` where there are classes, and
``store.json``. It appears under its final name only when it is complete.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cardigan.data.decode import DEFAULTS, DataSettings, Pixels, printable
from cardigan.data.scan import Progress, Scan, Size, Tally, survey
from cardigan.data.sources import Source
from cardigan.errors import CardiganError

FORMAT = 1
"""Part of every store's name: raise it when the same source would give other pixels."""

_ABANDONED = 24 * 3600.0
"""Seconds after which an unfinished store belongs to a process that died."""
_BLOCK = 2**24


@dataclass(frozen=True, eq=False)
class Store:
    """Images of one size, ready to be drawn from.

    Args:
        images: uint8 (N, H, W, C), read-only; memory-mapped when it was prepared from a source.
        labels: int64 (N,), index into ``classes``, or None.
        classes: the names of the classes; () for data without classes.
        fingerprint: SHA-256 over shape, pixels, labels and classes; the same content has the same fingerprint anywhere.
        scan: the scan that belongs to it, as plain data; {} for arrays.
        source: what the user called the data.

    Example:
        >>> store = Store.from_arrays(np.zeros((3, 8, 8), np.uint8), labels=[0, 1, 1], classes=("no", "yes"))
        >>> len(store), store.shape, store.labels.tolist()
        (3, (8, 8, 1), [0, 1, 1])
    """

    images: Pixels
    labels: npt.NDArray[np.int64] | None
    classes: tuple[str, ...]
    fingerprint: str
    scan: dict[str, Any] = field(default_factory=dict)
    source: str = "arrays"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width, channels = self.shape
        return f"Store({self.source!r}, {len(self)} images of {height}x{width}x{channels}, {len(self.classes)} classes)"

    @staticmethod
    def from_arrays(images: npt.ArrayLike, labels: npt.ArrayLike | None = None, classes: Sequence[str] = ()) -> "Store":
        """A store in memory.

        Args:
            images: uint8 (N, H, W) or (N, H, W, C) with 1 to 4 channels.
            labels: whole numbers (N,) from 0.
            classes: the names of the classes; by default ``"0"``, ``"1"`` and so on, where there are labels.

        Raises:
            CardiganError: if the arrays do not fit that description.
        """
        pixels = np.asarray(images)
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 2, 3, 4):
            raise CardiganError(
                f"The images are {pixels.dtype} {list(np.shape(images))}; expected uint8 [N, H, W] or [N, H, W, C] "
                "with C from 1 to 4 and values 0 to 255. Convert floats with: (images * 255).round().astype(np.uint8)"
            )
        known: npt.NDArray[np.int64] | None = None
        if labels is not None:
            given = np.asarray(labels)
            if given.shape != (len(pixels),) or given.dtype.kind not in "iu" or (len(given) and given.min() < 0):
                raise CardiganError(
                    f"The labels are {given.dtype} {list(given.shape)}; expected one whole number from 0 for each of "
                    f"the {len(pixels)} images. Convert them with: labels.astype(np.int64).reshape(-1)"
                )
            known = given.astype(np.int64)
            classes = tuple(classes) or tuple(map(str, range(int(known.max(initial=-1)) + 1)))
            if len(known) and known.max() >= len(classes):
                raise CardiganError(
                    f"Label {known.max()} has no class: there are {len(classes)} names. Give one for every label."
                )
        names = tuple(classes) if known is not None else ()
        pixels = pixels.view()
        pixels.flags.writeable = False
        return Store(pixels, known, names, _fingerprint(pixels, known, names))


def prepare(
    source: Source,
    *,
    size: Size | None,
    settings: DataSettings = DEFAULTS,
    cache: str | Path | None = None,
    on_progress: Progress | None = None,
) -> Store:
    """Decode and fit every image once, with all cores; the next call with the same content finds the result.

    Args:
        source: from :func:`~cardigan.data.open_source`.
        size: (height, width) in pixels; None keeps the native size, if all images agree on one.
        settings: how images are read. Images that have the size already are kept byte for byte.
        cache: the folder of stores; by default ``$CARDIGAN_CACHE``, else ``$XDG_CACHE_HOME/cardigan``, else
            ``~/.cache/cardigan``.
        on_progress: called with (files done, files in all); not called where the store exists.

    Raises:
        CardiganError: if the images cannot be trained on, with the reason, or the cache cannot be written.
    """
    if size is not None and min(size) < 1:
        raise CardiganError(f"The size is {size[1]}x{size[0]}; expected at least 1 pixel a side. Type --size 64.")
    source = source.sized(size, settings)
    root = _cache_folder(cache)
    asked = json.dumps([FORMAT, source.key, source.name, source.classes, size, asdict(settings)])
    slug = re.sub(r"[^A-Za-z0-9]+", "-", Path(source.name).stem).strip("-")[:40] or "images"
    final = root / f"{slug}-{hashlib.sha256(asked.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"
    if store := _open(final):
        return store
    _check_writable(root)
    try:
        _sweep(root)
        partial_ = Path(tempfile.mkdtemp(prefix=f".{final.name}.partial-", dir=root))
        try:
            _write(partial_, source, size, settings, on_progress)
            return _publish(partial_, final)
        finally:
            shutil.rmtree(partial_, ignore_errors=True)
    except OSError as problem:
        raise _cannot_write(root, problem) from problem


def fitted(pixels: Pixels, size: Size, settings: DataSettings = DEFAULTS) -> Pixels:
    """One image at another size; the very same pixels if it has that size.

    Args:
        pixels: uint8 (h, w, C).
        size: (height, width) that is wanted.
        settings: ``fit`` and ``background`` are read.

    Returns:
        uint8 (height, width, C), filtered with Lanczos over all pixels that fall together.

    Example:
        >>> fitted(np.zeros((8, 12, 3), np.uint8), (4, 4)).shape
        (4, 4, 3)
    """
    high, wide, channels = pixels.shape
    height, width = size
    if settings.fit == "crop":
        scale = min(high / height, wide / width)
        high, wide = min(high, max(1, round(height * scale))), min(wide, max(1, round(width * scale)))
        top, left = (pixels.shape[0] - high) // 2, (pixels.shape[1] - wide) // 2
        pixels = pixels[top : top + high, left : left + wide]
    elif settings.fit == "pad" and high * width != wide * height:
        scale = min(height / high, width / wide)
        inner = max(1, round(high * scale)), max(1, round(wide * scale))
        grey = round(float(np.dot(settings.colour, (0.299, 0.587, 0.114))))
        fill = {1: (grey,), 2: (grey, 0), 3: settings.colour, 4: (*settings.colour, 0)}[channels]
        canvas = np.full((height, width, channels), fill, np.uint8)
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        canvas[top : top + inner[0], left : left + inner[1]] = _resized(pixels, inner)
        return canvas
    return _resized(pixels, size)


def _resized(pixels: Pixels, size: Size) -> Pixels:
    if pixels.shape[:2] == size:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    # Pillow's filters widen with the scale, so nothing aliases, and weigh colours by their alpha.
    resized = np.asarray(image.resize((size[1], size[0]), Image.Resampling.LANCZOS))
    return resized.reshape(*size, -1)


def _cache_folder(cache: str | Path | None) -> Path:
    """The folder of stores. One that is complete is read even where nothing can be written."""
    if cache is None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = os.environ.get("CARDIGAN_CACHE") or Path(base) / "cardigan"
    return Path(cache).expanduser()


def _check_writable(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            return
    except OSError as problem:
        raise _cannot_write(root, problem) from None


def _cannot_write(root: Path, problem: OSError) -> CardiganError:
    free = ""
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            free = f" {shutil.disk_usage(root).free / 2**30:.1f} GiB are free there."
    return CardiganError(
        f"The prepared images cannot be written to {printable(str(root))}: {problem.strerror or problem}.{free} "
        "Expected a folder with room for them. Choose another with: export CARDIGAN_CACHE=/path/to/folder"
    )


def _write(
    folder: Path, source: Source, size: Size | None, settings: DataSettings, on_progress: Progress | None
) -> None:
    """Fill a folder with everything that a store is; raises CardiganError for data that cannot be trained on."""
    tally = Tally(source, settings, size)
    labels: list[int] = []
    path = folder / "images.u8"
    fit: Callable[[Pixels], Pixels] = partial(fitted, size=size, settings=settings) if size else _as_is
    with path.open("wb") as file:
        for done, finding in enumerate(survey(source, settings, fit), start=1):
            if tally.add(finding) and finding.pixels is not None and (size or len(tally.sizes) == 1):
                # Grey images are written as RGB, for a coloured one may follow; _narrow takes that back.
                pixels = finding.pixels
                wide = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 and settings.channels is None else pixels
                file.write(np.ascontiguousarray(wide).data)
                labels.append(-1 if finding.item.label is None else finding.item.label)
            if on_progress:
                on_progress(done, len(source))
    scan = tally.result()
    if scan.refusals:
        raise CardiganError("\n".join(scan.refusals))
    if size is None and len(tally.sizes) > 1:
        common = ", ".join(f"{wide}x{high} ({count:,})" for (high, wide), count in tally.sizes.most_common(3))
        raise CardiganError(
            f"The images in {printable(source.name)} have {len(tally.sizes):,} different sizes: {common}. Expected "
            "one; choose one for all with: --size 64"
        )
    height, width = size or next(iter(tally.sizes))
    if settings.channels is None and tally.channels == 1:
        _narrow(path, tally.kept, height * width)
    _describe(folder, scan, (tally.kept, height, width, tally.channels), labels, tally.classes)


def _as_is(pixels: Pixels) -> Pixels:
    return pixels


def _narrow(path: Path, count: int, area: int) -> None:
    """Rewrite a file of grey images from three equal channels to one."""
    narrow = path.with_suffix(".narrow")
    step = 3 * area * max(1, _BLOCK // (3 * area))
    with path.open("rb") as source, narrow.open("wb") as target:
        while block := source.read(step):
            target.write(block[::3])
    narrow.replace(path)
    assert path.stat().st_size == count * area


def _describe(folder: Path, scan: Scan, shape: tuple[int, ...], labels: list[int], classes: tuple[str, ...]) -> None:
    images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
    known = np.array(labels, np.int64) if classes else None
    if known is not None:
        np.save(folder / "labels.npy", known)
    facts = {
        "format": FORMAT,
        "source": scan.source,
        "shape": shape,
        "classes": classes,
        "fingerprint": _fingerprint(images, known, classes),
        "scan": scan.to_dict(),
    }
    (folder / "store.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    for file in sorted(folder.iterdir()):
        _sync(file)
    _sync(folder)


def _fingerprint(images: Pixels, labels: npt.NDArray[np.int64] | None, classes: tuple[str, ...]) -> str:
    digest = hashlib.sha256(json.dumps([list(images.shape), list(classes), labels is not None]).encode())
    step = max(1, _BLOCK // max(1, images[:1].nbytes))
    for start in range(0, len(images), step):
        digest.update(np.ascontiguousarray(images[start : start + step]).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, dtype="<i8").data)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(ready: Path, final: Path) -> Store:
    """Give a finished store its name; if another process was first, use what it made."""
    for _ in range(3):
        try:
            ready.rename(final)
            _sync(final.parent)
        except OSError as problem:
            # ENOENT: another process took ours for damaged in that very moment, and is about to bring its own.
            if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT):
                raise
        if store := _open(final):
            return store
        # What bears the name is damaged. It is moved away whole, so that no reader meets half of it.
        trash = Path(tempfile.mkdtemp(prefix=f".{final.name}.partial-", dir=final.parent))
        with suppress(FileNotFoundError):
            final.rename(trash / "damaged")
        shutil.rmtree(trash, ignore_errors=True)
    raise CardiganError(
        f"The prepared images in {printable(str(final))} are damaged again and again. Delete that folder, or choose "
        "another place with: export CARDIGAN_CACHE=/path/to/folder"
    )


def _open(folder: Path) -> Store | None:
    """The store in a folder, or None if there is none that is whole."""
    try:
        facts = json.loads((folder / "store.json").read_text(encoding="utf-8"))
        shape, classes = tuple(facts["shape"]), tuple(facts["classes"])
        if facts["format"] != FORMAT or (folder / "images.u8").stat().st_size != np.prod(shape, dtype=np.int64):
            return None
        labels = np.load(folder / "labels.npy", allow_pickle=False) if classes else None
        if labels is not None and labels.shape != shape[:1]:
            return None
        images = np.memmap(folder / "images.u8", np.uint8, "r", shape=shape)
        return Store(images, labels, classes, facts["fingerprint"], facts["scan"], facts["source"])
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _sweep(root: Path) -> None:
    """Remove what processes that died have left half made."""
    for path in root.glob(".*.partial-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
