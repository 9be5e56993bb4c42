"""The verdicts of a scan: refusals, which are the reasons why training would not start, and warnings."""

from collections.abc import Iterator, Sequence

from cardigan.data.decode import ALPHA, MARKED
from cardigan.data.survey import GREY
from cardigan.data.tally import Tally
from cardigan.data.values import USUAL, written
from cardigan.data.words import counted, first, printable, sides

FEW = 100
"""Images below which copying is the likely result."""
NOT_MANY = 1000
"""Images below which copying is to be expected."""
FEWEST_PHOTOS = 10
"""A restoration holds out photos if there are so many."""
HELD_SHARE = 0.1
"""Share of the data that is held out where the user does not choose it."""
MOST_HELD = 1000
"""No more images than that are held out, where the user does not choose the share."""
CROPPED = 0.1
"""Share of the pictures that a crop may leave out without a word."""
SMALLEST = 16
"""Side of the smallest images that networks of convolutions draw."""
LITTLE = 0.25
"""Share of the range from black to white below which nearly all images use little of it."""


def planned(count: int, share: float | None = None, *, few: bool) -> int:
    """How many images or photos are to be held out, so that training never sees them.

    Args:
        count: of how many; those that were cut into pieces count as one photo each.
        share: of them, one at least, and never all; None is a tenth, ``MOST_HELD`` at most.
        few: by the rule, there must be ``FEW`` at least, not only ``FEWEST_PHOTOS``.

    Example:
        >>> [planned(count, few=True) for count in (99, 100, 70_000)], planned(20, 0.25, few=True)
        ([0, 10, 1000], 5)
    """
    if share is None:
        return min(round(HELD_SHARE * count), MOST_HELD) if count >= (FEW if few else FEWEST_PHOTOS) else 0
    return min(max(1, round(share * count)), max(0, count - 1)) if share else 0


def copying(count: int, held: int, share: float | None = None) -> Iterator[str]:
    """What a model that draws risks with so many images.

    Args:
        count: the images.
        held: how many of them are held out.
        share: the share that the user chose to hold out, None for the rule.
    """
    tested = f"{held:,} of them {'is' if held == 1 else 'are'} held out to test for that"
    if share == 0 and count > 1:
        tested = "None is held out to test for that, as hold_out=0 asks"
    elif not held and count < FEW:
        tested = f"To test for that, keep some back: --set hold_out={HELD_SHARE}"
    elif not held:
        tested = "None can be held out to test for that"
    if 1 < count < FEW:
        yield f"Only {count} images: the model will very likely copy them. {tested}."
    elif 1 < count < NOT_MANY:
        yield f"Only {count} images: the model may copy them. {tested}."
    elif count > 1 and not held:
        yield f"Whether the model copies images cannot be told. {tested}."


def refusals(tally: Tally) -> Iterator[str]:
    """Why training would not start, each with what to do about it."""
    name = printable(tally.source.name)
    listed = _listed(tally.bad)
    if tally.bad and tally.settings.on_bad == "stop":
        yield (
            f"{counted(len(tally.bad), 'file')} in {name} cannot be used: {listed}. on_bad=stop asks for none; mend or "
            "remove them, or leave them out with --set on_bad=skip"
        )
    if not tally.count:
        yield f"No image in {name} can be used: {listed or 'it is empty'}. Expected at least 2 whole images."
        return
    if tally.count == 1:
        yield (
            f"Only 1 image in {name} can be used; expected at least 2, better hundreds. To learn from one large "
            "image, give the image file itself: it is cut into crops."
        )
    elif len(tally.groups) == 1 and tally.settings.duplicates == "drop":  # who keeps them wants them
        yield f"All {tally.count:,} images have the same hash. Expected different images in {name}; look at its files."
    if not (tally.cut and tally.too_small):
        yield from _lonely_classes(tally, name)
    if tally.size and tally.too_small:
        typical = min(tally.sizes.most_common(1)[0][0])
        # A power of two suits every recipe.
        smaller = 1 << max(min(typical, max(tally.size) - 1), 1).bit_length() - 1
        small = _of(tally.small, tally.count, f"in {name} is", f"in {name} are")
        small = f"{small} smaller than {sides(tally.size)}"
        if tally.cut:
            yield f"{small}, and no piece can be cut from them. Type a smaller size, such as --size {smaller}"
        else:
            size = f"a smaller size, such as --size {smaller}, or " if smaller >= SMALLEST else ""
            yield f"{small}; enlarged, they would teach blur. Type {size}--set allow_upscale=true"


