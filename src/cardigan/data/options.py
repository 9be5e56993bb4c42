"""The options of the data: how images are read. The command line sets each of them with ``--set KEY=VALUE``."""

from dataclasses import dataclass
from typing import Literal

from PIL import ImageColor

from cardigan.data.values import Range, parsed
from cardigan.errors import CardiganError

FITS = {
    "crop": "cropped to its middle",
    "stretch": "made taller or wider",
    "pad": "filled up with the background",
    "cut": "cut into overlapping pieces at its own resolution, which restoration wants",
}
"""How an image of another shape is fitted, in words."""


@dataclass(frozen=True)
class DataSettings:
    """How images are read. Every field is a ``--set KEY=VALUE`` of the command line.

    Raises:
        CardiganError: if a value is not one of those listed.

    Example:
        >>> DataSettings(channels=5)
        Traceback (most recent call last):
        ...
        cardigan.errors.CardiganError: channels is 5; expected 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA)...
    """

    channels: int | None = None
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; None takes it from the scan: grey if all images are grey, else RGB."""
    value_range: str | None = None
    """The value that is black and the value that is white, such as ``0..4095``; None takes 0..255 for 8-bit images, and
    for others one range that suits the values of the whole set. 8-bit images are read over it where it lies within
    0..255."""
    background: str = "white"
    """What transparent parts are painted over with, and what ``fit=pad`` fills with: a colour's name or ``#rrggbb``."""
    fit: Literal["crop", "stretch", "pad", "cut"] = "crop"
    """How another shape is fitted: ``crop`` its middle, ``stretch`` it, ``pad`` it with the background, or ``cut`` it
    into overlapping pieces at its own resolution, which restoration wants."""
    on_bad: Literal["skip", "stop"] = "skip"
    """What unusable files do: ``skip`` leaves them out and lists them, ``stop`` refuses to go on."""
    max_megapixels: float = 64
    """Millions of pixels above which a file is refused by its header, before it can fill the memory."""
    allow_upscale: bool = False
    """Go on although more than 20 % of the images are smaller than the asked size and must be enlarged."""
    duplicates: Literal["drop", "keep"] = "drop"
    """What happens to exact copies of an image: ``drop`` uses the first of them only."""
    labels: bool = True
    """Use the classes that the source shows; false trains without classes."""
    labels_from: str | None = None
    """Where classes come from: a column of a table beside the images, TABLE:COLUMN, or ``folders``; None finds out."""
    split: str | None = None
    """The part that is read of a set that is divided into folders: ``train`` or another name, or several with commas;
    ``all`` reads all as one, ``classes`` takes the parts for classes. None reads the training part, or asks."""
    links: Literal["inside", "follow"] = "inside"
    """Which links are followed: those that stay ``inside`` the named folder, or with ``follow`` all but loops."""
    hold_out: float | None = None
    """Share of the images that is never trained on, to test on, 0 to 0.5; None holds out a tenth, 1,000 at most, of 100
    images or more. Of images cut into pieces, and for restoration, it is a share of the photos, of 10 or more."""

    def __post_init__(self) -> None:
        if self.channels not in (None, 1, 2, 3, 4):
            raise CardiganError(
                f"channels is {self.channels}; expected 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA). "
                "Type --set channels=3, or leave it out to take it from the images."
            )
        for key, allowed in (
            ("fit", tuple(FITS)),
            ("on_bad", ("skip", "stop")),
            ("duplicates", ("drop", "keep")),
            ("links", ("inside", "follow")),
        ):
            if getattr(self, key) not in allowed:
                raise CardiganError(
                    f"{key} is {getattr(self, key)!r}; expected {' or '.join(allowed)}. Type --set {key}={allowed[0]}."
                )
        if self.value_range is not None and parsed(self.value_range) is None:
            raise CardiganError(
                f"value_range is {self.value_range!r}; expected the value of black and a larger one of white. "
                "Type --set value_range=0..4095, or leave it out to take it from the images."
            )
        if not self.max_megapixels > 0:
            raise CardiganError(
                f"max_megapixels is {self.max_megapixels}; expected more than 0. Type --set max_megapixels=64."
            )
        if self.hold_out is not None and not 0 <= self.hold_out <= 0.5:
            raise CardiganError(
                f"hold_out is {self.hold_out}; expected a share from 0 (none) to 0.5 (half). Type --set hold_out=0.1, "
                "or leave it out."
            )
        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise CardiganError(
                f"background is {self.background!r}; expected a colour such as white, black or #ff8800. "
                "Type --set background=white."
            ) from None

    @property
    def bounds(self) -> Range | None:
        """Black and white as numbers, None where the images decide."""
        return None if self.value_range is None else parsed(self.value_range)

    @property
    def colour(self) -> tuple[int, int, int]:
        """The background as red, green and blue, 0 to 255."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return red, green, blue


DEFAULTS = DataSettings()
