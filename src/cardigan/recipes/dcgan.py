"""DCGAN, corrected: convolutions at any size from 16 to 256 pixels, with classes where there are any.

Against `dcgan-as-printed`: an averaged generator with proper normalisation statistics, a learning rate that falls to
the end of the budget, horizontal flips on request, no wasted gradients, and any size.

Source: *Unsupervised Representation Learning with Deep Convolutional GANs*, Radford et al., 2016; projection:
*cGANs with Projection Discriminator*, Miyato and Koyama, 2018.
Expect: see docs/seeds/dcgan.md.
"""

from typing import Literal

from cardigan import objectives
from cardigan.contracts import GAN
from cardigan.models import dcgan
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Share, Task, classes_for
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear


def recipe(
    task: Task,
    *,
    width: Count = 64,
    latent: Count = 100,
    conditional: bool | None = None,
    conditioning: Literal["projection", "concatenation"] = "projection",
    batch_size: BatchSize = 64,
    learning_rate: Rate = 2e-4,
    smoothing: Share = 0.0,
    compare: bool = False,
    flip: bool = False,
) -> Recipe:
    """The paper's width is 128; 64 is the tutorial's; 32 trains on a CPU."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = GAN(
        generator=dcgan.Generator(**shape, latent=latent),
        discriminator=dcgan.Discriminator(**shape, conditioning=conditioning, compare=compare),
        objective=objectives.non_saturating(smoothing=smoothing),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.5, beta2=0.999),
        schedule=linear(to=0.1, start=0.5),
        flip=flip,
    )
