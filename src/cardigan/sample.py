"""The published model: a generator in a folder that opens without the run, and the drawing of images from it."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from cardigan import models
from cardigan.contracts import GeneratorNetwork
from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.out_of_memory import telling_of_memory
from cardigan.pixels import to_uint8
from cardigan.randomness import normal_rows

CHUNK = 16
"""Images drawn at once, always exactly so many: matrix products round differently at another size, and then an image
would depend on how many others were asked for."""


def publish(generator: GeneratorNetwork, folder: Path, *, facts: dict[str, Any]) -> None:
    """Write a generator as ``config.json`` and ``model.safetensors``, the weights plain (no parametrisations).

    Args:
        generator: in evaluation mode. It has ``arguments``, the keyword arguments that build it again.
        folder: where to.
        facts: JSON values to keep beside the architecture: class names, what it was trained on.

    Raises:
        CardiganError: if it has no such arguments, or they build another network.
    """
    arguments, plain = _rebuilt(generator)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().contiguous().cpu() for name, tensor in plain.items()}
    blob = safetensors.torch.save(weights)
    config = {
        "model": _model(type(generator)),
        "arguments": arguments,
        "sha256": hashlib.sha256(blob).hexdigest(),
        **facts,
    }
    replace_durably(folder / "model.safetensors", blob)
    replace_durably(folder / "config.json", json.dumps(config, indent=1).encode())


def _model(kind: type) -> str:
    """What a network is called in ``config.json``: the file of one of ours, ``module:class`` of any other.

    Example:
        >>> _model(models.load("dcgan").Generator), _model(nn.Linear)
        ('dcgan', 'torch.nn.modules.linear:Linear')
    """
    room, _, file = kind.__module__.rpartition(".")
    ours = room == models.__name__ and kind.__qualname__ == "Generator"
    return file if ours else f"{kind.__module__}:{kind.__qualname__}"


def _rebuilt(generator: GeneratorNetwork) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The arguments that build the generator again, and its weights under the names that they then have."""
    kind, arguments = type(generator), getattr(generator, "arguments", None)
    how = f"Set self.arguments in {kind.__qualname__}.__init__ to the keyword arguments that it was given."
    if not isinstance(arguments, dict):
        raise CardiganError(f"{_model(kind)} has no arguments that build it again, so it cannot be published. {how}")
    # Weights that spectral norm has already divided must not be opened under it again.
    arguments = arguments | ({"spectral": False} if "spectral" in arguments else {})
    try:
        with torch.random.fork_rng(devices=[]):  # its first weights are drawn, and not used
            again = kind(**arguments)
        return arguments, _plain_weights(generator, again)
    except (TypeError, KeyError, AttributeError, AssertionError) as error:
        said = " ".join(str(error).split())[:300]
        raise CardiganError(f"{_model(kind)}(**{arguments}) is not this generator again: {said} {how}") from error


def _plain_weights(generator: GeneratorNetwork, template: nn.Module) -> dict[str, Tensor]:
    """The state of the template, the same architecture without parametrisations: what each weight comes to.

    Removing them from a copy would also take them from the original, which shares the copy's class.
    """
    modules = dict(generator.named_modules())
    weights = {}
    for name, tensor in template.state_dict().items():
        owner, _, key = name.rpartition(".")
        weights[name] = getattr(modules[owner], key)
        assert weights[name].shape == tensor.shape, f"{name} has another shape."
    return weights


