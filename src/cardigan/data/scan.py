"""The scan: every file decoded once, and what is wrong listed, never silently repaired.

:func:`survey` is the one pass over a source that the scan and the store share, :class:`Tally` counts what it finds, and
:class:`Scan` is the result: facts, warnings, and refusals, which are the reasons why training would not start.
"""

import hashlib
import os
import textwrap
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from cardigan.data.decode import ALPHA, DEFAULTS, MARKED, BadImage, DataSettings, Pixels, decode, from_array, printable
from cardigan.data.sources import Item, Source

Size = tuple[int, int]
"""Height and width, in pixels."""
Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""

FEW = 100
"""Images below which copying is the likely result."""
SMALL_SHARE = 0.2
"""Share of images smaller than asked above which training is refused."""
ALPHA_SHARE = 0.01
"""Share of transparent images above which it is worth a warning."""

_ENDINGS = {"JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff")}
_CHUNK = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What one file turned out to be; ``reason`` is None unless it cannot be used.

    Args:
        item: the file.
        reason: why it cannot be used.
        size: (height, width) of the upright image.
        channels: of the decoded pixels.
        mode: how the file stored its pixels.
        notes: what was done to it.
        digest: of the decoded pixels; equal for exact copies.
        pixels: uint8 (H, W, C) as the survey's ``fit`` gave them, None without one.
    """

    item: Item
    reason: str | None = None
    size: Size = (0, 0)
    channels: int = 0
    mode: str = ""
    notes: tuple[str, ...] = ()
    digest: bytes = b""
    pixels: Pixels | None = None


@dataclass(frozen=True)
class Scan:
    """What is in a source. Every name in it is safe to print.

    Args:
        source: what the user called it.
        description: what was understood of it.
        files: files that were looked at.
        count: images that can be used, exact copies included.
        kept: images that training would use.
        channels: channels that training would use.
        sizes: smallest and largest by area, median of height and of width, most common; (height, width), or None.
        most_common: how many images have the most common size.
        modes: how the files store their pixels, with counts.
        classes: images kept in each class, in the order of the labels; {} where there are none.
        duplicates: the names in each group of exact copies, the first of them being the one that is kept.
        notes: what was done to images, with counts.
        bad: (name, reason) of every file that cannot be used.
        ignored: what was never looked at and why, with counts.
        warnings: what the user should know before training.
        refusals: why training would not start; () if it would.
    """

    source: str
    description: str
    files: int
    count: int
    kept: int
    channels: int
    sizes: dict[str, Size]
    most_common: int
    modes: dict[str, int]
    classes: dict[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    notes: dict[str, int]
    bad: tuple[tuple[str, str], ...]
    ignored: dict[str, int]
    warnings: tuple[str, ...]
    refusals: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and words, for a run's config."""
        return asdict(self)

    def render(self) -> str:
        """A summary for a terminal, at most 100 columns wide."""
        sizes = {name: f"{width}x{height}" for name, (height, width) in self.sizes.items()}
        rows = [("images", f"{self.count:,} of {self.files:,} files can be used, {self.kept:,} are kept")]
        if sizes:
            range_ = f"{sizes['smallest']} to {sizes['largest']}, median {sizes['median']}, most often "
            same = self.most_common == self.count
            often = sizes["most common"]
            rows.append(("size", f"all {often}" if same else f"{range_}{often} ({self.most_common:,})"))
        used = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}[self.channels]
        rows.append(("colour", f"{_listed(self.modes)}; used as {used}" if self.modes else used))
        rows.append(("classes", _first([f"{name} {count:,}" for name, count in self.classes.items()], 12) or "none"))
        rows += [("notes", _listed(self.notes))] * bool(self.notes)
        if self.duplicates:
            copies = sum(len(group) - 1 for group in self.duplicates)
            rows.append(("copies", f"{copies:,} exact copies in {len(self.duplicates):,} groups"))
        rows += [("ignored", _listed(self.ignored))] * bool(self.ignored)
        rows += [("unusable", _first(f"{name}: {reason}" for name, reason in self.bad))] * bool(self.bad)
        rows += [("warning", text) for text in self.warnings] + [("STOP", text) for text in self.refusals]
        lines = textwrap.wrap(f"{self.source}: {self.description}", 100)
        for name, text in rows:
            lines += textwrap.wrap(text, 100, initial_indent=f"  {name:<9} ", subsequent_indent=" " * 12)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


