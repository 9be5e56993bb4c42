"""fastai's WGAN on our loop: its basic networks, five discriminator steps for each generator step, weights clipped.

The example of fastai's GAN document (RMSprop at 2e-4, clipping at 0.01, batches of 128, one extra layer in each
network, a leaky discriminator), with an optimizer for each player, an averaged generator, and classes where there are
any. In fastai one optimizer serves both, and logits are low for real images; here they are high.

Source: *fastai: A Layered API for Deep Learning*, Howard and Gugger, 2020, with its document of `vision.gan`.
Expect: slow progress, as with `wgan`; for a long while the images of a class look alike. `wgan-gp` trains better.
"""

from typing import Annotated

from pydantic import Field

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import basic
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Share, Task, classes_for
from cardigan.training.optimizers import RMSprop
from cardigan.training.turns import alternate


def recipe(
    task: Task,
    *,
    width: Count = 64,
    latent: Count = 100,
    conditional: bool | None = None,
    extra_layers: Annotated[int, Field(ge=0)] = 1,
    slope: Share = 0.2,
    batch_size: BatchSize = 128,
    learning_rate: Rate = 2e-4,
    clip: Rate = 0.01,
    discriminator_steps: Count = 5,
    flip: bool = False,
) -> Recipe:
    """The document's numbers; 32 is a width that trains on a CPU."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = GAN(
        generator=basic.Generator(**shape, latent=latent, extra_layers=extra_layers),
        discriminator=basic.Discriminator(**shape, extra_layers=extra_layers, slope=slope),
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
