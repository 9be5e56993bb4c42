"""Penalties on the discriminator's slope: terms that keep it gentle where images lie."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from cardigan.contracts import Player, Step
from cardigan.share import drawn


def slopes(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each image's mean logit with respect to its pixels, flattened: (B, C*H*W).

    The mean, because that is what an objective plays for: summed over the thousands of logits of a discriminator that
    judges patches, the same penalty would weigh a million times as much. The graph is kept, so that a penalty on it can
    be differentiated.
    """
    (slope,) = torch.autograd.grad(logits.flatten(1).mean(dim=1).sum(), images, create_graph=True)
    return slope.flatten(1)


@dataclass(frozen=True)
class R1:
    r"""Zero-centred gradient penalty on real images.

    .. math:: \tfrac{\gamma}{2}\, \lVert\nabla_x D(x)\rVert^2, \quad x \sim p_{data}

    Source: *Which Training Methods for GANs do actually Converge?*, Mescheder et al., 2018. Lazy evaluation: *Analyzing
    and Improving the Image Quality of StyleGAN*, Karras et al., 2020.

    Args:
        weight: gamma. *Larger* trains calmer and slower; grows with the number of pixels.
        every: discriminator steps between two penalties; the penalty is multiplied by it.

    Example:
        >>> R1(weight=1.0, every=16)
        R1(weight=1.0, every=16)
    """

    weight: float = 10.0
    every: int = 1
    name: str = field(default="r1", init=False, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        assert step.real_logits is not None
        return self.weight / 2 * slopes(step.real_logits, step.real).square().sum(dim=1)


@dataclass(frozen=True)
class R2:
    r"""Zero-centred gradient penalty on generated images: R1's twin.

    .. math:: \tfrac{\gamma}{2}\, \lVert\nabla_x D(x)\rVert^2, \quad x \sim p_{G}

    Source: *Which Training Methods for GANs do actually Converge?*, Mescheder et al., 2018.

    Args:
        weight: gamma. *Larger* trains calmer and slower.
        every: discriminator steps between two penalties; the penalty is multiplied by it.
    """

    weight: float = 10.0
    every: int = 1
    name: str = field(default="r2", init=False, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        assert step.fake_logits is not None
        return self.weight / 2 * slopes(step.fake_logits, step.fake).square().sum(dim=1)


@dataclass(frozen=True)
class GradientPenalty:
    r"""The gradient's norm is pulled to 1 between each real image and its fake.

    .. math:: \lambda\, (\lVert\nabla_{\hat x} D(\hat x)\rVert_2 - 1)^2,
       \quad \hat x_i = \epsilon_i x_i + (1 - \epsilon_i) G(z_i), \quad \epsilon_i \sim U(0, 1)

    One epsilon and one norm per image. The discriminator must not mix the images of a batch: no batch normalisation.

    Source: *Improved Training of Wasserstein GANs*, Gulrajani et al., 2017.

    Args:
        weight: lambda.
        every: discriminator steps between two penalties; the penalty is multiplied by it.
    """

    weight: float = 10.0
    every: int = 1
    name: str = field(default="gradient_penalty", init=False, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        real, fake = step.real.detach(), step.fake.detach()
        share = drawn(lambda count: torch.rand(count, 1, 1, 1, device=real.device), len(real))
        between = (share * real + (1 - share) * fake).requires_grad_()
        logits = step.gan.discriminator(step.gan.augment(between), step.labels)
        norms = slopes(logits, between).square().sum(dim=1).add(1e-12).sqrt()
        return self.weight * (norms - 1.0).square()
