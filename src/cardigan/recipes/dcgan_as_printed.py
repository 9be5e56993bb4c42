"""The DCGAN of the well-known face tutorial, exactly as it prints it: networks, start, loss, order and numbers.

64-pixel transposed convolutions, binary cross-entropy, discriminator first, the generator on the same fakes with the
new discriminator, Adam at 2e-4 with beta1 0.5, batches of 128, 5 passes. For comparison: `dcgan` is the corrected twin.

Source: the document behind docs/seeds/dcgan.md, after *Unsupervised Representation Learning with Deep Convolutional
GANs*, Radford et al., 2016 (whose network is twice as wide).
Expect: 3,576,704 and 2,765,568 parameters; about 3 seconds a step on 2 CPU cores.
"""

from cardigan import objectives
from cardigan.contracts import GAN
from cardigan.models import dcgan
from cardigan.recipes._contract import BatchSize, Recipe, Task
from cardigan.training.optimizers import Adam
from cardigan.training.turns import together

ONLY = (64, 64, None)
"""Height and width that the document's networks are written for; any number of channels."""


def recipe(task: Task, *, batch_size: BatchSize = 128) -> Recipe:
    """The document's numbers."""
    gan = GAN(
        generator=dcgan.Generator(size=task.size, channels=task.channels, latent=100, width=64),
        discriminator=dcgan.Discriminator(size=task.size, channels=task.channels, width=64),
        objective=objectives.non_saturating(),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(2e-4, beta1=0.5, beta2=0.999),
        turns=together("discriminator"),
        half_life=0,
        passes=5,
        because=("As printed: for comparison with `dcgan`, which corrects it.",),
    )
