"""The basic GAN of a widely read MNIST tutorial, exactly as it prints it: networks, loss, order and numbers.

Fully connected networks, binary cross-entropy, the generator's step before the discriminator's on the same fakes, Adam
at 2e-4. Draws 28x28 grey images, without classes. For comparison: `vanilla` is the corrected twin.

Source: the document behind docs/seeds/basic-gan.md. Its sigmoid and binary cross-entropy are here one function of the
logit, which is the same mathematics without the saturation.
Expect: one minute on 2 CPU cores shows strokes; longer training collapses to a few digits.
"""

from cardigan import objectives
from cardigan.contracts import GAN
from cardigan.models import mlp
from cardigan.recipes._contract import BatchSize, Recipe, Task
from cardigan.training.optimizers import Adam
from cardigan.training.turns import together

ONLY = (28, 28, 1)
"""Height, width and channels that the document's networks are written for."""


def recipe(task: Task, *, batch_size: BatchSize = 64) -> Recipe:
    """The document's numbers. It gives no batch size; 64 is the habit."""
    gan = GAN(
        generator=mlp.Generator(size=task.size, channels=task.channels, latent=100, hidden=(256, 512, 1024)),
        discriminator=mlp.Discriminator(
            size=task.size, channels=task.channels, hidden=(1024, 512, 256), slope=0.2, dropout=0.3
        ),
        # The document halves the discriminator's loss and not the generator's.
        objective=objectives.scaled(objectives.non_saturating(), discriminator=0.5),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(2e-4, beta1=0.5, beta2=0.999),
        turns=together("generator"),
        half_life=0,
        because=("As printed: for comparison with `vanilla`, which corrects it.",),
    )
