"""A network's buffers, kept aside and put back: networks in training mode write into them whenever they are asked."""

from torch import Tensor, nn

Kept = list[tuple[nn.Module, str, Tensor, Tensor]]
"""Each buffer's module, its name there, the buffer itself, and what was in it."""


def kept_buffers(network: nn.Module) -> Kept:
    """What a network's buffers hold, to be put back."""
    return [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]


def put_back(buffers: Kept) -> None:
    """Give buffers what they held, also where a module has set another tensor in their place."""
    for module, name, buffer, before in buffers:
        module._buffers[name] = buffer.copy_(before)
