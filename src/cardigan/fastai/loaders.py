"""The training and the validation data as one object, and loaders over the images of a store."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cardigan.data import Store
from cardigan.errors import CardiganError
from cardigan.fastai.results import picture_of
from cardigan.pixels import to_float


@dataclass(frozen=True)
class StoredLoader:
    """Pairs ``(get_x(file), image)`` of a store, in batches.

    Args:
        store: the images.
        files: the files that are drawn, and where in the store each image lies.
        get_x: makes the input of a file, anew each time.
        bs: images in a batch.
        shuffle: in another order each time, and without a smaller last batch; ``torch.manual_seed`` decides.
        device: where the batches are wanted.
    """

    store: Store
    files: Sequence[tuple[Path, int]] = field(repr=False)
    get_x: Callable[[Path], Any]
    bs: int
    shuffle: bool
    device: torch.device

    def __len__(self) -> int:
        """Batches."""
        return len(self.files) // self.bs if self.shuffle else -(-len(self.files) // self.bs)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches once."""
        count = len(self.files)
        order = torch.randperm(count) if self.shuffle else torch.arange(count)
        for start in range(0, len(self) * self.bs, self.bs):
            yield self._drawn(order[start : start + self.bs].tolist())

    def _drawn(self, places: Iterable[int]) -> tuple[Tensor, Tensor]:
        drawn = [self.files[place] for place in places]
        inputs = torch.stack([torch.as_tensor(self.get_x(file)) for file, _ in drawn])
        pixels = torch.from_numpy(self.store.images[[at for _, at in drawn]])
        return inputs.as_subclass(Tensor).to(self.device), to_float(pixels.to(self.device))

    def one_batch(self) -> tuple[Tensor, Tensor]:
        """A batch."""
        return next(iter(self))

    def show_batch(self, max_n: int = 9, ncols: int | None = None) -> Image.Image:
        """A picture of real images; a notebook shows it. The inputs, being noise, are not shown."""
        picture = picture_of(self.one_batch()[1][:max_n], columns=ncols)
        assert picture is not None
        return picture


class DataLoaders:
    """The training data, and the validation data if there is any: any loaders.

    Source: ``fastai.data.core``.

    Args:
        *loaders: the training data, then the validation data. Anything that gives batches.
        path: where learners keep files.
        device: where batches are wanted; by default that of the training data if it says so, else the model's.

    Raises:
        CardiganError: if there is no loader.

    Example:
        >>> dls = DataLoaders([1, 2], [3])
        >>> dls.train, dls.valid, len(dls)
        ([1, 2], [3], 2)
    """

    def __init__(self, *loaders: Any, path: str | Path = ".", device: torch.device | str | None = None) -> None:
        if not loaders:
            raise CardiganError("DataLoaders got no data; expected the training data. Type DataLoaders(train, valid).")
        self.loaders, self.path = list(loaders), Path(path)
        found = getattr(loaders[0], "device", None) if device is None else device
        self.device = None if found is None else torch.device(found)

    def __len__(self) -> int:
        """Loaders."""
        return len(self.loaders)

    def __getitem__(self, place: int) -> Any:
        return self.loaders[place]

    @property
    def train(self) -> Any:
        """The training data."""
        return self.loaders[0]

    @property
    def valid(self) -> Any:
        """The validation data, or None."""
        return self.loaders[1] if len(self.loaders) > 1 else None

    @property
    def bs(self) -> int:
        """Images in a batch."""
        return self.train.bs if hasattr(self.train, "bs") else self.train.batch_size

    def one_batch(self) -> Any:
        """A training batch, such as inputs and images."""
        return next(iter(self.train))

    def show_batch(self, max_n: int = 9, ncols: int | None = None) -> Image.Image:
        """A picture of real images; a notebook shows it.

        Raises:
            CardiganError: if the targets are none.
        """
        picture = picture_of(self.one_batch()[-1][:max_n], columns=ncols)
        if picture is None:
            raise CardiganError(
                "The targets of the data are no images that can be shown; expected (N, C, H, W) with 1 to 4 channels."
            )
        return picture
