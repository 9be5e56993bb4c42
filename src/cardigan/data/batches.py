"""From a store to batches on the device.

A batch is a function of (seed, images seen): there is nothing to rewind and nothing to save.
"""

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cardigan.contracts import Batch
from cardigan.data.ahead import read_ahead
from cardigan.data.memory import free_memory, room_for_images
from cardigan.data.store import Store
from cardigan.data.words import counted
from cardigan.errors import CardiganError
from cardigan.pixels import to_float
from cardigan.place import told
from cardigan.randomness import generator
from cardigan.share import current, own

BLOCK = 2**26
"""Bytes that are read at once."""


class StoredBatches:
    """Batches of a store's images in an endless row of shuffled passes.

    Attributes:
        count: images in one pass.

    Args:
        store: the images.
        batch_size: images in each batch.
        seed: of the order and the flips.
        device: where the batches are wanted; the store's pixels live there when they fit.
        flip: mirror each image left and right half of the time. Wrong for text and digits.
        labels: hand out the store's labels, if it has any.
        places: of the images to draw from, (N,); None draws from all.
        resident: keep the pixels on the device where there is room; else they are read where they lie. Batches are the
            same.

    Raises:
        CardiganError: if there are fewer images than one batch.
    """

    def __init__(
        self,
        store: Store,
        *,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        flip: bool = False,
        labels: bool = True,
        places: npt.NDArray[np.int64] | None = None,
        resident: bool = True,
    ) -> None:
        self._chosen = torch.arange(len(store)) if places is None else torch.from_numpy(places)
        count = len(self._chosen)
        if batch_size < 1:
            raise CardiganError(f"batch_size is {batch_size}, expected at least 1.")
        if batch_size > count:
            use = f"Use --set batch_size={count} or less, or add" if count > 1 else "Add"
            raise CardiganError(
                f"There are {counted(count, 'image')} to train on, fewer than one batch of {batch_size}. {use} images."
            )
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        self.device = torch.device(device)
        self.count = count
        self._labels = torch.from_numpy(np.array(store.labels)) if labels and store.labels is not None else None
        self._resident_labels = None if self._labels is None else self._labels.to(self.device)
        self._pixels = store.images
        self._resident = None
        # Processes on one machine share its memory, and each has a GPU of its own.
        sharers = 1 if self.device.type == "cuda" else told().neighbours
        if resident and store.images.nbytes <= room_for_images(free_memory(self.device) / sharers):
            self._resident = copied(store.images, self.device)
        self._order: tuple[int, Tensor] | None = None
        self._ahead = True

    @property
    def path(self) -> str:
        """How pixels come to the device: they all lie on it, or are fetched ahead from the store; "" for plainly."""
        if not self._ahead:
            return ""
        return "resident batches" if self._resident is not None else "prefetched batches"

    def plainly(self) -> "StoredBatches":
        """The same batches, each read from the store when it is asked for, and copied while everybody waits."""
        plain = copy.copy(self)
        plain._resident, plain._resident_labels, plain._ahead = None, None, False
        return plain

    def at(self, images: int) -> Batch:
        """The batch that is drawn when ``images`` images have been seen; while a share holds, that part of it."""
        places, mirrored = self._places(images), None
        if self.flip:
            mirrored = torch.rand(len(places), generator=generator(self.seed, "flip", images)) < 0.5
        if current().count > 1:  # each process reads its own pixels only
            places, mirrored = own(places), None if mirrored is None else own(mirrored)
        there = self._sent(places)
        if self._resident is not None:
            picked = self._resident[there]
        else:
            picked = self._sent(torch.from_numpy(self._pixels[places.numpy()]))
            if self._ahead:
                read_ahead(self._pixels, own(self._places(images + self.batch_size)).numpy())
        real = to_float(picked)
        if mirrored is not None:
            real = torch.where(self._sent(mirrored)[:, None, None, None], real.flip(3), real)
        labels = None if self._resident_labels is None else self._resident_labels[there]
        if labels is None and self._labels is not None:
            labels = self._sent(self._labels[places])
        return Batch(real, labels=labels, indices=places)

    def _sent(self, tensor: Tensor) -> Tensor:
        """To the device; from pages that stay where they are, so that nobody waits for the copy."""
        if self.device.type != "cuda" or not self._ahead:
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _places(self, images: int) -> Tensor:
        """Where in the store the batch's images lie; a batch may straddle two passes."""
        parts, position, wanted = [], images, self.batch_size
        while wanted:
            number, start = divmod(position, self.count)
            part = self._pass(number)[start : start + wanted]
            parts.append(part)
            position, wanted = position + len(part), wanted - len(part)
        return torch.cat(parts)

    def _pass(self, number: int) -> Tensor:
        if self._order is None or self._order[0] != number:
            shuffled = torch.randperm(self.count, generator=generator(self.seed, "order", number))
            self._order = number, self._chosen[shuffled]
        return self._order[1]


def batches(
    store: Store,
    *,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
    flip: bool = False,
    labels: bool = True,
    places: npt.NDArray[np.int64] | None = None,
    resident: bool = True,
) -> StoredBatches:
    """Batches of a store's images, ready for :func:`cardigan.fit`.

    Example:
        >>> store = Store.from_arrays(np.zeros((10, 8, 8, 1), dtype=np.uint8))
        >>> batches(store, batch_size=4).at(8).real.shape
        torch.Size([4, 1, 8, 8])
    """
    return StoredBatches(
        store,
        batch_size=batch_size,
        seed=seed,
        device=device,
        flip=flip,
        labels=labels,
        places=places,
        resident=resident,
    )


def copied(images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pixels on the device, block by block: a GPU's share of them need not fit into the host's memory as well."""
    found = torch.empty(images.shape, dtype=torch.uint8, device=device)
    rows = max(BLOCK // max(images[0].nbytes, 1), 1)
    for start in range(0, len(images), rows):
        found[start : start + rows] = torch.from_numpy(np.array(images[start : start + rows]))
    return found
