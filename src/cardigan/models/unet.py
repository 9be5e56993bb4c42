"""Networks that restore: a residual U-Net for images of any size, and a critic of small patches.

The generator starts from an image instead of latents and adds a correction to it. It has no normalisation and no
attention, so what happens to a pixel depends on a bounded neighbourhood alone: a large picture can be restored in tiles
without seams, and a picture's result does not depend on its batch-mates.

Source: *U-Net: Convolutional Networks for Biomedical Image Segmentation*, Ronneberger et al., 2015; residual blocks
without normalisation: *Enhanced Deep Residual Networks for Single Image Super-Resolution*, Lim et al., 2017;
up-sampling by pixel shuffle: *Real-Time Single Image and Video Super-Resolution*, Shi et al., 2016, started as in
*Checkerboard artifact free sub-pixel convolution*, Aitken et al., 2017. The critic of patches: *Image-to-Image
Translation with Conditional Adversarial Networks*, Isola et al., 2017.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cardigan.contracts import DiscriminatorNetwork, GeneratorNetwork
from cardigan.errors import CardiganError
from cardigan.layers import Projection, Size, check_labels, checked_sizes, height_and_width

STEM = 2
"""The images are folded so many times in each direction before the first convolution: quicker, and nothing is lost."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to what came in; at the start they add nothing.

    Example:
        >>> maps = torch.ones(1, 4, 6, 5)
        >>> torch.equal(ResidualBlock(4)(maps), maps)
        True
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(features, features, 3, padding=1)
        self.second = nn.Conv2d(features, features, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (B, C, H, W) in, maps of the same shape out."""
        return maps + self.second(F.relu(self.first(maps)))


def unfold_up(before: int, after: int) -> nn.Sequential:
    """Doubles maps by a convolution and a pixel shuffle; the four pixels start alike, so that no pattern is drawn."""
    convolution = nn.Conv2d(before, 4 * after, 3, padding=1)
    with torch.no_grad():
        alike = convolution.weight[:after].repeat_interleave(4, dim=0)
        convolution.weight.copy_(alike)
        convolution.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
    return nn.Sequential(convolution, nn.PixelShuffle(2))


class Generator(GeneratorNetwork):
    """Degraded images to restored ones of the same size, any height and width.

    Attributes:
        reach: no pixel depends on one further away than this many pixels, in either direction.
        stride: a shift of the image by multiples of this shifts the result.

    Args:
        size: of the images it is trained on; it takes any other size as well.
        channels: 1 to 4.
        classes: number of classes, 0 for none; a class shifts the deepest maps.
        width: channels of the first maps; they double with each level.
        levels: how often the maps are halved. *More* see further, and more slowly.
        blocks: residual blocks at each level, on the way down and on the way up.

    Example:
        >>> generator = Generator(size=96, width=8)
        >>> generator(torch.zeros(1, 3, 50, 31)).shape
        torch.Size([1, 3, 50, 31])
    """

    def __init__(
        self,
        *,
        size: Size,
        channels: int = 3,
        classes: int = 0,
        width: int = 32,
        levels: int = 2,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {
                "size": size,
                "channels": channels,
                "classes": classes,
                "width": width,
                "levels": levels,
                "blocks": blocks,
            }
        )
        self.latent, self.classes = 0, classes
        self.shape = (channels, *height_and_width(size))
        self.stride = STEM * 2**levels
        widths = [width * 2**level for level in range(levels + 1)]
        # A 3x3 convolution reaches one pixel of its own level further; the last term is the width of a deepest pixel.
        sides = [STEM * 2**level for level in range(levels + 1)]
        self.reach = 2 * STEM + 2 * blocks * (2 * sum(sides) - sides[-1]) + sum(sides[:-1] + sides[1:]) + sides[-1] - 1
        self.start = nn.Conv2d(channels * STEM**2, width, 3, padding=1)
        self.down = nn.ModuleList(self._level(widths[level], blocks) for level in range(levels))
        self.halving = nn.ModuleList(nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1) for wide in widths[:-1])
        self.deepest = self._level(widths[-1], blocks)
        self.label = nn.Embedding(classes, widths[-1]) if classes else None
        self.doubling = nn.ModuleList(unfold_up(2 * wide, wide) for wide in widths[:-1])
        self.up = nn.ModuleList(self._level(widths[level], blocks) for level in range(levels))
        self.end = nn.Conv2d(width, channels * STEM**2, 3, padding=1)
        # The first correction is small: training starts near the images as they came.
        with torch.no_grad():
            self.end.weight.mul_(0.1)

    @staticmethod
    def _level(features: int, blocks: int) -> nn.Sequential:
        return nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] in, restored images of the same shape and range out.

        Raises:
            CardiganError: if it is given latents, or images of other channels.
        """
        check_labels(labels, self.classes)
        if images.ndim != 4 or images.shape[1] != self.shape[0]:
            raise CardiganError(
                f"This generator restores images: it starts from images of shape (B, {self.shape[0]}, H, W), got "
                f"{tuple(images.shape)}. Give batches with a source, such as cardigan.data.degrade.Pairs(batches, "
                f"degradation), or train with --recipe restore."
            )
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        maps, kept = self.start(F.pixel_unshuffle(padded, STEM)), []
        for level, halve in zip(self.down, self.halving, strict=True):
            maps = level(maps)
            kept.append(maps)
            maps = halve(maps)
        if self.label is not None and labels is not None:
            maps = maps + self.label(labels)[:, :, None, None]
        maps = self.deepest(maps)
        for level, double, before in zip(reversed(self.up), reversed(self.doubling), reversed(kept), strict=True):
            maps = level(double(maps) + before)
        correction = F.pixel_shuffle(self.end(maps), STEM)[:, :, :height, :width]
        return (images + correction).clamp(-1.0, 1.0)


class Discriminator(DiscriminatorNetwork):
    """Images to a logit for each patch: convolutions that halve the image, of any size; wants spectral norm around it.

    Without classes each logit sees a neighbourhood of its own only, so it judges texture and not the whole picture, of
    which the content loss takes care.

    Args:
        size: of the images it is trained on; it takes any other size from 8 pixels on as well.
        channels: 1 to 4.
        classes: number of classes, 0 for none; see :class:`~cardigan.layers.Projection`.
        width: channels of the first maps.
        levels: how often the image is halved.

    Example:
        >>> Discriminator(size=96, width=8)(torch.zeros(2, 3, 96, 96)).shape
        torch.Size([2, 144])
    """

    independent = True

    def __init__(self, *, size: Size, channels: int = 3, classes: int = 0, width: int = 48, levels: int = 3) -> None:
        super().__init__()
        self.arguments = checked_sizes(
            {"size": size, "channels": channels, "classes": classes, "width": width, "levels": levels}
        )
        self.classes = classes
        self.layers = nn.ModuleList()
        before = channels
        for level in range(levels):
            after = width * min(2**level, 4)
            self.layers.append(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, padding=1),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.Conv2d(after, after, 4, stride=2, padding=1),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
            before = after
        self.head = nn.Conv2d(before, 1, 3, padding=1)
        self.projection = Projection(classes=classes, features=before) if classes else None

    def features(self, images: Tensor) -> list[Tensor]:
        """What the critic sees of images (B, C, H, W), at each of its levels: maps (B, F, h, w)."""
        found, maps = [], images
        for level in self.layers:
            maps = level(maps)
            found.append(maps)
        return found

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W) in, logits (B, K) out, one for each patch."""
        check_labels(labels, self.classes)
        maps = self.features(images)[-1]
        logits = self.head(maps).flatten(1)
        if self.projection is not None and labels is not None:
            logits = logits + self.projection(maps.mean(dim=(2, 3)), labels)
        return logits
