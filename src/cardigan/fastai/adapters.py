"""From fastai's world to the loop's: any module becomes a network, any loss a game, any loader batches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cardigan.contracts import Batch, DiscriminatorNetwork, GeneratorNetwork, Objective, Player, Step
from cardigan.errors import CardiganError

Watch = Callable[[Step, Tensor], None]
"""Told of each player's step and its loss, before it is reduced to a mean."""


class AsGenerator(GeneratorNetwork):
    """Any module as the generator that the loop asks; what it starts from comes with each batch.

    Example:
        >>> AsGenerator(nn.Linear(2, 3))(torch.zeros(4, 2), None).shape
        torch.Size([4, 3])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.latent, self.classes, self.shape, self.arguments = 0, 0, (0, 0, 0), {}

    def forward(self, source: Tensor, labels: Tensor | None) -> Tensor:
        """What the network makes of the source, and of the labels where the batches bring them."""
        return self.network(source) if labels is None else self.network(source, labels)


class AsDiscriminator(DiscriminatorNetwork):
    """Any module as the discriminator that the loop asks."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.classes, self.arguments = 0, {}

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """What the network thinks of the images, and of the labels where the batches bring them."""
        return self.network(images) if labels is None else self.network(images, labels)


def _unwatched(step: Step, loss: Tensor) -> None:
    pass


@dataclass(frozen=True, repr=False)
class Game(Objective):
    """Two losses with fastai's signatures as the loop's game.

    Args:
        discriminator: ``crit_loss_func(real_pred, fake_pred)``.
        generator: ``gen_loss_func(fake_pred, output, target)``.
        watch: told of each step.
    """

    watch: Watch = _unwatched

    def __call__(self, step: Step) -> Tensor:
        """The loss of the step's player."""
        assert self.generator is not None
        if step.player == "discriminator":
            loss = checked("crit_loss_func", self.discriminator(step.real_logits, step.fake_logits))
        else:
            loss = checked("gen_loss_func", self.generator(step.fake_logits, step.fake, step.real))
        self.watch(step, loss)
        return loss


ALONE = Objective(lambda *, real, fake: real.sum() * 0, None, name="alone")
"""No game: the generator learns from its terms."""


@dataclass(frozen=True)
class Content:
    """A loss between output and target, as the loop's term; all that a network learns from without a game.

    Args:
        loss_func: ``(output, target) -> Tensor``.
        watch: told of each step.
    """

    loss_func: Callable[..., Tensor]
    watch: Watch = _unwatched
    name: str = "loss"
    player: Player = "generator"
    every: int = 1

    def __call__(self, step: Step) -> Tensor:
        """The loss, of any shape."""
        loss = checked("loss_func", self.loss_func(step.fake, step.real))
        self.watch(step, loss)
        return loss


def checked(name: str, loss: Any, *, graph: bool = True) -> Tensor:
    """The loss, if a network can learn from it; without ``graph``, if it is one at all.

    Raises:
        CardiganError: if it is no tensor, or does not depend on any weight that can be trained.
    """
    if not isinstance(loss, Tensor):
        raise CardiganError(
            f"{name} gave a {type(loss).__name__}; expected a tensor with the graph of what it was given, such as "
            "(output - target).abs().mean(). Leave out float() and .item()."
        )
    if graph and not loss.requires_grad:
        raise CardiganError(
            f"The loss of {name} does not depend on any weight that can be trained; expected one made of the "
            "predictions or the output. Leave out .detach(), .item() and torch.no_grad()."
        )
    return loss


