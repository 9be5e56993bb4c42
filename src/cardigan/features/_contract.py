"""What every feature extractor promises, and the one wrapper that keeps the promise for any network."""

import hashlib
from collections.abc import Callable
from itertools import chain, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from cardigan.errors import CardiganError

PROBES = (64, 128)
"""Sides of the images, in pixels, on which a network's widths and strides are measured."""


class Features(nn.Module):
    """A frozen network that tells what it sees: ``images (B, C, H, W) in [-1, 1] -> maps``, the finest first.

    Images may have 1 to 4 channels, see :func:`with_channels`. The network is taken over, not copied: its weights no
    longer ask for gradients and it stays in evaluation mode whatever a parent sets; gradients do flow to the images.
    It follows its images to their device, so that nobody who holds it needs to move it.

    Args:
        network: ``images (B, channels, H, W) -> a map (B, F, h, w)`` or a sequence of them, the finest first. It takes
            images of any size from 64 x 64 on.
        name: what it is called in records and reports; for those of :func:`cardigan.features.load` the text itself.
        channels: what the network reads: 1 grey, 2 grey and alpha, 3 colours, 4 colours and alpha.

    Attributes:
        widths: channels of each map.
        strides: pixels between two neighbours of each map; 0 for a map that does not grow with the image.
        name: as given.
        digest: SHA-256 over the weights, their names and shapes, in hex, as they were when this was built.

    Raises:
        CardiganError: if the network fails on such images, or does not give maps.

    Example:
        >>> pyramid = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AvgPool2d(4))
        >>> features = Features(pyramid, name="a small pyramid")
        >>> [tuple(each.shape) for each in features(torch.zeros(2, 1, 32, 48))], features.widths, features.strides
        ([(2, 8, 8, 12)], (8,), (4,))
    """

    def __init__(self, network: nn.Module, *, name: str, channels: int = 3) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.name, self.channels = name, channels
        self.widths, self.strides = _measured(self._maps, name, channels, network)
        self.digest = weights_digest(network)
        self.eval()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, C, H, W) in [-1, 1] in, maps (B, width, h, w) out, the finest first."""
        weight = _any_weight(self.network)
        if weight is not None and weight.device != images.device:
            # What is made inside inference mode could never again be part of a graph.
            with torch.inference_mode(False):
                self.to(images.device)
        return self._maps(with_channels(images, self.channels))

    def check_size(self, height: int, width: int) -> None:
        """Refuse images of a size that the network cannot see.

        Raises:
            CardiganError: if it fails on one.
        """
        weight = _any_weight(self.network)
        device = "cpu" if weight is None else weight.device
        try:
            with torch.no_grad():
                self(torch.zeros(1, 3, height, width, device=device))
        except Exception as error:  # a stranger's network has errors of its own
            raise CardiganError(
                f"The feature extractor {self.name} fails on images of {height}x{width} pixels ({_told(error)}). Use "
                f"larger images, such as --size 64, or another extractor."
            ) from error

    def train(self, mode: bool = True) -> "Features":
        """Stays in evaluation mode: what it says of an image must not depend on who trains."""
        return super().train(False)

    def _maps(self, images: Tensor) -> list[Tensor]:
        maps = self.network(images)
        return [maps] if isinstance(maps, Tensor) else list(maps)

    def __repr__(self) -> str:
        return f"Features({self.name!r}, widths={self.widths}, strides={self.strides}, digest={self.digest[:12]!r})"


def pooled(features: Features, images: Tensor) -> Tensor:
    """One vector for each image, for metrics: the average of the deepest map over its places.

    Args:
        features: the extractor.
        images: (B, C, H, W) in [-1, 1].

    Returns:
        (B, F), F being the last of ``features.widths``.

    Example:
        >>> pooled(Features(nn.Conv2d(3, 8, 3), name="one layer"), torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 8])
    """
    return features(images)[-1].mean(dim=(2, 3))


def with_channels(images: Tensor, channels: int) -> Tensor:
    """Images in as many channels as a network reads.

    Grey is repeated for each colour, and colours become grey by their luma. For a network without alpha, transparent
    parts are painted over the middle grey (0), on which neither a dark nor a bright subject is lost; for one with
    alpha, images without are opaque.

    Args:
        images: (B, C, H, W) in [-1, 1], with 1 to 4 channels, the last of 2 or 4 being alpha.
        channels: 1 to 4.

    Returns:
        (B, channels, H, W) in [-1, 1].

    Raises:
        CardiganError: if these are not images.

    Example:
        >>> half_clear = torch.tensor([0.5, 0.0]).reshape(1, 2, 1, 1)
        >>> with_channels(half_clear, 3).flatten().tolist()
        [0.25, 0.25, 0.25]
    """
    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4):
        raise CardiganError(
            f"Features are extracted from images of shape (B, C, H, W) with 1 to 4 channels, got {tuple(images.shape)}."
        )
    count = images.shape[1]
    colours, alpha = (images[:, :-1], images[:, -1:]) if count in (2, 4) else (images, None)
    if channels <= 2 and colours.shape[1] == 3:
        shares = torch.tensor([0.299, 0.587, 0.114], dtype=images.dtype, device=images.device)
        colours = (colours * shares[:, None, None]).sum(dim=1, keepdim=True)
    elif channels >= 3:
        colours = colours.expand(-1, 3, -1, -1)
    if channels in (2, 4):
        return torch.cat([colours, torch.ones_like(colours[:, :1]) if alpha is None else alpha], dim=1)
    return colours if alpha is None else colours * ((alpha + 1.0) / 2.0)


def weights_digest(network: nn.Module) -> str:
    """SHA-256, in hex, over every weight and buffer: its name, its kind, its shape and its bytes.

    Example:
        >>> weights_digest(nn.Identity())[:12]
        'e3b0c44298fc'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _any_weight(network: nn.Module) -> Tensor | None:
    return next(chain(network.parameters(), network.buffers()), None)


