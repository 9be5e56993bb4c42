"""Networks as wholes: copies of them, and the modes of their modules."""

import copy
from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def copied(network: Network) -> Network:
    """A deep copy, also of a network whose layers keep a computed weight, as ``torch.nn.utils.spectral_norm`` does.

    Example:
        >>> import torch
        >>> layer = torch.nn.utils.spectral_norm(nn.Linear(2, 2))
        >>> _ = layer(torch.zeros(1, 2))
        >>> copied(layer) is layer
        False
    """
    computed = {
        id(value): value.detach().clone()
        for module in network.modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf  # which deepcopy refuses
    }
    return copy.deepcopy(network, computed)


class Modes:
    """Which modules train, remembered, so that ``eval()`` in a loop's body holds for a look and not for ever.

    A network that is in evaluation mode as a whole is put into training mode first. Parts of a network that are in
    evaluation mode, such as a frozen backbone, stay in it.

    Example:
        >>> layer = nn.Sequential(nn.BatchNorm1d(2))
        >>> modes = Modes([layer])
        >>> _ = layer.eval()
        >>> modes.put_back()
        >>> layer.training, layer[0].training
        (True, True)
    """

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self._modes: list[tuple[nn.Module, bool]] = []
        for network in networks:
            if not network.training:
                network.train()
            self._modes += [(module, module.training) for module in network.modules()]

    def put_back(self) -> None:
        """Give every module the mode that it had."""
        for module, training in self._modes:
            if module.training is not training:
                module.training = training
