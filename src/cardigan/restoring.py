"""Restoring whole pictures: of any size and any channels, in tiles that leave no seams.

What a network makes of a pixel depends on a bounded neighbourhood. A tile that is cut with that much of its
surroundings, at a place that the network's strides fall on, therefore gives what the whole picture would have given.
Tiles are enlarged one by one as well, so beside the picture and its result memory is bounded by the tile.
"""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from cardigan.contracts import GeneratorNetwork
from cardigan.data.degrade import Degradation
from cardigan.errors import CardiganError
from cardigan.out_of_memory import telling_of_memory
from cardigan.pixels import to_float, to_uint8

Pixels = npt.NDArray[np.uint8]
Span = tuple[slice, slice, slice]
"""Of one tile, in one direction: what is read, what of the result is kept, and where it is written."""


TILE = 768
"""Side of what a tile adds to the result. *More* wastes less time on surroundings, and takes more memory."""


def restore(
    network: GeneratorNetwork,
    pixels: Pixels,
    *,
    degradation: Degradation | None = None,
    tile: int = TILE,
    on_tile: Callable[[int, int], None] | None = None,
) -> Pixels:
    """Restore one picture.

    Args:
        network: in evaluation mode; starts from images, and has ``reach`` and ``stride``.
        pixels: uint8 (H, W) or (H, W, C) with 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA channels.
        degradation: what the network undoes; it says how the picture is prepared, such as how much it is enlarged.
        tile: side of a tile in pixels of the result, without its surroundings.
        on_tile: called with the number of tiles that are done and of all.

    Returns:
        uint8 (scale x H, scale x W, C). A grey picture stays grey, unless the network brings back colours; a coloured
        one is restored channel by channel by a network for grey ones. Alpha is enlarged alike and kept.

    Raises:
        CardiganError: if the network starts from latents, or the pixels are no picture.
        TooLittleMemoryError: if there is too little memory.
        TypeError: if the pixels are not uint8.

    Example:
        >>> from cardigan.data.degrade import parse
        >>> from cardigan.models.unet import Generator
        >>> network = Generator(size=32, width=4, levels=1, blocks=1).eval()
        >>> restore(network, np.zeros((7, 5, 3), np.uint8), degradation=parse("downscale4")).shape
        (28, 20, 3)
    """
    pixels = _checked(network, pixels)
    scale = degradation.scale if degradation else 1
    height, width = pixels.shape[0] * scale, pixels.shape[1] * scale
    what = f"A picture of {pixels.shape[0]}x{pixels.shape[1]} pixels, {height}x{width} when restored,"
    with telling_of_memory(what, "Cut it into parts that do, close other programs, or use another --device."):
        return _in_tiles(network, pixels, (height, width), degradation, tile, on_tile)


def _in_tiles(
    network: GeneratorNetwork,
    pixels: Pixels,
    size: tuple[int, int],
    degradation: Degradation | None,
    tile: int,
    on_tile: Callable[[int, int], None] | None,
) -> Pixels:
    """The picture, restored to (height, width)."""
    colours_back = degradation is not None and any(damage.kind == "grey" for damage in degradation.damages)
    (height, width), channels = size, pixels.shape[2]
    reach, stride = int(network.reach), int(network.stride)  # pyright: ignore[reportArgumentType]
    rows, columns = (list(_spans(length, tile, reach, stride)) for length in size)
    # Padding by places instead of pixels leaves the picture as it is and copies a tile at a time.
    down, across = _padded_places(height, stride), _padded_places(width, stride)
    result = np.empty((height, width, channels + 2 * (colours_back and channels < 3)), dtype=np.uint8)
    done, total = 0, len(rows) * len(columns)
    for read_rows, keep_rows, write_rows in rows:
        for read_columns, keep_columns, write_columns in columns:
            piece = _piece(pixels, degradation, down[read_rows], across[read_columns])
            restored = _restored(network, piece, colours_back=colours_back)
            result[write_rows, write_columns] = restored[keep_rows, keep_columns]
            done += 1
            if on_tile:
                on_tile(done, total)
    return result


