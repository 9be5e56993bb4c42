"""The Inception network of 2015, which published Fréchet distances and Inception Scores look through.

The network is torch-fidelity's (the extra ``fidelity``). Its weights are read from a file whose SHA-256 is known, and
never fetched.

Source: *Rethinking the Inception Architecture for Computer Vision*, Szegedy et al., 2016; *Improved Techniques for
Training GANs*, Salimans et al., 2016; *GANs Trained by a Two Time-Scale Update Rule*, Heusel et al., 2017.
"""

import hashlib
import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cardigan.errors import CardiganError, MissingExtraError
from cardigan.evaluation.extractors_contract import Extractor, Pixels, Seen
from cardigan.evaluation.resize import CHANNELS, RESIZER, prepared
from cardigan.float32 import repeatable
from cardigan.pixels import to_uint8

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIZE = 95_628_359
"""Bytes of the published file."""
FILES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
"""Names under which torch-fidelity and pytorch-fid keep the same file."""
ADDRESS = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILES[0]}"
SIDE, WIDTH, CLASSES = 299, 2048, 1008
LAYERS = ["2048", "logits_unbiased"]
"""What torch-fidelity calls the last pooling, and the logits without their bias that Inception Scores are made of."""


def inception(path: str | Path | None = None, *, legacy: bool = False, device: torch.device | str = "cpu") -> Extractor:
    """The 2015 Inception: 2,048 features from its last pooling, and the probabilities of Inception Scores.

    Args:
        path: the file of weights; None looks for it in torch's cache of weights.
        legacy: let the network resize images itself, as TensorFlow 1 did, without antialiasing. For comparing with
            figures that were published so, and for nothing else.
        device: where it runs.

    Raises:
        CardiganError: if there is no file of weights, or it is another one.
        MissingExtraError: if torch-fidelity is not installed.
    """
    name = "inception-legacy" if legacy else "inception"
    make = _library(name)
    blob = _read(_found() if path is None else Path(path))
    # The library unpickles what it is given: bytes that are known to the last bit, in memory, where none can change.
    network = make(name, LAYERS, feature_extractor_weights_path=io.BytesIO(blob)).to(device)

    @torch.inference_mode()
    def look(images: Pixels) -> Seen:
        with repeatable(device):
            if legacy:
                features, logits = network(to_uint8(prepared(images, channels=3)).movedim(3, 1).to(device))
            else:
                features = _pooled(network, prepared(images, channels=3, size=SIDE).to(device))
                logits = features @ network.fc.weight.T
        logits = logits.cpu()  # Apple's GPUs have no float64
        return Seen(features.cpu().numpy(), logits.double().softmax(dim=1).float().numpy())

    resizer = "bilinear as in TensorFlow 1 (not antialiased)" if legacy else RESIZER
    told = f"{SIDE}x{SIDE}, {resizer}; {CHANNELS[3]}; (pixel - 128) / 128"
    return Extractor(name, SHA256, told, WIDTH, look=look, classes=CLASSES, learned_from="ImageNet")


def _pooled(network: Any, images: Tensor) -> Tensor:
    """Images (B, 3, 299, 299) in [-1, 1] through all but the last layer; torch-fidelity's own way in wants uint8."""
    maps = ((images + 1.0) * 127.5 - 128.0) / 128.0
    for name, layer in network.named_children():
        if name != "fc":
            maps = layer(maps)
    return maps.flatten(1)


def _found() -> Path:
    """The file of weights in torch's cache."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise CardiganError(
        f"The weights of the 2015 Inception are not on this machine, and nothing is downloaded unasked. Fetch "
        f"{ADDRESS} ({SIZE:,} bytes, SHA-256 {SHA256}) and leave it as {folder / FILES[0]}, or name the file: "
        f"inception=path/to/{FILES[0]}"
    )


def _read(path: Path) -> bytes:
    """The bytes of the file, once they are known to be the published ones."""
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise CardiganError(
            f"{path} cannot be read ({error.strerror or error}). Expected the weights of the 2015 Inception: fetch "
            f"{ADDRESS}"
        ) from error
    digest = hashlib.sha256(blob).hexdigest()
    if digest != SHA256:
        raise CardiganError(
            f"{path} is not the 2015 Inception: it has {len(blob):,} bytes and the SHA-256 {digest}, expected {SIZE:,} "
            f"bytes and {SHA256}. Fetch it again from {ADDRESS}"
        )
    return blob


def _library(name: str) -> Any:
    """The network's class, without the rest of its package.

    What the package imports on top needs a torchvision that fits this PyTorch, and the network needs none. So its files
    are imported below an empty package, which leaves no trace: whoever imports torch-fidelity afterwards gets it whole.
    """
    before = {module: sys.modules[module] for module in sys.modules if module.partition(".")[0] == "torch_fidelity"}
    spec = importlib.util.find_spec("torch_fidelity")
    if spec is None:
        raise MissingExtraError(f"The feature extractor {name}", extra="fidelity")
    try:
        for module in before:
            del sys.modules[module]
        sys.modules["torch_fidelity"] = importlib.util.module_from_spec(spec)
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )
    except ImportError as error:
        raise CardiganError(
            f"The torch-fidelity library is installed but has no Inception that can be imported ({error}). Expected "
            f'version 0.4 or newer: pip install --upgrade "cardigan[fidelity]"'
        ) from error
    finally:
        for module in [each for each in sys.modules if each.partition(".")[0] == "torch_fidelity"]:
            del sys.modules[module]
        sys.modules.update(before)
    return FeatureExtractorInceptionV3
