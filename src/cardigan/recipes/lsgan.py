"""Least squares, corrected: linear logits, so that far-off fakes keep their gradient; with classes where there are any.

The coding is yours: `a` for fakes, `b` for reals, `c` for what the generator wants. 0, 1, 1 is the usual one;
-1, 1, 0 is the one that minimises the Pearson chi-square divergence.

Source: *Least Squares Generative Adversarial Networks*, Mao et al., 2017.
Expect: see docs/seeds/cgan-lsgan.md for measured scores beside the tutorial's.
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import mlp
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Target, Task, Weight, classes_for
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear


def recipe(
    task: Task,
    *,
    a: Target = 0.0,
    b: Target = 1.0,
    c: Target = 1.0,
    conditional: bool | None = None,
    latent: Count = 64,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 5e-4,
    r1: Weight = 1.0,
    flip: bool = False,
) -> Recipe:
    """Conditional where the data has classes, unless told otherwise."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional)}
    gan = GAN(
        generator=mlp.Generator(**shape, latent=latent, hidden=(256, 512, 1024), normalise=True),
        discriminator=mlp.Discriminator(**shape, hidden=(1024, 512, 256)),
        objective=objectives.least_squares(a=a, b=b, c=c),
        terms=(regularizers.R1(weight=r1, every=8),),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.5, beta2=0.99),
        schedule=linear(to=0.05),
        flip=flip,
    )
