"""What keeps the game fair, in three kinds by *when* it acts.

A **term** is added to a loss (:class:`GradientPenalty`, :class:`R1`, :class:`R2`; for generators whose answer is known
:class:`Content`, :class:`Matching`, :class:`Perceptual`); a **projection** changes the weights after a step
(:class:`WeightClipping`); a **parametrisation** changes what the weights are, before training (:func:`spectral_norm`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from cardigan.contracts import Player, Step

Network = TypeVar("Network", bound=nn.Module)


def slopes(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each image's summed logits with respect to its pixels, flattened: (B, C*H*W).

    The graph is kept, so that a penalty on it can be differentiated.
    """
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
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
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = (share * real + (1 - share) * fake).requires_grad_()
        logits = step.gan.discriminator(step.gan.augment(between), step.labels)
        norms = slopes(logits, between).square().sum(dim=1).add(1e-12).sqrt()
        return self.weight * (norms - 1.0).square()


@dataclass(frozen=True)
class Content:
    """The mean absolute difference between what the generator made of its source and the true image.

    For generators that start from an image whose answer is known: restoration, colouring.

    Source: *Image-to-Image Translation with Conditional Adversarial Networks*, Isola et al., 2017.

    Args:
        weight: of the difference, which lies between 0 and 2.
    """

    weight: float = 1.0
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="content", init=False, repr=False)
    player: Player = field(default="generator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        return self.weight * (step.fake - step.real).abs().flatten(1).mean(dim=1)


@dataclass(frozen=True)
class Perceptual:
    """How far apart the generator's image and the true one are for another network, place by place.

    At each place and depth the features are brought to unit length; their squared difference is averaged over places,
    then over depths.

    Source: *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, Zhang et al., 2018, without its
    fitted weights.

    Args:
        features: ``images (B, C, H, W) in [-1, 1] -> maps`` (B, F, h, w), or a sequence of them from several depths.
            It is neither trained nor moved: put it on the device that trains, in evaluation mode.
        weight: of the distance, which lies between 0 and 4.

    Example:
        >>> Perceptual(nn.Conv2d(3, 8, 3), weight=0.5).name
        'perceptual'
    """

    features: Callable[[Tensor], Tensor | Sequence[Tensor]]
    weight: float = 1.0
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="perceptual", init=False, repr=False)
    player: Player = field(default="generator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        with torch.no_grad():
            true = self.features(step.real)
        mine = self.features(step.fake)
        depths = [[maps] if isinstance(maps, Tensor) else maps for maps in (mine, true)]
        distances = [
            (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square().sum(dim=1).flatten(1).mean(dim=1)
            for one, other in zip(*depths, strict=True)
        ]
        return self.weight * torch.stack(distances).mean(dim=0)


@dataclass(frozen=True)
class Matching:
    """How far apart the generator's image and the true one are for the discriminator itself, at each of its levels.

    A perceptual loss that needs no other network: what the discriminator looks at, the generator is told to get right
    in place. Each level counts alike, whatever the scale of its maps. The discriminator must have
    ``features(images) -> list of maps``.

    Source: *High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs*, Wang et al., 2018; first
    in *Autoencoding beyond pixels using a learned similarity metric*, Larsen et al., 2016.

    Args:
        weight: of the mean absolute difference, measured in the mean size of the true image's features.
    """

    weight: float = 0.1
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="matching", init=False, repr=False)
    player: Player = field(default="generator", init=False, repr=False)

    def __call__(self, step: Step) -> Tensor:
        """One value per image, (B,)."""
        features: Callable[[Tensor], list[Tensor]] = step.gan.discriminator.features  # pyright: ignore
        with torch.no_grad():
            true = features(step.real)
        distances = [
            (mine - theirs).abs().flatten(1).mean(dim=1) / theirs.abs().mean().clamp(min=1e-6)
            for mine, theirs in zip(features(step.fake), true, strict=True)
        ]
        return self.weight * torch.stack(distances).mean(dim=0)


@dataclass(frozen=True)
class WeightClipping:
    """Every parameter of the discriminator is clamped to [-limit, limit] after each of its steps.

    The first way to keep a Wasserstein discriminator Lipschitz; kept as a teaching exhibit, since a gradient penalty or
    spectral norm trains better.

    Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017.

    Example:
        >>> layer = nn.Linear(4, 4)
        >>> WeightClipping(0.01)(layer)
        >>> float(layer.weight.detach().abs().max()) <= 0.01 + 1e-9
        True
    """

    limit: float = 0.01
    player: Player = field(default="discriminator", init=False, repr=False)

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> None:
        """Clamp in place."""
        for weight in network.parameters():
            weight.clamp_(-self.limit, self.limit)


def spectral_norm(network: Network) -> Network:
    """Divide the weight of every layer by its largest singular value, in place, and return the network.

    One power iteration per training step; in evaluation the estimate stands still. Right for a discriminator; on a
    generator it is an option that some use.

    Source: *Spectral Normalization for Generative Adversarial Networks*, Miyato et al., 2018.

    Example:
        >>> layer = spectral_norm(nn.Linear(8, 8))
        >>> bool(torch.linalg.matrix_norm(layer.weight, 2) < 1.2)
        True
    """
    layers = nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding
    for module in list(network.modules()):
        if isinstance(module, layers) and not parametrize.is_parametrized(module, "weight"):
            parametrizations.spectral_norm(module)
    return network
