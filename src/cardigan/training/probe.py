"""A look at both networks before the first turn: what does not fit is said in words, and nothing is changed by it."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cardigan.contracts import GAN, Batch, Batches, Player
from cardigan.errors import CardiganError
from cardigan.out_of_memory import ran_out
from cardigan.randomness import generator, seeded
from cardigan.share import own_batch
from cardigan.training.networks import copied
from cardigan.training.steps import Fakes, check_scales, draw_fakes

BEYOND = 1.5
"""The largest value in an image. More than 1 is left for resizing, which may overshoot; pixels of 0 to 255 are not."""

SHAPING = ("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Clone", "Alias", "ToCopy")
"""Operations on logits, as autograd names them, that change no value."""


@dataclass(frozen=True)
class Probed:
    """Batches on their way to the first turn of a training; each is looked at.

    Args:
        batches: where they come from.
        gan: networks that are to be trained on them.
        arithmetic: what networks are run in.
        seed: of the training.
    """

    batches: Batches
    gan: GAN
    arithmetic: Callable[[], AbstractContextManager[object]]
    seed: int = 0

    @property
    def batch_size(self) -> int:
        """Images in each batch."""
        return self.batches.batch_size

    def at(self, images: int) -> Batch:
        """The batch that is drawn when ``images`` images have been seen.

        Raises:
            CardiganError: if the networks cannot be trained on it.
        """
        batch = self.batches.at(images)
        probe(self.gan, own_batch(batch, self.batch_size), arithmetic=self.arithmetic, seed=self.seed)
        return batch


def probe(gan: GAN, batch: Batch, *, arithmetic: Callable[[], AbstractContextManager[object]], seed: int = 0) -> None:
    """Run copies of both networks on a batch, and say what does not fit. Weights, buffers and random states stay.

    Networks that were compiled are not run: that would compile them once more.

    Raises:
        CardiganError: saying what a network gave and what was expected.
    """
    check_batch(batch)
    networks = (gan.generator, gan.discriminator)
    if any(getattr(network, "_compiled_call_impl", None) for network in networks):
        return
    copies = replace(gan, generator=copied(gan.generator), discriminator=copied(gan.discriminator))
    with seeded(seed, "probe", device=batch.real.device), arithmetic():
        fakes = _draw(copies, batch, seed)
        if gan.objective.generator is not None:
            check_scales(copies, fakes)
            _judge(copies, batch.real, batch.labels)
            _judge(copies, fakes.images, fakes.labels, *fakes.smaller)


def check_batch(batch: Batch) -> None:
    """Refuse a batch that is not what the networks are promised.

    Raises:
        CardiganError: saying what it is.
    """
    real, labels = batch.real, batch.labels
    if not isinstance(real, Tensor) or real.ndim != 4:
        raise CardiganError(f"The batches give real images {_told(real)}, expected a tensor (B, C, H, W).")
    if not real.is_floating_point():
        raise CardiganError(
            f"The batches give real images of {real.dtype}, expected floating point in [-1, 1]. Convert pixels "
            f"(B, H, W, C) of 0 to 255 with cardigan.to_float(pixels)."
        )
    if (largest := float(real.detach().abs().max())) > BEYOND:
        raise CardiganError(
            f"The batches give real images with values up to {largest:.4g}, expected [-1, 1]. Convert pixels "
            f"(B, H, W, C) of 0 to 255 with cardigan.to_float(pixels)."
        )
    if labels is not None and (labels.shape != (len(real),) or labels.dtype != torch.int64):
        raise CardiganError(
            f"The batches give labels {_told(labels)} of {labels.dtype}, expected int64 of shape ({len(real)},)."
        )


def _draw(gan: GAN, batch: Batch, seed: int) -> Fakes:
    """Fakes for a batch."""
    _check_call(gan.generator, "generator", "(latents, labels=None)", 2)
    with _in_words(gan.generator, "generator", "latents (B, latent)" if batch.source is None else "its source"):
        _check_classes(gan.generator, "generator", batch.labels)
        with torch.no_grad(), _Touched() as touched:
            fakes = draw_fakes(gan, batch, generator(seed, "probe", device=batch.real.device), graph=False)
    if not isinstance(fakes.images, Tensor) or fakes.images.shape != batch.real.shape:
        raise CardiganError(
            f"The generator {_kind(gan.generator)} gives images {_told(fakes.images)}, expected "
            f"{tuple(batch.real.shape)} as the batches have them: (B, C, H, W). Build it for that size, or prepare the "
            f"images at its size."
        )
    _check_labels_read(gan.generator, "generator", fakes.labels, touched)
    return fakes


def _judge(gan: GAN, images: Tensor, labels: Tensor | None, *smaller: Tensor) -> None:
    """The discriminator's logits of a batch."""
    network = gan.discriminator
    _check_call(network, "discriminator", "(images, labels=None)", 2 + len(smaller))
    with _in_words(network, "discriminator", f"images {tuple(images.shape)}"), torch.enable_grad():
        _check_classes(network, "discriminator", labels)
        with _Touched() as touched:
            logits = network(gan.augment(images.detach()), labels, *map(gan.augment, smaller))
    fits = isinstance(logits, Tensor) and logits.is_floating_point() and logits.shape[:1] == images.shape[:1]
    if not fits:
        raise CardiganError(
            f"The discriminator {_kind(network)} gives an output {_told(logits)} for {len(images)} images, expected "
            f"logits of shape ({len(images)}, K): one row for each image, high meaning real. Let forward() end with "
            f"logits.flatten(1)."
        )
    if _ends_with_sigmoid(logits):
        raise CardiganError(
            f"The discriminator {_kind(network)} ends with a sigmoid, expected raw logits, high meaning real: the "
            f"objective takes the sigmoid itself. Leave the last layer out."
        )
    _check_labels_read(network, "discriminator", labels, touched)


