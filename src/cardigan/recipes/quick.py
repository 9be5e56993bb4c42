"""A small convolutional GAN that is good after a minute on a CPU; classes where there are any.

A DCGAN generator with batch normalisation; a discriminator without it, regularised by R1 every 8th step, with one wide
layer before the logit; classes by embedding and projection; small batches, a
high learning rate that falls to the end of the budget, and an averaged generator.

Source: found by search on MNIST (docs/log.md); its parts: Radford et al., 2016; Mescheder et al., 2018; Miyato and
Koyama, 2018.
Expect: after a minute of MNIST on 2 CPU cores, digits that a classifier takes for digits (docs/seeds/basic-gan.md).
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import dcgan
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight, classes_for
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear


def recipe(
    task: Task,
    *,
    width: Count = 16,
    latent: Count = 64,
    conditional: bool | None = None,
    batch_size: BatchSize = 32,
    learning_rate: Rate = 2e-3,
    r1: Weight | None = None,
    flip: bool = False,
) -> Recipe:
    """``r1=none`` sets the penalty by the number of pixels: 0.1 at 28x28, growing in proportion."""
    pixels = task.height * task.width
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional)}
    gan = GAN(
        generator=dcgan.Generator(**shape, latent=latent, width=width, deviation=None),
        discriminator=dcgan.Discriminator(
            **shape, width=width * 3 // 2, normalise=False, hidden=8 * width, deviation=None
        ),
        objective=objectives.non_saturating(),
        terms=(regularizers.R1(weight=0.1 * pixels / 28**2 if r1 is None else r1, every=8),),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.99),
        schedule=linear(to=0.03),
        half_life=11_000,
        flip=flip,
        bfloat16=True,
    )
