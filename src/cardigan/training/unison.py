"""Several processes, one training: the first one's state for all, and the test that they are still alike."""

import json
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from cardigan.errors import CardiganError
from cardigan.training.loop import Training
from cardigan.training.state import Checkpoint, capture, restore

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def hand_out(training: Training) -> None:
    """Give every process the first one's state, to the last bit: that of a checkpoint, which it alone has read."""
    crew = training.crew
    if crew.count == 1:
        return
    files, state = capture(training) if crew.first else ({}, {})
    told = json.loads(crew.bytes_from(json.dumps([state, list(files)]).encode()))
    received = {}
    for name in told[1]:
        mine = {key: value.contiguous().cpu() for key, value in files.get(name, {}).items()}
        received[name] = safetensors.torch.load(crew.bytes_from(safetensors.torch.save(mine)))
    if not crew.first:
        restore(training, Checkpoint(Path(), told[0]["turns"], told[0], received))


@torch.no_grad()
def check_alike(training: Training) -> None:
    """Refuse to go on where the processes do not hold the same networks any more, to the last bit.

    They do as long as all of them step by the same averaged gradients, so a difference means that something runs in one
    process only, and that no number of this run can be trusted.

    Raises:
        CardiganError: naming the first tensor that differs.
        NonFiniteError: if a step was not finite whose verdict had not been read yet.
    """
    training.judge()
    if training.crew.count == 1:
        return
    tensors = {
        f"{type(module).__name__}: {name}": tensor
        for module in training.modules()
        for name, tensor in torch.nn.Module.state_dict(module).items()
    }
    # What names a frozen network lies in main memory, whatever the device.
    sums = torch.stack([_sum_of_bits(tensor).cpu() for tensor in tensors.values()])
    largest, smallest = training.crew.largest(torch.stack([sums, -sums])).unbind()
    if wrong := (largest != -smallest).nonzero().flatten().tolist():
        name = list(tensors)[wrong[0]]
        raise CardiganError(
            f"After {training.progress.images:,} images the processes do not hold the same weights any more: "
            f"{len(wrong)} of {len(sums)} tensors differ, the first is {name!r}. Nothing of it was saved. Something "
            f"changes them in one process only, or the machines compute differently (other processors, GPUs or "
            f"versions of PyTorch). Mend that, and the same command goes on from the last checkpoint."
        )


def _sum_of_bits(tensor: Tensor) -> Tensor:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(_WORDS[flat.element_size()]).sum(dtype=torch.int64)
