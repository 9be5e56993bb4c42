"""The callbacks of a GAN: the trainer that holds the mode, the switchers that change it, the critic's learning rate."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cardigan.errors import CardiganError
from cardigan.fastai.events import Callback
from cardigan.fastai.results import picture_of, show_in_notebook


class Smoothed:
    """A running mean, corrected for its start: after one value it is that value.

    Args:
        beta: how much of the past is kept with each value; 0 keeps only the last.

    Example:
        >>> mean = Smoothed(0.98)
        >>> for value in (1.0, 3.0):
        ...     mean.add(torch.tensor(value))
        >>> round(mean.value.item(), 3)
        2.01
    """

    def __init__(self, beta: float) -> None:
        if not 0 <= beta < 1:
            raise CardiganError(f"beta is {beta}; expected at least 0 and below 1. Type beta=0.98.")
        self.beta, self.count, self._sum = beta, 0, torch.tensor(0.0)

    def add(self, loss: Tensor) -> None:
        """Take one more value into account."""
        self._sum, self.count = (
            torch.lerp(loss.detach().float().mean(), self._sum.to(loss.device), self.beta),
            self.count + 1,
        )

    @property
    def value(self) -> Tensor:
        """The mean so far; not a number before the first value."""
        return self._sum / (1 - self.beta**self.count) if self.count else torch.tensor(float("nan"))


class GANTrainer(Callback):
    """Holds whose turn it is, and the losses of both players. It needs a switcher to ever change.

    Against fastai: the mode lives here alone and networks are never frozen, for the one that does not play is never
    asked for gradients; the weights are clipped *after* each step of the critic, by the loop, and not before each
    batch of either player; ``show_img`` does something; validation leaves the mode as it was.

    A learner brings its own; one among its callbacks takes that one's place, and what it says holds.

    Source: ``fastai.vision.gan``.

    Args:
        switch_eval: the network that does not play is in evaluation mode.
        clip: every weight of the critic lies within this of 0, from the start and after each of its steps; None leaves
            them alone.
        beta: smoothing of the shown losses: how much of the past is kept with each step.
        gen_first: the generator begins.
        show_img: keep a picture of the last generated images after each epoch, in ``imgs`` with ``titles``, and show
            it where a notebook is running.

    Example:
        >>> trainer = GANTrainer(gen_first=True)
        >>> trainer.gen_mode
        True
    """

    order = -5
    sole = "trainer"

    def __init__(
        self,
        switch_eval: bool = False,
        clip: float | None = None,
        beta: float = 0.98,
        gen_first: bool = False,
        show_img: bool = True,
    ) -> None:
        if clip is not None and not clip > 0:
            raise CardiganError(f"clip is {clip}; expected a number above 0, such as 0.01, or None for no clipping.")
        self.switch_eval, self.clip, self.beta, self.gen_first, self.show_img = (
            *(switch_eval, clip, beta, gen_first, show_img),
        )
        self.gen_mode = gen_first
        self.reset()

    def reset(self) -> None:
        """Forget all losses and pictures."""
        self.gen_loss, self.crit_loss = Smoothed(self.beta), Smoothed(self.beta)
        self.gen_losses: list[Tensor] = []
        self.crit_losses: list[Tensor] = []
        self.imgs: list[Any] = []
        self.titles: list[str] = []
        self.last_gen: Tensor | None = None

    def before_fit(self) -> None:
        """Begin anew, with the player that was asked for, and with weights that are clipped already."""
        self.reset()
        for projection in self.learn.gan.projections:
            projection(self.learn.gan.network(projection.player))
        self.switch(self.gen_first)

    def switch(self, gen_mode: bool | None = None) -> None:
        """Let the generator play if ``gen_mode`` is true, the critic if it is false, the other one if it is None."""
        self.gen_mode = (not self.gen_mode) if gen_mode is None else gen_mode
        for follower in (self.learn.model, self.learn.loss_func):
            follower.switch(self.gen_mode)

    def before_batch(self) -> None:
        """Put the networks into training or evaluation mode."""
        gan = self.learn.model
        plays, looks_on = (gan.generator, gan.critic) if self.gen_mode else (gan.critic, gan.generator)
        plays.train()
        looks_on.train(not self.switch_eval)

    def after_batch(self) -> None:
        """Keep the loss of the player, smoothed."""
        smoothed, kept = (self.gen_loss, self.gen_losses) if self.gen_mode else (self.crit_loss, self.crit_losses)
        smoothed.add(self.learn.loss)
        kept.append(smoothed.value)
        if self.gen_mode:
            self.last_gen = self.learn.pred

    def after_epoch(self) -> None:
        """Keep a picture, and show it in a notebook."""
        if self.show_img and self.last_gen is not None and (picture := picture_of(self.last_gen[:9])) is not None:
            self.imgs.append(picture)
            self.titles.append(f"Epoch {self.learn.epoch}")
            show_in_notebook(picture)


class FixedGANSwitcher(Callback):
    """Lets the critic play ``n_crit`` batches, then the generator ``n_gen``, and so on.

    Against fastai: the count goes on from one epoch to the next. There it begins again with each epoch, and every epoch
    but the first begins with the generator, whatever was asked for; and a callable is always given 0.

    Source: ``fastai.vision.gan``.

    Args:
        n_crit: batches that the critic plays in a row; or a function of how many such phases it has completed in this
            fit, 0 in its first.
        n_gen: likewise for the generator.

    Example:
        >>> switcher = FixedGANSwitcher(n_crit=lambda phase: 100 if phase < 25 else 5)
    """

    order = 60
    sole = "switcher"

    def __init__(self, n_crit: int | Callable[[int], int] = 1, n_gen: int | Callable[[int], int] = 1) -> None:
        for name, given in (("n_crit", n_crit), ("n_gen", n_gen)):
            if not callable(given):
                _check_count(name, given)
        self.n_crit, self.n_gen = n_crit, n_gen

    def before_fit(self) -> None:
        """Begin to count."""
        self.played = 0
        self.phases = {True: 0, False: 0}

    def after_batch(self) -> None:
        """Switch when the player's batches are done."""
        trainer = self.learn.gan_trainer
        self.played += 1
        wanted = self.n_gen if trainer.gen_mode else self.n_crit
        if callable(wanted):
            wanted = _check_count("n_gen" if trainer.gen_mode else "n_crit", wanted(self.phases[trainer.gen_mode]))
        if self.played >= wanted:
            self.played = 0
            self.phases[trainer.gen_mode] += 1
            trainer.switch()