def scan(
    source: Source,
    *,
    settings: DataSettings = DEFAULTS,
    size: Size | None = None,
    on_progress: Progress | None = None,
) -> Scan:
    """Decode every file of a source once, with all cores, and say what is in it.

    Args:
        source: from :func:`~cardigan.data.open_source`.
        settings: how images are read.
        size: (height, width) that training would use; small images are counted against it.
        on_progress: called with (files done, files in all).

    Example:
        >>> from cardigan.data.sources import open_source
        >>> found = scan(open_source("digits"))
        >>> found.count, found.channels, found.classes["0"], found.refusals
        (1797, 1, 178, ())
    """
    source = source.sized(size, settings)
    tally = Tally(source, settings, size)
    for done, finding in enumerate(survey(source, settings), start=1):
        tally.add(finding)
        if on_progress:
            on_progress(done, len(source))
    return tally.result()


def survey(source: Source, settings: DataSettings, fit: Callable[[Pixels], Pixels] | None = None) -> Iterator[Finding]:
    """Read, decode and hash every item with all cores, in order, holding only a few images at a time.

    Args:
        source: what to read.
        settings: how to read it.
        fit: what to do with the pixels of each image while a core is at it; None forgets them.
    """
    workers = min(32, os.cpu_count() or 1)
    chunks = (source.items[start : start + _CHUNK] for start in range(0, len(source), _CHUNK))
    pending: deque[Future[list[Finding]]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(workers, thread_name_prefix="survey") as pool:
        # Pillow's remarks on odd metadata are not for the user's eyes; one on the size of an image is an error.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        try:
            for chunk in chunks:
                pending.append(pool.submit(_examine_all, chunk, settings, fit))
                if len(pending) > workers + 1:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _examine_all(
    items: Sequence[Item], settings: DataSettings, fit: Callable[[Pixels], Pixels] | None
) -> list[Finding]:
    return [_examine(item, settings, fit) for item in items]


def _examine(item: Item, settings: DataSettings, fit: Callable[[Pixels], Pixels] | None) -> Finding:
    try:
        raw = item.read()
        image = decode(raw, settings) if isinstance(raw, bytes) else from_array(raw, settings)
    except BadImage as problem:
        return Finding(item, reason=str(problem))
    except OSError as problem:
        return Finding(item, reason=f"cannot be read: {problem.strerror or problem}")
    ending = PurePosixPath(item.name).suffix.lower()
    notes = image.notes
    if image.format != "array" and ending and ending not in _ENDINGS.get(image.format, (f".{image.format.lower()}",)):
        notes = (*notes, f"{image.format} under another ending")
    digest = hashlib.blake2b(repr(image.pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image.pixels).data)
    height, width, channels = image.pixels.shape
    pixels = fit(image.pixels) if fit else None
    return Finding(item, None, (height, width), channels, image.mode, notes, digest.digest(), pixels)


class Tally:
    """Counts the findings of one survey and draws the conclusions."""

    def __init__(self, source: Source, settings: DataSettings, size: Size | None) -> None:
        self.source, self.settings, self.size = source, settings, size
        self.sizes: Counter[Size] = Counter()
        self.modes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.labels: Counter[int] = Counter()
        self.bad: list[tuple[str, str]] = [(printable(name), reason) for name, reason in source.rejected]
        self.kept = 0
        self.conflicts = 0
        self.coloured = False
        self.groups: dict[bytes, list[Item]] = {}

    @property
    def channels(self) -> int:
        """What training would use: as asked, else grey if all images are grey, else RGB."""
        return self.settings.channels or (3 if self.coloured else 1)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that training would use; a single class tells nothing."""
        return self.source.classes if self.settings.labels and len(self.source.classes) > 1 else ()

    def add(self, finding: Finding) -> bool:
        """Count one finding; says whether its image is kept."""
        if finding.reason is not None:
            self.bad.append((printable(finding.item.name), finding.reason))
            return False
        self.sizes[finding.size] += 1
        self.modes[finding.mode] += 1
        self.notes.update(finding.notes)
        self.coloured |= finding.channels > 1
        group = self.groups.setdefault(finding.digest, [])
        group.append(finding.item)
        self.conflicts += group[0].label != finding.item.label
        keep = len(group) == 1 or self.settings.duplicates == "keep"
        self.kept += keep
        if keep and finding.item.label is not None:
            self.labels[finding.item.label] += 1
        return keep

    def result(self) -> Scan:
        """The scan."""
        common = self.sizes.most_common(1)
        return Scan(
            source=printable(self.source.name),
            description=self.source.description,
            files=len(self.source) + len(self.source.rejected),
            count=self.sizes.total(),
            kept=self.kept,
            channels=self.channels,
            sizes=_summary(self.sizes),
            most_common=common[0][1] if common else 0,
            modes=dict(self.modes.most_common()),
            classes={printable(name): self.labels[label] for label, name in enumerate(self.classes)},
            duplicates=tuple(
                tuple(printable(item.name) for item in group) for group in self.groups.values() if len(group) > 1
            ),
            notes=dict(self.notes.most_common()),
            bad=tuple(self.bad),
            ignored=dict(self.source.ignored),
            warnings=tuple(self._warnings()),
            refusals=tuple(self._refusals()),
        )

    def _small(self) -> int:
        """How many images would have to be enlarged."""
        if self.size is None:
            return 0
        pick = min if self.settings.fit == "pad" else max
        wanted = self.size
        return sum(count for (high, wide), count in self.sizes.items() if pick(wanted[0] / high, wanted[1] / wide) > 1)

    def _too_small(self) -> bool:
        return self._small() > SMALL_SHARE * self.sizes.total() and not self.settings.allow_upscale

    def _refusals(self) -> Iterator[str]:
        count, name = self.sizes.total(), printable(self.source.name)
        listed = _first(f"{name} ({reason})" for name, reason in self.bad)
        if self.bad and self.settings.on_bad == "stop":
            yield (
                f"{len(self.bad):,} files in {name} cannot be used: {listed}. on_bad=stop asks for none; mend or "
                "remove them, or leave them out with --set on_bad=skip"
            )
        if not count:
            yield f"No image in {name} can be used: {listed or 'it is empty'}. Expected at least 2 whole images."
            return
        if count == 1:
            yield (
                f"Only 1 image in {name} can be used; expected at least 2, better hundreds. To learn from one large "
                "image, give the image file itself: it is cut into crops."
            )
        elif len(self.groups) == 1:
            yield f"All {count:,} images have the same hash. Expected different images in {name}; look at its files."
        lonely = [
            f"{printable(each)} ({self.labels[at]})" for at, each in enumerate(self.classes) if self.labels[at] < 2
        ]
        if lonely:
            yield (
                f"{len(lonely):,} classes in {name} have fewer than 2 images: {_first(lonely)}. Add images to them or "
                "remove them, or train without classes: --set labels=false"
            )
        small = self._small()
        if self.size and self._too_small():
            typical = min(self.sizes.most_common(1)[0][0])
            yield (
                f"{small:,} of {count:,} images in {name} are smaller than {self.size[1]}x{self.size[0]}; enlarged, "
                f"they would teach blur. Type a smaller size, such as --size {typical}, or --set allow_upscale=true"
            )

    def _warnings(self) -> Iterator[str]:
        count = self.sizes.total()
        yield from self.source.remarks
        if 1 < self.kept < FEW:
            yield (
                f"Only {self.kept} images: the model will very likely copy them. None can be held out to test for "
                "that, and FID means nothing at this number; look at KID and at the nearest training images."
            )
        if self.bad:
            listed = _first(f"{name} ({reason})" for name, reason in self.bad)
            left = f"{len(self.bad):,} files cannot be used and are left out"
            yield f"{left}: {listed}. To stop instead: --set on_bad=stop"
        for name, same in _alike(self.classes).items():
            same_names = ", ".join(same)
            yield f"Classes whose names differ only by case: {same_names}. If {name} is one class, merge the folders."
        copies = count - len(self.groups)
        if copies:
            what = "are left out" if self.settings.duplicates == "drop" else "are kept, and count double"
            yield f"{copies:,} of {count:,} images are exact copies of another and {what}."
        if self.conflicts and self.classes:
            yield f"{self.conflicts:,} copies lie in another class than the image that they copy."
        if self.notes[ALPHA] > ALPHA_SHARE * count:
            yield (
                f"{self.notes[ALPHA]:,} of {count:,} images are transparent in places and painted over with "
                f"{self.settings.background}; choose with --set background=black, or keep alpha: --set channels=4"
            )
        if (small := self._small()) and not self._too_small():
            yield f"{small:,} of {count:,} images are smaller than asked and are enlarged, which teaches blur."
        if self.notes[MARKED]:
            yield f"{self.notes[MARKED]:,} of {count:,} images are {MARKED}: a model fed on models decays."


def _summary(sizes: Counter[Size]) -> dict[str, Size]:
    if not sizes:
        return {}
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    median = (_median(sizes, 0), _median(sizes, 1))
    return {
        "smallest": by_area[0],
        "median": median,
        "largest": by_area[-1],
        "most common": sizes.most_common(1)[0][0],
    }


def _median(sizes: Counter[Size], axis: int) -> int:
    """The lower median of heights or widths."""
    left = (sizes.total() - 1) // 2
    for size in sorted(sizes, key=lambda size: size[axis]):
        left -= sizes[size]
        if left < 0:
            return size[axis]
    raise AssertionError("no sizes")


def _alike(classes: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(name.casefold(), []).append(printable(name))
    return {printable(name): same for name, same in groups.items() if len(same) > 1}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _first(texts: Iterator[str] | Sequence[str], most: int = 5) -> str:
    """The first few of a list, and how many more there are."""
    texts = list(texts)
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more
