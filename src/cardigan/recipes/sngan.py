"""Spectrally normalised residual networks with the hinge loss; classes by projection.

Spectral norm sits in the discriminator, where it belongs; `generator_norm=true` puts it into the generator as well.

The networks are our pyramid of the papers' blocks, narrow enough for a CPU. `layout=paper` takes the papers' own for
32 pixels: 4.28 and 1.05 million weights at `width=32`, which wants a GPU.

Source: *Spectral Normalization for Generative Adversarial Networks*, Miyato et al., 2018; *cGANs with Projection
Discriminator*, Miyato and Koyama, 2018.
Expect: the steadiest of the classic recipes at 32 to 64 pixels.
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import resnet
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, classes_for
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
    learning_rate: Rate = 2e-4,
    discriminator_steps: Count = 2,
    generator_norm: bool = False,
    compare: bool = False,
    flip: bool = False,
    layout: resnet.Layout = "pyramid",
) -> Recipe:
    """The papers' numbers, but 2 discriminator steps instead of 5; ``layout=paper`` takes their networks."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional)}
    mine, theirs = resnet.layout(layout, size=task.size, width=width)
    generator = resnet.Generator(**shape, **mine, latent=latent)
    gan = GAN(
        generator=regularizers.spectral_norm(generator) if generator_norm else generator,
        discriminator=regularizers.spectral_norm(resnet.Discriminator(**shape, **theirs, compare=compare)),
        objective=objectives.hinge(),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.9),
        turns=alternate(discriminator=discriminator_steps, generator=1),
        schedule=linear(to=0.0),
        flip=flip,
    )
