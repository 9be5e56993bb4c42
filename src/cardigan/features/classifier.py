"""A small convolutional classifier: trained here in minutes, and then a feature extractor of one's own.

Blocks of two convolutions with batch normalisation, halved between blocks, averaged over places, one linear layer.

Source: the blocks are *Very Deep Convolutional Networks for Large-Scale Image Recognition*, Simonyan and Zisserman,
2015, with *Batch Normalization*, Ioffe and Szegedy, 2015.
"""

import copy
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.features._contract import Features
from cardigan.pixels import to_float
from cardigan.randomness import generator, seeded

FORMAT, VERSION = "cardigan classifier", 1
"""What a saved file says it is."""


class Trunk(nn.Module):
    """The convolutional part: images (B, channels, H, W) to the maps after each block's last ReLU.

    Args:
        channels: of the images, 1 to 4.
        widths: channels of each block's maps; each block after the first starts at half the sides.
    """

    def __init__(self, *, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for before, width in itertools.pairwise((channels, *widths)):
            layers: list[nn.Module] = []
            for inputs in (before, width):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            self.blocks.append(nn.Sequential(*layers))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, channels, H, W) in [-1, 1] in, maps (B, width, h, w) out, the finest first."""
        maps = [self.blocks[0](images)]
        for block in self.blocks[1:]:
            maps.append(block(F.max_pool2d(maps[-1], 2)))
        return maps


class Classifier(nn.Module):
    """A small classifier of images.

    Args:
        classes: how many it tells apart.
        channels: of the images, 1 to 4.
        widths: channels of each block's maps; each block after the first starts at half the sides, so the shorter side
            of an image has at least 2 ** (blocks - 1) pixels.

    Example:
        >>> Classifier(classes=10, widths=(4, 8))(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, *, classes: int, channels: int = 3, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.classes, self.channels, self.widths = classes, channels, tuple(widths)
        self.trunk = Trunk(channels=channels, widths=self.widths)
        self.head = nn.Linear(self.widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, channels, H, W) in [-1, 1] in, logits (B, classes) out."""
        return self.head(self.trunk(images)[-1].mean(dim=(2, 3)))

    def logits(self, images: Tensor) -> Tensor:
        """The logits (B, classes) of images (B, channels, H, W) in [-1, 1]; their softmax is the classes' chances."""
        return self(images)

    def features(self, *, name: str = "classifier") -> Features:
        """A frozen copy of the convolutional part, as a feature extractor."""
        return Features(copy.deepcopy(self.trunk), name=name, channels=self.channels)

    def save(self, path: str | Path) -> None:
        """Write the weights and what builds the network into one safetensors file, whole or not at all."""
        weights = {key: tensor.detach().cpu().contiguous() for key, tensor in self.state_dict().items()}
        arguments = {"classes": self.classes, "channels": self.channels, "widths": self.widths}
        facts = {"format": FORMAT, "version": str(VERSION), "arguments": json.dumps(arguments)}
        replace_durably(Path(path), safetensors.torch.save(weights, metadata=facts))


def load(path: str | Path) -> Classifier:
    """A classifier that was saved, on the CPU, in evaluation mode.

    Raises:
        CardiganError: if there is no such file, or it is not one that :meth:`Classifier.save` wrote.
    """
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            facts = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CardiganError(f"There is no file {path}, expected a classifier.") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise CardiganError(f"{path} is not a whole safetensors file ({error}).") from error
    if facts.get("format") != FORMAT:
        raise CardiganError(
            f"{path} holds weights but does not say of which network, expected a classifier saved by "
            f"cardigan.features.classifier. For weights of the timm library, type timm:NAME={path}"
        )
    if facts.get("version") != str(VERSION):
        raise CardiganError(
            f"{path} was written in version {facts.get('version')} of the format, expected {VERSION}: update cardigan."
        )
    try:
        # Without memory until the shapes are known to be those of the file.
        with torch.device("meta"):
            network = Classifier(**json.loads(facts["arguments"]))
        network.load_state_dict(weights, assign=True)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise CardiganError(f"{path} does not hold the weights of the network that it names: {told}") from error
    return network.eval()


def train(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.integer],
    *,
    classes: int | None = None,
    steps: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    widths: tuple[int, ...] = (32, 64, 128),
    batch_size: int = 128,
    learning_rate: float = 3e-3,
    shift: float = 0.125,
    flip: bool = False,
    device: torch.device | str = "cpu",
) -> Classifier:
    """Train a classifier: AdamW under one cycle of the learning rate, with smoothed labels and shifted images.

    The same seed and ``steps`` give the same classifier; with ``seconds`` it depends on the machine.

    Source: *Decoupled Weight Decay Regularization*, Loshchilov and Hutter, 2019; *Super-Convergence*, Smith and Topin,
    2018; *Rethinking the Inception Architecture*, Szegedy et al., 2016 (smoothed labels).

    Args:
        images: uint8 (N, H, W, C).
        labels: classes (N,), from 0 on.
        classes: how many there are; None takes one more than the largest label.
        steps: batches to learn from; either this or ``seconds``.
        seconds: time to learn for.
        seed: of the weights and of all draws.
        widths: channels of each block's maps.
        batch_size: images in each batch, or all if there are fewer.
        learning_rate: at its highest, after a tenth of the time.
        shift: how far images are moved at most, as a share of each side; their border goes on.
        flip: mirror half of the images left and right: for photos, not for digits.
        device: where to train.

    Returns:
        The classifier, in evaluation mode, on ``device``.

    Raises:
        CardiganError: if the images or labels cannot be learned from.

    Example:
        >>> images = np.zeros((64, 8, 8, 1), np.uint8)
        >>> images[:32] = 255
        >>> labels = np.arange(64) // 32
        >>> accuracy(train(images, labels, steps=40, widths=(4, 8)), images, labels)
        1.0
    """
    start = time.monotonic()
    images, labels = np.asarray(images), np.asarray(labels)
    classes = _checked(images, labels, classes, widths)
    if (steps is None) == (seconds is None) or (steps or seconds or 0) <= 0:
        raise CardiganError(f"steps is {steps} and seconds is {seconds}, expected one of the two, and more than 0.")
    with seeded(seed, "init"):
        network = Classifier(classes=classes, channels=images.shape[3], widths=widths)
    network.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.05)
    answers = torch.from_numpy(labels.astype(np.int64))
    for step, places in enumerate(_order(len(images), batch_size, seed)):
        done = (step + 0.5) / steps if steps is not None else (time.monotonic() - start) / (seconds or 1e-9)
        if done >= 1.0:
            break
        optimizer.param_groups[0]["lr"] = learning_rate * max(min(done / 0.1, (1.0 - done) / 0.9), 0.01)
        drawn = torch.from_numpy(images[places.numpy()])
        rng = generator(seed, "changes", step)
        pixels = to_float(_changed(drawn, shift=shift, flip=flip, rng=rng).to(device))
        logits = network(pixels.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, answers[places].to(device), label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.to(memory_format=torch.contiguous_format).eval()  # pyright: ignore[reportCallIssue]


def accuracy(
    classifier: Classifier, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], *, batch_size: int = 256
) -> float:
    """The share of images whose largest logit is their label's.

    Args:
        classifier: asked in evaluation mode, and left as it was.
        images: uint8 (N, H, W, C), C being the classifier's ``channels``.
        labels: classes (N,).
        batch_size: images asked at once.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    _checked(images, labels, classifier.classes, classifier.widths)
    device, was_training = classifier.head.weight.device, classifier.training
    right = 0
    classifier.eval()
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            found = classifier(to_float(torch.from_numpy(np.ascontiguousarray(images[part])).to(device))).argmax(dim=1)
            right += int((found.cpu().numpy() == labels[part]).sum())
    classifier.train(was_training)
    return right / len(images)


def _checked(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], classes: int | None, widths: tuple[int, ...]
) -> int:
    """The number of classes, once images and labels are known to be such."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 2, 3, 4):
        raise CardiganError(
            f"Images to classify are uint8 of shape (N, H, W, C) with 1 to 4 channels, got {images.dtype} of shape "
            f"{images.shape}."
        )
    if min(images.shape[1:3]) < 2 ** (len(widths) - 1):
        raise CardiganError(
            f"Images of {images.shape[1]}x{images.shape[2]} pixels cannot be halved {len(widths) - 1} times. Use fewer "
            f"widths than {widths}."
        )
    if labels.shape != images.shape[:1] or not len(labels) or not np.issubdtype(labels.dtype, np.integer):
        raise CardiganError(
            f"{len(images)} images came with labels of {labels.dtype} and shape {labels.shape}, expected one whole "
            f"number for each."
        )
    count = int(labels.max()) + 1 if classes is None else classes
    if labels.min() < 0 or labels.max() >= count:
        raise CardiganError(
            f"Labels lie between {labels.min()} and {labels.max()}, expected 0 to {count - 1} for {count} classes."
        )
    return count


def _order(count: int, batch_size: int, seed: int) -> Iterator[Tensor]:
    """The places of the images of each batch, without end: every pass in an order of its own, its rest left out."""
    batch_size = min(batch_size, count)
    for epoch in itertools.count():
        order = torch.randperm(count, generator=generator(seed, "order", epoch))
        yield from order[: count // batch_size * batch_size].split(batch_size)


def _changed(images: Tensor, *, shift: float, flip: bool, rng: torch.Generator) -> Tensor:
    """Images (B, H, W, C), each moved and perhaps mirrored by draws of its own."""
    count, height, width, _ = images.shape
    rows, columns = (_moved(count, side, shift, rng) for side in (height, width))
    if flip:
        mirrored = torch.rand(count, 1, generator=rng) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    return images[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]


def _moved(count: int, side: int, shift: float, rng: torch.Generator) -> Tensor:
    """For each image the places (count, side) that its rows are read from; beyond the border the last goes on."""
    most = round(side * shift)
    offsets = torch.randint(-most, most + 1, (count, 1), generator=rng)
    return (torch.arange(side) + offsets).clamp(0, side - 1)
