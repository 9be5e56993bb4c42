"""Penalties on the discriminator's slope: terms that keep it gentle where images lie."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from cardigan.contracts import GAN, Player, Step
from cardigan.errors import CardiganError
from cardigan.regularizers._term import WeightedTerm
from cardigan.share import drawn


def slopes(logits: Tensor, images: Tensor, *smaller: Tensor) -> Tensor:
    """The gradient of each image's mean logit with respect to its pixels, flattened: (B, C*H*W).

    The mean, because that is what an objective plays for: summed over the thousands of logits of a discriminator that
    judges patches, the same penalty would weigh a million times as much. The graph is kept, so that a penalty on it can
    be differentiated.

    Args:
        logits: (B, K), or (B,) for one logit an image.
        images: (B, C, H, W), what the logits were made from.
        *smaller: the same images at smaller scales, if the discriminator was shown them; their pixels count alike.
    """
    means = logits.reshape(len(logits), -1).mean(dim=1)
    # A discriminator may leave the smaller scales unread.
    found = torch.autograd.grad(means.sum(), (images, *smaller), create_graph=True, materialize_grads=True)
    return torch.cat([slope.flatten(1) for slope in found], dim=1)


@dataclass(frozen=True)
class R1(WeightedTerm):
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
    name: str = field(default="r1", kw_only=True, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        assert step.real_logits is not None
        return self.weight / 2 * slopes(step.real_logits, step.real).square().sum(dim=1)


@dataclass(frozen=True)
class R2(WeightedTerm):
    r"""Zero-centred gradient penalty on generated images: R1's twin.

    .. math:: \tfrac{\gamma}{2}\, \lVert\nabla_x D(x)\rVert^2, \quad x \sim p_{G}

    Where the generator draws several scales, x is all that the discriminator is shown of an image.

    Source: *Which Training Methods for GANs do actually Converge?*, Mescheder et al., 2018.

    Args:
        weight: gamma. *Larger* trains calmer and slower.
        every: discriminator steps between two penalties; the penalty is multiplied by it.
    """

    weight: float = 10.0
    every: int = 1
    name: str = field(default="r2", kw_only=True, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        assert step.fake_logits is not None
        return self.weight / 2 * slopes(step.fake_logits, step.fake, *step.smaller).square().sum(dim=1)


@dataclass(frozen=True)
class GradientPenalty(WeightedTerm):
    r"""The gradient's norm is pulled to 1 between each real image and its fake.

    .. math:: \lambda\, (\lVert\nabla_{\hat x} D(\hat x)\rVert_2 - 1)^2,
       \quad \hat x_i = \epsilon_i x_i + (1 - \epsilon_i) G(z_i), \quad \epsilon_i \sim U(0, 1)

    One epsilon and one norm per image. The discriminator must not mix the images of a batch: no batch normalisation.
    Where the prior asks for other classes than the data shows, a mixture has the class of the end it lies nearer to.

    Source: *Improved Training of Wasserstein GANs*, Gulrajani et al., 2017.

    Args:
        weight: lambda.
        every: discriminator steps between two penalties; the penalty is multiplied by it.

    Raises:
        CardiganError: when a GAN is made with it, if the discriminator has batch normalisation.
    """

    weight: float = 10.0
    every: int = 1
    name: str = field(default="gradient_penalty", kw_only=True, repr=False)
    player: Player = field(default="discriminator", init=False, repr=False)

    def check_gan(self, gan: GAN) -> None:
        """Refuse batch normalisation in the discriminator; where it is frozen in evaluation mode, it mixes nothing."""
        for name, module in gan.discriminator.named_modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
                raise CardiganError(
                    f"GradientPenalty asks for the slope of each image alone, and batch normalisation in the "
                    f"discriminator ({name or type(module).__name__}) mixes the images of a batch. Build it without, "
                    f"such as models.dcgan.Discriminator(normalise=False), or with nn.GroupNorm."
                )

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        real, fake = step.real.detach(), step.fake.detach()
        share = drawn(lambda count: torch.rand(count, 1, 1, 1, device=real.device), len(real))
        between = (share * real + (1 - share) * fake).requires_grad_()
        logits = step.gan.discriminator(step.gan.augment(between), _nearer(step, share.flatten()))
        norms = slopes(logits, between).square().sum(dim=1).add(1e-12).sqrt()
        return self.weight * (norms - 1.0).square()


def _nearer(step: Step, share: Tensor) -> Tensor | None:
    """The classes of mixtures, (B,): of the real image where its share, (B,), is at least a half, else of the fake."""
    if step.labels is None or step.fake_labels is None:
        return step.fake_labels if step.labels is None else step.labels
    return torch.where(share >= 0.5, step.labels, step.fake_labels)
