"""The conditional GAN, corrected: fully connected networks that draw the class they are asked for.

Against `cgan-as-printed`: every class is asked for as often as the data shows it, the generator has batch normalisation
instead of spectral norm (which made its outputs nearly constant), the discriminator gives raw logits and is regularised
by R1, the generator is averaged.

Source: *Conditional Generative Adversarial Nets*, Mirza and Osindero, 2014; R1: Mescheder et al., 2018.
Expect: see docs/seeds/cgan-lsgan.md for measured scores beside the tutorial's.
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.errors import CardiganError
from cardigan.models import mlp
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear


def recipe(
    task: Task,
    *,
    latent: Count = 64,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 5e-4,
    r1: Weight = 1.0,
    flip: bool = False,
) -> Recipe:
    """Needs data with classes."""
    if not task.classes:
        raise CardiganError("cgan needs data with classes, and this data has none. Try --recipe vanilla.")
    shape = {"size": task.size, "channels": task.channels, "classes": task.classes, "embedding": 32}
    gan = GAN(
        generator=mlp.Generator(**shape, latent=latent, hidden=(256, 512, 1024), normalise=True),
        discriminator=mlp.Discriminator(**shape, hidden=(1024, 512, 256)),
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
