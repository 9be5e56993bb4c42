"""A discriminator that also tells by how many quarter turns an image was rotated, on spectrally normalised networks.

Without labels it is given something to learn that the game cannot make it forget: which way up real images are. The
generator is asked for images whose upright can be told. Square images only; those without an upright (textures, cells,
photos from above) gain nothing.

Source: *Self-Supervised GANs via Auxiliary Rotation Loss*, Chen, Zhai, Ritter, Lucic and Houlsby, 2019: its two weights
(beta 1, alpha 0.2), with the networks, the loss and the other numbers of `sngan`.
Expect: `sngan`, at half as much time again for each discriminator step; not measured against it.
"""

from cardigan import objectives, regularizers
from cardigan.contracts import GAN, Player
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
    learning_rate: Rate = 2e-4,
    discriminator_steps: Count = 2,
    discriminator_rotation: Weight = 1.0,
    generator_rotation: Weight = 0.2,
    flip: bool = False,
    layout: resnet.Layout = "pyramid",
) -> Recipe:
    """``discriminator_rotation`` is the paper's beta, ``generator_rotation`` its alpha; ``layout`` as in ``sngan``."""
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional)}
    mine, theirs = resnet.layout(layout, size=task.size, width=width)
    generator = resnet.Generator(**shape, **mine, latent=latent)
    discriminator = regularizers.Rotating(resnet.Discriminator(**shape, **theirs), generator.shape)
    weights: dict[Player, float] = {"discriminator": discriminator_rotation, "generator": generator_rotation}
    gan = GAN(
        generator=generator,
        discriminator=regularizers.spectral_norm(discriminator),
        objective=objectives.hinge(),
        terms=tuple(regularizers.Rotation(player, weight=weight) for player, weight in weights.items() if weight),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.9),
        turns=alternate(discriminator=discriminator_steps, generator=1),
        schedule=linear(to=0.0),
        flip=flip,
    )