def _check_call(network: nn.Module, player: Player, expected: str, given: int) -> None:
    """Refuse a network that cannot be given labels beside its input."""
    try:
        signature = inspect.signature(network.forward)
    except (TypeError, ValueError):  # of a compiled function, which tells nothing
        return
    try:
        signature.bind(*range(given))
    except TypeError as error:
        smaller = "" if given == 2 else ", *smaller"
        raise CardiganError(
            f"The {player} {_kind(network)} has forward{signature}, expected forward{expected[:-1]}{smaller}): labels "
            f"are None for data without classes. Give it that argument; around an nn.Sequential, write a module whose "
            f"forward passes the first one on."
        ) from error


def _check_classes(network: nn.Module, player: Player, labels: Tensor | None) -> None:
    """Refuse labels beyond a network's classes, which fail far away in an embedding."""
    classes = getattr(network, "classes", 0)
    if labels is not None and classes and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise CardiganError(
            f"The batches give labels from {int(labels.min())} to {int(labels.max())}, and the {player} has {classes} "
            f"classes, expected 0 to {classes - 1}. Build it with classes={int(labels.max()) + 1}."
        )


def _check_labels_read(network: nn.Module, player: Player, labels: Tensor | None, touched: "_Touched") -> None:
    """Refuse a network that was given labels and did not look at them."""
    if labels is not None and not touched.by(labels):
        raise CardiganError(
            f"The {player} {_kind(network)} was given labels and does not read them, so it would learn all classes as "
            f"one. Read them in forward(), or go without: batches(..., labels=False)."
        )


class _Touched(TorchFunctionMode):
    """Notes every tensor that an operation reads."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note, and go on."""
        self.seen |= {id(tensor): tensor for tensor in _tensors((args, kwargs))}
        return func(*args, **(kwargs or {}))

    def by(self, tensor: Tensor) -> bool:
        """Whether it was read."""
        return id(tensor) in self.seen


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


@contextmanager
def _in_words(network: nn.Module, player: Player, given: str) -> Iterator[None]:
    """Turn what a network raises into what was expected of it."""
    try:
        yield
    except CardiganError:
        raise
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        if ran_out(error):
            raise
        said = " ".join(str(error).split())[:300]
        gives = "images (B, C, H, W) in [-1, 1]" if player == "generator" else "logits (B, K)"
        raise CardiganError(
            f"The {player} {_kind(network)} fails on {given} and labels: {said}. Expected {gives}. Try it by hand: "
            f"gan.{player}(...)."
        ) from error


def _ends_with_sigmoid(logits: Tensor) -> bool:
    """Whether the last operation that changed the logits' values was a sigmoid."""
    node = logits.grad_fn
    while node is not None and node.name().rstrip("0123456789").removesuffix("Backward") in SHAPING:
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("SigmoidBackward")


def _kind(network: nn.Module) -> str:
    return f"{type(network).__module__}.{type(network).__name__}"


def _told(value: Any) -> str:
    """The shape of a tensor, the kind of anything else."""
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"as {type(value).__name__}"
