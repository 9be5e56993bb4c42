"""Differentiable augmentation: what real and fake images alike pass through on the way to the discriminator.

A discriminator that sees each image changed a little each time cannot learn the few images it has by heart, and since
the fakes are changed in the same way and gradients flow through, the generator does not learn the changes.

Source: *Differentiable Augmentation for Data-Efficient GAN Training*, Zhao et al., 2020; with a probability that
adapts: *Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020.
"""

from cardigan.augment.ada import AdaptiveAugment, adaptive
from cardigan.augment.chain import DiffAugment, diffaugment, sometimes
from cardigan.augment.policies import POLICIES, Policy, color, cutout, flip, rotation, scaling, translation

__all__ = [
    "POLICIES",
    "AdaptiveAugment",
    "DiffAugment",
    "Policy",
    "adaptive",
    "color",
    "cutout",
    "diffaugment",
    "flip",
    "rotation",
    "scaling",
    "sometimes",
    "translation",
]
