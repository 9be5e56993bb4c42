"""The basic GAN, corrected: fully connected networks on small images, without classes.

Against `vanilla-as-printed`: batch normalisation in the generator, a light zero-centred penalty (R1) instead of dropout
in the discriminator, an averaged generator, and a learning rate that falls to the end of the budget.

Source: *Generative Adversarial Nets*, Goodfellow et al., 2014; R1: Mescheder et al., 2018.
Expect: see docs/seeds/basic-gan.md for measured scores beside the tutorial's.
"""

from typing import Annotated

from pydantic import Field

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import mlp
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear


def recipe(
    task: Task,
    *,
    latent: Count = 100,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 5e-4,
    r1: Weight = 1.0,
    kernels: Annotated[int, Field(ge=0)] = 0,
    flip: bool = False,
) -> Recipe:
    """One dial for strength (r1), one for diversity (kernels of minibatch discrimination)."""
    shape = {"size": task.size, "channels": task.channels}
    gan = GAN(
        generator=mlp.Generator(**shape, latent=latent, hidden=(256, 512, 1024), normalise=True),
        discriminator=mlp.Discriminator(**shape, hidden=(1024, 512, 256), kernels=kernels),
        objective=objectives.non_saturating(),
        terms=(regularizers.R1(weight=r1, every=8),),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.5, beta2=0.99),
        schedule=linear(to=0.05),
        flip=flip,
    )
