"""A perceptual distance that needs no download: MobileNetV2's features, compared as LPIPS compares AlexNet's.

The weights are an ``.npz`` with a list of steps (see the data's README). Lower is closer. It is good for comparing
results with each other, and not with published LPIPS figures: the linear weights that were fitted to people's judgement
are left out.
"""

import json
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

TINY = 1e-6
WEIGHTS = "MOBILENET"
"""The environment variable that names the weights for :func:`backbone`."""
TAPS = (16, 24, 32, 96)
"""Features are read after the last block of these many channels: at 1/2, 1/4, 1/8 and 1/16 of the size."""


class MobileNetV2(nn.Module):
    """Images (B, 3, H, W) in [-1, 1] to feature maps of several depths; any size."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        with np.load(path, allow_pickle=False) as file:
            self.steps = json.loads(str(file["steps_json"]))
            for step in self.steps:
                if step["op"] in ("conv", "depthwise"):
                    name = step["name"]
                    weight = (file[f"{name}_weight"].astype(np.float32) - file[f"{name}_zero"]) * file[f"{name}_scale"]
                    self.register_buffer(f"{name}_weight", torch.from_numpy(weight.astype(np.float32)))
                    self.register_buffer(f"{name}_bias", torch.from_numpy(file[f"{name}_bias"].astype(np.float32)))

    def forward(self, images: Tensor) -> list[Tensor]:
        known, taps = {"input": images}, {}
        for step in self.steps:
            if step["op"] == "global_average_pool":
                break
            maps = self._run(step, known)
            known[step["name"]] = maps
            if maps.shape[1] in TAPS and step.get("act", "none") == "none":
                taps[maps.shape[1]] = maps
        return [taps[channels] for channels in TAPS]

    @torch.inference_mode()
    def pooled(self, images: Tensor, *, batch: int = 50) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1], brought to 224 pixels a side, to the 1,280 numbers that are classified."""
        parts = []
        for part in images.split(batch):
            known = {"input": F.interpolate(part, size=(224, 224), mode="bicubic", antialias=True).clamp(-1, 1)}
            for step in self.steps:
                if step["op"] == "global_average_pool":
                    parts.append(known[step["input"]].mean(dim=(2, 3)))
                    break
                known[step["name"]] = self._run(step, known)
        return torch.cat(parts)

    def _run(self, step: dict, known: dict[str, Tensor]) -> Tensor:
        if step["op"] == "add":
            one, other = step["input"]
            return known[one] + known[other]
        maps, name = known[step["input"]], step["name"]
        stride, kernel = step["stride"], step["kernel"]
        # TensorFlow's SAME: the smaller half of the padding comes first.
        height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in maps.shape[2:])
        maps = F.pad(maps, (width // 2, width - width // 2, height // 2, height - height // 2))
        weight, bias = self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")
        groups = maps.shape[1] if step["op"] == "depthwise" else 1
        maps = F.conv2d(maps, weight, bias, stride=stride, groups=groups)
        return maps.clamp(0, 6) if step["act"] == "relu6" else maps


def backbone() -> MobileNetV2:
    """What ``--set backbone=mobilenet:backbone`` loads for ``projected``, with this folder on PYTHONPATH."""
    return MobileNetV2(Path(os.environ[WEIGHTS]))


@torch.inference_mode()
def distance(network: MobileNetV2, one: Tensor, other: Tensor) -> float:
    """The mean over depths of the squared difference of unit-length features, for pictures (B, 3, H, W) in [-1, 1].

    Source: *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, Zhang et al., 2018.
    """
    total = 0.0
    for mine, theirs in zip(network(one), network(other), strict=True):
        total += float((F.normalize(mine, dim=1) - F.normalize(theirs, dim=1)).square().sum(dim=1).mean())
    return total / len(TAPS)


@torch.inference_mode()
def structure_and_texture(network: MobileNetV2, one: Tensor, other: Tensor) -> float:
    """One minus the mean agreement of the features' means (texture) and of their places (structure), evenly weighed.

    It forgives another grain of the same texture, which a comparison place by place does not.

    Source: *Image Quality Assessment: Unifying Structure and Texture Similarity*, Ding et al., 2020, equations 5 to 7;
    here with equal weights, and with MobileNetV2 in place of VGG.
    """
    agreement = []
    for mine, theirs in zip([one, *network(one)], [other, *network(other)], strict=True):
        mean, mean_other = mine.mean(dim=(2, 3)), theirs.mean(dim=(2, 3))
        spread, spread_other = (maps.var(dim=(2, 3), correction=0) for maps in (mine, theirs))
        common = (mine * theirs).mean(dim=(2, 3)) - mean * mean_other
        agreement.append((2 * mean * mean_other + TINY) / (mean.square() + mean_other.square() + TINY))
        agreement.append((2 * common + TINY) / (spread + spread_other + TINY))
    return 1.0 - sum(float(each.mean()) for each in agreement) / len(agreement)
