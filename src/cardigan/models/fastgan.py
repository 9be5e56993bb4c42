"""FastGAN: a generator whose small maps choose the channels of its large ones, and a discriminator that has to remember
what it saw. Light, and made for few images.

Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu, Zhu, Song and
Elgammal, 2021. The networks were published for 256, 512 and 1024 pixels; here a smaller image leaves out the largest
maps, and excitation bridges fewer levels. Where paper and published code differ the code is followed; ``pairs``, the
box of :meth:`Discriminator.decode` and the objective's margin give the paper's. Both have ``two_scales=True`` and
``decoders=True``, which need a game that uses them; of its three decoders the paper has two.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from cardigan.contracts import Box, DiscriminatorNetwork, GeneratorNetwork
from cardigan.errors import CardiganError
from cardigan.layers import (
    FromPoint,
    Labelled,
    Projection,
    Size,
    check_labels,
    checked_sizes,
    doublings,
    height_and_width,
)
from cardigan.models._fastgan import (
    LARGEST,
    DownBlock,
    Excitation,
    Unbounded,
    channels_of,
    check_choice,
    counting_alike,
    decoder,
    doubling,
    head,
    places_of,
    prepared,
    second_scale,
    small_path,
    stem,
    texture_head,
)

TIMES = (16.0, 8.0, 4.0, 2.0, 2.0, 1.0, 0.5, 0.25, 0.125)
"""The generator's channels, as multiples of ``width``, for maps of 4, 8, 16, ..., 1024 pixels a side."""
DEEPEST = 8.0
"""The discriminator's channels at its smallest map, as a multiple of ``width``; halved with each doubling."""


