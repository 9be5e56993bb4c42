"""Samples beside the training images nearest to them, for readers to judge with their own eyes."""

from collections.abc import Sequence
from dataclasses import dataclass

from cardigan.report.grids import Pixels, encode_webp, reduce
from cardigan.report.pictures import PIXELATED_BELOW, Picture, embed

WIDEST = 160
"""CSS pixels of a picture; a smaller one is enlarged as often as it fits in whole."""
STORED_SIDE = 256
"""Pixels on a side that are enough to see what is the same in two pictures, also on a screen of many pixels."""
LOSSLESS_BYTES, QUALITY = 600_000, 85  # of all pictures together; larger ones are compressed, all alike


@dataclass(frozen=True)
class Neighbour:
    """A training image, as near to a picture as any.

    Args:
        pixels: uint8 (H, W, C), mirrored if it is nearer so.
        name: what the data calls it.
        caption: how near it is, in words.
        mirrored: whether it is shown mirrored.
    """

    pixels: Pixels
    name: str
    caption: str
    mirrored: bool = False


@dataclass(frozen=True)
class Pair:
    """A picture, uint8 (H, W, C), and its nearest training images, each by another measure."""

    pixels: Pixels
    caption: str
    neighbours: Sequence[Neighbour]


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What a report says about copying.

    Args:
        verdict: in one sentence or a few.
        alarm: the verdict is one to worry about.
        measures: (name, of samples, what is to be expected, explanation) of each.
        remarks: what limits the verdict, and what to do about it.
        groups: (title, explanation, pairs) of each part of the gallery, of pictures of one shape.
    """

    verdict: str
    alarm: bool = False
    measures: Sequence[tuple[str, str, str, str]] = ()
    remarks: Sequence[str] = ()
    groups: Sequence[tuple[str, str, Sequence[Pair]]] = ()


@dataclass(frozen=True)
class Shown:
    """One picture of a pair as the page embeds it."""

    picture: Picture
    caption: str
    told: str
    """What it shows, for readers who do not see it."""


def gallery(likeness: Likeness | None) -> list[tuple[str, str, list[list[Shown]]]]:
    """The groups as the page embeds them: of each pair the picture, then its neighbours.

    Example:
        >>> import numpy as np
        >>> black = np.zeros((16, 16, 3), np.uint8)
        >>> pair = Pair(black, "sample", [Neighbour(black, "a.png", "3 levels", mirrored=True)])
        >>> ((title, _, ((sample, neighbour),)),) = gallery(Likeness(verdict="", groups=[("By lot", "", [pair])]))
        >>> title, sample.told, neighbour.told, neighbour.caption, neighbour.picture.widest
        ('By lot', 'sample', 'Training image a.png, mirrored', '3 levels, mirrored', 160)
    """
    groups = likeness.groups if likeness else ()
    every = [
        pixels
        for _, _, pairs in groups
        for pair in pairs
        for pixels in (pair.pixels, *(n.pixels for n in pair.neighbours))
    ]
    large = sum(len(encode_webp(_small(pixels))) for pixels in every) > LOSSLESS_BYTES
    return [
        (
            title,
            about,
            [[_shown(pair.pixels, pair.caption, pair.caption, large), *_beside(pair, large)] for pair in pairs],
        )
        for title, about, pairs in groups
    ]


def _beside(pair: Pair, large: bool) -> list[Shown]:
    shown = []
    for each in pair.neighbours:
        turned = ", mirrored" if each.mirrored else ""
        shown.append(_shown(each.pixels, each.caption + turned, f"Training image {each.name}{turned}", large))
    return shown


def _shown(pixels: Pixels, caption: str, told: str, large: bool) -> Shown:
    small = _small(pixels)
    times = max(1, WIDEST // small.shape[1])
    look = {"widest": min(WIDEST, times * small.shape[1]), "pixelated": small.shape[1] < PIXELATED_BELOW}
    return Shown(embed(small, quality=QUALITY if large else None, **look), caption, told)


def _small(pixels: Pixels) -> Pixels:
    return reduce(pixels, side=STORED_SIDE)
