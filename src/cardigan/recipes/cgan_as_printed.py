"""The conditional GAN with least squares of a widely read tutorial, exactly as it prints it.

Fully connected networks joined with a class embedding; spectral norm on all six generator layers and on none of the
discriminator's; a sigmoid left at the discriminator's end although the loss is least squares; and the classes of the
fakes drawn by `randint(0, 9)`, which never gives 9. The document prints no training loop: this uses the loop of the
basic tutorial. For comparison: `cgan` and `lsgan` are the corrected twins.

Source: the document behind docs/seeds/cgan-lsgan.md, after *Conditional Generative Adversarial Nets*, Mirza and
Osindero, 2014, and *Least Squares Generative Adversarial Networks*, Mao et al., 2017.
Expect: 1,508,368 and 1,534,273 parameters; the class 9 is never learned.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cardigan import objectives
from cardigan.contracts import GAN, Objective
from cardigan.errors import CardiganError
from cardigan.models import mlp
from cardigan.recipes._contract import BatchSize, Recipe, Task
from cardigan.training.optimizers import Adam
from cardigan.training.turns import together

ONLY = (28, 28, 1)
"""Height, width and channels that the document's networks are written for."""


@dataclass(frozen=True)
class AllButTheLastClass:
    """Normal latents, and classes drawn evenly from all but the last: the document's off-by-one."""

    latent: int
    classes: int

    def __call__(self, labels: Tensor | None, *, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Draw latents (count, latent) and labels (count,) in 0 .. classes - 2."""
        latents = torch.randn(count, self.latent, generator=rng, device=rng.device)
        return latents, torch.randint(0, self.classes - 1, (count,), generator=rng, device=rng.device)


class PrintedSpectralNorm(nn.Module):
    """Spectral norm as the document's call of PyTorch's older function has it.

    Its vectors start random, without the newer function's 15 iterations, so that the first weights are divided by far
    less than their largest singular value; and each step moves the right vector before the left one, not after.

    Args:
        weight: of the layer, (out, in).
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.register_buffer("left", F.normalize(torch.randn(rows), dim=0))
        self.register_buffer("right", F.normalize(torch.randn(columns), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over an estimate of its largest singular value; one power iteration in training."""
        with torch.autocast(weight.device.type, enabled=False):  # the vectors are kept, and keep their digits
            if self.training:
                with torch.no_grad():
                    self.right = F.normalize(weight.T @ self.left, dim=0)
                    self.left = F.normalize(weight @ self.right, dim=0)
            # To divide the weight would take two more passes over it on the way back.
            return weight * torch.dot(self.left, weight @ self.right).reciprocal()


def squared_probabilities() -> Objective:
    """Least squares on sigmoid outputs, the discriminator's loss halved and the generator's not."""
    regression = objectives.least_squares(a=0.0, b=1.0, c=1.0)

    def discriminator(*, real: Tensor, fake: Tensor) -> Tensor:
        return regression.discriminator(real=real.sigmoid(), fake=fake.sigmoid())

    def generator(*, real: Tensor | None, fake: Tensor) -> Tensor:
        return (fake.sigmoid() - 1.0).square()

    return Objective(discriminator, generator, separable=True, name="squared_probabilities()")


def recipe(task: Task, *, batch_size: BatchSize = 64) -> Recipe:
    """The document's numbers, with the basic tutorial's optimizer and order."""
    if task.classes < 2:
        raise CardiganError("cgan-as-printed needs data with classes, and this data has none.")
    shape = {"size": task.size, "channels": task.channels, "classes": task.classes, "embedding": 32}
    generator = mlp.Generator(**shape, latent=64, hidden=(64, 128, 256, 512, 1024))
    for layer in generator.layers:
        if isinstance(layer, nn.Linear):
            # Unsafe only in that PyTorch does not try it at once, which would be a power iteration too many.
            parametrize.register_parametrization(layer, "weight", PrintedSpectralNorm(layer.weight), unsafe=True)
    gan = GAN(
        generator=generator,
        discriminator=mlp.Discriminator(**shape, hidden=(1024, 512, 256, 128, 64), slope=0.0),
        objective=squared_probabilities(),
        prior=AllButTheLastClass(latent=64, classes=task.classes),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(2e-4, beta1=0.5, beta2=0.999),
        turns=together("generator"),
        half_life=0,
        because=("As printed: for comparison with `cgan` and `lsgan`, which correct it.",),
    )
