"""What acts on the weights themselves: a projection after each step, a parametrisation before training."""

from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from cardigan.checks import check
from cardigan.contracts import Player

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class WeightClipping:
    """Every parameter of the discriminator is clamped to [-limit, limit] after each of its steps.

    The first way to keep a Wasserstein discriminator Lipschitz; kept as a teaching exhibit, since a gradient penalty or
    spectral norm trains better.

    Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017.

    Args:
        limit: the largest magnitude of a weight.

    Raises:
        CardiganError: if the limit is not a finite number above 0.

    Example:
        >>> layer = nn.Linear(4, 4)
        >>> WeightClipping(0.01)(layer)
        >>> float(layer.weight.detach().abs().max()) <= 0.01 + 1e-9
        True
    """

    limit: float = 0.01
    player: Player = field(default="discriminator", init=False, repr=False)

    def __post_init__(self) -> None:
        limits = "a finite number above 0"
        check("limit", self.limit, lambda value: 0 < value < torch.inf, limits, 0.01, of="WeightClipping")

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        """Clamp in place."""
        for weight in network.parameters():
            weight.clamp_(-self.limit, self.limit)


def spectral_norm(network: Network) -> Network:
    """Divide the weight of every layer by its largest singular value, in place, and return the network.

    In a turn of :class:`cardigan.training.Training` the estimate moves by one power iteration at the start of each
    step, as in the paper, however often the network is asked. Elsewhere it moves with each pass in training mode, and
    in evaluation it stands still. Right for a discriminator; on a generator it is an option that some use.

    Source: *Spectral Normalization for Generative Adversarial Networks*, Miyato et al., 2018.

    Example:
        >>> layer = spectral_norm(nn.Linear(8, 8))
        >>> bool(torch.linalg.matrix_norm(layer.weight, 2) < 1.2)
        True
    """
    layers = nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding
    for module in list(network.modules()):
        if isinstance(module, layers) and not parametrize.is_parametrized(module, "weight"):
            parametrizations.spectral_norm(module)
    return network
