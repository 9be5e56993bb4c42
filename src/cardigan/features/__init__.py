"""What other networks see in images: frozen feature extractors, for perceptual losses, discriminators and metrics.

An extractor maps images to maps, the finest first, and is named by a text; see :func:`load`. A new kind of extractor is
one new file here that builds a :class:`Features`.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.features import classifier, timm_backbone
from cardigan.features._contract import Features, pooled, weights_digest, with_channels
from cardigan.paths import expanded
from cardigan.randomness import seeded

__all__ = ["Features", "load", "pooled", "weights_digest", "with_channels"]

FORMS = (
    "timm:NAME or timm:NAME=weights.safetensors (a network of the timm library), path/to/file.safetensors (a "
    "classifier saved by cardigan.features.classifier), or package.module:function (your own: it returns a network)"
)


def load(text: str) -> Features:
    """The extractor that a text names. Nothing is ever downloaded.

    Args:
        text: one of

            - ``timm:NAME``: a network of the timm library, with its published weights if they are in the local Hugging
              Face cache. Needs the extra ``timm``.
            - ``timm:NAME=weights.safetensors``: the same, with the weights in a file.
            - ``path/to/file.safetensors``: a classifier saved by :mod:`cardigan.features.classifier`.
            - ``package.module:function``: what your function returns when it is called without arguments, an
              ``nn.Module`` from images (B, 3, H, W) in [-1, 1] to a map or a list of maps, the finest first. Where it
              draws random weights it draws the same ones every time.

    Returns:
        The extractor, on the CPU; it follows its images from there.

    Raises:
        CardiganError: if the text, or what it names, cannot be used.
        MissingExtraError: if it needs timm and that is not installed.

    Example:
        >>> from cardigan.features.classifier import Classifier
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "small.safetensors")
        ...     Classifier(classes=10, channels=1, widths=(4, 8)).save(path)
        ...     features = load(str(path))
        >>> features.widths, features.strides
        ((4, 8), (1, 2))
    """
    (text,) = expanded([text])
    # Recipes may be built without weights, on the device "meta", just to check them; an extractor has weights or fails.
    with torch.device("cpu"), seeded(0, "features"):
        if text.startswith("timm:"):
            name, equals, path = text.removeprefix("timm:").partition("=")
            if name and bool(equals) == bool(path):
                return timm_backbone.load(name, path or None)
        elif text.endswith(".safetensors"):
            return classifier.load(text).features(name=text)
        elif re.fullmatch(r"\w+(\.\w+)*:\w+", text):
            return _own(text)
    raise CardiganError(f"There is no feature extractor {text!r}. Expected {FORMS}.")


def _own(text: str) -> Features:
    """The extractor that a user's function makes."""
    function = _function(text)
    try:
        network = function()
    except Exception as error:  # a stranger's function has errors of its own
        raise CardiganError(
            f"{text} failed ({type(error).__name__}: {error}). Expected a function that is called without arguments "
            f"and returns an nn.Module."
        ) from error
    if isinstance(network, Features):
        return network
    if not isinstance(network, nn.Module):
        raise CardiganError(f"{text} returned {type(network).__name__}, expected an nn.Module.")
    return Features(network, name=text)


def _function(text: str) -> Callable[[], Any]:
    where, _, name = text.partition(":")
    try:
        module = importlib.import_module(where)
    except Exception as error:  # a module runs when it is imported, and may fail in any way
        raise CardiganError(
            f"The module {where} cannot be imported ({type(error).__name__}: {error}). Expected one that Python finds: "
            f"install it, or set PYTHONPATH to the folder that it lies in."
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise CardiganError(
            f"The module {where} has no function {name}. Expected one that returns an nn.Module, as in "
            f"package.module:function."
        )
    return function
