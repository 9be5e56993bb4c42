"""Layers that work on the whole batch although each process sees its share of it: batch normalisation and dropout."""

from typing import Any

import torch
from torch import Tensor, nn

from cardigan.errors import CardiganError
from cardigan.share import current, drawn, gathered
from cardigan.training.precision import widened


class _WholeBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation by the statistics of all processes' images, while a share holds; else torch's own.

    torch's SyncBatchNorm works on GPUs only and cannot be differentiated twice, as penalties on gradients must.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Values (B, C, ...) in, (B, C, ...) out."""
        if current().count == 1 or not (self.training or self.running_mean is None):
            return super().forward(input)
        self._check_input_dim(input)
        given, input = input.dtype, widened(input)  # as torch's own does: statistics are not to be rounded
        variance, mean = torch.var_mean(input, [0, *range(2, input.ndim)], correction=0)
        # Of each process its own two: from means of squares a small variance would come out wrong.
        means, variances = gathered(torch.stack([mean, variance])[None]).unbind(1)
        mean = means.mean(dim=0)
        variance = (variances + (means - mean).square()).mean(dim=0)
        self._remember(mean, variance, current().count * input.numel() // input.shape[1])
        scale = (variance + self.eps).rsqrt()
        shape = (1, -1, *[1] * (input.ndim - 2))
        if not self.affine:
            return ((input - mean.view(shape)) * scale.view(shape)).to(given)
        return ((input - mean.view(shape)) * (scale * self.weight).view(shape) + self.bias.view(shape)).to(given)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as torch does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), momentum)


class WholeBatchNorm1d(_WholeBatchNorm, nn.BatchNorm1d):
    """:class:`torch.nn.BatchNorm1d` over the images of all processes."""


class WholeBatchNorm2d(_WholeBatchNorm, nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d` over the images of all processes."""


class WholeBatchNorm3d(_WholeBatchNorm, nn.BatchNorm3d):
    """:class:`torch.nn.BatchNorm3d` over the images of all processes."""


class _WholeBatchDropout(nn.modules.dropout._DropoutNd):
    """Dropout that drops in each image what it would in one process, while a share holds; else torch's own."""

    places = 0
    """How many dimensions of the input are dropped value by value; 0 for all."""

    def forward(self, input: Tensor) -> Tensor:
        """Values (B, ...) in and out."""
        if current().count == 1 or not self.training or not 0.0 < self.p < 1.0:
            return super().forward(input)
        kept = self.places or input.ndim
        sides = [*input.shape[1:kept], *[1] * (input.ndim - kept)]
        mask = drawn(lambda count: input.new_empty(count, *sides).bernoulli_(1.0 - self.p), len(input))
        return input * mask.div(1.0 - self.p)


class WholeBatchDropout(_WholeBatchDropout, nn.Dropout):
    """:class:`torch.nn.Dropout`, each image's own."""


class WholeBatchDropout2d(_WholeBatchDropout, nn.Dropout2d):
    """:class:`torch.nn.Dropout2d`, each image's own."""

    places = 2


_OVER_ALL: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: WholeBatchNorm1d,
    nn.BatchNorm2d: WholeBatchNorm2d,
    nn.BatchNorm3d: WholeBatchNorm3d,
    nn.Dropout: WholeBatchDropout,
    nn.Dropout2d: WholeBatchDropout2d,
}
_KNOWN = (_WholeBatchNorm, _WholeBatchDropout, nn.SyncBatchNorm)
_UNKNOWN: tuple[type[Any], ...] = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def over_all(network: nn.Module) -> None:
    """Let a network's batch normalisation and dropout know of the other processes, in place.

    The layers stay the same objects, with the same parameters, buffers and names.

    Raises:
        CardiganError: if there is a kind that nobody taught to.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
        >>> over_all(network)
        >>> type(network[1]).__name__, isinstance(network[1], nn.BatchNorm2d)
        ('WholeBatchNorm2d', True)
    """
    for module in network.modules():
        if type(module) in _OVER_ALL:
            module.__class__ = _OVER_ALL[type(module)]
        elif isinstance(module, _UNKNOWN) and not isinstance(module, _KNOWN):
            raise CardiganError(
                f"{type(module).__name__} cannot be trained by several processes: each would see its own share of the "
                f"batch only. Take {' or '.join(kind.__name__ for kind in _OVER_ALL)}, or start one process."
            )
