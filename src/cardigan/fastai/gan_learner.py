"""fastai's GAN learner over the one loop: two networks, two optimizers, one trainer that holds the mode."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cardigan.errors import CardiganError
from cardigan.fastai.callbacks import FixedGANSwitcher, GANTrainer
from cardigan.fastai.duel import Duel
from cardigan.fastai.events import Callback, callback
from cardigan.fastai.gan import GANLoss, GANModule, gan_loss_from_func, wasserstein_losses
from cardigan.fastai.learner import MOMS, Learner, refuse
from cardigan.fastai.measures import listed
from cardigan.fastai.optimizers import Adam, trainable_params
from cardigan.fastai.stores import passes_of


class GANLearner(Duel):
    """A generator and a critic, trained in turns.

    Against fastai: each network has its own optimizer, so the one that does not play stands still to the last bit
    (there both share one, whose momentum and weight decay move the other, too); what was frozen stays frozen; the mode
    that a callback sees is the one that played. See also :class:`GANTrainer` and the switchers.

    Source: ``fastai.vision.gan``.

    Args:
        dls: as for :class:`Learner`: ``(noise, real images)``, or ``(poor images, good images)``. Also a
            :class:`cardigan.data.Store` or batches of one, see :func:`passes_of`: noise is drawn for its images.
        generator: makes images of the input.
        critic: judges images.
        gen_loss_func: ``(fake_pred, output, target) -> Tensor``.
        crit_loss_func: ``(real_pred, fake_pred) -> Tensor``; the sign is yours.
        switcher: says when the other one plays; by default :class:`FixedGANSwitcher`, one batch each.
        gen_first: the generator begins.
        switch_eval: the network that does not play is in evaluation mode.
        show_img: keep a picture of generated images after each epoch.
        clip: clip the critic's weights after each of its steps.
        cbs: more callbacks. If a :class:`GANTrainer` is among them, ``gen_first``, ``switch_eval`` and ``show_img`` are
            what it says, and not read here; so is ``clip`` if it names one.
        metrics: functions of generated images and targets. ``gen_loss`` and ``crit_loss`` are always there, of the
            training batches smoothed.
        loss_func: None, for the two losses are the loss.
        opt_func: as for :class:`Learner`; called once for each network.
        lr: the learning rate of both; a slice spreads it over the splitter's groups.
        splitter: gives the parameters of a :class:`GANModule`, or lists of them, one for each group.
        path: where files are kept.
        model_dir: the folder in it.
        wd: weight decay; None leaves the optimizer's own.
        wd_bn_bias: weight decay reaches biases and the parameters of normalisation layers too.
        train_bn: True, as for :class:`Learner`.
        moms: (0.95, 0.85, 0.95), as for :class:`Learner`.
        default_cbs: have a :class:`Recorder`.

    Example:
        >>> pairs = [(torch.randn(4, 2), torch.rand(4, 3)) for _ in range(6)]
        >>> learn = GANLearner.wgan(pairs, nn.Linear(2, 3), nn.Linear(3, 1))
        >>> with learn.no_logging():
        ...     learn.fit(2, 1e-3)
        >>> len(learn.gan_trainer.crit_losses), len(learn.gan_trainer.gen_losses)
        (10, 2)
    """

    def __init__(
        self,
        dls: Any,
        generator: nn.Module,
        critic: nn.Module,
        gen_loss_func: Callable,
        crit_loss_func: Callable,
        switcher: Callback | None = None,
        gen_first: bool = False,
        switch_eval: bool = True,
        show_img: bool = True,
        clip: float | None = None,
        cbs: Any = None,
        metrics: Sequence | Callable | None = None,
        loss_func: Callable | None = None,
        opt_func: Callable[..., torch.optim.Optimizer] = Adam,
        lr: float | slice = 0.001,
        splitter: Callable = trainable_params,
        path: str | Path | None = None,
        model_dir: str | Path = "models",
        wd: float | int | None = None,
        wd_bn_bias: bool = False,
        train_bn: bool = True,
        moms: tuple = MOMS,
        default_cbs: bool = True,
    ) -> None:
        refuse("loss_func", loss_func, None, "gen_loss_func and crit_loss_func are the losses")
        model = GANModule(generator, critic)
        callbacks = [callback(each) for each in listed(cbs)]
        if misplaced := [type(each).__name__ for each in callbacks if each.sole == "switcher"]:
            raise CardiganError(
                f"{misplaced[0]} is among cbs; expected the one switcher by name. Type switcher={misplaced[0]}(...)."
            )
        trainers = [each for each in callbacks if isinstance(each, GANTrainer)]
        if not trainers:
            trainers.append(GANTrainer(clip=clip, switch_eval=switch_eval, gen_first=gen_first, show_img=show_img))
            callbacks.append(trainers[0])
        if trainers[0].clip is None:  # a Wasserstein critic must not lose its clipping to a trainer that names none
            trainers[0].clip = clip
        self._clip = trainers[0].clip
        dls = passes_of(dls, generator, critic)
        super().__init__(
            dls,
            model,
            GANLoss(gen_loss_func, crit_loss_func, model),
            opt_func=opt_func,
            lr=lr,
            splitter=splitter,
            cbs=[*callbacks, switcher or FixedGANSwitcher()],
            metrics=metrics,
            path=path,
            model_dir=model_dir,
            wd=wd,
            wd_bn_bias=wd_bn_bias,
            train_bn=train_bn,
            moms=moms,
            default_cbs=default_cbs,
        )

    @classmethod
    def from_learners(
        cls,
        gen_learn: Learner,
        crit_learn: Learner,
        switcher: Callback | None = None,
        weights_gen: Sequence[float] | None = None,
        gen_first: bool = False,
        switch_eval: bool = True,
        show_img: bool = True,
        clip: float | None = None,
        cbs: Any = None,
        metrics: Sequence | Callable | None = None,
        loss_func: Callable | None = None,
        opt_func: Callable[..., torch.optim.Optimizer] = Adam,
        lr: float | slice = 0.001,
        splitter: Callable = trainable_params,
        path: str | Path | None = None,
        model_dir: str | Path = "models",
        wd: float | int | None = None,
        wd_bn_bias: bool = False,
        train_bn: bool = True,
        moms: tuple = MOMS,
        default_cbs: bool = True,
    ) -> "GANLearner":
        """A GAN of a generator pretrained on content and a critic pretrained as a classifier.

        The data is that of ``gen_learn``; the losses are mixed by :func:`gan_loss_from_func`.

        Args:
            gen_learn: holds the generator, its data and a loss on images.
            crit_learn: holds the critic and a loss on predictions, such as ``AdaptiveLoss(nn.BCEWithLogitsLoss())``.
            switcher: as for the class, like all that follows but the next.
            weights_gen: what the critic's and the images' part weigh in the generator's loss; None is (1, 1).
        """
        return cls(
            gen_learn.dls,
            gen_learn.model,
            crit_learn.model,
            *gan_loss_from_func(gen_learn.loss_func, crit_learn.loss_func, weights_gen=weights_gen),
            switcher=switcher,
            gen_first=gen_first,
            switch_eval=switch_eval,
            show_img=show_img,
            clip=clip,
            cbs=cbs,
            metrics=metrics,
            loss_func=loss_func,
            opt_func=opt_func,
            lr=lr,
            splitter=splitter,
            path=path,
            model_dir=model_dir,
            wd=wd,
            wd_bn_bias=wd_bn_bias,
            train_bn=train_bn,
            moms=moms,
            default_cbs=default_cbs,
        )

    @classmethod
    def wgan(
        cls,
        dls: Any,
        generator: nn.Module,
        critic: nn.Module,
        switcher: Callback | None = None,
        clip: float | None = 0.01,
        switch_eval: bool = False,
        gen_first: bool = False,
        show_img: bool = True,
        cbs: Any = None,
        metrics: Sequence | Callable | None = None,
        loss_func: Callable | None = None,
        opt_func: Callable[..., torch.optim.Optimizer] = Adam,
        lr: float | slice = 0.001,
        splitter: Callable = trainable_params,
        path: str | Path | None = None,
        model_dir: str | Path = "models",
        wd: float | int | None = None,
        wd_bn_bias: bool = False,
        train_bn: bool = True,
        moms: tuple = MOMS,
        default_cbs: bool = True,
    ) -> "GANLearner":
        """A Wasserstein GAN with clipped weights: five batches for the critic, one for the generator.

        High means real here, as everywhere in Cardigan; fastai's critic is low on real images. The shown losses are
        the same, for a critic with its last layer negated plays the same game.

        The optimizer stays Adam with 0.001 unless you say otherwise, as in fastai. The paper has RMSProp with 5e-5,
        for momentum makes a clipped critic unstable.

        Source: *Wasserstein GAN*, Arjovsky, Chintala and Bottou, 2017.

        Args:
            dls: as for the class, like all that follows, with other defaults.
            generator: makes images of noise.
            critic: judges images; no sigmoid.
            switcher: by default ``FixedGANSwitcher(n_crit=5, n_gen=1)``.
        """
        return cls(
            dls,
            generator,
            critic,
            *wasserstein_losses(),
            switcher=switcher or FixedGANSwitcher(n_crit=5, n_gen=1),
            gen_first=gen_first,
            switch_eval=switch_eval,
            show_img=show_img,
            clip=clip,
            cbs=cbs,
            metrics=metrics,
            loss_func=loss_func,
            opt_func=opt_func,
            lr=lr,
            splitter=splitter,
            path=path,
            model_dir=model_dir,
            wd=wd,
            wd_bn_bias=wd_bn_bias,
            train_bn=train_bn,
            moms=moms,
            default_cbs=default_cbs,
        )
