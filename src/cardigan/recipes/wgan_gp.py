"""Wasserstein GAN with gradient penalty, on small residual networks.

Five discriminator steps for each generator step, Adam at 1e-4 without momentum, the gradient's norm pulled to 1 between
each real image and its fake. No batch normalisation in the discriminator, which the penalty forbids.

Source: *Improved Training of Wasserstein GANs*, Gulrajani et al., 2017.
Expect: steady and dear: each generator step costs five discriminator steps with second derivatives.
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import resnet
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight, classes_for
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear
from cardigan.training.turns import alternate


def recipe(
    task: Task,
    *,
    width: Count = 32,
    latent: Count = 128,
    conditional: bool | None = None,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 1e-4,
    penalty: Weight = 10.0,
    discriminator_steps: Count = 5,
    flip: bool = False,
) -> Recipe:
    """The paper's numbers; its width is 128, which wants a GPU."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = GAN(
        generator=resnet.Generator(**shape, latent=latent),
        discriminator=resnet.Discriminator(**shape),
        objective=objectives.wasserstein(),
        terms=(regularizers.GradientPenalty(weight=penalty),),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.9),
        turns=alternate(discriminator=discriminator_steps, generator=1),
        schedule=linear(to=0.0),
        flip=flip,
    )
