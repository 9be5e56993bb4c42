"""Projected GAN: a pretrained network looks, small heads judge what it sees, and FastGAN's generator draws.

For those who have a network that was pretrained on many pictures. None comes with Cardigan and none is downloaded:
`backbone` names it. A generator that pleases a network trained on ImageNet also scores well by measures that look
through such a network, better than people would say (*The Role of ImageNet Classes in Fréchet Inception Distance*,
Kynkäänniemi et al., 2023).

Source: *Projected GANs Converge Faster*, Sauer, Chitta, Müller and Geiger, 2021; the generator is that of *Towards
Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis*, Liu et al., 2021, and the augmentation
*Differentiable Augmentation for Data-Efficient GAN Training*, Zhao et al., 2020.
The generator differs from the one in the code published with Projected GAN. Both draw one image and no smaller one; but
that one brings every latent to the same length (onto a sphere), has two convolutions at every doubling, noise at each,
ends in a convolution with a bias and no tanh, is twice as wide (``width=128``) without classes, and gives classes to
its batch normalisation; here they are joined to the latent.
Expect: in the paper, as good after a million images as others after tens of millions; it stands and falls with what the
backbone was pretrained on. At 64 pixels and a width of 32 a MobileNet takes a quarter of the discriminator's time.
"""

from cardigan import augment, objectives
from cardigan.contracts import GAN
from cardigan.errors import CardiganError
from cardigan.models import fastgan, projected
from cardigan.recipes._contract import BatchSize, Count, Rate, Recipe, Task, classes_for
from cardigan.training.optimizers import Adam


def recipe(
    task: Task,
    *,
    backbone: str = "",
    resolution: Count | None = None,
    width: Count = 64,
    latent: Count = 256,
    conditional: bool | None = None,
    batch_size: BatchSize = 64,
    learning_rate: Rate = 2e-4,
    flip: bool = False,
) -> Recipe:
    """The paper's batch, rates and length of latents; the generator is not quite its (see above). A width of 32 and a
    batch of 16 train on a CPU. ``backbone`` is a text as :func:`cardigan.features.load` reads it; ``resolution`` is the
    shorter side of the images that it is shown.
    """
    if not backbone:
        raise CardiganError(
            "projected judges images through a pretrained network, and none is named. Add --set backbone=timm:NAME (a "
            "network of the timm library), backbone=timm:NAME=weights.safetensors, backbone=path/to/file.safetensors "
            "(a classifier saved by cardigan.features.classifier) or backbone=package.module:function (your own)."
        )
    shape = {"size": task.size, "channels": task.channels, "classes": classes_for(task, conditional), "width": width}
    gan = GAN(
        generator=fastgan.Generator(**shape, latent=latent),
        discriminator=projected.Discriminator(**shape, backbone=backbone, resolution=resolution),
        objective=objectives.hinge(),
        augment=augment.diffaugment("color", "translation", "cutout"),
    )
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers=Adam(learning_rate, beta1=0.0, beta2=0.99),
        flip=flip,
    )
