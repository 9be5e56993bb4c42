"""Optimizers as values: settings that become an optimizer when they meet a network's parameters."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn


class OptimizerSettings(Protocol):
    """Anything that makes an optimizer for parameters."""

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, with fresh state."""
        ...


@dataclass(frozen=True)
class Adam:
    """Adam, fused where torch can.

    Source: *Adam: A Method for Stochastic Optimization*, Kingma and Ba, 2015.

    Args:
        learning_rate: the full rate; schedules multiply it.
        beta1: memory of the mean. GANs like it low: 0 to 0.5.
        beta2: memory of the square.

    Example:
        >>> Adam(2e-4)([nn.Parameter(torch.zeros(2))]).defaults["betas"]
        (0.5, 0.999)
    """

    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, with fresh state."""
        # Adam refuses betas of mixed types, which (0, 0.99) from a command line would be.
        betas = (float(self.beta1), float(self.beta2))
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=betas, fused=True)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop, which weight-clipped Wasserstein GANs want: no momentum.

    Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017, algorithm 1.

    Example:
        >>> RMSprop()([nn.Parameter(torch.zeros(2))]).defaults["lr"]
        5e-05
    """

    learning_rate: float = 5e-5

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, with fresh state."""
        return torch.optim.RMSprop(parameters, lr=self.learning_rate)
