"""Metrics: functions of output and target, averaged over the images of many batches."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cardigan.errors import CardiganError

Metric = Callable[..., Any]


def listed(given: Any) -> list[Any]:
    """None as an empty list, one value as a list of one.

    Example:
        >>> listed(None), listed(1), listed((1, 2))
        ([], [1], [1, 2])
    """
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def named(metrics: Any) -> dict[str, Metric]:
    """Metrics by name: a function's own, and with a number where it has been given before.

    Raises:
        CardiganError: if one cannot be called.

    Example:
        >>> list(named([torch.equal, partial(torch.allclose, atol=1)]))
        ['equal', 'allclose']
        >>> list(named([partial(torch.allclose, atol=1), partial(torch.allclose, atol=2)]))
        ['allclose', 'allclose_2']
    """
    found: dict[str, Metric] = {}
    for metric in listed(metrics):
        plain = metric.func if isinstance(metric, partial) else metric
        if not callable(metric) or isinstance(metric, type):
            raise CardiganError(
                f"A metric is {metric!r}; expected a function (output, target) that gives a number, such as "
                "accuracy_thresh_expand."
            )
        name = stem = getattr(plain, "__name__", type(plain).__name__).strip("<>")
        number = 1
        while name in found:
            number += 1
            name = f"{stem}_{number}"
        found[name] = metric
    return found


class Averages:
    """Running means over images.

    Args:
        metrics: what to measure.

    Example:
        >>> means = Averages([lambda output, target: (output + target).sum()])
        >>> means.add(torch.ones(3), torch.ones(3))
        >>> means.values
        [6.0]
    """

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics = list(metrics)
        self._sums, self._count = [0.0] * len(self.metrics), 0

    @torch.no_grad()
    def add(self, output: Tensor, target: Tensor) -> None:
        """Measure one batch."""
        self.weigh([metric(output, target) for metric in self.metrics], len(target))

    def weigh(self, values: list[Any], count: int) -> None:
        """Take values of ``count`` images into account."""
        self._sums = [old + float(new) * count for old, new in zip(self._sums, values, strict=True)]
        self._count += count

    @property
    def values(self) -> list[float]:
        """The means, in the order of the metrics; not a number before the first batch."""
        return [total / self._count if self._count else float("nan") for total in self._sums]
