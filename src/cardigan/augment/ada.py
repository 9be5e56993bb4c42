"""Adaptive augmentation: as much of it as keeps the discriminator from learning its images by heart.

Source: *Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020.
"""

import math

import torch
from torch import Tensor, nn

from cardigan.augment.chain import known, sometimes
from cardigan.augment.policies import POLICIES
from cardigan.checks import check
from cardigan.contracts import GAN
from cardigan.errors import CardiganError


class AdaptiveAugment(nn.Module):
    r"""Each policy applied to each image with one probability, which follows how far the discriminator overfits.

    The probability starts at 0. It rises while the discriminator is too sure of its real images, else it falls:

    .. math:: r = E[\operatorname{sign} D(x)],\ x \sim p_{data},
       \qquad p \leftarrow p + \operatorname{sign}(r - \text{target}) \cdot \text{images} / \text{horizon}

    D(x) is measured from the objective's boundary, which is 0.5 in the 0-1 coding of least squares. Objectives without
    a boundary, Wasserstein and relativistic ones, are refused: there a logit alone says nothing of real or fake.

    Source: *Training Generative Adversarial Networks with Limited Data*, Karras et al., 2020.

    Args:
        policies: names, in the order of their action.
        target: the r that is aimed at, between -1 and 1. *Larger* augments less.
        horizon: real images over which the probability would go from 0 to 1. *Smaller* adapts sooner: for short runs.
        interval: observations between two changes of the probability.
        most: the largest probability. Near 1 the generator begins to draw what the augmentation does.

    Attributes:
        probability: scalar. It and the sums are buffers, so a run that is resumed goes on to the last bit.
        overfitting: scalar, the r that the last change went by; 0 before the first.

    Raises:
        CardiganError: if no name is given or one is unknown, or if a number is out of its range; when a GAN is made
            with it, if the objective has no boundary.
    """

    probability: Tensor
    overfitting: Tensor
    signs: Tensor
    logits: Tensor
    images: Tensor
    observations: Tensor

    def __init__(
        self,
        policies: tuple[str, ...],
        *,
        target: float = 0.6,
        horizon: float = 500_000,
        interval: int = 4,
        most: float = 0.8,
    ) -> None:
        super().__init__()
        if not policies:
            raise CardiganError('An adaptive augmentation got no policies. Type some, such as "flip", "translation".')
        check("target", target, lambda value: -1 < value < 1, "a number between -1 and 1", "0.6")
        check("horizon", horizon, lambda value: 0 < value < math.inf, "a positive number of images", "500_000")
        check("interval", interval, lambda value: value >= 1 and value % 1 == 0, "a positive whole number", "4")
        check("most", most, lambda value: 0 < value <= 1, "a number above 0 and up to 1", "0.8")
        self.policies = known(policies)
        self.target, self.horizon, self.interval, self.most = target, horizon, interval, most
        for name in ("probability", "overfitting"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float32))
        for name in ("signs", "logits", "images", "observations"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) in, images of the same shape out."""
        for name in self.policies:
            images = sometimes(POLICIES[name], images, self.probability)
        return images

    @torch.no_grad()
    def observe(self, real_logits: Tensor, *, images: int) -> None:
        """See the logits of real images, (B, K), after a step of the discriminator on ``images`` images.

        They are measured from the objective's boundary: above 0 an image counts as real.
        """
        self.signs += (real_logits > 0).sum() - (real_logits < 0).sum()
        self.logits += real_logits.numel()
        self.images += images
        self.observations += 1
        # All of it stays on the device: an `if` would stall a GPU at every step.
        due = self.observations >= self.interval
        overfitting = self.signs / self.logits
        change = (overfitting - self.target).sign() * self.images / self.horizon
        self.probability.copy_(torch.where(due, (self.probability + change).clamp(0, self.most), self.probability))
        self.overfitting.copy_(torch.where(due, overfitting, self.overfitting))
        for total in (self.signs, self.logits, self.images, self.observations):
            total.masked_fill_(due, 0)

    def check_gan(self, gan: GAN) -> None:
        """Refuse objectives in which no logit divides real from fake."""
        if gan.objective.boundary is None:
            raise CardiganError(
                f"Adaptive augmentation asks whether the discriminator calls an image real, and with "
                f"{gan.objective.name} one logit does not say that. Take a fixed one, augment.diffaugment("
                f"{', '.join(map(repr, self.policies))}), or another objective, such as objectives.hinge()."
            )

    def gauges(self) -> dict[str, Tensor]:
        """The probability, and the overfitting that it last went by, as they stand."""
        return {"augmentation probability": self.probability.clone(), "overfitting": self.overfitting.clone()}

    def extra_repr(self) -> str:
        """The policies and all numbers."""
        numbers = f"target={self.target}, horizon={self.horizon}, interval={self.interval}, most={self.most}"
        return f"policies={self.policies}, {numbers}"


def adaptive(
    *policies: str, target: float = 0.6, horizon: float = 500_000, interval: int = 4, most: float = 0.8
) -> AdaptiveAugment:
    """An augmentation that finds its own strength; see :class:`AdaptiveAugment`.

    Raises:
        CardiganError: if no name is given or one is unknown, or if a number is out of its range.

    Example:
        >>> adaptive("color", "flip", horizon=50_000)
        AdaptiveAugment(policies=('color', 'flip'), target=0.6, horizon=50000, interval=4, most=0.8)
    """
    return AdaptiveAugment(policies, target=target, horizon=horizon, interval=interval, most=most)
