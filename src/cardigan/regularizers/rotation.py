"""Which way up is it? What a discriminator learns from images that are turned, and no label tells it."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan.contracts import GAN, Box, DiscriminatorNetwork, Player, Shape, Step
from cardigan.errors import CardiganError
from cardigan.regularizers._term import WeightedTerm
from cardigan.regularizers.self_supervision import decoding


def quarter_turns(images: Tensor) -> tuple[Tensor, Tensor]:
    """All four rotations of square images, by 0, 90, 180 and 270 degrees counter-clockwise.

    Args:
        images: (B, C, H, H).

    Returns:
        Images (4B, C, H, H), first all of them unturned, then all turned once, and so on; and how often each was
        turned, int64 (4B,), 0 to 3.

    Raises:
        CardiganError: if they are not square.

    Example:
        >>> turned, turns = quarter_turns(torch.tensor([[[[1, 2], [3, 4]]]]))
        >>> turned.flatten(1).tolist(), turns.tolist()
        ([[1, 2, 3, 4], [2, 4, 1, 3], [4, 3, 2, 1], [3, 1, 4, 2]], [0, 1, 2, 3])
    """
    _check_square(images.shape[2], images.shape[3])
    turned = torch.cat([torch.rot90(images, turns, dims=(2, 3)) for turns in range(4)])
    return turned, torch.arange(4, device=images.device).repeat_interleave(len(images))


class Rotating(DiscriminatorNetwork):
    """Any discriminator that tells its maps, with a head that says how often an image was turned by a quarter.

    The head is a linear layer on the last map, summed over its places; the judgement of real and fake is the
    discriminator's own. For :class:`Rotation`.

    Source: *Self-Supervised GANs via Auxiliary Rotation Loss*, Chen, Zhai, Ritter, Lucic and Houlsby, 2019.

    Args:
        discriminator: the one that carries the head.
        shape: channels, height and width of its images.

    Raises:
        CardiganError: if images of this shape are not square, or the discriminator tells no maps.

    Example:
        >>> from cardigan.models import dcgan
        >>> discriminator = Rotating(dcgan.Discriminator(size=16, channels=1, width=4), (1, 16, 16))
        >>> images = torch.zeros(2, 1, 16, 16)
        >>> discriminator(images).shape, discriminator.rotations(images).shape
        (torch.Size([2, 1]), torch.Size([2, 4]))
    """

    def __init__(self, discriminator: DiscriminatorNetwork, shape: Shape) -> None:
        super().__init__()
        _check_square(*shape[1:])
        told = {"model": type(discriminator).__module__, **discriminator.arguments}
        self.arguments = {"discriminator": told, "shape": shape}
        self.classes, self.independent = discriminator.classes, discriminator.independent
        self.reads_scales = discriminator.reads_scales
        self.discriminator = discriminator
        self.head = nn.Linear(_features(discriminator, shape), 4)

    def forward(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> Tensor:
        """The carried discriminator's logits (B, K)."""
        return self.discriminator(images, labels, *smaller)

    def examine(self, images: Tensor, labels: Tensor | None = None, *smaller: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The carried discriminator's logits (B, K) and maps."""
        return self.discriminator.examine(images, labels, *smaller)

    def rotations(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, H) in [-1, 1] in, a logit for each number of quarter turns out, (B, 4)."""
        _, maps = self.examine(images, labels)
        # The sum and not the mean, as in a discriminator's own head: spectral norm would keep the logits of a mean so
        # small that telling rotations is learned far more slowly.
        return self.head(maps[-1].sum(dim=(2, 3)))

    def decode(self, maps: Sequence[Tensor], part: Box) -> list[tuple[Tensor, Box]]:
        """What the carried discriminator still knows of its images, so that it may be reconstructing as well."""
        return decoding(self.discriminator)(maps, part)


@dataclass(frozen=True)
class Rotation(WeightedTerm):
    r"""The cross-entropy of telling by how many quarter turns images were rotated.

    .. math:: L_D \mathrel{+}= -\beta\, E_{x \sim p_{data}} E_r \log Q(r \mid x^r), \quad
              L_G \mathrel{+}= -\alpha\, E_{x \sim p_G} E_r \log Q(r \mid x^r)

    The discriminator learns it from real images alone, and so keeps features that the game would let it forget; the
    generator is asked for images whose upright can be told, so on this the players work together. Faces, rooms and
    digits have an upright; textures, cells and photos from above have none, and gain nothing.

    Every fourth image of the batch is shown in all four rotations, augmented as in the game: as many images as the
    batch has, through the discriminator once more, in each player's step. Augmentations that turn images themselves
    take the answer away.

    Source: *Self-Supervised GANs via Auxiliary Rotation Loss*, Chen, Zhai, Ritter, Lucic and Houlsby, 2019.

    Args:
        player: who has it in its loss; both should. The discriminator must be :class:`Rotating`.
        weight: beta of the discriminator, 1 in the paper, or alpha of the generator, 0.2.

    Raises:
        CardiganError: when a GAN is made with it, if the discriminator is not :class:`Rotating`.

    Example:
        >>> Rotation("generator", weight=0.2)
        Rotation(player='generator', weight=0.2)
    """

    player: Player = "discriminator"
    weight: float = 1.0
    every: int = field(default=1, init=False, repr=False)
    name: str = field(default="rotation", kw_only=True, repr=False)

    def check_gan(self, gan: GAN) -> None:
        """Refuse a discriminator that has no head for rotations."""
        _rotating(gan.discriminator)

    def __call__(self, step: Step) -> Tensor:
        """One value per rotated image, (4 * ceil(B / 4),)."""
        discriminator = _rotating(step.gan.discriminator)
        if self.player == "discriminator":
            assert step.shown is not None
            upright, labels = step.shown[::4].detach(), step.labels
        else:
            upright, labels = step.gan.augment(step.fake[::4]), step.fake_labels
        turned, turns = quarter_turns(upright)
        logits = discriminator.rotations(turned, None if labels is None else labels[::4].repeat(4))
        return self.weight * F.cross_entropy(logits, turns, reduction="none")


def _rotating(discriminator: nn.Module) -> Rotating:
    """The discriminator, if it can tell rotations."""
    if not isinstance(discriminator, Rotating):
        raise CardiganError(
            f"Rotation needs a discriminator that can tell rotations, and this one is a "
            f"{_name(discriminator)}: wrap it, regularizers.Rotating(discriminator, generator.shape)."
        )
    return discriminator


def _check_square(height: int, width: int) -> None:
    if height != width:
        raise CardiganError(
            f"Only square images can be turned by a quarter, these are {height}x{width}: train at a square size, such "
            f"as --size {min(height, width)}."
        )


def _name(network: nn.Module) -> str:
    """Module and class, such as ``mlp.Discriminator``."""
    return f"{type(network).__module__.rpartition('.')[2]}.{type(network).__name__}"


@torch.no_grad()
def _features(discriminator: DiscriminatorNetwork, shape: Shape) -> int:
    """Channels of the last map that a discriminator tells."""
    # A copy: asking the original would leave a trace in its mode, or in its statistics.
    asked = copy.deepcopy(discriminator).eval()
    device = next(asked.parameters()).device
    labels = torch.zeros(1, dtype=torch.int64, device=device) if asked.classes else None
    _, maps = asked.examine(torch.zeros(1, *shape, device=device), labels)
    if not maps:
        raise CardiganError(
            f"A {_name(discriminator)} tells no maps, so it cannot carry a head for rotations: take a convolutional "
            "one, such as models.dcgan.Discriminator or models.resnet.Discriminator."
        )
    return maps[-1].shape[1]
