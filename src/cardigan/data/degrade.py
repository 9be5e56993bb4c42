"""Degradations: what a restoration undoes. Clean images become pairs of (degraded, clean), on the fly.

A degradation is a value with a short text: ``downscale4``, ``jpeg10-60`` (a quality drawn for each image), ``noise25``
(standard deviation in grey levels), ``grey``, or several joined by ``+`` in the order in which they happen. The
degraded image has the clean one's size: down-scaling ends with the bicubic enlargement that a restoration starts from.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cardigan.contracts import Batch, Batches, FastBatches
from cardigan.errors import CardiganError
from cardigan.pixels import resized, to_float, to_uint8
from cardigan.randomness import generator
from cardigan.share import drawn, own_batch

Pixels = np.ndarray

WHOLE = slice(None)
STRIP = 256
"""Rows that are enlarged at a time, for they take four bytes and more for each value until they are uint8."""
SUPPORT = 3
"""Pixels around a part that its enlargement depends on: two by the bicubic kernel, and one for rounding."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture, as Pillow and JPEG have them (ITU-R BT.601)."""


@dataclass(frozen=True)
class Damage:
    """One thing that happens to an image.

    Args:
        kind: ``"downscale"``, ``"jpeg"``, ``"noise"`` or ``"grey"``.
        low: the smallest strength.
        high: the largest; each image draws its own between the two.
    """

    kind: str
    low: int = 0
    high: int = 0

    def __str__(self) -> str:
        return self.kind + ("" if self.kind == "grey" else f"{self.low}" + (f"-{self.high}" * (self.high > self.low)))


