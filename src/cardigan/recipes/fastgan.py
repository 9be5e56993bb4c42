"""FastGAN: a good generator from a hundred images.

Against `fastgan-as-published`: images end in tanh at every size, decoders learn from targets without aliasing and by a
loss that needs no download, weighed by image and not by batch, the learning rate falls to the end of the budget, and
normalisation is measured for the averaged weights, so that an image does not depend on its batch-mates.

Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021;
augmentation: *Differentiable Augmentation for Data-Efficient GAN Training*, Zhao et al., 2020, and, where it adapts,
*Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020.
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
    width: Count = 64,
    latent: Count = 256,
    conditional: bool | None = None,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 2e-4,
    excitation: bool = True,
    reconstruction: Weight = 1.0,
    features: str = "",
    augmentation: Kind = "fixed",
    flip: bool = True,
) -> Recipe:
    """The paper's width is 64; on a CPU take `fastgan-lite`. ``reconstruction=0`` leaves the decoders out; ``features``
    names a network by which they are judged, as :func:`cardigan.features.load` reads it, instead of pixels and slopes.
    """
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = game(
        shape,
        latent=latent,
        excitation=excitation,
        reconstruction=reconstruction,
        features=features,
        augmentation=augmentation,
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.5, beta2=0.999),
        schedule=linear(to=0.1, start=0.5),
        half_life=5_500,
        flip=flip,
    )
