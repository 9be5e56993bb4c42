"""The "FastGAN" of a widely read tutorial, exactly as it prints it. It is not FastGAN.

A plain convolutional GAN whose discriminator has a second head "for rotations": but no image is ever rotated, and the
head is told a random number for each. A softmax stands before a cross-entropy that has its own; the two heads' losses
are divided by 3 together; and 0.8, meant as a momentum, is the epsilon of batch normalisation. For comparison:
`fastgan` is what the name promises, `ssgan` is the rotation done right, and `dcgan` the plain network corrected.

Source: the document behind docs/seeds/fastgan.md. Its sigmoid and binary cross-entropy are here one function of the
logit, which is the same mathematics without the saturation.
Expect: 3,533,315 and 108,133 parameters; the loss of the second head stays at log 4 or above.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan import objectives
from cardigan.contracts import GAN, DiscriminatorNetwork, Player, Step
from cardigan.models import fastgan_tutorial
from cardigan.recipes._contract import BatchSize, Recipe, Task
from cardigan.share import drawn
from cardigan.training.optimizers import Adam
from cardigan.training.turns import together

ONLY = (64, 64, None)
"""Height and width that the document's networks are written for; any number of channels."""

SHARE = 1 / 3
"""Of each of the discriminator's three losses: real, fake and the second head's."""


class TwoHeaded(DiscriminatorNetwork):
    """The document's discriminator with its second head, which only :class:`InventedRotations` reads.

    Args:
        size: of the images, (height, width), multiples of 16.
        channels: 1 to 4.
    """

    def __init__(self, *, size: tuple[int, int], channels: int) -> None:
        super().__init__()
        self.arguments = {"size": size, "channels": channels}
        self.classes = 0
        self.discriminator = fastgan_tutorial.Discriminator(size=size, channels=channels)
        self.second = nn.Linear(self.discriminator.head.in_features, 4)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, 1) out."""
        return self.discriminator(images, labels)

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and the map that the second head reads."""
        return self.discriminator.examine(images, labels, *smaller)


@dataclass(frozen=True)
class InventedRotations:
    """The cross-entropy of a softmax of a softmax with a number from 0 to 3 that is drawn anew for every real image.

    Between log(1 + 3 / e) = 0.744 and log(3 + e) = 1.744, whatever the head says; there is nothing to learn, so at best
    log 4 = 1.386 on average.
    """

    weight: float = SHARE
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="invented_rotations", init=False, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        discriminator = step.gan.discriminator
        assert isinstance(discriminator, TwoHeaded)
        shares = discriminator.second(step.maps[-1].flatten(1)).softmax(dim=1)
        labels = drawn(lambda count: torch.randint(0, 4, (count,), device=shares.device), len(shares))
        return self.weight * F.cross_entropy(shares, labels, reduction="none")


def recipe(task: Task, *, batch_size: BatchSize = 64) -> Recipe:
    """The document's numbers."""
    gan = GAN(
        generator=fastgan_tutorial.Generator(size=task.size, channels=task.channels, latent=100),
        discriminator=TwoHeaded(size=task.size, channels=task.channels),
        # The generator's loss is not divided.
        objective=objectives.scaled(objectives.non_saturating(), discriminator=SHARE),
        terms=(InventedRotations(),),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(2e-4, beta1=0.5, beta2=0.999),
        turns=together("generator"),
        half_life=0,
        passes=100,
        because=("As printed: for comparison with `fastgan`, which it is not, and `ssgan`, which corrects it.",),
    )
