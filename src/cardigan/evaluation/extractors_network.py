"""Frozen networks as extractors: whatever :func:`cardigan.features.load` knows, and DINOv2."""

import hashlib
import inspect
import sys
from pathlib import Path

import safetensors
import torch

from cardigan.errors import CardiganError
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen
from cardigan.evaluation.resize import CHANNELS, RESIZER, prepared
from cardigan.features import Features, load, timm_backbone
from cardigan.float32 import repeatable

LEAST, PLACES = 64, 7
"""The shorter side of an image has at least so many pixels, and of the deepest map so many places: as many as those of
the networks that learned from ImageNet at 224 pixels."""
DINOV2 = {384: "vit_small", 768: "vit_base", 1024: "vit_large", 1536: "vit_giant"}
"""timm's name of each size of DINOv2, by its width."""
SIDE = 224
"""What DINOv2 is shown, in pixels: 16 patches of 14."""


def from_features(text: str, *, device: torch.device | str = "cpu") -> Extractor:
    """A network that :func:`cardigan.features.load` knows: its deepest map, averaged over its places.

    Small images are enlarged until the deepest map has seven places across, and to 64 pixels at least; others are shown
    as they are.

    Args:
        text: see there.
        device: where it runs.

    Raises:
        CardiganError: if the text, or what it names, cannot be used, or later on fails on images of some size.
        MissingExtraError: if it needs timm and that is not installed.
    """
    features = load(text)
    least = max(LEAST, PLACES * features.strides[-1])

    @torch.inference_mode()
    def look(images: Pixels) -> Seen:
        pixels = prepared(images, channels=features.channels, size=_enlarged(images.shape[1], images.shape[2], least))
        try:
            with repeatable(device):
                maps = features(pixels.to(device))
        except Exception:  # a stranger's network has errors of its own
            features.check_size(*pixels.shape[2:])
            raise
        return Seen(maps[-1].mean(dim=(2, 3)).float().cpu().numpy(), None)

    told = (
        f"the shorter side enlarged to {least} where it is less, {RESIZER}; {CHANNELS[features.channels]}; [-1, 1]; "
        f"the mean of the deepest map"
    )
    learned_from = "ImageNet (as most of timm's networks)" if text.startswith("timm:") else "unknown"
    return Extractor(text, _digest(features, text), told, features.widths[-1], look=look, learned_from=learned_from)


def dinov2(path: str | Path | None = None, *, device: torch.device | str = "cpu") -> Extractor:
    """DINOv2 through timm: the class token after the last normalisation, at 224x224.

    Source: *DINOv2: Learning Robust Visual Features without Supervision*, Oquab et al., 2023; as a judge of generators:
    *Exposing Flaws of Generative Model Evaluation Metrics*, Stein et al., 2023, who use its large size.

    Args:
        path: a safetensors file of any of its sizes, as timm publishes them; None for the small one from the local
            Hugging Face cache.
        device: where it runs.

    Raises:
        CardiganError: if there are no weights, or they are another network's.
        MissingExtraError: if timm is not installed.
    """
    name = "vit_small_patch14_dinov2" if path is None else _architecture(Path(path))
    network, file = timm_backbone.vectors(name, path, side=SIDE)
    network = network.eval().requires_grad_(False).to(device)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()

    @torch.inference_mode()
    def look(images: Pixels) -> Seen:
        with repeatable(device):
            (tokens,) = network(prepared(images, channels=3, size=SIDE).to(device))
        return Seen(tokens.float().cpu().numpy(), None)

    told = f"{SIDE}x{SIDE}, {RESIZER}; {CHANNELS[3]}; normalised as timm does; the class token"
    width = look(torch.zeros(1, SIDE, SIDE, 3, dtype=torch.uint8).numpy()).features.shape[1]
    return Extractor(f"dinov2 ({name})", digest, told, width, look=look, learned_from="LVD-142M")


def _enlarged(height: int, width: int, least: int) -> tuple[int, int] | None:
    """The size with a shorter side of at least ``least`` and the same proportions; None where it has that already."""
    short = min(height, width)
    return None if short >= least else (round(height * least / short), round(width * least / short))


def _architecture(path: Path) -> str:
    """timm's name of the DINOv2 whose weights lie in a file."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = set(file.keys())
            width = file.get_slice("cls_token").get_shape()[-1] if "cls_token" in names else 0
    except (safetensors.SafetensorError, OSError) as error:
        raise CardiganError(
            f"{path} is not a safetensors file that can be read ({error}). Expected the weights of a DINOv2 as timm "
            f"publishes them, model.safetensors."
        ) from error
    if width not in DINOV2:
        raise CardiganError(
            f"{path} does not hold a DINOv2: its class token has {width} numbers, expected "
            f"{', '.join(map(str, DINOV2))}. For another network of timm, type timm:NAME={path}"
        )
    registers = "_reg4" if {"reg_token", "register_tokens"} & names else ""
    return f"{DINOV2[width]}_patch14{registers}_dinov2"


def _digest(features: Features, text: str) -> str:
    """The weights' digest; for a user's own network also of the source it is written in, for weights are not all."""
    where, colon, _ = text.partition(":")
    modules = {where, type(features.network).__module__} & set(sys.modules) if colon and where != "timm" else set()
    digest = hashlib.sha256(features.digest.encode())
    for name in sorted(modules):
        try:
            digest.update(inspect.getsource(sys.modules[name]).encode())
        except (OSError, TypeError):  # no file of text: typed in by hand, or compiled
            digest.update(name.encode())
    return digest.hexdigest() if modules else features.digest