class Generator(GeneratorNetwork):
    """Latents to images, by doublings with gated linear units.

    Args:
        size: side of the images in pixels, or (height, width): 16 to 1024, each 4 to 7 times the same power of two for
            the shorter side (16, 20, 24, 28, 32, ..., 64, 80, ..., 256, 512, 1024).
        channels: 1 to 4.
        latent: length of the latents.
        classes: number of classes, 0 for an unconditional model.
        embedding: length of a class's vector, joined to the latents.
        width: channels of the map of 128 pixels; those of 64 and 32 pixels have twice as many, smaller ones more.
            *Larger* draws finer and trains slower, quadratically.
        excitation: whether small maps choose the channels of large ones. A map chooses for the one 16 times as large;
            below 128 pixels for one 8, 4 or 2 times as large, so that there are two pairs at least.
        pairs: ``"code"`` begins with the first map (4 to 64 pixels, 8 to 128, 16 to 256, 32 to 512), with Swish inside;
            ``"paper"`` with the second (8 to 128, 16 to 256, 32 to 512), with leaky ReLU.
        two_scales: also draw a smaller image from the map of that size (see :func:`second_scale`) for the
            discriminator, as published. Without it the discriminator shrinks the full image itself.
        output: ``"tanh"``, or ``"none"`` as in the code below 1024 pixels, where nothing keeps images in [-1, 1] while
            they are trained; in evaluation they are cut off there.
        spectral: spectral norm on every convolution, as published; on a CPU about a tenth of the time at small widths.

    Raises:
        CardiganError: if no small map exists for ``size``; if ``pairs`` or ``output`` is none of these.

    Example:
        >>> import torch
        >>> generator = Generator(size=256, two_scales=True)
        >>> sum(weight.numel() for weight in generator.parameters())
        29127846
        >>> small = Generator(size=64, width=8, two_scales=True)
        >>> [tuple(images.shape) for images in small.scales(torch.randn(2, 256))]
        [(2, 3, 64, 64), (2, 3, 32, 32)]
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        latent: int = 256,
        classes: int = 0,
        embedding: int = 32,
        width: int = 64,
        excitation: bool = True,
        pairs: Literal["code", "paper"] = "code",
        two_scales: bool = False,
        output: Literal["tanh", "none"] = "tanh",
        spectral: bool = True,
    ) -> None:
        super().__init__()
        check_choice("pairs", pairs, ("code", "paper"))
        check_choice("output", output, ("tanh", "none"))
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "latent": latent,
                "classes": classes,
                "embedding": embedding,
                "width": width,
                "excitation": excitation,
                "pairs": pairs,
                "two_scales": two_scales,
                "output": output,
                "spectral": spectral,
            }
        )
        self.latent, self.classes = latent, classes
        self.shape = (channels, *height_and_width(size))
        count, (height, wide) = doublings(size, largest=LARGEST)
        maps = [channels_of(times, width) for times in TIMES[: count + 1]]
        self.input = Labelled(width=latent, classes=classes, embedding=embedding)
        first = FromPoint(self.input.features, 2 * maps[0], (height, wide), bias=False)
        self.first = nn.Sequential(first, nn.BatchNorm2d(2 * maps[0]), nn.GLU(dim=1))
        self.blocks = nn.ModuleList(
            doubling(before, after, noisy=(height << level, wide << level) if level % 2 else None)
            for level, (before, after) in enumerate(pairwise(maps), start=1)
        )
        self.bridge = min(4, count - 1)
        sources = range(pairs == "paper", min(4, count + 1 - self.bridge)) if excitation else ()
        self.excitations = nn.ModuleDict(
            {
                str(source + self.bridge): Excitation(maps[source], maps[source + self.bridge], leaky=pairs == "paper")
                for source in sources
            }
        )
        self.image = nn.Conv2d(maps[-1], channels, 3, padding=1, bias=False)
        self.second = second_scale(count)
        self.small_image = nn.Conv2d(maps[self.second], channels, 1, bias=False) if two_scales else None
        self.activation = nn.Tanh() if output == "tanh" else Unbounded()
        prepared(self, spectral=spectral)

    def forward(
        self, latents: Tensor, labels: Tensor | None = None, *, both_scales: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Latents (B, latent) in, images (B, C, H, W) in [-1, 1] out; with the smaller ones if they are asked for."""
        maps = self.maps(latents, labels)
        images = self.activation(self.image(maps[-1]))
        if not both_scales or self.small_image is None:
            return images
        return images, self.activation(self.small_image(maps[self.second]))

    def scales(self, source: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """Latents in, the images out, and the smaller ones if it draws ``two_scales``."""
        # Through the network's own call, which may have been compiled.
        return (self(source, labels),) if self.small_image is None else self(source, labels, both_scales=True)

    def maps(self, latents: Tensor, labels: Tensor | None) -> list[Tensor]:
        """The map of every level, the smallest first."""
        maps = [self.first(self.input(latents, labels)[:, :, None, None])]
        for level, block in enumerate(self.blocks, start=1):
            doubled = block(maps[-1])
            if str(level) in self.excitations:
                doubled = doubled * self.excitations[str(level)](maps[level - self.bridge])
            maps.append(doubled)
        return maps


class Discriminator(DiscriminatorNetwork):
    """Images to logits of overlapping patches, judged at full size and, by a path of its own, at a smaller one.

    Args:
        size: as in the generator.
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model; classes enter by projection, added to every logit.
        width: channels of the map of 64 pixels; halved with each doubling of the side, doubled with each halving.
        excitation: whether large maps choose the channels of small ones, 8 times smaller (4 or 2 times below 128
            pixels), as in the published code.
        decoders: three small networks that draw what the maps still know (see :meth:`decode`). Build them only for a
            game with a term that uses them.
        texture: a third head, which judges the largest map but one, place by place. The other two look at maps of 8
            pixels, from which a narrow network does not see grain. Not in the paper.
        spectral: spectral norm on every convolution, as published; on a CPU about a tenth of the time at small widths.

    Raises:
        CardiganError: if ``size`` cannot be halved down to a small map.

    Example:
        >>> import torch
        >>> discriminator = Discriminator(size=256, decoders=True)
        >>> sum(weight.numel() for weight in discriminator.parameters())
        11526160
        >>> discriminator = Discriminator(size=64, width=8)
        >>> logits, maps = discriminator.examine(torch.zeros(2, 3, 64, 64))
        >>> logits.shape, [tuple(part.shape[1:]) for part in maps]  # 5x5 logits of the image, 5x5 of the smaller one
        (torch.Size([2, 50]), [(32, 16, 16), (32, 8, 8), (64, 8, 8)])
    """

    reads_scales = True

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        classes: int = 0,
        width: int = 64,
        excitation: bool = True,
        decoders: bool = False,
        texture: bool = False,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "classes": classes,
                "width": width,
                "excitation": excitation,
                "decoders": decoders,
                "texture": texture,
                "spectral": spectral,
            }
        )
        self.classes = classes
        count, _ = doublings(size, largest=LARGEST)
        wide = [0, *(channels_of(DEEPEST / 2**level, width) for level in range(count))]  # at levels 0, 1, ..., count
        self.stem, top = stem(channels, wide)
        # From the stem's level down to 1, a map of 8 pixels.
        self.blocks = nn.ModuleList(DownBlock(wide[level + 1], wide[level]) for level in range(top - 1, 0, -1))
        self.bridge = max(1, min(3, top - 2))
        chosen = range(1, top - self.bridge + 1) if excitation else ()
        self.excitations = nn.ModuleDict(
            {str(level): Excitation(wide[level + self.bridge], wide[level]) for level in chosen}
        )
        self.head = head(wide[1], 2 * wide[1])
        second = second_scale(count)
        self.shrink = nn.AvgPool2d(2 ** (count - second))
        self.small_path = small_path(channels, wide, second)
        self.small_head = head(wide[2])
        self.texture_head = texture_head(wide[top - 1], 4 * width) if texture else None
        self.projection = Projection(classes=classes, features=wide[1]) if classes else None
        self.decoders = nn.ModuleList(
            # As published at 256 pixels: the whole image is drawn at half its sides.
            decoder(before, channels, width=width, doublings=min(4, count - 2))
            for before in (wide[2], wide[2], wide[1])
            if decoders
        )
        prepared(self, spectral=spectral)

    def forward(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> Tensor:
        """Images (B, C, H, W) in, logits (B, K) out, one for each patch that a head looks at."""
        return self.examine(images, labels, *smaller)[0]

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and the maps that the decoders read.

        Args:
            images: (B, C, H, W) in [-1, 1].
            labels: their classes, (B,), or None.
            *smaller: the same images at the second scale, if the generator drew them; else they are averaged down.

        Returns:
            Logits (B, K), and three maps: one of twice the sides of the last, that of the second scale, and the last.
        """
        check_labels(labels, self.classes)
        (small,) = smaller or (self.shrink(images),)
        maps = [self.stem(images)]
        for level, block in zip(range(len(self.blocks), 0, -1), self.blocks, strict=True):
            halved = block(maps[-1])
            if str(level) in self.excitations:
                halved = halved * self.excitations[str(level)](maps[-self.bridge])
            maps.append(halved)
        small_map = self.small_path(small)
        judged = [self.head(maps[-1]), self.small_head(small_map)]
        if self.texture_head is not None:
            judged.append(self.texture_head(maps[1]))
        logits = counting_alike(judged)
        if self.projection is not None and labels is not None:
            logits = logits + self.projection(maps[-1].mean(dim=(2, 3)), labels)
        return logits, [maps[-2], small_map, maps[-1]]

    def decode(self, maps: Sequence[Tensor], part: Box) -> list[tuple[Tensor, Box]]:
        """What the maps still know of the images: self-supervision by auto-encoding.

        Args:
            maps: from :meth:`examine`.
            part: what is decoded of the first map, as shares of its sides; moved and resized to whole places of it. The
                caller draws it, so that processes that train together agree.

        Returns:
            Three pictures (B, C, h, w) in [-1, 1], each with the part of the image that it shows: ``part``, the whole
            image and the whole image again. The sides of these two are half the image's, or 16 times the last map's if
            that is less: the shorter side is at most 128 pixels if the image's is a power of two, and at most 224 if
            not. Those of the first are in proportion.

        Raises:
            CardiganError: if it was built without decoders.
        """
        if not self.decoders:
            raise CardiganError(
                "This discriminator has no decoders to reconstruct images with: build it with decoders=True."
            )
        height, width = maps[0].shape[2:]
        (top, rows), (left, columns) = places_of(part[0], part[2], height), places_of(part[1], part[3], width)
        cut = maps[0][:, :, top : top + rows, left : left + columns]
        whole: Box = (0.0, 0.0, 1.0, 1.0)
        boxes: list[Box] = [(top / height, left / width, rows / height, columns / width), whole, whole]
        return [(draw(seen), box) for draw, seen, box in zip(self.decoders, [cut, *maps[1:]], boxes, strict=True)]
