"""The scan: every file decoded once, and what is wrong listed, never silently repaired."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from cardigan.data import verdicts
from cardigan.data.decode import Size
from cardigan.data.items import Source
from cardigan.data.options import DEFAULTS, DataSettings
from cardigan.data.survey import Progress, survey
from cardigan.data.tally import Tally
from cardigan.data.values import BYTE, written
from cardigan.data.words import counted, counts, first, printable, sides


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
        reached: the length that both sides of all images but a few reach; 0 without images.
        modes: how the files store their pixels, with counts.
        classes: images kept in each class, in the order of the labels; {} where there are none.
        duplicates: the names in each group of exact copies, the first of them being the one that is kept.
        notes: what was done to images, with counts.
        bad: (name, reason) of every file that cannot be used.
        ignored: what was never looked at and why, with counts.
        warnings: what the user should know before training.
        refusals: why training would not start; () if it would.
        value_range: the black and white of images of more than 8 bits, as ``value_range`` is typed; None without such.
        held_out: how many images, or photos that are cut into pieces, would never be trained on.
        remarks: those of the warnings that say how the source was read.
    """

    source: str
    description: str
    files: int
    count: int
    kept: int
    channels: int
    sizes: dict[str, Size]
    most_common: int
    reached: int
    modes: dict[str, int]
    classes: dict[str, int]
    duplicates: tuple[tuple[str, ...], ...]
    notes: dict[str, int]
    bad: tuple[tuple[str, str], ...]
    ignored: dict[str, int]
    warnings: tuple[str, ...]
    refusals: tuple[str, ...]
    held_out: int = 0
    remarks: tuple[str, ...] = ()
    value_range: str | None = None

    @staticmethod
    def of(tally: Tally) -> "Scan":
        """What a tally comes to, with the verdicts."""
        source, common = tally.source, tally.sizes.most_common(1)
        groups = [group for group in tally.groups.values() if len(group) > 1]
        return Scan(
            source=printable(source.name),
            description=source.description,
            files=len(source) + len(source.rejected),
            count=tally.count,
            kept=tally.kept,
            channels=tally.channels,
            sizes=tally.summary(),
            most_common=common[0][1] if common else 0,
            reached=tally.reached,
            modes=dict(tally.modes.most_common()),
            classes={printable(name): tally.labels[label] for label, name in enumerate(tally.classes)},
            duplicates=tuple(tuple(printable(item.name) for item in group) for group in groups),
            notes=dict(tally.notes.most_common()),
            bad=tuple(tally.bad),
            ignored=dict(source.ignored),
            value_range=next((written(span) for span in tally.used if span != BYTE), None),
            warnings=tuple(verdicts.warnings(tally)),
            remarks=source.remarks,
            refusals=tuple(verdicts.refusals(tally)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and words, for a run's config."""
        return asdict(self)

    def render(self) -> str:
        """A summary for a terminal, at most 100 columns wide."""
        sizes = {name: sides(size) for name, size in self.sizes.items()}
        kept = counted(self.kept, "is kept", "are kept")
        rows = [("images", f"{self.count:,} of {counted(self.files, 'file')} can be used, {kept}")]
        if sizes:
            range_ = f"{sizes['smallest']} to {sizes['largest']}, median {sizes['median']}, most often "
            same = self.most_common == self.count
            often = sizes["most common"]
            rows.append(
                ("size", (f"all {often}" if same else f"{range_}{often} ({self.most_common:,})") + ", height x width")
            )
        used = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}[self.channels]
        rows.append(("colour", f"{counts(self.modes)}; used as {used}" if self.modes else used))
        rows.append(("classes", first([f"{name} {count:,}" for name, count in self.classes.items()], 12) or "none"))
        rows += [("notes", counts(self.notes))] * bool(self.notes)
        if self.held_out:
            rows.append(("held out", f"{self.held_out:,} of {self.kept:,} would never be trained on, to test on"))
        rows += [("ignored", counts(self.ignored))] * bool(self.ignored)
        rows += [("warning", text) for text in self.warnings] + [("STOP", text) for text in self.refusals]
        lines = textwrap.wrap(f"{self.source}: {self.description}", 100)
        for name, text in rows:
            lines += textwrap.wrap(text, 100, initial_indent=f"  {name:<9} ", subsequent_indent=" " * 12)
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


def told(facts: Mapping[str, Any]) -> list[str]:
    """What is trained on and what was never looked at, in a line or two.

    Args:
        facts: what :meth:`Scan.to_dict` gives.

    Example:
        >>> told({"source": "pets", "description": "2 class folders, 9 images", "classes": {"cat": 4, "dog": 5},
        ...       "ignored": {".txt": 3}})
        ['pets: 2 class folders, 9 images (cat 4, dog 5)', 'Not read: .txt 3']
    """
    classes = first([f"{name} {count:,}" for name, count in facts.get("classes", {}).items()], 8)
    lines = [f"{facts['source']}: {facts['description']}" + (f" ({classes})" if classes else "")]
    return lines + [f"Not read: {counts(facts['ignored'])}"] * bool(facts.get("ignored"))


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
    overlapping = source.crops is not None
    source = source.sized(size, settings)
    tally = Tally(source, settings, size)
    for done, finding in enumerate(survey(source, settings), start=1):
        tally.add(finding)
        if on_progress:
            on_progress(done, len(source))
    found = Scan.of(tally)
    # Left out of what is kept with a store: a run says it by what it holds out indeed.
    held = 0 if overlapping else verdicts.planned(tally.kept, settings.hold_out, few=not tally.cut)
    few = () if tally.cut else verdicts.copying(tally.kept, held, settings.hold_out)
    remarks, others = found.warnings[: len(source.remarks)], found.warnings[len(source.remarks) :]
    return replace(found, held_out=held, warnings=(*remarks, *few, *others))