def _measured(
    maps: Callable[[Tensor], list[Tensor]], name: str, channels: int, network: nn.Module
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and strides of a network's maps.

    A border that is not padded costs the same places at every size, so two sizes tell the stride and one does not.
    """
    weight = _any_weight(network)
    like: dict[str, Any] = {} if weight is None else {"device": weight.device}
    if weight is not None and weight.is_floating_point():
        like["dtype"] = weight.dtype
    try:
        with torch.no_grad():
            small, large = (maps(torch.zeros(2, channels, side, side, **like)) for side in PROBES)
    except Exception as error:  # a stranger's network has errors of its own
        raise CardiganError(
            f"The network {name} fails on images of shape (2, {channels}, 64, 64) or (2, {channels}, 128, 128) "
            f"({_told(error)}). Expected one that takes images of any size from 64x64 on, in [-1, 1]."
        ) from error
    given = [tuple(each.shape) if isinstance(each, Tensor) else type(each).__name__ for each in small]
    if not small or any(isinstance(shape, str) or len(shape) != 4 or shape[0] != 2 for shape in given):
        raise CardiganError(
            f"The network {name} gives {', '.join(map(str, given)) or 'nothing'} for two images, expected a map of "
            f"shape (2, F, h, w) or a list of them."
        )
    if any(coarse.shape[2] > fine.shape[2] for fine, coarse in pairwise(small)):
        raise CardiganError(f"The network {name} gives maps {', '.join(map(str, given))}, expected the finest first.")
    growth = [after.shape[2] - before.shape[2] for before, after in zip(small, large, strict=True)]
    strides = tuple(round((PROBES[1] - PROBES[0]) / more) if more > 0 else 0 for more in growth)
    return tuple(each.shape[1] for each in small), strides


def _told(error: Exception) -> str:
    """An error of someone else's code in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
