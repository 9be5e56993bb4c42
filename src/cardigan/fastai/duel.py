"""A learner of two players: what each turn shows, measures and keeps."""

from typing import Any

from torch import Tensor, nn

from cardigan.clock import Progress
from cardigan.contracts import GAN, Batch, Player, Step, Turn
from cardigan.fastai.adapters import AsDiscriminator, AsGenerator, Game, checked
from cardigan.fastai.callbacks import GANTrainer
from cardigan.fastai.learner import Learner
from cardigan.regularizers import WeightClipping


class Duel(Learner):
    """The half of a GAN learner that is at work in a fit; :class:`GANLearner` is how it is made.

    Attributes:
        players: the critic and the generator.
        gan_trainer: says whose turn it is.
        sole: what a GAN's learner has one of.
    """

    players: tuple[Player, ...] = ("discriminator", "generator")
    gan_trainer: GANTrainer
    sole = ("trainer", "switcher", "factor of the critic's rates")
    _clip: float | None

    @property
    def generator(self) -> nn.Module:
        """The generator."""
        return self.model.generator

    @property
    def critic(self) -> nn.Module:
        """The critic."""
        return self.model.critic

    @property
    def gen_mode(self) -> bool:
        """Whether the generator plays."""
        return self.gan_trainer.gen_mode

    def _game(self) -> GAN:
        loss = self.loss_func
        game = Game(loss.crit_loss_func, loss.gen_loss_func, name="gan_loss", watch=self._watch)
        clipping = () if self._clip is None else (WeightClipping(self._clip),)
        return GAN(AsGenerator(self.model.generator), AsDiscriminator(self.model.critic), game, projections=clipping)

    def _turn(self, progress: Progress) -> Turn:
        return ("generator",) if self.gan_trainer.gen_mode else ("discriminator",)

    def _watch(self, step: Step, loss: Tensor) -> None:
        self.loss = loss.detach().mean()
        if step.player == "generator":
            self.pred, self.loss_func.gen_loss = step.fake.detach(), self.loss
        else:
            assert step.real_logits is not None
            self.pred, self.loss_func.crit_loss = step.real_logits.detach(), self.loss

    def _show(self, batch: Batch) -> None:
        super()._show(batch)
        self._swapped = not self.gan_trainer.gen_mode
        if self._swapped:
            self.xb, self.yb = self.yb, self.xb

    def _shown(self) -> tuple[Any, ...]:
        return (*self.yb, *self.xb) if self._swapped else super()._shown()

    def _measure(self) -> None:
        if self.gan_trainer.gen_mode:
            super()._measure()

    def fit(
        self, n_epoch: int, lr: Any = None, wd: float | None = None, cbs: Any = None, reset_opt: bool = False
    ) -> None:
        """As :meth:`Learner.fit`; afterwards ``model(noise)`` draws, for it is in generator and evaluation mode."""
        try:
            super().fit(n_epoch, lr, wd, cbs, reset_opt)
        finally:
            self.model.switch(True)
            self.loss_func.switch(True)

    @property
    def metric_names(self) -> list[str]:
        """The metrics, and the losses of both players."""
        return [*self.metrics, "gen_loss", "crit_loss"]

    def train_values(self) -> list[float]:
        """The metrics over the generator's batches of this epoch, and both losses, smoothed."""
        trainer = self.gan_trainer
        return [*self._averages.values, float(trainer.gen_loss.value), float(trainer.crit_loss.value)]

    def _judged(self, batch: Batch) -> list[Any]:
        """The generator's loss, the metrics, and the losses of both players."""
        gan, loss, labels = self.gan, self.loss_func, batch.labels
        output = gan.generator(batch.source, labels)
        fake_pred, real_pred = gan.discriminator(output, labels), gan.discriminator(batch.real, labels)
        gen_loss = checked("gen_loss_func", loss.gen_loss_func(fake_pred, output, batch.real), graph=False).mean()
        crit_loss = checked("crit_loss_func", loss.crit_loss_func(real_pred, fake_pred), graph=False).mean()
        metrics = [metric(output, batch.real) for metric in self.metrics.values()]
        return [gen_loss, *metrics, gen_loss, crit_loss]
