"""Classifiers of our own as extractors: from a file, or trained here on the data's own labels.

For sets like MNIST a small network that knows their classes sees more than a large one that knows photos. What it
says is comparable only with what the very same classifier says, which its digest tells.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cardigan.data.cache import cache_folder
from cardigan.data.store import fingerprint
from cardigan.errors import CardiganError
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, check
from cardigan.evaluation.resize import CHANNELS, prepared
from cardigan.features import classifier, weights_digest
from cardigan.features.classifier import Classifier
from cardigan.float32 import repeatable
from cardigan.randomness import generator

STEPS, WIDTHS, BATCH = 600, (16, 32, 64), 128
"""Batches that it learns from, channels of its maps, and images in a batch: a minute or two for MNIST on one core."""
HELD, SHARE = 1000, 5
"""At most so many images, and at most one of so many, are kept out of training to tell how good it is."""
LEAST = 50
"""Images below which nothing is learned that would be worth a score."""


def from_file(path: str | Path, *, device: torch.device | str = "cpu") -> Extractor:
    """A classifier saved by :mod:`cardigan.features.classifier`: its last maps averaged, and its probabilities.

    Raises:
        CardiganError: if there is no such file, or it is another one.
    """
    return _extractor(classifier.load(path), str(path), device=device)


def own_classifier(
    images: Pixels,
    labels: npt.NDArray[np.integer],
    *,
    cache: str | Path | None = None,
    seed: int = 0,
    steps: int = STEPS,
    widths: tuple[int, ...] = WIDTHS,
    device: torch.device | str = "cpu",
) -> Extractor:
    """A small classifier trained on the data's own labels, or the one that was trained on them before.

    It learns from all images but a few, which tell how often it is right (see ``note``). The same images, labels and
    seed give the same digest on the same machine. It is kept in the folder of prepared images, below ``classifiers/``.

    Args:
        images: uint8 (N, H, W, C), real ones; the shorter side at least ``2 ** (len(widths) - 1)`` pixels.
        labels: classes (N,), from 0 on.
        cache: the folder of prepared images; None for the usual one.
        seed: of the weights, of all draws and of which images are held out.
        steps: batches of 128 images to learn from.
        widths: channels of each block's maps; the last is the width of the features.
        device: where to train and to run.

    Raises:
        CardiganError: if the images or labels cannot be learned from.
        TypeError: if the images are not uint8.

    Example:
        >>> import tempfile
        >>> images = np.zeros((64, 8, 8, 1), np.uint8)
        >>> images[::2] = 255
        >>> labels = np.arange(64) % 2
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = own_classifier(images, labels, cache=folder, steps=40, widths=(4, 8))
        >>> found.name, found.note
        ('own classifier', 'right on 100.0 % of 12 images that it did not learn from')
    """
    check(images)
    labels = np.asarray(labels)
    classes = _counted(images, labels)
    settings = f"{fingerprint(images, labels.astype(np.int64), ())} {seed} {steps} {widths} {HELD} {SHARE} {BATCH}"
    path = cache_folder(cache) / "classifiers" / f"{hashlib.sha256(settings.encode()).hexdigest()}.safetensors"
    order = torch.randperm(len(images), generator=generator(seed, "held out")).numpy()
    count = min(len(images) // SHARE, HELD)
    held, rest = np.sort(order[:count]), np.sort(order[count:])
    network = _kept(path)
    if network is None:
        network = classifier.train(
            images[rest],
            labels[rest],
            classes=classes,
            steps=steps,
            seed=seed,
            widths=widths,
            batch_size=BATCH,
            flip=images.shape[3] >= 3,  # photos may be mirrored, digits may not
            device=device,
        )
        with suppress(OSError):  # where it cannot be kept it will be trained again
            path.parent.mkdir(parents=True, exist_ok=True)
            network.save(path)
    right = classifier.accuracy(network, images[held], labels[held])
    note = f"right on {100 * right:.1f} % of {count:,} images that it did not learn from"
    return _extractor(network, "own classifier", learned_from="these images and their labels", note=note, device=device)


def _counted(images: Pixels, labels: npt.NDArray[np.integer]) -> int:
    """How many classes there are, once there is something to learn."""
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise CardiganError(
            f"{len(images):,} images came with labels of {labels.dtype} and shape {labels.shape}, expected one whole "
            f"number for each."
        )
    found = len(np.unique(labels))
    if found < 2 or len(images) < LEAST:
        raise CardiganError(
            f"A classifier cannot be trained on {len(images):,} images of {found} class{'es' * (found != 1)}, expected "
            f"at least {LEAST} images of 2 classes."
        )
    return int(labels.max()) + 1


def _kept(path: Path) -> Classifier | None:
    """The classifier in a file, or None if there is none that is whole."""
    try:
        return classifier.load(path)
    except CardiganError:
        return None


def _extractor(
    network: Classifier,
    name: str,
    *,
    learned_from: str = "unknown",
    note: str = "",
    device: torch.device | str,
) -> Extractor:
    digest = weights_digest(network)
    network = network.eval().requires_grad_(False).to(device)

    @torch.inference_mode()
    def look(images: Pixels) -> Seen:
        with repeatable(device):
            maps = network.trunk(prepared(images, channels=network.channels).to(device))[-1]
            features = maps.mean(dim=(2, 3))
            logits = network.head(features).cpu()  # Apple's GPUs have no float64
        return Seen(features.cpu().numpy(), logits.double().softmax(dim=1).float().numpy())

    return Extractor(
        name,
        digest,
        f"at their own size; {CHANNELS[network.channels]}; [-1, 1]; the mean of the last maps",
        network.widths[-1],
        look=look,
        classes=network.classes,
        learned_from=learned_from,
        note=note,
        chunk=BATCH,
    )
