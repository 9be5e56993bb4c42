"""fastai's GAN parts that hold no training: the two-model shell, the losses, the noise.

Names and arguments are those of ``fastai.vision.gan``; what behaves otherwise says so.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from cardigan import objectives


class GANModule(nn.Module):
    """A generator and a critic as one module, which hands its input to one of them.

    Source: ``fastai.vision.gan``.

    Args:
        generator: makes images.
        critic: judges images.
        gen_mode: whether the generator is called, else the critic.

    Example:
        >>> gan = GANModule(generator=nn.Linear(2, 3), critic=nn.Linear(3, 1))
        >>> gan(torch.zeros(1, 3)).shape
        torch.Size([1, 1])
        >>> gan.switch()
        >>> gan(torch.zeros(1, 2)).shape
        torch.Size([1, 3])
    """

    # A loss with two methods of these names is a GANModule too, so that neither is always a module.
    generator: Any
    critic: Any

    def __init__(
        self, generator: nn.Module | None = None, critic: nn.Module | None = None, gen_mode: bool | None = False
    ) -> None:
        super().__init__()
        if generator is not None:
            self.generator = generator
        if critic is not None:
            self.critic = critic
        self.gen_mode = bool(gen_mode)

    def forward(self, *args: Any) -> Any:
        """What the generator, or the critic, makes of the arguments."""
        return self.generator(*args) if self.gen_mode else self.critic(*args)

    def switch(self, gen_mode: bool | None = None) -> None:
        """Call the generator from now on if ``gen_mode`` is true, the critic if it is false, the other one if None."""
        self.gen_mode = (not self.gen_mode) if gen_mode is None else bool(gen_mode)


class GANLoss(GANModule):
    """The losses of both players, switched like the networks.

    fastai's ``critic`` raises unless the generator is frozen; this one asks for images without a graph, and works
    either way.

    Source: ``fastai.vision.gan``.

    Args:
        gen_loss_func: ``(fake_pred, output, target) -> Tensor``.
        crit_loss_func: ``(real_pred, fake_pred) -> Tensor``.
        gan_model: generator and critic.

    Example:
        >>> gan = GANModule(generator=nn.Linear(2, 3), critic=nn.Linear(3, 1))
        >>> loss = GANLoss(lambda fake, output, target: -fake.mean(), lambda real, fake: (fake - real).mean(), gan)
        >>> loss(gan.critic(torch.zeros(4, 3)), torch.zeros(4, 2)).requires_grad
        True
    """

    def __init__(self, gen_loss_func: Callable, crit_loss_func: Callable, gan_model: GANModule) -> None:
        super().__init__()
        self.gen_loss_func, self.crit_loss_func, self.gan_model = gen_loss_func, crit_loss_func, gan_model
        self.gen_loss: Tensor | None = None
        self.crit_loss: Tensor | None = None

    def generator(self, output: Tensor, target: Tensor) -> Tensor:
        """How far the critic is from being fooled by ``output``, given the real images ``target``."""
        loss = self.gen_loss_func(self.gan_model.critic(output), output, target)
        self.gen_loss = loss
        return loss

    def critic(self, real_pred: Tensor, input: Tensor) -> Tensor:
        """How well the critic tells real images, judged ``real_pred``, from those generated from ``input``."""
        with torch.no_grad():
            fake = self.gan_model.generator(input)
        loss = self.crit_loss_func(real_pred, self.gan_model.critic(fake))
        self.crit_loss = loss
        return loss


class AdaptiveLoss(nn.Module):
    """A loss whose target, one value per image, is spread to the shape of the output first.

    Source: ``fastai.vision.gan``.

    Args:
        crit: ``(output, target) -> Tensor``.

    Example:
        >>> AdaptiveLoss(nn.BCEWithLogitsLoss())(torch.zeros(2, 4), torch.tensor([0, 1])).item()
        0.6931471824645996
    """

    def __init__(self, crit: Callable) -> None:
        super().__init__()
        self.crit = crit

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of ``output`` (B, ...), given ``target`` (B,)."""
        return self.crit(output, _spread(target, output).float())


def accuracy_thresh_expand(
    y_pred: torch.Tensor, y_true: torch.Tensor, thresh: float = 0.5, sigmoid: bool = True
) -> Tensor:
    """The share of predictions on the right side of a threshold, the truth spread to their shape.

    Source: ``fastai.vision.gan``.

    Args:
        y_pred: predictions, (B, ...).
        y_true: 0 or 1 for each image, (B,).
        thresh: above it, a prediction counts as 1.
        sigmoid: the predictions are logits.

    Example:
        >>> accuracy_thresh_expand(torch.tensor([[2.0, -2.0], [3.0, 1.0]]), torch.tensor([1, 1])).item()
        0.75
    """
    told = y_pred.sigmoid() if sigmoid else y_pred
    return ((told > thresh) == _spread(y_true, told).bool()).float().mean()


