"""What keeps the game fair, in three kinds by *when* it acts.

A **term** is added to a loss: penalties on slopes (:class:`GradientPenalty`, :class:`R1`, :class:`R2`), likeness to an
answer that is known (:class:`Content`, :class:`Matching`, :class:`Perceptual`), self-supervision
(:class:`Reconstruction`; :class:`Rotation`, of a discriminator that is :class:`Rotating`). A **projection** changes the
weights after a step (:class:`WeightClipping`); a **parametrisation** changes what the weights are, before training
(:func:`spectral_norm`).
"""

from cardigan.regularizers.likeness import Content, Matching, Perceptual, perceptual, pixels_and_slopes
from cardigan.regularizers.penalties import R1, R2, GradientPenalty, slopes
from cardigan.regularizers.rotation import Rotating, Rotation, quarter_turns
from cardigan.regularizers.self_supervision import Reconstruction
from cardigan.regularizers.weights import WeightClipping, spectral_norm

__all__ = [
    "R1",
    "R2",
    "Content",
    "GradientPenalty",
    "Matching",
    "Perceptual",
    "Reconstruction",
    "Rotating",
    "Rotation",
    "WeightClipping",
    "perceptual",
    "pixels_and_slopes",
    "quarter_turns",
    "slopes",
    "spectral_norm",
]
