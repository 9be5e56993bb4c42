"""FastGAN: a good generator from a hundred images.

Against `fastgan-as-published`: images end in tanh at every size, decoders learn from targets without aliasing and by a
loss that needs no download, weighed by image and not by batch, the learning rate falls to the end of the budget, and
normalisation is measured for the averaged weights, so that an image does not depend on its batch-mates.

Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021;
augmentation: *Differentiable Augmentation for Data-Efficient GAN Training*, Zhao et al., 2020, and, where it adapts,
*Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020.
Expect: see docs/seeds/fastgan.md.
"""

from cardigan import features as extractors
from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.models import fastgan
from cardigan.recipes._augmentation import Kind, augment_of
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, Weight, classes_for
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import linear

POLICIES = ("color", "translation")
HORIZON = 50_000
"""Images in which an adaptive probability may go from 0 to 1: a tenth of the paper's, for few images are soon known."""


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
    distance = regularizers.perceptual(extractors.load(features)) if features else regularizers.pixels_and_slopes
    terms = (regularizers.Reconstruction(reconstruction, distance),) if reconstruction else ()
    gan = GAN(
        generator=fastgan.Generator(**shape, latent=latent, excitation=excitation, two_scales=True),
        discriminator=fastgan.Discriminator(**shape, excitation=excitation, decoders=bool(terms)),
        objective=objectives.hinge(),
        terms=terms,
        augment=augment_of(augmentation, *POLICIES, horizon=HORIZON),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.5, beta2=0.999),
        schedule=linear(to=0.1, start=0.5),
        half_life=5_500,
        flip=flip,
    )
