"""FastGAN as its published code has it, where that differs from `fastgan`.

Below 1024 pixels nothing keeps the images in [-1, 1]; each logit's margin is drawn between 0.8 and 1; the decoders'
targets are every n-th pixel, and their loss is summed over the batch. The published loss looks through VGG16: name one
with ``--set features=timm:vgg16``; without it pixels and slopes are compared.

Not reproduced:

- The published code draws its samples with the statistics of their batch; here those of the averaged generator are
  measured anew.
- Its discriminator sees a smaller real image of every n-th pixel; here each pixel is the mean of its area.
- Its two players judge the same augmented fakes; here the generator's step draws a new augmentation.
- Its average of the weights keeps 0.999 from the first step; here the half-life grows up to that.
- Its perceptual distance has LPIPS's fitted weights; here depths and channels count alike.
- It squeezes images to a square; here they are cropped.

Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021, and
the code published with it.
Expect: see docs/seeds/fastgan.md.
"""

from cardigan import augment, objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import fastgan
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task
from cardigan.recipes._fastgan import distance
from cardigan.training.optimizers import Adam

TANH_FROM = 1024
"""The side from which the published generator ends in tanh."""
HALF_LIFE = 693
"""Steps after which a weight counts half in an average that keeps 0.999 of itself."""


def recipe(
    task: Task,
    *,
    width: Count = 64,
    latent: Count = 256,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 2e-4,
    features: str = "",
    flip: bool = True,
) -> Recipe:
    """Unconditional, whatever the data, as published."""
    shape = {"size": task.size, "channels": task.channels, "width": width}
    gan = GAN(
        generator=fastgan.Generator(
            **shape, latent=latent, two_scales=True, output="tanh" if max(task.size) >= TANH_FROM else "none"
        ),
        discriminator=fastgan.Discriminator(**shape, decoders=True),
        objective=objectives.hinge(margin=(0.8, 1.0)),
        terms=(regularizers.Reconstruction(float(batch_size), distance(features), targets="nearest"),),
        augment=augment.diffaugment("color", "translation"),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.5, beta2=0.999),
        half_life=HALF_LIFE * batch_size,
        flip=flip,
    )
