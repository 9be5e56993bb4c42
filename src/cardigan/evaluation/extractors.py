"""Which eyes a score looks through: an extractor is named by a text, or chosen by what is there.

A new kind of extractor is one new file here that builds an :class:`Extractor`, and one line below.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cardigan.errors import CardiganError
from cardigan.evaluation.extractors_arithmetic import gradients, pixels
from cardigan.evaluation.extractors_classifier import from_file, own_classifier
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen, check
from cardigan.evaluation.extractors_network import dinov2, from_features
from cardigan.evaluation.inception import inception
from cardigan.paths import expanded

__all__ = ["Extractor", "Seen", "default_extractor", "extractor", "own_classifier"]

FORMS = (
    "inception or inception=FILE (the 2015 Inception; inception-legacy resizes as TensorFlow 1 did), dinov2 or "
    "dinov2=FILE, own (a classifier trained on the data's own labels), pixels, gradients, or any extractor of "
    "cardigan.features: timm:NAME, timm:NAME=FILE, path/to/classifier.safetensors, package.module:function"
)
SMALL, SMALL_GREY = 32, 64
"""Sides up to which labelled images, or labelled grey ones, are taken to be like MNIST."""


def extractor(
    text: str,
    *,
    images: Pixels | None = None,
    labels: npt.NDArray[np.integer] | None = None,
    cache: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> Extractor:
    """The extractor that a text names. Nothing is ever downloaded.

    Args:
        text: one of

            - ``inception``, ``inception=FILE``: the 2015 Inception, from torch's cache of weights or from a file. Needs
              the extra ``fidelity``. ``inception-legacy`` lets it resize as TensorFlow 1 did.
            - ``dinov2``, ``dinov2=FILE``: DINOv2, the small one from the local Hugging Face cache or any from a
              safetensors file. Needs the extra ``timm``.
            - ``own``: a small classifier trained on ``images`` and ``labels``.
            - ``pixels``: principal components of small pictures, found in ``images``.
            - ``gradients``: histograms of edges.
            - a text of :func:`cardigan.features.load`.
        images: real training images, uint8 (N, H, W, C), for those that learn from them.
        labels: their classes (N,), from 0 on.
        cache: the folder of prepared images, where trained classifiers are kept; None for the usual one.
        device: where networks run.

    Raises:
        CardiganError: if the text, or what it names, cannot be used.
        MissingExtraError: if it needs a library that is not installed.

    Example:
        >>> extractor("gradients").width
        440
    """
    (text,) = expanded([text])
    kind, equals, path = text.partition("=")
    if kind in ("inception", "inception-legacy", "dinov2"):
        if bool(equals) != bool(path):
            raise CardiganError(f"{text} names no file, expected {kind} or {kind}=FILE.")
        if kind == "dinov2":
            return dinov2(path or None, device=device)
        return inception(path or None, legacy=kind == "inception-legacy", device=device)
    if text == "gradients":
        return gradients()
    if text == "pixels":
        return pixels(_given(images, "The extractor pixels", "real images"))
    if text == "own":
        needed = "real images and their labels"
        return own_classifier(
            _given(images, "The extractor own", needed),
            _given(labels, "The extractor own", needed),
            cache=cache,
            device=device,
        )
    if text.endswith(".safetensors") and not text.startswith("timm:"):
        return from_file(text, device=device)
    if ":" in text:
        return from_features(text, device=device)
    raise CardiganError(f"There is no extractor {text!r}. Expected {FORMS}.")


def default_extractor(
    images: Pixels,
    labels: npt.NDArray[np.integer] | None = None,
    *,
    cache: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Extractor, str]:
    """The best extractor for some images among those that are there, and why it was chosen, in words.

    For colours: the 2015 Inception, for comparability; DINOv2; for images up to 32 pixels with labels, a classifier of
    their own; pixels. For grey: up to 64 pixels with labels, a classifier of their own; DINOv2; Inception; pixels.

    Args:
        images: real training images, uint8 (N, H, W, C).
        labels: their classes (N,), from 0 on, or None.
        cache: the folder of prepared images; None for the usual one.
        device: where networks run.

    Returns:
        The extractor, and one sentence.

    Raises:
        CardiganError: if not even pixels can be compared.
        TypeError: if the images are not uint8.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 96, 96, 1), np.uint8)
        >>> found, why = default_extractor(images)
        >>> found.name, why.partition(";")[0]
        ('pixels (PCA)', 'Raw pixels, as the last resort: they hardly see what a picture shows')
    """
    check(images)
    grey = images.shape[3] <= 2
    ways: dict[str, Callable[[], Extractor]] = {
        "inception": lambda: inception(device=device),
        "dinov2": lambda: dinov2(device=device),
        "own": lambda: _own(images, labels, cache, device, grey),
    }
    missed = []
    for kind in ("own", "dinov2", "inception") if grey else ("inception", "dinov2", "own"):
        try:
            found = ways[kind]()
        except CardiganError as problem:
            missed.append(f"{kind}: {_first(problem)}")
            continue
        return found, _told(_reason(kind, grey), missed)
    last = "Raw pixels, as the last resort: they hardly see what a picture shows"
    return pixels(images), _told(last, missed)


def _given(value: npt.NDArray[Any] | None, what: str, needed: str) -> npt.NDArray[Any]:
    if value is None:
        raise CardiganError(f"{what} learns from {needed}, and none were given. Expected a data set that has them.")
    return value


def _own(
    images: Pixels,
    labels: npt.NDArray[np.integer] | None,
    cache: str | Path | None,
    device: torch.device | str,
    grey: bool,
) -> Extractor:
    height, width, most = *images.shape[1:3], SMALL_GREY if grey else SMALL
    if labels is None:
        raise CardiganError("The images have no labels.")
    if max(height, width) > most:
        raise CardiganError(f"The images have {height}x{width} pixels, more than {most}.")
    return own_classifier(images, labels, cache=cache, device=device)


def _reason(kind: str, grey: bool) -> str:
    return {
        "own": "A classifier trained on the data's own labels, which knows small images like these better than a "
        "network of photos",
        "dinov2": "DINOv2, whose weights are on this machine",
        "inception": "The 2015 Inception, whose weights are on this machine"
        + (", on grey repeated for each colour, so that its numbers are relative only" if grey else ""),
    }[kind]


def _told(reason: str, missed: list[str]) -> str:
    """A reason, and what was tried before."""
    return f"{reason}." if not missed else f"{reason}; tried before: {'; '.join(missed)}."


def _first(problem: CardiganError) -> str:
    """What a problem says up to its first full stop that ends a sentence."""
    return str(problem).partition(". ")[0].removesuffix(".")
