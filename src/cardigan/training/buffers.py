"""A network's buffers, kept aside and put back: networks in training mode write into them whenever they are asked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

LISTS: Any = torch
"""PyTorch with its operations on lists of tensors, which have neither public names nor types."""


@dataclass(frozen=True, eq=False)
class Kept:
    """What a network's buffers held at one moment.

    Args:
        places: each buffer's module, and its name there.
        buffers: the buffers themselves.
        values: what was in them.
    """

    places: Sequence[tuple[nn.Module, str]]
    buffers: Sequence[Tensor]
    values: Sequence[Tensor]

    def put_back(self) -> None:
        """Give the buffers what they held, also where a module has set another tensor in their place."""
        for (module, name), buffer in zip(self.places, self.buffers, strict=True):
            module._buffers[name] = buffer
        copy_all(self.buffers, self.values)


class Buffers:
    """The buffers of a network, to be kept again and again in the same memory.

    Args:
        network: its modules are those that it has now; each of them may get buffers later.

    Example:
        >>> norm = nn.BatchNorm1d(1)
        >>> kept = Buffers(norm).keep()
        >>> _ = norm(torch.tensor([[1.0], [3.0]]))
        >>> kept.put_back()
        >>> norm.running_mean
        tensor([0.])
    """

    def __init__(self, network: nn.Module) -> None:
        # Walking a network costs as much as a small layer, so it is done once.
        self._modules = list(network.modules())
        self._last: list[Kept] = []

    def keep(self, *, needed: Collection[Kept] = ()) -> Kept:
        """Keep what the buffers hold, in the memory of something kept before that is not needed any more.

        Args:
            needed: what may still be put back.
        """
        found = [
            (module, name, buffer)
            for module in self._modules
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        places, buffers = [(module, name) for module, name, _ in found], [buffer for *_, buffer in found]
        free = [kept for kept in self._last if kept not in needed]
        if free and _alike(free[0].values, buffers):
            values = free[0].values
            copy_all(values, buffers)
        else:
            values = [buffer.clone() for buffer in buffers]
        kept = Kept(places, buffers, values)
        self._last = [*(kept for kept in self._last if kept in needed), kept]
        return kept


@torch.no_grad()
def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy tensors into others of the same shapes, by one operation for each type of numbers.

    Example:
        >>> targets = [torch.zeros(2), torch.zeros(1, dtype=torch.int64)]
        >>> copy_all(targets, [torch.ones(2), torch.ones(1)])
        >>> targets
        [tensor([1., 1.]), tensor([1])]
    """
    for kind in {target.dtype for target in targets}:
        pairs = [pair for pair in zip(targets, sources, strict=True) if pair[0].dtype == kind]
        LISTS._foreach_copy_([target for target, _ in pairs], [source for _, source in pairs])


def _alike(ones: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(ones) == len(others) and all(
        one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
        for one, other in zip(ones, others, strict=True)
    )
