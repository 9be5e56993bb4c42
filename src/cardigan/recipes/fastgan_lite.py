"""FastGAN for a CPU: narrow networks, a fast start, and augmentation only once it is needed.

Against `fastgan`: a width of 8; a third head for small patches, without which so narrow a discriminator lets grain
pass; no spectral norm, which costs a tenth of the time at this width; Adam without momentum and with a short memory, at
fifteen times the rate, which falls from the start; and augmentation that begins with none and grows as the
discriminator learns its images by heart.

Source: *Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021;
*Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020; the numbers by search (docs/log.md).
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
"""Images in which the probability of augmentation may go from 0 to 1."""


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
    distance = regularizers.perceptual(extractors.load(features)) if features else regularizers.pixels_and_slopes
    terms = (regularizers.Reconstruction(reconstruction, distance),) if reconstruction else ()
    gan = GAN(
        generator=fastgan.Generator(**shape, latent=latent, excitation=excitation, two_scales=True, spectral=False),
        discriminator=fastgan.Discriminator(
            **shape, excitation=excitation, decoders=bool(terms), texture=texture, spectral=False
        ),
        objective=objectives.hinge(),
        terms=terms,
        augment=augment_of(augmentation, *POLICIES, horizon=HORIZON),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.99),
        schedule=linear(to=0.03),
        half_life=5_500,
        flip=flip,
    )
