"""FastGAN for a CPU: narrow networks, a fast start, and augmentation only once it is needed.

Against `fastgan`: a width of 8; a third head for small patches, without which so narrow a discriminator lets grain
pass; no spectral norm, which costs a tenth of the time at this width; Adam without momentum and with a short memory, at
fifteen times the rate, which falls from the start; and augmentation that begins with none and grows as the
discriminator learns its images by heart.

Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021;
*Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020; the numbers by search (docs/log.md).
Expect: see docs/seeds/fastgan.md.
"""

from cardigan.recipes._augmentation import Kind
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight, classes_for
from cardigan.recipes._fastgan import game
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear


def recipe(
    task: Task,
    *,
    width: Count = 8,
    latent: Count = 256,
    conditional: bool | None = None,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 3e-3,
    excitation: bool = True,
    texture: bool = True,
    reconstruction: Weight = 1.0,
    features: str = "",
    augmentation: Kind = "adaptive",
    flip: bool = True,
) -> Recipe:
    """``reconstruction=0`` leaves the decoders out; ``features`` names a network by which they are judged, as
    :func:`cardigan.features.load` reads it, instead of pixels and slopes.
    """
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = game(
        shape,
        latent=latent,
        excitation=excitation,
        reconstruction=reconstruction,
        features=features,
        augmentation=augmentation,
        texture=texture,
        spectral=False,
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.99),
        schedule=linear(to=0.03),
        half_life=5_500,
        flip=flip,
    )
