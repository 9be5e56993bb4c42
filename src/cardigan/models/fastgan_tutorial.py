"""The networks that a widely read tutorial prints under the name of FastGAN, and which are not FastGAN's.

Convolutions between nearest doublings, and strided convolutions down: the plain convolutional GAN of
*Unsupervised Representation Learning with Deep Convolutional GANs*, Radford et al., 2016, with small numbers of
channels. FastGAN's own networks are in :mod:`cardigan.models.fastgan`.

Source: the document behind docs/seeds/fastgan.md. Its oddities are kept: ``BatchNorm2d(C, 0.8)``, where 0.8 was meant
as a momentum and is the epsilon, and dropout before normalisation. It has 64 pixels and no classes; other sizes follow
its own formulas, and classes enter as in the other networks here.
"""

from itertools import pairwise

from torch import Tensor, nn

from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.errors import CardiganError
from cardigan.layers import Labelled, Projection, Size, check_labels, checked_sizes, height_and_width, through

EPSILON = 0.8
"""Added to each variance by all batch normalisation but the generator's first: it shrinks what should be of size 1."""


def quartered(size: Size) -> tuple[int, int]:
    """The sides of the map that is doubled twice.

    Raises:
        CardiganError: if a side is no multiple of 4, or smaller than 16 pixels.

    Example:
        >>> quartered(64)
        (16, 16)
    """
    height, width = height_and_width(size)
    if height % 4 or width % 4 or min(height, width) < 16:
        raise CardiganError(
            f"Images of {height}x{width} pixels cannot be built by doubling twice: each side must be a multiple of 4, "
            f"and at least 16. Try --size {max(16, round(min(height, width) / 4) * 4)}."
        )
    return height // 4, width // 4


class Generator(GeneratorNetwork):
    """Latents to images: one linear layer to a map of a quarter of the sides, doubled twice.

    Nearly all of its weights are in the linear layer, which grows with the number of pixels.

    Args:
        size: side of the images in pixels, or (height, width): multiples of 4, from 16.
        channels: 1 to 4.
        latent: length of the latents.
        classes: number of classes, 0 for an unconditional model as printed.
        embedding: length of a class's vector, joined to the latents.

    Raises:
        CardiganError: if ``size`` is none of these.

    Example:
        >>> import torch
        >>> generator = Generator(size=64)
        >>> sum(weight.numel() for weight in generator.parameters())
        3533315
        >>> generator(torch.randn(2, 100)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(
        self, *, size: Size, channels: int = 3, latent: int = 100, classes: int = 0, embedding: int = 32
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "latent": latent,
                "classes": classes,
                "embedding": embedding,
            }
        )
        self.latent, self.classes = latent, classes
        self.shape = (channels, *height_and_width(size))
        self.start = quartered(size)
        self.labelled = Labelled(width=latent, classes=classes, embedding=embedding)
        self.input = nn.Linear(self.labelled.features, 128 * self.start[0] * self.start[1])
        layers: list[nn.Module] = [nn.BatchNorm2d(128)]
        for before, after in ((128, 128), (128, 64)):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1)]
            layers += [nn.BatchNorm2d(after, eps=EPSILON), nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(64, channels, 3, padding=1), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent) in, images (B, C, H, W) in [-1, 1] out."""
        start = self.input(self.labelled(latents, labels)).unflatten(1, (128, *self.start))
        return through(self.layers, start)


class Discriminator(DiscriminatorNetwork):
    """Images to one logit: four convolutions that halve the image, and a linear layer over all that is left.

    The document's sigmoid belongs to the loss, and its second head to the recipe `fastgan-tutorial-as-printed`.

    Args:
        size: as in the generator.
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model as printed; classes enter by projection.

    Raises:
        CardiganError: if ``size`` cannot be built.

    Example:
        >>> import torch
        >>> discriminator = Discriminator(size=64)
        >>> sum(weight.numel() for weight in discriminator.parameters())  # without the second head's 8,196
        99937
        >>> logits, maps = discriminator.examine(torch.zeros(2, 3, 64, 64))
        >>> logits.shape, maps[-1].shape
        (torch.Size([2, 1]), torch.Size([2, 128, 4, 4]))
    """

    def __init__(self, *, size: Size, channels: int = 3, classes: int = 0) -> None:
        super().__init__()
        self.arguments = checked_sizes({"size": size, "channels": channels, "classes": classes})
        self.classes = classes
        quartered(size)
        height, width = height_and_width(size)
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise((channels, 16, 32, 64, 128))):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
            layers.append(nn.Dropout2d(0.25))
            if level:
                layers.append(nn.BatchNorm2d(after, eps=EPSILON))
        self.layers = nn.Sequential(*layers)
        # Halved four times and rounded up, as such a convolution does.
        self.head = nn.Linear(128 * -(-height // 16) * -(-width // 16), 1)
        self.projection = Projection(classes=classes, features=128) if classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, 1) out."""
        return self.examine(images, labels)[0]

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits (B, 1), and the map (B, 128, h, w) that both heads read; it judges one scale only."""
        check_labels(labels, self.classes)
        maps = through(self.layers, images)
        logits = self.head(maps.flatten(1))
        if self.projection is not None and labels is not None:
            logits = logits + self.projection(maps.mean(dim=(2, 3)), labels)
        return logits, [maps]
