"""What a learner is worth: its loss and metrics over a loader, and a picture of what its model makes."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from cardigan.contracts import GAN, Batch, Player
from cardigan.errors import CardiganError
from cardigan.fastai.adapters import as_batch, checked, loader
from cardigan.fastai.events import Watched
from cardigan.fastai.measures import Averages, Metric
from cardigan.pixels import to_uint8
from cardigan.report.grids import grid, to_pillow


class Results(Watched):
    """The half of a learner that moves no weight.

    Attributes:
        dls: the data.
        model: what is trained.
        loss_func: ``(output, target) -> Tensor``.
        metrics: what is measured beside the loss, by name.
        gan: the model as the loop sees it.
        players: those who ever play.
    """

    dls: Any
    model: Any
    loss_func: Any
    metrics: dict[str, Metric]
    gan: GAN
    players: tuple[Player, ...] = ("generator",)
    _averages: Averages

    @property
    def device(self) -> torch.device:
        """That of the data if it has one, else that of the model."""
        own = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        return torch.device(getattr(self.dls, "device", None) or own)

    @property
    def metric_names(self) -> list[str]:
        """What :meth:`validate` measures beside the loss."""
        return list(self.metrics)

    @property
    def validates(self) -> bool:
        """Whether there is validation data."""
        return loader(self.dls, 1) is not None

    def train_values(self) -> list[float]:
        """The metrics over the training batches of this epoch."""
        return self._averages.values

    @torch.no_grad()
    def validate(self, ds_idx: int = 1, dl: Any = None) -> list[float]:
        """The loss and the metrics over a whole loader, in evaluation mode.

        Args:
            ds_idx: 0 the training data, 1 the validation data.
            dl: another loader.

        Raises:
            CardiganError: if there is no such data.
        """
        means = Averages([float] * (1 + len(self.metric_names)))
        with self._evaluation():
            for raw in self._data(ds_idx, dl):
                batch = self._batch(raw)
                means.weigh(self._judged(batch), len(batch.real))
        return means.values

    def _judged(self, batch: Batch) -> list[Any]:
        """The loss and the metrics of one batch."""
        output = self.gan.generator(batch.source, batch.labels)
        metrics = [metric(output, batch.real) for metric in self.metrics.values()]
        return [checked("loss_func", self.loss_func(output, batch.real), graph=False).mean(), *metrics]

    @torch.no_grad()
    def show_results(self, ds_idx: int = 1, dl: Any = None, max_n: int = 9, ncols: int | None = None) -> Image.Image:
        """A picture of what the model makes of the first batch of a loader, in evaluation mode; a notebook shows it.

        Where the input is an image too, each row has input, output and target; one of another size is shown in the
        output's, its pixels enlarged as they are.

        Args:
            ds_idx: 0 the training data, 1 the validation data.
            dl: another loader.
            max_n: how many are shown at most.
            ncols: images in a row; None picks a nearly square layout.

        Raises:
            CardiganError: if there is no such data, or the model makes no images.
        """
        with self._evaluation():
            raw = next(iter(self._data(ds_idx, dl)), None)
            batch = None if raw is None else self._batch(raw)
            output = None if batch is None else self.gan.generator(batch.source, batch.labels)[:max_n]
        if batch is None or output is None:
            raise CardiganError("The data gave no batch to show results for; expected one. Check the loader.")
        columns = ncols
        if (source := _beside(batch.source, output, batch.real)) is not None:
            rows = [source[:max_n], output, batch.real[:max_n]]
            output, columns = torch.stack(rows, 1).flatten(0, 1), 3 * (ncols or 1)
        picture = picture_of(output, columns=columns)
        if picture is None:
            raise CardiganError(
                f"The model's output has the shape {list(output.shape)}; expected images (N, C, H, W) with 1 to 4 "
                "channels. Only those can be shown."
            )
        return picture

    def _data(self, ds_idx: int, dl: Any) -> Iterable[Any]:
        if ds_idx not in (0, 1):
            raise CardiganError(f"ds_idx is {ds_idx}; expected 0 for the training data or 1 for the validation data.")
        data = loader(self.dls, ds_idx) if dl is None else dl
        if data is None:
            raise CardiganError("There is no validation data; expected some for ds_idx=1. Type ds_idx=0, or give dl=.")
        return data

    def _batch(self, raw: Any) -> Batch:
        return as_batch(raw, self.device, images=len(self.players) == 2)

    @contextmanager
    def _evaluation(self) -> Iterator[None]:
        """Every part of the model in evaluation mode, and back to what each was in."""
        self.gan.to(self.device)
        modes = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


def _beside(source: Tensor | None, output: Tensor, target: Tensor) -> Tensor | None:
    """The input as images that can stand beside the output; None where it is none, such as noise."""
    if source is None or source.ndim != 4 or output.ndim != 4 or target.shape[1:] != output.shape[1:]:
        return None
    if source.shape[1] != output.shape[1] or 1 in source.shape[2:]:
        return None
    return torch.nn.functional.interpolate(source, size=output.shape[2:], mode="nearest")


def picture_of(images: Tensor, *, columns: int | None = None) -> Image.Image | None:
    """Images (N, C, H, W) in [-1, 1] as one Pillow image; None where they are none, such as vectors.

    Example:
        >>> picture_of(torch.zeros(4, 3, 8, 8)).size
        (18, 18)
    """
    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4) or 0 in images.shape:
        return None
    return to_pillow(grid(to_uint8(images.cpu()).numpy(), columns=columns))


def show_in_notebook(picture: Any) -> None:
    """Show a picture where IPython is already running; elsewhere do nothing."""
    shell = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None:
        return
    from IPython.display import display  # pyright: ignore[reportMissingImports]  # there, for it is running

    display(picture)
