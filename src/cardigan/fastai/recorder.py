"""The recorder: the losses of every batch, and a table with one line for each epoch."""

import time

from torch import Tensor

from cardigan.fastai.callbacks import Smoothed
from cardigan.fastai.events import Callback


class Recorder(Callback):
    """Keeps losses, and prints a line of the table after each epoch.

    The table has ``epoch``, ``train_loss`` (the smoothed loss of all batches, whoever played), the metrics of the
    training batches if ``train_metrics``, then ``valid_loss`` and the metrics of the validation data if
    ``valid_metrics`` *and* there is such data, and ``time``. Where both are shown, they are told apart by ``train_``
    and ``valid_``. Columns without numbers are left out; fastai prints None in them.

    Source: ``fastai.learner``.

    Args:
        add_time: show how long each epoch took.
        train_metrics: show metrics of the training batches.
        valid_metrics: measure and show metrics of the validation data, if there is any.
        beta: smoothing of ``train_loss``: how much of the past is kept with each batch.

    Attributes:
        losses: the smoothed loss after each batch of the last fit.
        values: the numbers of each line, without epoch and time.
        metric_names: the columns.
    """

    order = 50

    def __init__(
        self, add_time: bool = True, train_metrics: bool = False, valid_metrics: bool = True, beta: float = 0.98
    ) -> None:
        self.add_time, self.train_metrics, self.valid_metrics, self.beta = add_time, train_metrics, valid_metrics, beta
        self.losses: list[Tensor] = []
        self.values: list[list[float]] = []
        self.metric_names: list[str] = []
        self.smooth_loss = Smoothed(beta)
        self._began = 0.0

    def before_fit(self) -> None:
        """Begin anew."""
        self.losses, self.values = [], []
        self.smooth_loss = Smoothed(self.beta)

    def before_epoch(self) -> None:
        """Look at the clock."""
        self._began = time.perf_counter()

    def after_batch(self) -> None:
        """Keep the loss."""
        self.smooth_loss.add(self.learn.loss)
        self.losses.append(self.smooth_loss.value)

    def after_epoch(self) -> None:
        """Measure what was asked for, keep it and print it."""
        names, metrics = ["train_loss"], self.learn.metric_names
        values = [float(self.smooth_loss.value)]
        validates = self.valid_metrics and self.learn.validates
        if self.train_metrics:
            names += [f"train_{name}" for name in metrics] if validates else metrics
            values += self.learn.train_values()
        if validates:
            both = self.train_metrics
            names += ["valid_loss", *(f"valid_{name}" if both else name for name in metrics)]
            values += self.learn.validate()
        self.metric_names = ["epoch", *names, *(["time"] if self.add_time else [])]
        first = not self.values
        self.values.append(values)
        cells = [str(self.learn.epoch), *(f"{value:.6f}" for value in values)]
        if self.add_time:
            minutes, seconds = divmod(round(time.perf_counter() - self._began), 60)
            cells.append(f"{minutes:02d}:{seconds:02d}")
        widths = [max(len(name), 5 if name in ("epoch", "time") else 10) for name in self.metric_names]
        for row in [self.metric_names, cells] if first else [cells]:
            self.learn.logger("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
