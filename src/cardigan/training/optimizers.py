"""Optimizers as values: settings that become an optimizer when they meet a network's parameters; and what they read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from cardigan.checks import check, check_not_negative
from cardigan.training.buffers import copy_all


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

    Raises:
        CardiganError: if the rate is negative or not finite, or a beta is below 0 or not below 1.

    Example:
        >>> Adam(2e-4)([nn.Parameter(torch.zeros(2))]).defaults["betas"]
        (0.5, 0.999)
    """

    learning_rate: float = 2e-4
    beta1: float = 0.5
    beta2: float = 0.999

    def __post_init__(self) -> None:
        check_not_negative("learning_rate", self.learning_rate, of="Adam", instead=2e-4)
        for name, beta, usual in (("beta1", self.beta1, 0.5), ("beta2", self.beta2, 0.999)):
            check(name, beta, lambda value: 0 <= value < 1, "a number, at least 0 and below 1", usual, of="Adam")

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, with fresh state."""
        # Adam refuses betas of mixed types, which (0, 0.99) from a command line would be.
        betas = (float(self.beta1), float(self.beta2))
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=betas, fused=True)


@dataclass(frozen=True)
class RMSprop:
    """RMSprop, which weight-clipped Wasserstein GANs want: no momentum.

    Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017, algorithm 1.

    Args:
        learning_rate: the full rate; schedules multiply it.

    Raises:
        CardiganError: if the rate is negative or not finite.

    Example:
        >>> RMSprop()([nn.Parameter(torch.zeros(2))]).defaults["lr"]
        5e-05
    """

    learning_rate: float = 5e-5

    def __post_init__(self) -> None:
        check_not_negative("learning_rate", self.learning_rate, of="RMSprop", instead=5e-5)

    def __call__(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer, with fresh state."""
        return torch.optim.RMSprop(parameters, lr=self.learning_rate)


def unfuse(optimizer: torch.optim.Optimizer) -> None:
    """Have an optimizer step weight by weight, in place: slower, and right where a fused step is not.

    Its state stays.

    Example:
        >>> optimizer = Adam()([nn.Parameter(torch.zeros(2))])
        >>> unfuse(optimizer)
        >>> optimizer.defaults["fused"], optimizer.param_groups[0]["fused"]
        (False, False)
    """
    for settings in (optimizer.defaults, *optimizer.param_groups):
        settings |= {name: False for name in ("fused", "foreach") if name in settings}
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].cpu()  # where such a step reads it
    vars(optimizer).pop("found_inf", None)


def laid_out(values: Sequence[Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """A gradient or a moment of each weight, its numbers in memory as the weight's are.

    Fused optimizers on a CPU (torch 2.13) read numbers in the order of memory, and would take each for another
    weight's. ``backward`` sees to that, but ``grad`` gives the gradients of penalties and of flipped or transposed
    kernels transposed; and what was saved comes back in the usual order, also where a network keeps its channels last.

    Example:
        >>> weight = torch.zeros(2, 3)
        >>> laid_out([torch.ones(3, 2).T], [weight])[0].stride() == weight.stride()
        True
    """
    found = list(values)
    other = [place for place, weight in enumerate(weights) if found[place].stride() != weight.stride()]
    for place in other:
        found[place] = torch.empty_like(weights[place])
    copy_all([found[place] for place in other], [values[place] for place in other])
    return found
