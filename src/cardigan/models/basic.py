"""The basic networks of the fastai library: strided convolutions, and room for extra layers between them.

Near to the DCGAN, with three differences: the last maps have as many channels as the image is large, without a bound;
extra convolutions may stand at half the image's size; the first weights are drawn as for ReLU networks
(He et al., 2015) and not with one deviation for all.

Source: ``basic_generator`` and ``basic_critic`` of *fastai: A Layered API for Deep Learning*, Howard and Gugger, 2020.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.layers import (
    FromPoint,
    Labelled,
    Projection,
    Size,
    ToPoint,
    check_labels,
    checked_sizes,
    doublings,
    height_and_width,
    through,
)

Block = Callable[..., nn.Module]
"""``(before, after, kernel, stride, padding)``, the numbers of one convolution, to that convolution with what follows
it; the discriminator's first is asked for with ``plain=True``, without normalisation."""

SMALLEST = 8
"""A map of 4x4, doubled once."""


def generator_layers(
    *,
    latent: int,
    channels: int,
    count: int,
    start: int | tuple[int, int],
    width: int,
    extra_layers: int,
    block: Block,
    device: Any = None,
    dtype: Any = None,
) -> list[nn.Module]:
    """The layout of the generator, whatever its blocks are: latents as a single pixel, a small map, doubled.

    Args:
        latent: channels of the single pixel.
        channels: of the images.
        count: doublings of the small map.
        start: sides of the small map.
        width: channels of the largest hidden map; twice as many in each smaller one.
        extra_layers: blocks that keep the size, before the last doubling.
        block: makes one transposed convolution with what follows it.
        device: where the last layer lies; the blocks know for themselves.
        dtype: of the last layer's weights.

    Example:
        >>> layers = generator_layers(
        ...     latent=8, channels=3, count=2, start=4, width=16, extra_layers=0, block=nn.ConvTranspose2d
        ... )
        >>> [layer.weight.shape[0] for layer in layers[:-1]]
        [8, 32, 16]
    """
    maps = [width * 2**level for level in reversed(range(count))]
    layers = [block(latent, maps[0], start, 1, 0)]
    layers += [block(before, before // 2, 4, 2, 1) for before in maps[:-1]]
    layers += [block(width, width, 3, 1, 1) for _ in range(extra_layers)]
    last = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1, bias=False, device=device, dtype=dtype)
    return [*layers, last, nn.Tanh()]


def discriminator_layers(
    *, channels: int, count: int, width: int, extra_layers: int, block: Block
) -> tuple[list[nn.Module], int]:
    """The layout of the discriminator up to its features, whatever its blocks are: halved until the map is small.

    Args:
        channels: of the images.
        count: halvings.
        width: channels of the largest hidden map; twice as many in each smaller one.
        extra_layers: blocks that keep the size, after the first halving.
        block: makes one convolution with what follows it.

    Returns:
        The blocks, and the channels of the last one.

    Example:
        >>> def block(before, after, kernel, stride, padding, plain=False):
        ...     return nn.Conv2d(before, after, kernel, stride, padding)
        >>> layers, features = discriminator_layers(channels=3, count=2, width=16, extra_layers=1, block=block)
        >>> len(layers), features
        (3, 32)
    """
    layers = [block(channels, width, 4, 2, 1, plain=True)]
    layers += [block(width, width, 3, 1, 1) for _ in range(extra_layers)]
    maps = [width * 2**level for level in range(count)]
    layers += [block(before, before * 2, 4, 2, 1) for before in maps[:-1]]
    return layers, maps[-1]


def started_head(layer: nn.Conv2d, start: Callable[[Tensor], Any] | None = nn.init.kaiming_normal_) -> nn.Conv2d:
    """The layer that gives the logit, with its first weights drawn by ``start`` and no bias; None keeps PyTorch's own.

    Example:
        >>> started_head(nn.Conv2d(8, 1, 4)).bias.tolist()
        [0.0]
    """
    if start is not None:
        start(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def convolution(
    before: int,
    after: int,
    kernel: int | tuple[int, int],
    stride: int,
    padding: int,
    *,
    transpose: bool = False,
    normalise: bool = True,
    slope: float = 0.0,
    plain: bool = False,
) -> nn.Sequential:
    """One convolution, batch normalisation and (leaky) ReLU: the block of both networks.

    Example:
        >>> [type(layer).__name__ for layer in convolution(3, 8, 4, 2, 1)]
        ['Conv2d', 'BatchNorm2d', 'ReLU']
    """
    normalise = normalise and not plain
    from_point = transpose and stride == 1 and padding == 0
    kind = FromPoint if from_point else nn.ConvTranspose2d if transpose else nn.Conv2d
    layer = kind(before, after, kernel, stride=stride, padding=padding, bias=not normalise)
    nn.init.kaiming_uniform_(layer.weight)
    layers: list[nn.Module] = [layer]
    if layer.bias is not None:
        nn.init.normal_(layer.bias, std=0.01)
    if normalise:
        norm = nn.BatchNorm2d(after)
        # A little above zero, so that ReLU lets a little more than half through at the start.
        nn.init.constant_(norm.bias, 1e-3)
        layers.append(norm)
    layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Generator(GeneratorNetwork):
    """Latents to images: a small map, doubled by 4x4 transposed convolutions with batch normalisation and ReLU.

    Args:
        size: side of the images in pixels, or (height, width): 8 to 256, each 4 to 7 times the same power of two for
            the shorter side; 8, 16, 32, 64, 128 and 256 are fastai's.
        channels: 1 to 4.
        latent: length of the latents.
        classes: number of classes, 0 for an unconditional model.
        embedding: length of a class's vector, joined to the latents.
        width: channels of the largest hidden map; twice as many in each smaller one. *Larger* draws finer and trains
            slower, quadratically.
        extra_layers: 3x3 convolutions before the last doubling. *More* draws finer detail and trains slower.
        slope: of the ReLU below zero; 0.0 for none, as in fastai.

    Raises:
        CardiganError: if no such map exists for ``size``; the message names sizes that work.

    Source:
        ``basic_generator`` of fastai, 2020; classes and sizes that are no power of two are our own.

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
        extra_layers: int = 0,
        slope: float = 0.0,
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
                "extra_layers": extra_layers,
                "slope": slope,
            }
        )
        self.latent, self.classes = latent, classes
        self.shape = (channels, *height_and_width(size))
        count, start = doublings(size, smallest=SMALLEST)
        self.input = Labelled(width=latent, classes=classes, embedding=embedding)
        layers = generator_layers(
            latent=self.input.features,
            channels=channels,
            count=count,
            start=start,
            width=width,
            extra_layers=extra_layers,
            block=partial(convolution, transpose=True, slope=slope),
        )
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent) in, images (B, C, H, W) in [-1, 1] out."""
        return through(self.layers, self.input(latents, labels)[:, :, None, None])


class Discriminator(DiscriminatorNetwork):
    """Images to one logit: 4x4 convolutions that halve the image, (leaky) ReLU, and one convolution over what is left.

    Args:
        size: as in the generator.
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model; they enter as a projection (Miyato and Koyama, 2018).
        width: channels of the largest hidden map; twice as many in each smaller one.
        extra_layers: 3x3 convolutions after the first halving.
        slope: of the ReLU below zero; 0.0 for none, as in fastai by default, 0.2 as in the example of its document.
        normalise: batch normalisation after each block but the first. Gradient penalties want it off: with it, one
            image's logit depends on the others.

    Raises:
        CardiganError: if ``size`` cannot be halved down to a small map; the message names sizes that work.

    Source:
        ``basic_critic`` of fastai, 2020; classes and sizes that are no power of two are our own.

    Example:
        >>> discriminator = Discriminator(size=64, channels=3)
        >>> sum(weight.numel() for weight in discriminator.parameters())
        2765633
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        classes: int = 0,
        width: int = 64,
        extra_layers: int = 0,
        slope: float = 0.0,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "classes": classes,
                "width": width,
                "extra_layers": extra_layers,
                "slope": slope,
                "normalise": normalise,
            }
        )
        self.classes = classes
        count, left = doublings(size, smallest=SMALLEST)
        # Without a second block nothing is normalised.
        self.independent = not normalise or (count == 1 and not extra_layers)
        layers, features = discriminator_layers(
            channels=channels,
            count=count,
            width=width,
            extra_layers=extra_layers,
            block=partial(convolution, slope=slope, normalise=normalise),
        )
        self.layers = nn.Sequential(*layers)
        self.head = started_head(ToPoint(features, 1, left))
        self.projection = Projection(classes=classes, features=features) if classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, 1) out."""
        check_labels(labels, self.classes)
        maps = through(self.layers, images)
        logits = self.head(maps).flatten(1)
        if self.projection is not None and labels is not None:
            # The mean and not the sum: summed over many places it would drown the unconditional part at the start.
            logits = logits + self.projection(maps.mean(dim=(2, 3)), labels)
        return logits
