"""Preparation: a source is surveyed, fitted and written once, and becomes a store."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from cardigan.data.cache import FORMAT, cache_folder, cannot_write, check_writable, describe, open_store, publish, sweep
from cardigan.data.decode import Pixels, Size
from cardigan.data.fitting import fitted, pieces
from cardigan.data.items import Source
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.scan import Scan
from cardigan.data.store import Store
from cardigan.data.survey import Progress, survey
from cardigan.data.tally import Tally
from cardigan.data.words import printable, sides
from cardigan.errors import CardiganError

MOST_PIECES = 20_000
"""Pieces that photos are cut into, all together."""
_BLOCK = 2**24


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
        raise CardiganError(f"The size is {sides(size)}; expected at least 1 pixel a side. Type --size 64.")
    one_image = source.crops is not None
    source = source.sized(size, settings)
    root = cache_folder(cache)
    kept = replace(settings, hold_out=None)  # divides the store, and changes nothing in it
    asked = json.dumps([FORMAT, source.key, source.name, source.classes, size, asdict(kept)])
    slug = re.sub(r"[^A-Za-z0-9]+", "-", Path(source.name).stem).strip("-")[:40] or "images"
    final = root / f"{slug}-{hashlib.sha256(asked.encode('utf-8', 'surrogatepass')).hexdigest()[:20]}"
    if store := open_store(final):
        return store
    check_writable(root)
    try:
        sweep(root)
        folder = Path(tempfile.mkdtemp(prefix=f".{final.name}.partial-", dir=root))
        try:
            _write(folder, source, size, settings, one_image, on_progress)
            return publish(folder, final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as problem:
        raise cannot_write(root, problem) from problem


def _write(
    folder: Path,
    source: Source,
    size: Size | None,
    settings: DataSettings,
    one_image: bool,
    on_progress: Progress | None,
) -> None:
    """Fill a folder with everything that a store is; raises CardiganError for data that cannot be trained on."""
    tally = Tally(source, settings, size)
    labels: list[int] = []
    counts: list[int] = []
    path = folder / "images.u8"
    fit: Callable[[Pixels], Pixels] = partial(fitted, size=size, settings=settings) if size else _as_is
    if size and settings.fit == "cut":
        fit = partial(pieces, size=size, most=max(1, MOST_PIECES // len(source)))
    with path.open("wb") as file, (folder / "names.txt").open("w", encoding="utf-8", newline="\n") as names:
        for done, finding in enumerate(survey(source, settings, fit), start=1):
            if tally.add(finding) and finding.pixels is not None and (size or len(tally.sizes) == 1):
                # Grey images are written as RGB, for a coloured one may follow; _narrow takes that back.
                pixels = finding.pixels
                wide = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 and settings.channels is None else pixels
                file.write(np.ascontiguousarray(wide).data)
                name, label = printable(finding.item.name), finding.item.label
                told = [name] if pixels.ndim == 3 else [f"{name}, piece {at}" for at in range(1, len(pixels) + 1)]
                names.writelines(f"{each}\n" for each in told)
                labels += [-1 if label is None else label] * len(told)
                counts.append(len(told))
            if on_progress:
                on_progress(done, len(source))
    scan = Scan.of(tally)
    if scan.refusals:
        raise CardiganError("\n".join(scan.refusals))
    if size is None and len(tally.sizes) > 1:
        common = ", ".join(f"{sides(size)} ({count:,})" for size, count in tally.sizes.most_common(3))
        raise CardiganError(
            f"The images in {printable(source.name)} have {len(tally.sizes):,} different sizes: {common}. Expected "
            "one; choose one for all with: --size 64"
        )
    height, width = size or next(iter(tally.sizes))
    if settings.channels is None and tally.channels == 1:
        _narrow(path, len(labels), height * width)
    shape = (len(labels), height, width, tally.channels)
    if one_image:
        counts = [len(labels)]  # overlapping crops of the same picture
    describe(folder, scan, shape, labels, tally.classes, counts if one_image or settings.fit == "cut" else [])


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