def _spread(target: Tensor, output: Tensor) -> Tensor:
    """(B,) to the shape of (B, ...)."""
    return target.reshape(len(target), *[1] * (output.ndim - 1)).expand_as(output)


def set_freeze_model(m: torch.nn.Module, rg: bool) -> None:
    """Set ``requires_grad`` of every parameter: **true makes it trainable**, false freezes it.

    fastai's page says that true freezes; its code does what this does. A learner trains what is trainable when
    ``fit`` begins, and freezes nothing itself: whoever's turn it is not, is not asked for gradients.

    Source: ``fastai.vision.gan``.

    Args:
        m: the network.
        rg: the value of ``requires_grad``.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> set_freeze_model(layer, False)
        >>> layer.weight.requires_grad
        False
    """
    for parameter in m.parameters():
        parameter.requires_grad_(rg)


def gan_loss_from_func(
    loss_gen: Callable, loss_crit: Callable, weights_gen: Sequence[float] | None = None
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The losses of both players, made of a loss on images and a loss on predictions.

    .. math:: L_G = w_0 \\, c(f, 1) + w_1 \\, g(output, target), \\quad L_C = (c(r, 1) + c(f, 0)) / 2

    Source: ``fastai.vision.gan``.

    Args:
        loss_gen: ``(output, target) -> Tensor``, on images.
        loss_crit: ``(prediction, target) -> Tensor``, the target being one value per image.
        weights_gen: what the critic's and the images' part weigh in the generator's loss; None is (1, 1).

    Returns:
        ``gen_loss_func(fake_pred, output, target)`` and ``crit_loss_func(real_pred, fake_pred)``.

    Example:
        >>> gen, crit = gan_loss_from_func(nn.L1Loss(), AdaptiveLoss(nn.BCEWithLogitsLoss()), weights_gen=(1.0, 50.0))
        >>> crit(torch.zeros(2, 1), torch.zeros(2, 1)).item()
        0.6931471824645996
    """
    judged, compared = (1.0, 1.0) if weights_gen is None else weights_gen

    def gen_loss_func(fake_pred: Tensor, output: Tensor, target: Tensor) -> Tensor:
        ones = fake_pred.new_ones(len(fake_pred))
        return judged * loss_crit(fake_pred, ones) + compared * loss_gen(output, target)

    def crit_loss_func(real_pred: Tensor, fake_pred: Tensor) -> Tensor:
        ones, zeros = real_pred.new_ones(len(real_pred)), fake_pred.new_zeros(len(fake_pred))
        return (loss_crit(real_pred, ones) + loss_crit(fake_pred, zeros)) / 2

    return gen_loss_func, crit_loss_func


def wasserstein_losses() -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """The losses of a Wasserstein GAN in fastai's signatures; high means real.

    Returns:
        ``gen_loss_func(fake_pred, output, target)`` and ``crit_loss_func(real_pred, fake_pred)``.
    """
    game = objectives.wasserstein()

    def gen_loss_func(fake_pred: Tensor, output: Tensor, target: Tensor) -> Tensor:
        assert game.generator is not None
        return game.generator(real=None, fake=fake_pred).mean()

    def crit_loss_func(real_pred: Tensor, fake_pred: Tensor) -> Tensor:
        return game.discriminator(real=real_pred, fake=fake_pred).mean()

    return gen_loss_func, crit_loss_func


class InvisibleTensor(torch.Tensor):
    """A tensor that has nothing to show: noise.

    Source: ``fastai.vision.gan``.

    Example:
        >>> InvisibleTensor([1.0, 2.0]).show(ctx="axis")
        'axis'
    """

    def __new__(cls, x: Any, **kwargs: Any) -> "InvisibleTensor":
        """``x`` as such a tensor; the keywords are those of :func:`torch.as_tensor`."""
        return torch.as_tensor(x, **kwargs).as_subclass(cls)

    def __init__(self, x: Any, **kwargs: Any) -> None:
        super().__init__()

    def __deepcopy__(self, memo: Any) -> "InvisibleTensor":
        return InvisibleTensor(self.as_subclass(Tensor).clone())

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Do nothing, and hand back what it was to be shown in."""
        return ctx


def generate_noise(fn: Any, size: int = 100) -> InvisibleTensor:
    """A vector of standard normal noise; ``torch.manual_seed`` decides which.

    Source: ``fastai.vision.gan``.

    Args:
        fn: not read: a ``DataBlock`` hands over the file.
        size: how long the vector is.

    Example:
        >>> generate_noise("any file").shape
        torch.Size([100])
    """
    return InvisibleTensor(torch.randn(size))