@dataclass(frozen=True)
class Degradation:
    """What happens to clean images, in order.

    Args:
        damages: at most one of them down-scales.

    Example:
        >>> degradation = parse("downscale4+jpeg40-90")
        >>> str(degradation), degradation.scale
        ('downscale4+jpeg40-90', 4)
        >>> degradation(torch.zeros(2, 3, 32, 32), rng=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 32, 32])
    """

    damages: tuple[Damage, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.damages))

    @property
    def scale(self) -> int:
        """How much larger the restored picture is than what the user has."""
        return next((damage.low for damage in self.damages if damage.kind == "downscale"), 1)

    def __call__(self, images: Tensor, *, rng: torch.Generator) -> Tensor:
        """Degrade clean images.

        Args:
            images: (B, C, H, W) in [-1, 1]; both sides multiples of ``scale``.
            rng: the stream that strengths and noise are drawn from, on the CPU.

        Returns:
            (B, C, H, W) in [-1, 1], on the 256 levels that a file can hold.
        """
        height, width = images.shape[2:]
        images = self._damaged(images, rng)
        if self.scale > 1:
            images = to_float(to_uint8(resized(images, (height, width), mode="bicubic")).to(images.device))
        return images

    def prepare(self, pixels: Pixels, *, rows: slice = WHOLE, columns: slice = WHOLE) -> Pixels:
        """What a generator takes for a user's own degraded picture: enlarged, or made grey, as it was in training.

        Args:
            pixels: uint8 (H, W, C).
            rows: the part that is wanted, in rows of the result; a part is what the whole would show there, within one
                level, and takes only its own memory.
            columns: likewise.

        Returns:
            uint8 (scale x H, scale x W, C), or that part of it.

        Example:
            >>> parse("downscale2").prepare(np.zeros((6, 5, 3), np.uint8), rows=slice(4, 10)).shape
            (6, 10, 3)
        """
        high, wide = (length * self.scale for length in pixels.shape[:2])
        (top, bottom, _), (left, right, _) = rows.indices(high), columns.indices(wide)
        result = np.empty((bottom - top, right - left, pixels.shape[2]), dtype=np.uint8)
        for start in range(top, bottom, STRIP):
            stop = min(start + STRIP, bottom)
            result[start - top : stop - top] = self._prepared(pixels, (start, stop), (left, right))
        return result

    def _prepared(self, pixels: Pixels, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """A part of a prepared picture, from no more of the picture than it depends on."""
        read_rows, keep_rows = _around(*rows, length=pixels.shape[0], scale=self.scale)
        read_columns, keep_columns = _around(*columns, length=pixels.shape[1], scale=self.scale)
        part = np.array(pixels[read_rows, read_columns])
        if any(damage.kind == "grey" for damage in self.damages) and part.shape[2] >= 3:
            part[:, :, :3] = np.asarray(Image.fromarray(part[:, :, :3]).convert("L"))[:, :, None]
        if self.scale == 1:
            return part
        size = (part.shape[0] * self.scale, part.shape[1] * self.scale)
        return to_uint8(resized(to_float(torch.from_numpy(part[None])), size, mode="bicubic"))[0].numpy()[
            keep_rows, keep_columns
        ]

    def shrink(self, pixels: Pixels) -> Pixels:
        """A clean picture as a user with a degraded one has it: every damage but no enlargement.

        Args:
            pixels: uint8 (H, W, C); both sides multiples of ``scale``.

        Returns:
            uint8 (H / scale, W / scale, C).
        """
        images = to_float(torch.from_numpy(np.array(pixels)[None]))
        return to_uint8(self._damaged(images, generator(0, "degrade", 0)))[0].numpy()

    def _damaged(self, images: Tensor, rng: torch.Generator) -> Tensor:
        grey = False
        for damage in self.damages:
            images = _APPLY[damage.kind](images, damage, rng)
            grey |= damage.kind == "grey"
            if grey:  # noise on a grey picture is grey itself
                images = torch.cat([images[:, :1].expand(-1, 3, -1, -1), images[:, 3:]], dim=1)
            images = to_float(to_uint8(images).to(images.device))
        return images


class Pairs:
    """Batches whose generator starts from degraded images instead of latents.

    Args:
        batches: of clean images.
        degradation: what happens to them.
        seed: of its randomness, which is a function of the clock.

    Example:
        >>> from cardigan.data import Store
        >>> from cardigan.data.batches import batches
        >>> store = Store.from_arrays(np.zeros((8, 16, 16, 3), dtype=np.uint8))
        >>> Pairs(batches(store, batch_size=4), parse("downscale2")).at(0).source.shape
        torch.Size([4, 3, 16, 16])
    """

    def __init__(self, batches: Batches, degradation: Degradation, *, seed: int = 0) -> None:
        self.batches, self.degradation, self.seed = batches, degradation, seed

    @property
    def batch_size(self) -> int:
        """Images in each batch."""
        return self.batches.batch_size

    @property
    def path(self) -> str:
        """How the clean images come to the device."""
        return getattr(self.batches, "path", "")

    def plainly(self) -> "Pairs":
        """The same batches by the plain path, if there is another."""
        plain = self.batches.plainly() if isinstance(self.batches, FastBatches) else self.batches
        return Pairs(plain, self.degradation, seed=self.seed)

    def at(self, images: int) -> Batch:
        """The batch that is drawn when ``images`` images have been seen."""
        batch = own_batch(self.batches.at(images), self.batch_size)
        return replace(batch, source=self.degradation(batch.real, rng=generator(self.seed, "degrade", images)))


def parse(text: str) -> Degradation:
    """The degradation of a text such as ``"downscale2+jpeg30-80"``.

    Raises:
        CardiganError: if the text is none; the message lists what there is.

    Example:
        >>> str(parse("noise5-25+grey"))
        'noise5-25+grey'
    """
    damages = []
    for part in text.split("+"):
        found = re.fullmatch(r"\s*([a-z]+?)(?:(\d+)(?:-(\d+))?)?\s*", part.lower())
        kind = found[1] if found else ""
        if found is None or kind not in LIMITS or (kind == "grey") == bool(found[2]):
            raise CardiganError(
                f"degrade is {text!r}, and {part!r} is no degradation. Expected {KNOWN}, or several joined by '+'."
            )
        low = int(found[2] or 0)
        high = int(found[3] or low)
        least, most = LIMITS[kind]
        if not least <= low <= high <= most or (kind == "downscale" and found[3]):
            told = "one factor" if kind == "downscale" else "a strength, or two such as 10-60,"
            raise CardiganError(f"degrade is {text!r}: {kind} takes {told} from {least} to {most}, got {part!r}.")
        damages.append(Damage(kind, low, high))
    if sum(damage.kind == "downscale" for damage in damages) > 1:
        raise CardiganError(f"degrade is {text!r}: it can down-scale once only. Use one larger factor.")
    return Degradation(tuple(damages))


def _downscale(images: Tensor, damage: Damage, rng: torch.Generator) -> Tensor:
    height, width = images.shape[2:]
    if height % damage.low or width % damage.low:
        raise CardiganError(
            f"Images of {height}x{width} pixels cannot be scaled down {damage.low} times: choose a --size that is a "
            f"multiple of {damage.low}."
        )
    return resized(images, (height // damage.low, width // damage.low), mode="bicubic")


def _around(start: int, stop: int, *, length: int, scale: int) -> tuple[slice, slice]:
    """What is read to enlarge the places from ``start`` to ``stop``, and which of the enlarged ones are these.

    Example:
        >>> _around(40, 50, length=100, scale=4)
        (slice(7, 16, None), slice(12, 22, None))
    """
    margin = SUPPORT if scale > 1 else 0
    first = max(start // scale - margin, 0)
    last = min(-(-stop // scale) + margin, length)
    return slice(first, last), slice(start - first * scale, stop - first * scale)


def _jpeg(images: Tensor, damage: Damage, rng: torch.Generator) -> Tensor:
    high = damage.high + 1
    qualities = drawn(lambda count: torch.randint(damage.low, high, (count,), generator=rng), len(images)).tolist()
    rows = [_compressed(each, quality) for each, quality in zip(to_uint8(images).cpu().numpy(), qualities, strict=True)]
    return to_float(torch.from_numpy(np.stack(rows)).to(images.device))


def _compressed(pixels: Pixels, quality: int) -> Pixels:
    """Through a JPEG file and back; alpha passes by, as JPEG has none."""
    colours = pixels[:, :, : 3 if pixels.shape[2] >= 3 else 1]
    file = io.BytesIO()
    Image.fromarray(colours if colours.shape[2] == 3 else colours[:, :, 0]).save(file, "JPEG", quality=quality)
    back = np.asarray(Image.open(file)).reshape(colours.shape)
    return np.concatenate([back, pixels[:, :, colours.shape[2] :]], axis=2)


def _noise(images: Tensor, damage: Damage, rng: torch.Generator) -> Tensor:
    shares = drawn(lambda count: torch.rand(count, 1, 1, 1, generator=rng), len(images))
    levels = damage.low + (damage.high - damage.low) * shares
    noise = levels / 127.5 * drawn(lambda count: torch.randn(count, *images.shape[1:], generator=rng), len(images))
    noise[:, 3 if images.shape[1] >= 3 else 1 :] = 0.0  # alpha is no light
    return images + noise.to(images.device)


def _grey(images: Tensor, damage: Damage, rng: torch.Generator) -> Tensor:
    if images.shape[1] < 3:
        raise CardiganError("degrade is 'grey', but the images have no colours to bring back: use --set channels=3.")
    weights = images.new_tensor(LUMA)[None, :, None, None]
    grey = (images[:, :3] * weights).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    return torch.cat([grey, images[:, 3:]], dim=1)


_APPLY: dict[str, Callable[[Tensor, Damage, torch.Generator], Tensor]] = {
    "downscale": _downscale,
    "jpeg": _jpeg,
    "noise": _noise,
    "grey": _grey,
}
LIMITS = {"downscale": (2, 8), "jpeg": (1, 95), "noise": (1, 100), "grey": (0, 0)}
KNOWN = "downscale2 to downscale8, jpeg1 to jpeg95, noise1 to noise100 (or a range such as jpeg10-60), grey"
