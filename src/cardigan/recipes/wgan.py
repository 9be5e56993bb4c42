"""Wasserstein GAN with weight clipping: the historic way, kept as an exhibit. `wgan-gp` trains better.

Five discriminator steps for each generator step, RMSprop at 5e-5, every weight clipped to 0.01.

Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017, algorithm 1.
Expect: slow, steady progress; the loss falls as the images improve, which is its charm.
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import dcgan
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, classes_for
from cardigan.training.optimizers import RMSprop
from cardigan.training.turns import alternate


def recipe(
    task: Task,
    *,
    width: Count = 64,
    latent: Count = 100,
    conditional: bool | None = None,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 5e-5,
    clip: Rate = 0.01,
    discriminator_steps: Count = 5,
    flip: bool = False,
) -> Recipe:
    """The paper's numbers."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = GAN(
        generator=dcgan.Generator(**shape, latent=latent),
        discriminator=dcgan.Discriminator(**shape),
        objective=objectives.wasserstein(),
        projections=(regularizers.WeightClipping(clip),),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=RMSprop(learning_rate),
        turns=alternate(discriminator=discriminator_steps, generator=1),
        flip=flip,
    )
