"""The state of a training: everything that must be kept to go on as if nothing had happened.

There is no random state in it: every random number is a function of (seed, stream, images seen).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cardigan.clock import Progress
from cardigan.contracts import Player
from cardigan.errors import CardiganError
from cardigan.randomness import STREAMS
from cardigan.training.loop import PLAYERS, Training
from cardigan.training.optimizers import laid_out


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint.

    Args:
        folder: where it lies.
        step: turns taken.
        state: everything in it that is not a tensor.
        files: tensors by file name and by their own name.
    """

    folder: Path
    step: int
    state: dict[str, Any]
    files: dict[str, dict[str, Tensor]]


def capture(training: Training) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Everything that :func:`restore` needs: tensors by file, and the rest as JSON values.

    Raises:
        NonFiniteError: if a step was not finite whose verdict had not been read yet.
    """
    training.judge()
    files: dict[str, dict[str, Tensor]] = {"average": training.average.network.state_dict()}
    progress = training.progress
    state: dict[str, Any] = {
        "images": progress.images,
        "turns": progress.turns,
        "seconds": progress.seconds,
        "steps": dict(progress.steps),
        "last": progress.last,
        "streak": progress.streak,
        "smoothed": {player: float(value) for player, value in progress.smoothed.items()},
        "average_images": training.average.images,
        "rate_scale": training.rate_scale,
        "streams": STREAMS,
        "rates": {
            player: [[group["lr"], full] for group, full in zip(groups, training.full_rates[player], strict=True)]
            for player, groups in ((player, training.optimizers[player].param_groups) for player in PLAYERS)
        },
        "optimizers": {player: type(training.optimizers[player]).__name__ for player in PLAYERS},
    }
    if isinstance(training.gan.augment, nn.Module):
        files["augment"] = nn.Module.state_dict(training.gan.augment)
    for player in PLAYERS:
        files[player] = training.gan.network(player).state_dict()
        packed = training.optimizers[player].state_dict()["state"]
        files[f"{player}-optimizer"] = {
            f"{index}.{name}": torch.as_tensor(value)
            for index, values in packed.items()
            for name, value in values.items()
        }
    return files, state


def restore(training: Training, checkpoint: Checkpoint) -> None:
    """Put a training back to where the checkpoint was taken.

    Raises:
        CardiganError: if the networks have another architecture, or the optimizers are of another kind; the message
            names what differs.
    """
    state, progress = checkpoint.state, training.progress
    training.unread.clear()
    networks: dict[str, nn.Module] = {player: training.gan.network(player) for player in PLAYERS}
    networks["average"] = training.average.network
    if isinstance(training.gan.augment, nn.Module):
        networks["augment"] = training.gan.augment
    for name, network in networks.items():
        _check_shapes(name, network.state_dict(), checkpoint.files.get(name, {}))
    kinds = {player: type(training.optimizers[player]).__name__ for player in PLAYERS}
    if kinds != state["optimizers"]:
        raise CardiganError(
            f"The checkpoint was made with other optimizers ({state['optimizers']} then, {kinds} now), so this run "
            f"cannot be resumed with them. Use the settings it was started with, or another --out."
        )
    for name, network in networks.items():
        network.load_state_dict(checkpoint.files[name])
    for player in PLAYERS:
        optimizer = training.optimizers[player]
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        packed: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.files[f"{player}-optimizer"].items():
            index, _, name = key.partition(".")
            weight = weights[int(index)]
            # The optimizer would keep this very tensor and write into it, and the checkpoint could not be used again.
            own = value.clone()
            packed.setdefault(int(index), {})[name] = laid_out([own], [weight])[0] if own.shape == weight.shape else own
        optimizer.load_state_dict({"state": packed, "param_groups": optimizer.state_dict()["param_groups"]})
    training.average.images = state["average_images"]
    training.rate_scale = state["rate_scale"]
    _put_back_rates(training, state.get("rates", {}))
    smoothed: dict[Player, Tensor | float] = {
        player: torch.tensor(value, device=training.device) for player, value in state["smoothed"].items()
    }
    saved = Progress(
        images=state["images"],
        turns=state["turns"],
        seconds=state["seconds"],
        steps=dict(state["steps"]),
        last=tuple(state["last"]),
        streak=state["streak"],
        smoothed=smoothed,
    )
    progress.__dict__.update(saved.__dict__)


def _put_back_rates(training: Training, saved: dict[Player, list[list[float]]]) -> None:
    """The learning rates as they were, also where somebody lowered them by hand; none in checkpoints of before.

    Where a training was made with other settings, a rate is the same share of what is set now.
    """
    for player, rates in saved.items():
        groups, fulls = training.optimizers[player].param_groups, training.full_rates[player]
        if len(rates) == len(groups):
            for group, full, (rate, was) in zip(groups, fulls, rates, strict=True):
                group["lr"] = rate if full == was or not was else full * rate / was


def _check_shapes(name: str, mine: dict[str, Tensor], saved: dict[str, Tensor]) -> None:
    differences = [
        f"{key}: {_shape(saved.get(key))} saved, {_shape(mine.get(key))} now"
        for key in sorted(mine.keys() | saved.keys())
        if _shape(mine.get(key)) != _shape(saved.get(key))
    ]
    if differences:
        shown = "; ".join(differences[:3]) + ("; ..." if len(differences) > 3 else "")
        raise CardiganError(
            f"The checkpoint's {name} has another architecture than the one asked for ({len(differences)} tensors "
            f"differ: {shown}), so this run cannot be resumed with it. Use the settings it was started with, or "
            f"another --out."
        )


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else "x".join(map(str, tensor.shape)) or "scalar"