def _piece(
    pixels: Pixels, degradation: Degradation | None, down: npt.NDArray[np.intp], across: npt.NDArray[np.intp]
) -> Pixels:
    """What the network takes at these rows and columns; no more of the picture is prepared than holds them."""
    if degradation is None:
        return pixels[np.ix_(down, across)]
    top, left = down.min(), across.min()
    rows, columns = slice(int(top), int(down.max()) + 1), slice(int(left), int(across.max()) + 1)
    return degradation.prepare(pixels, rows=rows, columns=columns)[np.ix_(down - top, across - left)]


def _checked(network: GeneratorNetwork, pixels: Pixels) -> Pixels:
    """The picture as (H, W, C), once it is known to be one that the network can start from."""
    if network.latent:
        raise CardiganError(
            f"This generator draws from latents of length {network.latent} and restores no pictures. Train one that "
            f"does: cardigan train PHOTOS --recipe restore"
        )
    if pixels.dtype != np.uint8:
        raise TypeError(f"A picture to restore is uint8, got {pixels.dtype}.")
    whole = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if whole.ndim != 3 or whole.shape[2] not in (1, 2, 3, 4) or 0 in whole.shape:
        raise CardiganError(
            f"A picture to restore has shape (H, W) or (H, W, C) with 1 to 4 channels, got {pixels.shape}. Restore "
            f"several one by one."
        )
    return whole


def _padded_places(length: int, stride: int) -> npt.NDArray[np.intp]:
    """The places of a picture's rows, continued by reflection to a multiple of the stride.

    Example:
        >>> _padded_places(5, 4).tolist()
        [0, 1, 2, 3, 4, 3, 2, 1]
    """
    return np.pad(np.arange(length), (0, -length % stride), mode="reflect")


def _spans(length: int, tile: int, reach: int, stride: int) -> Iterator[Span]:
    """The tiles in one direction, as equal as the stride allows; one, if two would save no memory.

    Example:
        >>> [(read.start, read.stop, write.start, write.stop) for read, _, write in _spans(30, 8, 3, 4)]
        [(0, 12, 0, 8), (4, 20, 8, 16), (12, 28, 16, 24), (20, 32, 24, 30)]
    """
    margin, padded = -(-reach // stride) * stride, -(-length // stride) * stride
    tile = max(tile // stride, 1) * stride
    count = 1 if padded <= tile + 2 * margin else -(-padded // tile)
    side = -(-padded // (count * stride)) * stride
    for start in range(0, padded, side):
        stop, begin = min(start + side, length), max(start - margin, 0)
        yield slice(begin, min(start + side + margin, padded)), slice(start - begin, stop - begin), slice(start, stop)


def _restored(network: GeneratorNetwork, piece: Pixels, *, colours_back: bool) -> Pixels:
    """One piece, through the network in the channels it takes, and back in those of the picture."""
    has_alpha, takes_alpha = piece.shape[2] in (2, 4), network.shape[0] in (2, 4)
    colours, alpha = (piece[:, :, :-1], piece[:, :, -1:]) if has_alpha else (piece, np.full_like(piece[:, :, :1], 255))
    was_grey = colours.shape[2] == 1
    if network.shape[0] >= 3:
        views = [colours.repeat(3, axis=2) if was_grey else colours]
    else:
        views = [colours[:, :, [channel]] for channel in range(colours.shape[2])]
    results = [_through(network, np.concatenate([view, alpha], axis=2) if takes_alpha else view) for view in views]
    drawn = np.concatenate([result[:, :, :-1] if takes_alpha else result for result in results], axis=2)
    if was_grey and drawn.shape[2] == 3 and not colours_back:
        drawn = (drawn @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)[:, :, None]
    if not has_alpha:
        return drawn
    return np.concatenate([drawn, results[0][:, :, -1:] if takes_alpha else alpha], axis=2)


def _through(network: GeneratorNetwork, view: Pixels) -> Pixels:
    device = next(network.parameters()).device
    with torch.inference_mode():
        return to_uint8(network(to_float(torch.from_numpy(view[None]).to(device)), None))[0].cpu().numpy()