def _check_count(name: str, count: Any) -> int:
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise CardiganError(
            f"{name} is {count!r}; expected a whole number of at least 1, or a function that gives one."
        )
    return count


class AdaptiveGANSwitcher(Callback):
    """Lets a player go on until its loss on a batch lies below a threshold.

    Against fastai: nobody plays more than ``longest`` batches in a row. There, a player whose loss never falls below
    its threshold plays for ever.

    Source: ``fastai.vision.gan``; the switching of NoGAN (Antic, Howard and Manor, 2019).

    Args:
        gen_thresh: the generator goes on until its loss is below this; None hands over after each batch.
        critic_thresh: likewise for the critic.
        longest: batches in a row after which a player hands over in any case.

    Example:
        >>> switcher = AdaptiveGANSwitcher(critic_thresh=0.65)
    """

    order = 60
    sole = "switcher"

    def __init__(self, gen_thresh: float | None = None, critic_thresh: float | None = None, longest: int = 20) -> None:
        self.gen_thresh, self.critic_thresh, self.longest = gen_thresh, critic_thresh, _check_count("longest", longest)

    def before_fit(self) -> None:
        """Begin to count."""
        self.played = 0

    def after_batch(self) -> None:
        """Switch when the loss is low enough, or the player has had enough."""
        trainer = self.learn.gan_trainer
        self.played += 1
        threshold = self.gen_thresh if trainer.gen_mode else self.critic_thresh
        if threshold is None or float(self.learn.loss) < threshold or self.played >= self.longest:
            self.played = 0
            trainer.switch()


class GANDiscriminativeLR(Callback):
    """Multiplies the learning rates of the critic, and of nobody else, for the whole fit.

    Against fastai: the rates of a slice keep their ratios, and the generator's are not touched. There one rate is
    written into all groups, and depending on the order of callbacks it is never divided back.

    Source: ``fastai.vision.gan``.

    Args:
        mult_lr: the factor.
    """

    sole = "factor of the critic's rates"

    def __init__(self, mult_lr: float = 5.0) -> None:
        if not mult_lr > 0:
            raise CardiganError(f"mult_lr is {mult_lr}; expected a factor above 0. Type mult_lr=5.")
        self.mult_lr = mult_lr

    def before_fit(self) -> None:
        """Multiply; each fit begins with the plain rates."""
        self.learn.scale_rates("discriminator", self.mult_lr)