def _listed(bad: Sequence[tuple[str, str]]) -> str:
    """The first files that cannot be used, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for file, reason in bad:
        reasons.setdefault(reason, []).append(file)
    return first(f"{first(files, 2)} ({reason})" for reason, files in reasons.items())


def _lonely_classes(tally: Tally, name: str) -> Iterator[str]:
    lonely = [
        f"{printable(each)} ({tally.labels[at]})" for at, each in enumerate(tally.classes) if tally.labels[at] < 2
    ]
    if lonely:
        have = counted(len(lonely), f"class in {name} has", f"classes in {name} have")
        yield (
            f"{have} fewer than 2 images: {first(lonely)}. Add images to them or remove them, or train without "
            "classes: --set labels=false"
        )


def warnings(tally: Tally) -> Iterator[str]:
    """What the user should know before training."""
    count, settings = tally.count, tally.settings
    yield from tally.source.remarks
    if tally.bad and tally.count and settings.on_bad == "skip":  # else a refusal lists them
        listed = _listed(tally.bad)
        out = counted(len(tally.bad), "file cannot be used and is left out", "files cannot be used and are left out")
        yield f"{out}: {listed}. To stop instead: --set on_bad=stop"
    for same in _alike(tally.classes):
        yield (
            f"Classes whose names differ only by case: {', '.join(same)}. They are read as {len(same)} classes; if "
            "they are one, merge their folders."
        )
    if copies := count - len(tally.groups):
        dropped = settings.duplicates == "drop"
        one = "is an exact copy of another and " + ("is left out" if dropped else "is kept, and counts double")
        many = "are exact copies of another and " + ("are left out" if dropped else "are kept, and count double")
        yield f"{_of(copies, count, one, many)}."
    if tally.conflicts and tally.classes:
        lie = counted(tally.conflicts, "copy lies", "copies lie")
        yield f"{lie} in another class than the image that was copied."
    if tally.notes[ALPHA]:
        yield (
            f"{_of(tally.notes[ALPHA], count)} transparent in places and painted over with {settings.background}; "
            f"choose with --set background=black, or keep alpha: --set channels={4 if tally.channels == 3 else 2}"
        )
    yield from _cropped(tally)
    yield from _ranges(tally)
    yield from _grey(tally)
    if tally.small and tally.cut and not tally.too_small:
        out = _of(tally.small, count, "is smaller than a piece and is", "are smaller than a piece and are")
        yield f"{out} left out."
    elif tally.small and not tally.too_small:
        enlarged = _of(tally.small, count, "is smaller than asked and is", "are smaller than asked and are")
        yield f"{enlarged} enlarged, which teaches blur."
    if tally.notes[MARKED]:
        yield f"{_of(tally.notes[MARKED], count)} {MARKED}: a model fed on models decays."


def _cropped(tally: Tally) -> Iterator[str]:
    """How much of the pictures a crop leaves out. Without a size they are taken to become square."""
    if tally.settings.fit != "crop":
        return
    height, width = tally.size or (1, 1)
    lost = sum(
        count * (1 - min(high * width, wide * height) / max(high * width, wide * height))
        for (high, wide), count in tally.sizes.items()
    )
    share = lost / tally.count if tally.count else 0
    if share >= CROPPED:
        shape = f"to {sides(tally.size)}" if tally.size else "to a square, as training would without --size"
        yield (
            f"Cropped {shape}, the images lose {share:.0%} of what they show, on average. To keep all of it: --set "
            f"fit=pad (filled up with {tally.settings.background}) or --set fit=stretch; or give a size of their shape."
        )


def _ranges(tally: Tally) -> Iterator[str]:
    """What is doubtful about which values are black and white."""
    for span in tally.used:
        low, high = tally.typical(span)
        black, white = (f"{value:,.6g}" for value in span)
        if tally.settings.bounds is None and span not in USUAL:
            yield (
                f"The values run from {black} to {white}, which is no usual range: {black} is read as black and "
                f"{white} as white. To choose others: --set value_range={written(span)}"
            )
        elif tally.settings.bounds is None and 255 < span[1] < 65_535:
            yield (
                f"The values are below {span[1] + 1:,.0f}, so they are read as {int(span[1]).bit_length()} bits: 0 is "
                f"black and {white} white. To choose others: --set value_range=0..65535"
            )
        if low < high and high - low < LITTLE * (span[1] - span[0]):
            yield (
                f"The images use little of the range from {black} to {white}: nearly all lie between {low:,.6g} and "
                f"{high:,.6g}, and show little but one shade. To spread them: --set value_range={written((low, high))}"
            )


def _grey(tally: Tally) -> Iterator[str]:
    """What became of grey images that are stored in colour."""
    grey = tally.count - tally.coloured
    if not tally.coloured and tally.notes[GREY]:
        yield (
            f"{_of(tally.notes[GREY], tally.count)} stored in colour and grey: all are read with one channel. To keep "
            "three: --set channels=3"
        )
    elif tally.settings.channels is None and grey and tally.coloured:
        yield (
            f"{grey:,} of the images ({grey / tally.count:.0%}) are grey and {tally.coloured:,} are coloured: all are "
            "read in colour. To train on grey only: --set channels=1"
        )


def _of(part: int, count: int, one: str = "is", many: str = "are") -> str:
    """A part of the images, and words that agree with it."""
    return f"{part:,} of {counted(count, 'image')} {one if part == 1 else many}"


def _alike(classes: Sequence[str]) -> list[list[str]]:
    """The groups of class names that differ only by case."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(name.casefold(), []).append(printable(name))
    return [same for same in groups.values() if len(same) > 1]
