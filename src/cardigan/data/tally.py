"""The tally: what the findings of one survey add up to."""

from collections import Counter

from cardigan.data.decode import Size
from cardigan.data.items import Item, Source
from cardigan.data.options import DataSettings
from cardigan.data.survey import Finding
from cardigan.data.values import Range
from cardigan.data.words import printable

SMALL_SHARE = 0.2
"""Share of images smaller than asked above which training is refused."""
SPARED_SHARE = 0.05
"""Share of images that may be smaller than what the others decide; one may, where it is no fifth of them."""


class Tally:
    """Counts the findings of one survey; what follows from them is said in :mod:`~cardigan.data.verdicts`."""

    def __init__(self, source: Source, settings: DataSettings, size: Size | None) -> None:
        self.source, self.settings, self.size = source, settings, size
        self.sizes: Counter[Size] = Counter()
        self.modes: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.labels: Counter[int] = Counter()
        self.bad: list[tuple[str, str]] = [(printable(name), reason) for name, reason in source.rejected]
        self.kept = 0
        self.conflicts = 0
        self.coloured = 0
        self.used: dict[Range, Counter[Range]] = {}
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
        self.coloured += finding.channels > 1
        self.used.setdefault(finding.span, Counter())[finding.used] += 1
        group = self.groups.setdefault(finding.digest, [])
        group.append(finding.item)
        self.conflicts += group[0].label != finding.item.label
        wanted = len(group) == 1 or self.settings.duplicates == "keep"
        keep = wanted and not (self.cut and self._is_small(finding.size))
        self.kept += keep
        if keep and finding.item.label is not None:
            self.labels[finding.item.label] += 1
        return keep

    def typical(self, span: Range) -> Range:
        """The values between which nearly all images lie, of those that were read over a range."""
        found = self.used[span]
        spared = int(SPARED_SHARE * found.total())
        lows, highs = (sorted(each[end] for each in found.elements()) for end in (0, 1))
        return lows[spared], highs[-1 - spared]

    @property
    def small(self) -> int:
        """How many images would have to be enlarged, or are smaller than one piece."""
        return sum(count for size, count in self.sizes.items() if self._is_small(size))

    def _is_small(self, size: Size) -> bool:
        if self.size is None:
            return False
        pick = min if self.settings.fit == "pad" else max
        return pick(self.size[0] / size[0], self.size[1] / size[1]) > 1

    @property
    def cut(self) -> bool:
        """Whether images are cut into pieces, and none is enlarged."""
        return self.settings.fit == "cut"

    @property
    def too_small(self) -> bool:
        """Whether so many would have to be enlarged, or give no piece, that training is refused."""
        return self.small > SMALL_SHARE * self.count and (self.cut or not self.settings.allow_upscale)

    @property
    def count(self) -> int:
        """Images that can be used, exact copies included."""
        return self.sizes.total()

    @property
    def reached(self) -> int:
        """The length that both sides of all images but a few reach, so that one small image decides for no other."""
        count = self.count
        left = max(int(SPARED_SHARE * count), int(SMALL_SHARE * count >= 1))
        for size in sorted(self.sizes, key=min):
            left -= self.sizes[size]
            if left < 0:
                return min(size)
        return 0

    def summary(self) -> dict[str, Size]:
        """Smallest and largest size by area, median of height and of width, most common; {} without images."""
        if not self.sizes:
            return {}
        by_area = sorted(self.sizes, key=lambda size: (size[0] * size[1], size))
        return {
            "smallest": by_area[0],
            "median": (self._median(0), self._median(1)),
            "largest": by_area[-1],
            "most common": self.sizes.most_common(1)[0][0],
        }

    def _median(self, axis: int) -> int:
        """The lower median of heights or widths."""
        left = (self.count - 1) // 2
        for size in sorted(self.sizes, key=lambda size: size[axis]):
            left -= self.sizes[size]
            if left < 0:
                return size[axis]
        raise AssertionError("no sizes")
