"""Networks of the timm library as feature extractors. Needs the extra ``timm``; reads local files only."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from cardigan.discovery import suggestion
from cardigan.errors import CardiganError, MissingExtraError
from cardigan.features._contract import Features


class Backbone(nn.Module):
    """A network of timm behind its own normalisation of pixels.

    Args:
        network: ``images (B, 3, H, W)`` as timm prepares them ``-> maps``.
        mean: what timm subtracts from each channel of pixels in [0, 1].
        deviation: what it then divides them by.

    Example:
        >>> white = torch.ones(1, 3, 1, 1)
        >>> Backbone(nn.Identity(), mean=(0.5, 0.5, 0.5), deviation=(0.25, 0.5, 1.0))(white)[0].flatten().tolist()
        [2.0, 1.0, 0.5]
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, *, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None])
        # Some networks keep channels last on the inside and give their maps so.
        layout = getattr(network, "output_fmt", None)
        self.channels_last = getattr(layout, "value", layout) == "NHWC"

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in [-1, 1] in, maps (B, F, h, w) out, the finest first."""
        maps = self.network(((images + 1.0) / 2.0 - self.mean) / self.deviation)
        maps = [maps] if isinstance(maps, Tensor) else list(maps)
        return [each.movedim(3, 1) for each in maps] if self.channels_last else maps


def load(name: str, path: str | Path | None = None) -> Features:
    """A network of timm, frozen.

    Args:
        name: as timm has it, such as ``"resnet18"`` or ``"resnet18.a1_in1k"``.
        path: its weights, a safetensors file of the whole network with any number of classes. None: the published
            weights, which must be in the local Hugging Face cache.

    Raises:
        CardiganError: if timm has no such network, or there are no weights, or they are another network's.
        MissingExtraError: if timm is not installed.
    """
    text = _text(name, path)
    timm, settings, file = _opened(name, path)
    try:
        if path is not None:
            _check_weights(timm, name, settings, file)
        with _quiet():
            network = _created(timm, name, file, features_only=True)
    except Exception as error:  # PyTorch, safetensors and each of timm's networks have errors of their own
        told = " ".join(str(error).split())[:300]
        raise CardiganError(
            f"{text} cannot be used ({type(error).__name__}: {told}). Expected a network that timm builds with "
            f"features_only=True, and all its weights in {file}."
        ) from error
    return Features(Backbone(network, mean=settings.mean, deviation=settings.std), name=text)


def vectors(name: str, path: str | Path | None = None, *, side: int) -> tuple[Backbone, Path]:
    """A network of timm without its head: of a transformer such as DINOv2 the class token, after the last norm.

    Args:
        name: as of :func:`load`.
        path: as of :func:`load`.
        side: of the images that it will be shown, in pixels; its positions are interpolated to that.

    Returns:
        The network, ``images (B, 3, side, side) in [-1, 1] -> [vectors (B, F)]``, on the CPU, and its file of weights.

    Raises:
        CardiganError: as :func:`load`.
        MissingExtraError: if timm is not installed.
    """
    timm, settings, file = _opened(name, path)
    try:
        # A head that is not asked for would make timm take whatever fits.
        whole = {"num_classes": 0, "label_offset": 0}
        network = _created(timm, name, file, num_classes=0, img_size=side, overlay=whole)
    except Exception as error:  # PyTorch, safetensors and each of timm's networks have errors of their own
        told = " ".join(str(error).split())[:300]
        raise CardiganError(
            f"{_text(name, path)} cannot be used ({type(error).__name__}: {told}). Expected a network that timm builds "
            f"with img_size={side}, and its weights without a head in {file}."
        ) from error
    return Backbone(network, mean=settings.mean, deviation=settings.std), file


def _text(name: str, path: str | Path | None) -> str:
    return f"timm:{name}" if path is None else f"timm:{name}={path}"


def _opened(name: str, path: str | Path | None) -> tuple[Any, Any, Path]:
    """The library, what it knows of a network's published weights, and the file that they are read from."""
    text = _text(name, path)
    timm = _library(text)
    if not timm.is_model(name):
        known = timm.list_models()
        raise CardiganError(
            f"The timm library {timm.__version__} has no network {name!r}.{suggestion(name, known)} Expected one of "
            f"the {len(known)} that timm.list_models() shows."
        )
    settings = _settings(timm, name)
    file = _cached(name, settings) if path is None else Path(path)
    if path is not None:
        _check_file(file, text)
    return timm, settings, file


def _library(text: str) -> Any:
    try:
        import timm  # pyright: ignore[reportMissingImports]
    except Exception as error:
        if isinstance(error, ImportError) and error.name == "timm":
            raise MissingExtraError(f"The feature extractor {text}", extra="timm") from error
        raise CardiganError(
            f"The timm library is installed but cannot be imported ({type(error).__name__}: {error}). It needs a "
            f"torchvision that was built for this PyTorch ({torch.__version__}): install both from the same index."
        ) from error
    return timm


def _settings(timm: Any, name: str) -> Any:
    """What timm knows of a network's published weights."""
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise CardiganError(f"The timm library has no weights {name!r} ({error}).") from error
    if settings is None:
        raise CardiganError(f"The timm library does not say how {name!r} wants its pixels. Expected another network.")
    return settings


def _cached(name: str, settings: Any) -> Path:
    """The published weights where the Hugging Face libraries keep them. Asks no network."""
    if not settings.hf_hub_id:
        raise CardiganError(
            f"The timm library publishes no weights of {name!r}. Give a file: timm:{name}=weights.safetensors"
        )
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(settings.hf_hub_id, "model.safetensors")
    if not isinstance(found, str):
        raise CardiganError(
            f"The weights of timm:{name} are not in the local Hugging Face cache, and nothing is downloaded unasked. "
            f"Fetch them once with: hf download {settings.hf_hub_id} model.safetensors. Or give the file: "
            f"timm:{name}=path/to/model.safetensors"
        )
    return Path(found)


def _check_file(path: Path, text: str) -> None:
    if path.suffix != ".safetensors":
        raise CardiganError(f"{text} names {path.name}, expected a file of weights that ends in .safetensors.")
    if not path.is_file():
        raise CardiganError(f"There is no file {path}, expected the weights of {text.partition('=')[0]}.")


def _check_weights(timm: Any, name: str, settings: Any, path: Path) -> None:
    """Load the whole network once: features alone take whatever fits and are silent on the rest."""
    heads = settings.classifier
    head = heads if isinstance(heads, str | None) else heads[0]
    with safetensors.safe_open(path, framework="pt") as file:
        key = f"{head}.weight"
        classes = file.get_slice(key).get_shape()[0] if key in file.keys() else 0  # noqa: SIM118
    _created(timm, name, path, num_classes=classes, overlay={"num_classes": classes, "label_offset": 0})


@contextmanager
def _quiet() -> Iterator[None]:
    """Without timm's warnings of weights left over: features need no head."""
    log = logging.getLogger("timm.models._builder")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _created(timm: Any, name: str, path: Path, *, overlay: dict[str, Any] | None = None, **options: Any) -> nn.Module:
    overlay = {"file": str(path), "custom_load": False, **(overlay or {})}
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