class Feed:
    """Batches that somebody else draws: the loop gets whatever was handed over last.

    One batch of the loader is one turn, and its own size moves the clock, be it the smaller last one.

    Args:
        device: where the batches are wanted.
        images: whether targets are images, which must be floating point.

    Example:
        >>> feed = Feed(torch.device("cpu"), images=True)
        >>> feed.hold((torch.zeros(2, 100), torch.zeros(2, 3, 8, 8)))
        >>> feed.batch_size, feed.at(0).source.shape
        (2, torch.Size([2, 100]))
    """

    def __init__(self, device: torch.device, *, images: bool) -> None:
        self.device, self.images = device, images
        self._batch: Batch | None = None

    @property
    def batch_size(self) -> int:
        """Images in the batch that is held."""
        return len(self._held.real)

    def at(self, images: int) -> Batch:
        """The batch that is held."""
        return self._held

    def hold(self, raw: Any) -> None:
        """Take what a loader gave: ``(input, target)``, or ``(input, labels, target)``.

        Raises:
            CardiganError: if it is something else.
        """
        self._batch = as_batch(raw, self.device, images=self.images)

    @property
    def _held(self) -> Batch:
        assert self._batch is not None, "the learner hands a batch over before it asks for a turn"
        return self._batch


def as_batch(raw: Any, device: torch.device, *, images: bool) -> Batch:
    """What a loader gave, as the loop reads it; fastai's kinds of tensors become plain ones.

    Raises:
        CardiganError: if it is no pair or triple of tensors, or images are whole numbers.
    """
    parts = list(raw) if isinstance(raw, list | tuple) else [raw]
    if len(parts) not in (2, 3) or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise CardiganError(
            f"A batch of the data is ({kinds}); expected two tensors, (input, target), such as (noise, real images) "
            "or (poor images, good images), or three with labels in the middle. A TensorDataset(inputs, targets) gives "
            "them."
        )
    tensors = [part.as_subclass(torch.Tensor).to(device) for part in parts]
    target = tensors[-1]
    if images and not target.is_floating_point():
        raise CardiganError(
            f"The real images of a batch are {target.dtype}; expected floating point from -1 to 1. "
            "Convert uint8 pixels (N, H, W, C) with: cardigan.to_float(images)"
        )
    if len({len(tensor) for tensor in tensors}) > 1:
        raise CardiganError(
            f"A batch has {len(tensors[0])} inputs for {len(target)} targets; expected as many of each."
        )
    return Batch(target, source=tensors[0], labels=tensors[1] if len(tensors) == 3 else None)


def loader(dls: Any, place: int) -> Iterable[Any] | None:
    """The training (0) or validation (1) data of ``dls``; None where there is no validation data.

    Args:
        dls: an object with ``train`` and ``valid``, a pair (training, validation), or one iterable of batches. A list
            of two is a pair too, unless its items are batches.
        place: which of them.

    Example:
        >>> loader(([1, 2], []), 1) is None
        True
    """
    if hasattr(dls, "train"):
        found = dls.train if place == 0 else _valid(dls)
    elif isinstance(dls, tuple) or _is_pair(dls):
        if len(dls) != 2:
            raise CardiganError(f"dls is a tuple of {len(dls)}; expected two loaders, (training, validation).")
        found = dls[place]
    else:
        found = dls if place == 0 else None
    if found is not None and not isinstance(found, Iterable):
        raise CardiganError(
            f"dls is a {type(dls).__name__} whose data cannot be iterated over; expected DataLoaders, a pair "
            "(training, validation) of PyTorch DataLoaders, or one of them."
        )
    return None if place == 1 and found is not None and _is_empty(found) else found


def _is_pair(dls: Any) -> bool:
    """Whether a list is one of two loaders, and not of two batches."""
    return isinstance(dls, list) and len(dls) == 2 and not any(map(_is_batch, dls))


def _is_batch(data: Any) -> bool:
    if isinstance(data, list | tuple):
        return bool(data) and not isinstance(data[0], list | tuple)
    return isinstance(data, Tensor) or not isinstance(data, Iterable)


def _valid(dls: Any) -> Any:
    try:
        return getattr(dls, "valid", None)
    except IndexError:  # fastai's, made of one loader only
        return None


def _is_empty(data: Any) -> bool:
    try:
        return len(data) == 0
    except TypeError:  # no length: found out by looking
        return False
