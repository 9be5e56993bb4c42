"""The kinds of differentiable augmentation that a recipe may offer under one setting."""

from typing import Literal

from cardigan import augment
from cardigan.contracts import Augment, Unchanged

Kind = Literal["fixed", "adaptive", "off"]


def augment_of(kind: Kind, *policies: str, horizon: int) -> Augment:
    """What real and fake images pass through on their way to the discriminator.

    Args:
        kind: ``"fixed"`` changes every image; ``"adaptive"`` begins with none, and changes the more of them the more
            the discriminator knows the real ones by heart; ``"off"`` changes nothing.
        policies: names of policies, in order.
        horizon: images in which an adaptive probability may go from 0 to 1.

    Example:
        >>> augment_of("fixed", "color", horizon=1_000)
        DiffAugment(policies=('color',))
    """
    if kind == "adaptive":
        return augment.adaptive(*policies, horizon=horizon)
    return augment.diffaugment(*policies) if kind == "fixed" else Unchanged()
