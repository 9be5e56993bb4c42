"""Adversarial games: pairs of losses over the discriminator's logits.

Every function here builds an :class:`~cardigan.contracts.Objective`. Logits are raw and high means real. Both losses
take ``real=`` and ``fake=`` and return one value per logit, unreduced; the loop takes the mean.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real

import torch.nn.functional as F
from torch import Tensor

from cardigan.checks import check, check_not_negative
from cardigan.contracts import Objective
from cardigan.errors import CardiganError
from cardigan.share import drawn

Loss = Callable[..., Tensor]


def _classify(smoothing: float) -> Loss:
    """Binary cross-entropy of a discriminator that calls real images real with probability 1 - smoothing."""

    def discriminator(*, real: Tensor, fake: Tensor) -> Tensor:
        # -log sigmoid(x) is softplus(-x); written so, it neither overflows nor saturates.
        told_real = (
            (1.0 - smoothing) * F.softplus(-real) + smoothing * F.softplus(real) if smoothing else F.softplus(-real)
        )
        return told_real + F.softplus(fake)

    return discriminator


def _undecided(smoothing: float) -> float:
    """The logit at which such a discriminator is undecided: the best one where real and fake are equally likely."""
    check("smoothing", smoothing, lambda value: 0 <= value < 1, "a number, at least 0 and below 1", 0.1)
    return math.log((1.0 - smoothing) / (1.0 + smoothing))


def minimax(*, smoothing: float = 0.0) -> Objective:
    r"""The original game: the generator minimises what the discriminator maximises.

    .. math:: L_D = -\log\sigma(r) - \log(1 - \sigma(f)), \quad L_G = \log(1 - \sigma(f))

    The generator's gradient vanishes where the discriminator is sure, which is why :func:`non_saturating` is used.

    Source: *Generative Adversarial Nets*, Goodfellow et al., 2014. One-sided label smoothing: Salimans et al., 2016.

    Args:
        smoothing: how far the target of real images lies below 1, at least 0 and below 1.

    Raises:
        CardiganError: if the smoothing lies outside that range.

    Example:
        >>> import torch
        >>> minimax().generator(real=None, fake=torch.zeros(1)).item()
        -0.6931471824645996
    """

    def generator(*, real: Tensor | None, fake: Tensor) -> Tensor:
        return -F.softplus(fake)

    boundary, name = _undecided(smoothing), f"minimax(smoothing={smoothing})"
    return Objective(_classify(smoothing), generator, separable=True, name=name, boundary=boundary)


def non_saturating(*, smoothing: float = 0.0) -> Objective:
    r"""The original discriminator; the generator maximises the probability of being called real.

    .. math:: L_D = -\log\sigma(r) - \log(1 - \sigma(f)), \quad L_G = -\log\sigma(f)

    Source: *Generative Adversarial Nets*, Goodfellow et al., 2014, section 3.

    Args:
        smoothing: how far the target of real images lies below 1, at least 0 and below 1 (one-sided label smoothing,
            Salimans et al., 2016).

    Raises:
        CardiganError: if the smoothing lies outside that range.

    Example:
        >>> import torch
        >>> non_saturating().generator(real=None, fake=torch.zeros(1)).item()
        0.6931471824645996
    """

    def generator(*, real: Tensor | None, fake: Tensor) -> Tensor:
        return F.softplus(-fake)

    boundary, name = _undecided(smoothing), f"non_saturating(smoothing={smoothing})"
    return Objective(_classify(smoothing), generator, separable=True, name=name, boundary=boundary)


def least_squares(*, a: float = 0.0, b: float = 1.0, c: float = 1.0) -> Objective:
    r"""Regression: fakes are told ``a``, reals ``b``, and the generator wants ``c``.

    .. math:: L_D = \tfrac12 (r - b)^2 + \tfrac12 (f - a)^2, \quad L_G = \tfrac12 (f - c)^2

    The default is the 0-1 coding. ``a=-1, b=1, c=0`` minimises the Pearson chi-square divergence (b - c = 1 and
    b - a = 2). The discriminator must be linear at its end: a sigmoid would bring back the saturation this avoids.

    Source: *Least Squares Generative Adversarial Networks*, Mao et al., 2017, equations 2, 8 and 9.

    Args:
        a: what the discriminator is to say of fakes.
        b: what it is to say of real images; above ``a``, since high means real.
        c: what the generator wants it to say of fakes; above ``a``.

    Raises:
        CardiganError: if a number is not finite, or ``b`` or ``c`` is not above ``a``.

    Example:
        >>> import torch
        >>> least_squares(a=-1, b=1, c=0).discriminator(real=torch.zeros(1), fake=torch.zeros(1)).item()
        1.0
    """
    for letter, value, instead in (("a", a, 0.0), ("b", b, 1.0), ("c", c, 1.0)):
        check(letter, value, math.isfinite, "a finite number", instead, of="least_squares")
    for letter, value in (("b", b), ("c", c)):
        expected = f"a number above a={a}, since high means real"
        check(letter, value, lambda given: given > a, expected, a + 1, of="least_squares")

    def discriminator(*, real: Tensor, fake: Tensor) -> Tensor:
        return (real - b).square() / 2 + (fake - a).square() / 2

    def generator(*, real: Tensor | None, fake: Tensor) -> Tensor:
        return (fake - c).square() / 2

    name = f"least_squares(a={a}, b={b}, c={c})"
    return Objective(discriminator, generator, separable=True, name=name, boundary=(a + b) / 2)


def wasserstein() -> Objective:
    r"""The difference of means, an estimate of the earth mover's distance if the discriminator is 1-Lipschitz.

    .. math:: L_D = f - r, \quad L_G = -f

    Needs weight clipping, a gradient penalty or spectral norm to keep the discriminator Lipschitz.

    Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017.

    Example:
        >>> import torch
        >>> wasserstein().discriminator(real=torch.tensor([2.0]), fake=torch.tensor([0.5])).item()
        -1.5
    """

    def discriminator(*, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(*, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake

    return Objective(discriminator, generator, separable=True, name="wasserstein()", boundary=None)


def hinge(*, margin: float | Sequence[float] = 1.0) -> Objective:
    r"""A margin: the discriminator stops caring about images it is sure of.

    .. math:: L_D = \max(0, m - r) + \max(0, m + f), \quad L_G = -f

    Source: *Geometric GAN*, Lim and Ye, 2017; *Hierarchical Implicit Models*, Tran et al., 2017; margins of chance are
    from the published code of FastGAN (Liu et al., 2021).

    Args:
        margin: m, or the range (lowest, highest) in which each logit's own is drawn.

    Raises:
        CardiganError: if a margin is negative, the range is empty, or it is neither a number nor a pair of them.

    Example:
        >>> import torch
        >>> hinge().discriminator(real=torch.tensor([2.0]), fake=torch.tensor([-2.0])).item()
        0.0
    """
    bounds = tuple(margin) if isinstance(margin, Sequence) else (margin, margin)
    if (
        len(bounds) != 2
        or not all(isinstance(bound, Real) for bound in bounds)
        or not 0 <= bounds[0] <= bounds[1] < math.inf
    ):
        raise CardiganError(f"hinge(margin={margin}) is no margin: give a number from 0 up, or (lowest, highest).")
    low, high = bounds
    told = bounds if isinstance(margin, Sequence) else margin

    def distance(logits: Tensor) -> Tensor:
        """How far they are on the wrong side of their margin."""
        if low == high:
            return F.relu(low - logits)
        shares = drawn(lambda count: logits.new_empty(count, *logits.shape[1:]).uniform_(), len(logits))
        return F.relu(low + (high - low) * shares - logits)

    def discriminator(*, real: Tensor, fake: Tensor) -> Tensor:
        return distance(real) + distance(-fake)

    def generator(*, real: Tensor | None, fake: Tensor) -> Tensor:
        return -fake

    name = "hinge()" if margin == 1.0 else f"hinge(margin={told})"
    # Margins of chance are drawn for both at once.
    return Objective(discriminator, generator, separable=low == high, name=name)


def relativistic() -> Objective:
    r"""Paired: each fake is judged against one real image.

    .. math:: L_D = -\log\sigma(r_i - f_i), \quad L_G = -\log\sigma(f_i - r_i)

    Source: *The relativistic discriminator*, Jolicoeur-Martineau, 2019; with R1 and R2 it is the game of *The GAN is
    dead; long live the GAN!*, Huang et al., 2024.

    Example:
        >>> import torch
        >>> relativistic().generator(real=torch.zeros(1), fake=torch.zeros(1)).item()
        0.6931471824645996
    """

    def discriminator(*, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real)

    def generator(*, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(real - fake)

    return Objective(discriminator, generator, paired=True, name="relativistic()", boundary=None)


def scaled(objective: Objective, *, discriminator: float = 1.0, generator: float = 1.0) -> Objective:
    """The same game with each player's loss multiplied by a constant, such as the half that many tutorials write.

    Raises:
        CardiganError: if a constant is negative, which would turn the game round, or not finite.

    Example:
        >>> import torch
        >>> scaled(wasserstein(), discriminator=0.5).discriminator(real=torch.zeros(1), fake=torch.ones(1)).item()
        0.5
    """
    for player, factor in (("discriminator", discriminator), ("generator", generator)):
        check_not_negative(player, factor, of="scaled", instead=1.0)

    def scale(loss: Loss, factor: float) -> Loss:
        return lambda *, real, fake: factor * loss(real=real, fake=fake)

    return replace(
        objective,
        discriminator=scale(objective.discriminator, discriminator),
        generator=objective.generator and scale(objective.generator, generator),
        name=f"scaled({objective.name}, discriminator={discriminator}, generator={generator})",
    )