def is_model(folder: Path) -> bool:
    """Whether a folder holds a published generator."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.keys() >= {"model", "arguments", "sha256"}


class _ForeignModelError(CardiganError):
    """The model is of code that nobody has named."""


def load_generator(
    folder: Path, *, device: torch.device | str = "cpu", build: Callable[..., GeneratorNetwork] | None = None
) -> tuple[GeneratorNetwork, dict[str, Any]]:
    """The generator in a folder, in evaluation mode, and its configuration.

    Args:
        folder: where it lies.
        device: where to put it.
        build: the class of a network that is not one of ``cardigan.models``: code is run because you name it, and never
            because a file does.

    Raises:
        CardiganError: if the folder has no model, it is damaged, or it needs ``build``.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        blob = (folder / "model.safetensors").read_bytes()
        if hashlib.sha256(blob).hexdigest() != config["sha256"]:
            raise ValueError("model.safetensors does not match the SHA-256 in config.json.")
        weights = safetensors.torch.load(blob)
        model = config["model"]
        if build is None and re.fullmatch(r"[\w.]+:[\w.<>]+", model):
            raise _ForeignModelError(
                f"The model in {folder} is a {model}, which is not one of Cardigan's own, and is not imported because "
                f"a file says so. Give its class: load_generator(folder, build={model.rpartition(':')[2]})."
            )
        kind = build or models.load(model.replace("_", "-")).Generator
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then replaced
            network = kind(**config["arguments"])
        network.load_state_dict(weights)
    except _ForeignModelError:
        raise
    except FileNotFoundError as error:
        raise CardiganError(
            f"There is no model in {folder}: {Path(error.filename or '').name or 'a file'} is missing."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, safetensors.SafetensorError) as error:
        # PyTorch tells which weights do not fit in the lines after the first.
        told = " ".join(str(error).split())[:300]
        raise CardiganError(f"The model in {folder} is damaged: {told}") from error
    return network.to(device).eval(), config


def latents_for(network: GeneratorNetwork, count: int, *, seed: int, truncation: float = 1.0) -> Tensor:
    """Latents (count, latent), each a function of (seed, its place), so that longer draws begin like shorter ones.

    Args:
        network: tells the length.
        count: how many.
        seed: of the draw.
        truncation: below 1, every value is drawn towards the middle, so that none lies beyond twice it: less variety,
            fewer failures. 1 changes nothing.
    """
    latents = normal_rows(count, network.latent, seed=seed, stream="sample")
    if truncation < 1.0:
        # Folding the tail back by the normal's own distribution keeps each latent a function of its draw.
        limit = torch.special.ndtr(torch.tensor(2.0 * truncation))
        latents = torch.special.ndtri(0.5 + (torch.special.ndtr(latents) - 0.5) * (2.0 * limit - 1.0))
    return latents


def draw(network: GeneratorNetwork, latents: Tensor, labels: Tensor | None = None) -> np.ndarray:
    """Images of latents.

    Args:
        network: a generator in evaluation mode.
        latents: (N, latent).
        labels: classes (N,) for a conditional model.

    Returns:
        uint8 (N, H, W, C).

    Raises:
        TooLittleMemoryError: if the memory runs out.
    """
    device = next(network.parameters()).device
    pictures = []
    what = f"Drawing {CHUNK} images at once on {device}"
    other = "" if device.type == "cpu" else ", or draw on the CPU (--device cpu)"
    with torch.inference_mode(), telling_of_memory(what, f"Close other programs that use it{other}."):
        for start in range(0, len(latents), CHUNK):
            # The last chunk is filled up with its last latent.
            places = torch.arange(start, start + CHUNK).clamp(max=len(latents) - 1)
            classes = None if labels is None else labels[places].to(device)
            drawn = to_uint8(network(latents[places].to(device), classes)).cpu().numpy()
            pictures.append(drawn[: len(latents) - start])
    if not pictures:
        channels, height, width = network.shape
        return np.zeros((0, height, width, channels), dtype=np.uint8)
    return np.concatenate(pictures)


def interpolation(
    network: GeneratorNetwork, *, rows: int = 4, steps: int = 9, seed: int = 0, classes: int = 0
) -> np.ndarray:
    """Walks between pairs of latents on the sphere where normal latents live; one class a row.

    Returns:
        uint8 (rows, steps, H, W, C).

    Source: *Sampling Generative Networks*, White, 2016 (spherical interpolation).
    """
    ends = latents_for(network, 2 * rows, seed=seed)
    walks = []
    for row in range(rows):
        start, end = ends[2 * row], ends[2 * row + 1]
        angle = torch.arccos(torch.clamp(torch.dot(start, end) / (start.norm() * end.norm()), -1, 1))
        for share in torch.linspace(0, 1, steps):
            walks.append((torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle))
    labels = None
    if network.classes:
        labels = torch.arange(rows).remainder(network.classes).repeat_interleave(steps)
    pictures = draw(network, torch.stack(walks), labels)
    return pictures.reshape(rows, steps, *pictures.shape[1:])
