"""Deep convolutional networks: strided convolutions all the way.

Source: *Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*, Radford, Metz
and Chintala, 2016. The paper's 64-pixel network is ``width=128`` with a latent of 100; the well-known face tutorial's
is ``width=64``.
"""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.layers import (
    FromPoint,
    Labelled,
    MinibatchStandardDeviation,
    Projection,
    Size,
    ToPoint,
    check_labels,
    checked_sizes,
    doublings,
    height_and_width,
    normal_init,
    through,
)

WIDEST = 8
"""No layer is wider than this many times ``width``."""


def widths(count: int, width: int) -> list[int]:
    """Channels of the maps from the largest to the smallest: ``width``, doubling, up to ``WIDEST`` times ``width``.

    Example:
        >>> widths(4, 64)
        [64, 128, 256, 512]
    """
    return [width * min(2**level, WIDEST) for level in range(count)]


class Generator(GeneratorNetwork):
    """Latents to images: a small map, doubled by 4x4 transposed convolutions with batch normalisation and ReLU.

    Args:
        size: side of the images in pixels, or (height, width): 16 to 256, each 4 to 7 times the same power of two for
            the shorter side (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, ..., 256).
        channels: 1 to 4.
        latent: length of the latents.
        classes: number of classes, 0 for an unconditional model.
        embedding: length of a class's vector, joined to the latents.
        width: channels of the largest hidden map. *Larger* draws finer and trains slower, quadratically.
        deviation: of the first weights, 0.02 as in the paper; None keeps PyTorch's own start, which learns sooner in
            small networks.

    Raises:
        CardiganError: if no such map exists for ``size``.

    Example:
        >>> generator = Generator(size=64, channels=3)
        >>> sum(weight.numel() for weight in generator.parameters())
        3576704
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        latent: int = 100,
        classes: int = 0,
        embedding: int = 32,
        width: int = 64,
        deviation: float | None = 0.02,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "latent": latent,
                "classes": classes,
                "embedding": embedding,
                "width": width,
                "deviation": deviation,
            }
        )
        self.latent, self.classes = latent, classes
        self.shape = (channels, *height_and_width(size))
        count, start = doublings(size)
        self.input = Labelled(width=latent, classes=classes, embedding=embedding)
        maps = widths(count, width)[::-1]
        layers: list[nn.Module] = [FromPoint(self.input.features, maps[0], start, bias=False)]
        for before, after in zip(maps, [*maps[1:], channels], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
            layers.append(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        if deviation is not None:
            normal_init(self, deviation=deviation)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent) in, images (B, C, H, W) in [-1, 1] out."""
        return through(self.layers, self.input(latents, labels)[:, :, None, None])


class Discriminator(DiscriminatorNetwork):
    """Images to one logit: 4x4 convolutions that halve the image, leaky ReLU, and one convolution over what is left.

    Args:
        size: as in the generator.
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model.
        conditioning: how classes enter: ``"projection"`` adds the inner product of the features with the class's
            vector (Miyato and Koyama, 2018), ``"concatenation"`` adds the class as one more channel of the image.
        width: channels of the largest hidden map.
        normalise: batch normalisation after each hidden layer but the first, as in the paper. Gradient penalties want
            it off: with it, one image's logit depends on the others.
        hidden: features of one more layer, over all of the smallest map, before the logit; 0 for none.
        compare: minibatch standard deviation as one more feature before the logit, against collapse.
        deviation: of the first weights, 0.02 as in the paper; None keeps PyTorch's own start.

    Raises:
        CardiganError: if ``size`` cannot be halved down to a small map.

    Example:
        >>> discriminator = Discriminator(size=64, channels=3)
        >>> sum(weight.numel() for weight in discriminator.parameters())
        2765568
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        classes: int = 0,
        conditioning: Literal["projection", "concatenation"] = "projection",
        width: int = 64,
        normalise: bool = True,
        hidden: int = 0,
        compare: bool = False,
        deviation: float | None = 0.02,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "classes": classes,
                "conditioning": conditioning,
                "width": width,
                "normalise": normalise,
                "hidden": hidden,
                "compare": compare,
                "deviation": deviation,
            }
        )
        self.classes = classes
        self.independent = not normalise and not compare
        self.sides = height_and_width(size)
        count, left = doublings(size)
        concatenated, projected = classes and conditioning == "concatenation", classes and conditioning == "projection"
        maps = [channels + bool(concatenated), *widths(count, width)]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise(maps)):
            plain = level == 0 or not normalise
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=not normalise))
            layers += [] if plain else [nn.BatchNorm2d(after)]
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        features = maps[-1]
        if hidden:
            layers += [ToPoint(features, hidden, left), nn.LeakyReLU(0.2, inplace=True)]
            features, left = hidden, (1, 1)
        if compare:
            layers.append(MinibatchStandardDeviation())
            features += 1
        self.layers = nn.Sequential(*layers)
        self.head = ToPoint(features, 1, left, bias=not normalise)
        self.label_map = nn.Embedding(classes, self.sides[0] * self.sides[1]) if concatenated else None
        self.projection = Projection(classes=classes, features=features) if projected else None
        if deviation is not None:
            normal_init(self, deviation=deviation)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, 1) out."""
        return self.examine(images, labels)[0]

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits (B, 1), and the map (B, F, h, w) that the last convolution reads; it judges one scale only."""
        check_labels(labels, self.classes)
        if self.label_map is not None and labels is not None:
            images = torch.cat([images, self.label_map(labels).unflatten(1, (1, *self.sides))], dim=1)
        maps = through(self.layers, images)
        logits = self.head(maps).flatten(1)
        if self.projection is not None and labels is not None:
            # The mean and not the sum: summed over many places it would drown the unconditional part at the start.
            logits = logits + self.projection(maps.mean(dim=(2, 3)), labels)
        return logits, [maps]
