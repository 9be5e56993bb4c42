"""Cardigan's own stores and batches as a learner's data: passes of (noise, images)."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cardigan.contracts import Batches
from cardigan.data import Store
from cardigan.data.batches import batches
from cardigan.errors import CardiganError
from cardigan.fastai.loaders import DataLoaders
from cardigan.request import pick_device

NOISE = 100
"""Numbers in the noise of a generator that does not say how many it wants, as :func:`generate_noise` draws them."""


class StoredPasses:
    """Batches that the loop would ask for by the clock, as passes over a loader: ``(noise, images)``, or with labels.

    Each pass takes the images in another order; ``torch.manual_seed`` decides which, and about the noise.

    Args:
        drawn: the batches.
        count: images in one pass; what is left after the last whole batch is left out.
        noise: numbers in the noise of each image. Batches that bring a source of their own keep it.
        labels: hand on the labels that the batches carry.
    """

    def __init__(self, drawn: Batches, *, count: int, noise: int, labels: bool) -> None:
        self.drawn, self.count, self.noise, self.labels = drawn, count, noise, labels

    @property
    def device(self) -> Any:
        """Where the batches are, if they say so."""
        return getattr(getattr(self.drawn, "batches", self.drawn), "device", None)

    def __len__(self) -> int:
        """Batches."""
        return self.count // self.drawn.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        """All batches once."""
        first = int(torch.randint(2**31, ())) * self.count  # each multiple of the count begins another order
        for place in range(len(self)):
            batch = self.drawn.at(first + place * self.drawn.batch_size)
            source = batch.source
            if source is None:
                source = torch.randn(len(batch.real), self.noise).to(batch.real.device)
            middle = () if batch.labels is None or not self.labels else (batch.labels,)
            yield (source, *middle, batch.real)


def passes_of(dls: Any, generator: nn.Module, critic: nn.Module) -> Any:
    """The data of a GAN with each store, or batches of one, as a loader; whatever else it is stays as it is.

    Args:
        dls: a store, batches, a pair of them, or any other data.
        generator: says how much noise it wants by ``in_sz`` or ``latent``, else it is 100.
        critic: labels are handed on if both networks take them.

    Raises:
        CardiganError: if batches carry labels that a network does not take, or do not say how many images they have.
    """

    def one(data: Any) -> Any:
        return _passes(data, generator, critic) if _is_ours(data) else data

    if isinstance(dls, DataLoaders) and any(map(_is_ours, dls.loaders)):
        return DataLoaders(*map(one, dls.loaders), path=dls.path, device=dls.device)
    if isinstance(dls, tuple | list) and any(map(_is_ours, dls)):
        return DataLoaders(*map(one, dls))
    return one(dls)


def _is_ours(data: Any) -> bool:
    return isinstance(data, Store) or (hasattr(data, "at") and hasattr(data, "batch_size"))


def _passes(data: Any, generator: nn.Module, critic: nn.Module) -> StoredPasses:
    refusing = [name for name, each in (("generator", generator), ("critic", critic)) if not _takes_labels(each)]
    told = [getattr(generator, name, 0) for name in ("in_sz", "latent")]
    noise = next((size for size in told if isinstance(size, int) and size > 0), NOISE)
    if isinstance(data, Store):
        # Nobody has asked for the labels of a plain store, so networks without classes may be trained on it.
        drawn = batches(data, batch_size=min(64, len(data)), device=pick_device("auto"), labels=not refusing)
        return StoredPasses(drawn, count=len(data), noise=noise, labels=True)
    count = getattr(getattr(data, "batches", data), "count", None)
    if not isinstance(count, int):
        raise CardiganError(
            f"{type(data).__name__} does not say how many images one pass has; expected a store, or batches of one. "
            "Type cardigan.data.batches.batches(store, batch_size=64)."
        )
    if refusing and data.at(0).labels is not None:
        raise CardiganError(
            f"The batches carry labels, which the {refusing[0]} does not take; expected forward(self, input, labels). "
            "Leave the labels out: batches(store, ..., labels=False)"
        )
    return StoredPasses(data, count=count, noise=noise, labels=True)


def _takes_labels(network: nn.Module) -> bool:
    """Whether a network has a place for labels, and, where it counts its classes, some of them."""
    parameters: Sequence[inspect.Parameter] = list(inspect.signature(network.forward).parameters.values())
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    several = len(places) > 1 or any(each.kind is each.VAR_POSITIONAL for each in parameters)
    return several and getattr(network, "classes", None) != 0
