"""The generator that is published: a running average of the trained one's weights."""

from collections.abc import Iterable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from cardigan.training.buffers import copy_all
from cardigan.training.networks import copied

Network = TypeVar("Network", bound=nn.Module)

Draws = Iterable[tuple[Tensor, Tensor | None]]
"""Pairs of (source, labels) to run a generator on."""


class Average(Generic[Network]):
    """A running average of a network's parameters, by half-life in images that its own steps saw.

    Images of turns in which the network stands still do not count (decision 019): its weights are as many steps old
    after a pause as before, and five turns of the other player make no half-life five times shorter.

    Parameters are averaged. Buffers (spectral norm's vectors, batch normalisation's statistics) are copied; the
    statistics of an averaged network are not the average of statistics, so :func:`settled` measures them anew.

    Source: *Progressive Growing of GANs*, Karras et al., 2018; half-life and ramp-up as in *Training Generative
    Adversarial Networks with Limited Data*, Karras et al., 2020.

    Args:
        network: the network to follow.
        half_life: images of its own steps after which an old weight counts half; 0 for no average: the network itself,
            and no copy.
        ramp: the half-life never exceeds this share of those images, so that early noise is soon forgotten.

    Attributes:
        images: that its steps have seen.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> average = Average(layer, half_life=100)
        >>> average.update(layer, images=64)
        >>> torch.equal(average.network.weight, layer.weight)
        True
    """

    def __init__(self, network: Network, *, half_life: float, ramp: float = 0.05) -> None:
        self.network: Network = copied(network).requires_grad_(False) if half_life else network
        self.half_life, self.ramp = half_life, ramp
        self.images = 0

    @torch.no_grad()
    def update(self, network: nn.Module, *, images: int) -> None:
        """Move towards ``network`` after a step of it on ``images`` images; with 0 only the buffers are copied."""
        self.images += images
        half_life = min(self.half_life, self.images * self.ramp)
        share = 1.0 - 0.5 ** (images / half_life) if half_life > 0 else 1.0
        if self.network is network:
            return
        # All in one call, which on a GPU is one launch and not one a tensor.
        move = get_ema_multi_avg_fn(decay=1.0 - share)
        move(tuple(self.network.parameters()), tuple(network.parameters()), 0)
        copy_all(list(self.network.buffers()), list(network.buffers()))


@torch.no_grad()
def settled(network: Network, draws: Draws) -> Network:
    """A copy of ``network`` in evaluation mode, its batch normalisation statistics measured for its weights.

    After this an image does not depend on its batch-mates.

    Args:
        network: any generator; one without batch normalisation is only copied.
        draws: what to measure on: sources and labels as in training.

    Example:
        >>> norm = settled(nn.BatchNorm1d(1), [(torch.tensor([[1.0], [3.0]]), None)])
        >>> norm.running_mean.item(), norm.training
        (2.0, False)
    """
    network = copied(network).eval()
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return network
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all draws
        norm.train()
    for source, labels in draws:
        network(source) if labels is None else network(source, labels)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
    return network
