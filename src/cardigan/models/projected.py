"""The projected discriminator: images are judged by what another network, pretrained and frozen, sees in them.

Frozen random convolutions mix what it sees across channels and across scales, so that no single feature can be leaned
on, and a small head for each scale says which patches look real. Only the heads are trained. It goes with any
generator; the paper's is that of :mod:`cardigan.models.fastgan`.

Source: *Projected GANs Converge Faster*, Sauer, Chitta, Müller and Geiger, 2021. Here the heads have no batch
normalisation, so that an image is judged alone; instead what the mixtures are made of is brought to a common size once,
at the start.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from cardigan import features as extractors
from cardigan.contracts import DiscriminatorNetwork
from cardigan.errors import CardiganError
from cardigan.features import Features
from cardigan.layers import Projection, Size, check_labels, checked_sizes, height_and_width
from cardigan.pixels import resized

MAPS = 4
"""How many of the backbone's maps are looked at, the coarsest, as in the paper."""
PLACES = 4
"""Places along the shorter side of the coarsest map, at least: images are enlarged for it."""
WIDEST = 8
"""Channels of the coarse mixtures, at most, as a multiple of the finest one's; each next has twice as many."""


class Mixing(nn.Module):
    """Frozen random mixtures of a backbone's maps: across channels, then, from the coarsest map on, across scales.

    At the coarsest scale a mixture is a 1x1 convolution of the map; at each finer one such a convolution is added to a
    3x3 convolution of the mixture below, enlarged. All is linear and drawn once, from PyTorch's default generator. A
    map enters with its mean taken off and divided by its deviation, so that no scale drowns another.

    Args:
        maps: of some pictures, (B, F, h, w), the finest first, to take mean and deviation from.
        widths: channels of the mixtures.

    Example:
        >>> maps = [torch.rand(2, 5, 8, 12), torch.rand(2, 7, 4, 6)]
        >>> [tuple(each.shape) for each in Mixing(maps, (4, 8))(maps)]
        [(2, 4, 8, 12), (2, 8, 4, 6)]
    """

    def __init__(self, maps: list[Tensor], widths: tuple[int, ...]) -> None:
        super().__init__()
        self.count = len(widths)
        for level, (seen, width) in enumerate(zip(maps, widths, strict=True)):
            mean = seen.mean(dim=(0, 2, 3))
            deviation = float((seen - mean[:, None, None]).square().mean().sqrt())
            # A map that is the same everywhere says nothing, and is not to be blown up.
            weight = torch.randn(width, seen.shape[1]) / (seen.shape[1] ** 0.5 * (deviation if deviation > 0 else 1.0))
            self.register_buffer(f"channels_{level}", weight[:, :, None, None])
            self.register_buffer(f"shift_{level}", -weight @ mean.to(weight))
        for level, (fine, coarse) in enumerate(pairwise(widths)):
            self.register_buffer(f"scales_{level}", torch.randn(fine, coarse, 3, 3) / (9 * coarse) ** 0.5)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps (B, F, h, w) in, mixtures (B, width, h, w) out, the finest first."""
        mixtures: list[Tensor] = []
        for level in reversed(range(self.count)):
            weight, shift = self.get_buffer(f"channels_{level}"), self.get_buffer(f"shift_{level}")
            mixture = F.conv2d(maps[level], weight, shift)
            if mixtures:
                coarse = F.conv2d(mixtures[-1], self.get_buffer(f"scales_{level}"), padding=1)
                coarse = F.interpolate(coarse, size=mixture.shape[2:], mode="bilinear", align_corners=False)
                mixture = (mixture + coarse) / 2**0.5
            mixtures.append(mixture)
        return mixtures[::-1]


class Head(nn.Module):
    """A logit for each place of a map that was halved some times; spectral norm on every layer.

    Args:
        before: channels of the map.
        widest: channels of the halved maps, at most; each has twice as many as the one before.
        halvings: how often the map is halved.
        classes: number of classes, 0 for none; classes enter by projection, added to every logit.

    Example:
        >>> Head(4, 8, halvings=2, classes=0)(torch.zeros(3, 4, 16, 24), None).shape  # 4x6 places
        torch.Size([3, 24])
    """

    def __init__(self, before: int, widest: int, *, halvings: int, classes: int) -> None:
        super().__init__()
        wide = [min(before * 2**level, widest) for level in range(halvings + 1)]
        layers: list[nn.Module] = []
        for one, other in pairwise(wide):
            layers += [nn.Conv2d(one, other, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        # The coarsest map is not halved, and without this its head would be linear.
        layers += [nn.Conv2d(wide[-1], wide[-1], 1), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.logit = nn.Conv2d(wide[-1], 1, 3, padding=1)
        self.projection = Projection(classes=classes, features=wide[-1]) if classes else None
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d | nn.Embedding):
                parametrizations.spectral_norm(module)

    def forward(self, maps: Tensor, labels: Tensor | None) -> Tensor:
        """Maps (B, C, H, W) in, logits (B, places) out."""
        features = self.layers(maps)
        logits = self.logit(features).flatten(1)
        if self.projection is not None and labels is not None:
            logits = logits + self.projection(features.mean(dim=(2, 3)), labels)
        return logits


class Discriminator(DiscriminatorNetwork):
    """Images to logits of patches, as many for each scale.

    The backbone is neither trained nor saved with the rest: it is built again from its name, and a state refuses to be
    loaded beside another one. The random mixtures are saved.

    Args:
        backbone: the pretrained network: a text as :func:`cardigan.features.load` reads it, or an extractor. Its four
            coarsest maps are looked at, or all if there are fewer. One that was never trained sees nothing.
        size: side of the images in pixels, or (height, width).
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model; classes enter by projection in each head.
        width: channels of the finest mixture; each coarser one has twice as many, up to 8 times.
        resolution: the shorter side, in pixels, at which the backbone is shown the images, enlarged or shrunk for it.
            None: their own, but enough for 4 places along the coarsest map, which is 128 pixels for most networks of
            timm. The published code enlarges images below 256 pixels to 224. *Larger* sees better and costs
            quadratically more.

    Raises:
        CardiganError: if the backbone cannot be used, or fails on images of this size.

    Example:
        >>> eyes = Features(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.AvgPool2d(4)), name="eyes")
        >>> discriminator = Discriminator(backbone=eyes, size=64, width=16)
        >>> discriminator(torch.zeros(2, 3, 64, 64)).shape  # 4x4 places of one scale
        torch.Size([2, 16])
    """

    independent = True

    def __init__(
        self,
        *,
        backbone: str | Features,
        size: Size,
        channels: int = 3,
        classes: int = 0,
        width: int = 64,
        resolution: int | None = None,
    ) -> None:
        super().__init__()
        backbone = extractors.load(backbone) if isinstance(backbone, str) else backbone
        self.arguments = checked_sizes(
            {
                "backbone": backbone.name,
                "size": size,
                "channels": channels,
                "classes": classes,
                "width": width,
                "resolution": resolution,
            }
        )
        self.classes = classes
        # In a tuple, and so not one of this module's parts: not trained, clipped, normalised, saved or kept in memory
        # twice. It follows its images to their device by itself.
        self._beside = (backbone,)
        height, wide = height_and_width(size)
        wanted = resolution or max(min(height, wide), PLACES * max(backbone.strides))
        scale = wanted / min(height, wide)
        self.shown = (round(height * scale), round(wide * scale))
        backbone.check_size(*self.shown)
        maps = self.seen(_pictures(channels, (height, wide)))
        widths = tuple(width * min(2**level, WIDEST) for level in range(len(maps)))
        self.mixing = Mixing(maps, widths)
        coarsest = _side_halved(min(maps[-1].shape[2:]))
        self.heads = nn.ModuleList(
            Head(before, widths[-1], halvings=_halvings(min(seen.shape[2:]), coarsest), classes=classes)
            for before, seen in zip(widths, maps, strict=True)
        )

    @property
    def backbone(self) -> Features:
        """The frozen network."""
        return self._beside[0]

    def forward(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> Tensor:
        """Images (B, C, H, W) in, logits (B, K) out, one for each patch of every scale."""
        return self.examine(images, labels, *smaller)[0]

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and the mixtures (B, width, h, w) that the heads read, the finest first."""
        check_labels(labels, self.classes)
        mixtures = self.mixing(self.seen(images))
        logits = [head(mixture, labels) for head, mixture in zip(self.heads, mixtures, strict=True)]
        return torch.cat(logits, dim=1), mixtures

    def seen(self, images: Tensor) -> list[Tensor]:
        """The backbone's maps (B, F, h, w) of images (B, C, H, W) in [-1, 1], the finest first."""
        if images.shape[2:] != self.shown:
            images = resized(images, self.shown)
        return self.backbone(images)[-MAPS:]

    def get_extra_state(self) -> Tensor:
        """Which backbone the heads were trained against: its digest, 32 bytes."""
        return torch.tensor(list(bytes.fromhex(self.backbone.digest)), dtype=torch.uint8, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse a state that was trained against another backbone.

        Raises:
            CardiganError: if it was.
        """
        if (trained := bytes(state.tolist()).hex()) != self.backbone.digest:
            raise CardiganError(
                f"The backbone {self.backbone.name} has other weights now (SHA-256 {self.backbone.digest[:12]}) than "
                f"when this discriminator was trained ({trained[:12]}). Bring back the weights it was trained with, or "
                f"train anew."
            )


def _side_halved(side: int) -> int:
    """A side, halved until it has less than twice the places that are wanted."""
    return _side_halved(side // 2) if side >= 2 * PLACES else side


def _halvings(side: int, target: int) -> int:
    """How often a side is halved to come nearest to another.

    Example:
        >>> _halvings(32, 4), _halvings(57, 7), _halvings(4, 4)
        (3, 3, 0)
    """
    return max(round(math.log2(side / target)), 0)


@torch.no_grad()
def _pictures(channels: int, sides: tuple[int, int], count: int = 8) -> Tensor:
    """Always the same pictures (count, channels, H, W) in [-1, 1]: noise of every scale, coarse as strong as fine.

    Photos are so too, roughly, and it takes no more than that to tell how large the maps of a network get.
    """
    rng = torch.Generator(device="cpu").manual_seed(0)
    total, side = torch.zeros(count, channels, *sides, device="cpu"), 1
    while side <= min(sides):
        noise = torch.randn(count, channels, side, side, generator=rng, device="cpu")
        total += F.interpolate(noise, size=sides, mode="bilinear", align_corners=False)
        side *= 2
    return (0.4 * total).tanh()
