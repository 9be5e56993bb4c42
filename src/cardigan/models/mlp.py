"""Fully connected networks: small, quick, for small images.

The sizes of the first GAN tutorials (*Generative Adversarial Nets*, Goodfellow et al., 2014, and *Conditional
Generative Adversarial Nets*, Mirza and Osindero, 2014, as they are commonly taught).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.layers import Dropout, Labelled, MinibatchDiscrimination, Size, checked_sizes, height_and_width


class Generator(GeneratorNetwork):
    """Latents to images through fully connected layers.

    Args:
        size: side of the images in pixels, or (height, width); any.
        channels: 1 to 4.
        latent: length of the latents.
        classes: number of classes, 0 for an unconditional model.
        embedding: length of a class's vector, joined to the latents.
        hidden: widths of the hidden layers.
        normalise: batch normalisation after each hidden layer.

    Example:
        >>> import torch
        >>> generator = Generator(size=28, latent=100, classes=10)
        >>> generator(torch.randn(2, 100), torch.tensor([0, 9])).shape
        torch.Size([2, 1, 28, 28])
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 1,
        latent: int = 100,
        classes: int = 0,
        embedding: int = 32,
        hidden: Sequence[int] = (256, 512, 1024),
        normalise: bool = False,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "latent": latent,
                "classes": classes,
                "embedding": embedding,
                "hidden": tuple(hidden),
                "normalise": normalise,
            }
        )
        self.latent, self.classes = latent, classes
        self.shape = (channels, *height_and_width(size))
        self.input = Labelled(width=latent, classes=classes, embedding=embedding)
        layers: list[nn.Module] = []
        for before, after in pairwise((self.input.features, *hidden)):
            layers.append(nn.Linear(before, after))
            if normalise:
                layers.append(nn.BatchNorm1d(after))
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], prod(self.shape)), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (B, latent) in, images (B, C, H, W) in [-1, 1] out."""
        return self.layers(self.input(latents, labels)).unflatten(1, self.shape)


class Discriminator(DiscriminatorNetwork):
    """Images to one logit through fully connected layers.

    Args:
        size: side of the images in pixels, or (height, width); any.
        channels: 1 to 4.
        classes: number of classes, 0 for an unconditional model.
        embedding: length of a class's vector, joined to the pixels.
        hidden: widths of the hidden layers.
        slope: of the leaky ReLU for negative values; 0 is a plain ReLU.
        dropout: share of each hidden layer that is dropped in training.
        kernels: similarities added by minibatch discrimination before the last layer, 0 for none.

    Example:
        >>> import torch
        >>> Discriminator(size=28, classes=10)(torch.zeros(2, 1, 28, 28), torch.tensor([0, 9])).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 1,
        classes: int = 0,
        embedding: int = 32,
        hidden: Sequence[int] = (1024, 512, 256),
        slope: float = 0.2,
        dropout: float = 0.0,
        kernels: int = 0,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "classes": classes,
                "embedding": embedding,
                "hidden": tuple(hidden),
                "slope": slope,
                "dropout": dropout,
                "kernels": kernels,
            }
        )
        self.classes = classes
        self.independent = not kernels
        pixels = channels * prod(height_and_width(size))
        self.input = Labelled(width=pixels, classes=classes, embedding=embedding)
        layers: list[nn.Module] = []
        for before, after in pairwise((self.input.features, *hidden)):
            layers += [nn.Linear(before, after), nn.LeakyReLU(slope, inplace=True)]
            if dropout:
                layers.append(Dropout(dropout))
        if kernels:
            layers.append(MinibatchDiscrimination(features=hidden[-1], kernels=kernels))
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1] + kernels, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, 1) out."""
        return self.layers(self.input(images.flatten(1), labels))
