"""What a data block is told: blocks, a size and a normalisation."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, TypeVar

import torch

from cardigan.errors import CardiganError
from cardigan.fastai.measures import listed

Choice = TypeVar("Choice", bound=Enum)


class ResizeMethod(Enum):
    """How an image of another shape is fitted: its middle is cropped, it is squished, or padded."""

    Squish = "stretch"
    Crop = "crop"
    Pad = "pad"


class PadMode(Enum):
    """What padding is filled with; only ``Zeros``, which is black, is offered."""

    Zeros = "zeros"
    Border = "border"
    Reflection = "reflection"


class Resize:
    """The size of the images.

    Against fastai: ``Crop`` takes the middle always, and not another place each time; shrinking is done once, filtered
    over all pixels.

    Source: ``fastai.vision.augment``.

    Args:
        size: pixels a side, or (height, width).
        method: how other shapes are fitted; its name will do: ``"squish"``, ``"crop"`` or ``"pad"``.
        pad_mode: with ``ResizeMethod.Pad`` it must be ``PadMode.Zeros``, or ``"zeros"``; not read otherwise.
        **other: anything else of fastai's, to be refused.

    Raises:
        CardiganError: if there is no such method, padding is to be filled with anything but black, or something is
            asked for that is not offered.

    Example:
        >>> Resize(64).size
        (64, 64)
    """

    def __init__(
        self,
        size: int | tuple[int, int],
        method: ResizeMethod | str = ResizeMethod.Crop,
        pad_mode: PadMode | str = PadMode.Reflection,
        **other: Any,
    ) -> None:
        if other:
            raise CardiganError(
                f"Resize does not know {', '.join(other)}; expected size, method and pad_mode. Shrinking is filtered "
                "over all pixels always. Leave it out."
            )
        self.method, pad_mode = _named(ResizeMethod, method, "method"), _named(PadMode, pad_mode, "pad_mode")
        if self.method is ResizeMethod.Pad and pad_mode is not PadMode.Zeros:
            raise CardiganError(
                f"pad_mode is {pad_mode}; expected PadMode.Zeros, for images are padded with black only. "
                "Type Resize(size, method=ResizeMethod.Pad, pad_mode=PadMode.Zeros)."
            )
        height, width = size if isinstance(size, Sequence) else (size, size)
        self.size = (int(height), int(width))


def _named(kind: type[Choice], given: Any, name: str) -> Choice:
    """A member, by itself or by its name in any case.

    Raises:
        CardiganError: if there is none of that name.
    """
    found = {member.name.lower(): member for member in kind}
    member = found.get(given.lower()) if isinstance(given, str) else given
    if not isinstance(member, kind):
        raise CardiganError(
            f"{name} is {given!r}; expected {kind.__name__}.{' or '.join(each.name for each in kind)}, or one of "
            f"{', '.join(map(repr, found))}."
        )
    return member


class Normalize:
    """Pixels from [0, 1] to [-1, 1]; made by :meth:`from_stats`."""

    @classmethod
    def from_stats(cls, mean: Any, std: Any, dim: int = 1, ndim: int = 4, cuda: bool = True) -> "Normalize":
        """The only normalisation that fits networks which end in tanh: mean 0.5 and deviation 0.5.

        Source: ``fastai.data.transforms``.

        Args:
            mean: 0.5, for each channel or for all.
            std: likewise.
            dim: 1, where the channels are.
            ndim: 4, for batches of images.
            cuda: not needed: images are normalised wherever the loader's device is.

        Raises:
            CardiganError: if they are anything else.

        Example:
            >>> norm = Normalize.from_stats(torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.5, 0.5, 0.5]))
        """
        if (dim, ndim) != (1, 4):
            raise CardiganError(
                f"dim is {dim} and ndim is {ndim}; expected 1 and 4, for images are (N, C, H, W). Leave them out."
            )
        for name, given in (("mean", mean), ("std", std)):
            values = torch.as_tensor(given, device="cpu").flatten()  # Apple's GPUs have no float64
            if len(values) not in (1, 3) or not bool((values == 0.5).all()):
                raise CardiganError(
                    f"The {name} to normalise with is {values.tolist()}; expected 0.5 for each channel, which maps "
                    "pixels to [-1, 1], where generators draw (they end in tanh). "
                    "Type Normalize.from_stats([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])."
                )
        return cls()


class PILImage:
    """Images in colour; what ``ImageBlock`` reads unless told otherwise."""

    channels = 3


class PILImageBW(PILImage):
    """Grey images."""

    channels = 1


class TransformBlock:
    """The first block: whatever ``get_x`` makes of a file."""


class ImageBlock:
    """The second block: the image in the file.

    Args:
        cls: :class:`PILImage` for colour, :class:`PILImageBW` for grey.
    """

    def __init__(self, cls: type[PILImage] = PILImage) -> None:
        self.cls = cls


def channels_of(blocks: Any) -> int:
    """The channels that two blocks ask for."""
    first, second = blocks if isinstance(blocks, Sequence) and len(blocks) == 2 else (None, None)
    image = second() if isinstance(second, type) and issubclass(second, ImageBlock) else second
    noise = isinstance(first, TransformBlock) or (isinstance(first, type) and issubclass(first, TransformBlock))
    if not noise or not isinstance(image, ImageBlock):
        raise CardiganError(
            f"blocks is {blocks}; expected (TransformBlock, ImageBlock). For other data, give the learner two "
            "PyTorch DataLoaders, (training, validation), such as of (poor images, good images)."
        )
    return image.cls.channels


def only(kind: type, given: Any, name: str) -> Any:
    """The one transform of a kind that was given, or None."""
    found = listed(given)
    if len(found) > 1 or not all(isinstance(each, kind) for each in found):
        raise CardiganError(
            f"{name} is {given!r}; expected one {kind.__name__} and nothing else. Augment what the critic sees with "
            "cardigan.augment, or give the learner your own DataLoaders."
        )
    return found[0] if found else None
