"""The learner: fastai's face of a training. Every weight is moved by the one loop, :func:`cardigan.training.fit`."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from cardigan.clock import Progress, StepRecord
from cardigan.contracts import GAN, Batch, Player, Step, Turn
from cardigan.errors import CardiganError
from cardigan.fastai import engine as engines
from cardigan.fastai.adapters import ALONE, AsDiscriminator, AsGenerator, Content, Feed, loader
from cardigan.fastai.events import Callback, CancelFitException, callback
from cardigan.fastai.measures import Averages, listed, named
from cardigan.fastai.optimizers import Adam, Rate, trainable_params
from cardigan.fastai.recorder import Recorder
from cardigan.fastai.results import Results
from cardigan.training import fit
from cardigan.training.verdicts import NonFiniteError

MOMS = (0.95, 0.85, 0.95)


class Learner(Results):
    """A model, its data and a loss: pretraining, before a GAN is made of two of them.

    It is a game without an opponent: the model plays the generator, and learns from the loss alone.

    Against fastai: a frozen parameter stays frozen; files are safetensors; and what would do nothing here is refused:
    ``train_bn`` and ``moms`` other than their defaults, for there are no frozen parts and no schedule that they would
    act on.

    Source: ``fastai.learner``.

    Args:
        dls: an object with ``train`` and ``valid`` (fastai's DataLoaders too), a pair (training, validation) of
            iterables, or one of them alone. They give ``(input, target)``, or ``(input, labels, target)``.
        model: what is trained: ``model(input)``, or ``model(input, labels)``.
        loss_func: ``(output, target) -> Tensor``.
        opt_func: :func:`Adam`, :func:`RMSProp`, or any class of torch.optim.
        lr: the learning rate; a slice spreads it over the parameter groups.
        splitter: gives the parameters of the model that are trained, or lists of them, one for each group.
        cbs: callbacks, for every fit.
        metrics: functions ``(output, target) -> number``.
        path: where files are kept; by default the path of ``dls``, else the current folder.
        model_dir: the folder in it for :meth:`save` and :meth:`load`.
        wd: weight decay; None leaves the optimizer's own.
        wd_bn_bias: weight decay reaches biases and the parameters of normalisation layers too.
        train_bn: True.
        moms: (0.95, 0.85, 0.95).
        default_cbs: have a :class:`Recorder`; without one nothing is printed and nothing is validated.

    Raises:
        CardiganError: if something is given that would do nothing, or cannot work.

    Example:
        >>> data = torch.utils.data.TensorDataset(torch.randn(8, 4), torch.randn(8, 1))
        >>> learn = Learner(torch.utils.data.DataLoader(data, 4), nn.Linear(4, 1), nn.MSELoss())
        >>> with learn.no_logging():
        ...     learn.fit(2)
        >>> len(learn.recorder.losses)
        4
    """

    recorder: Recorder

    def __init__(
        self,
        dls: Any,
        model: nn.Module,
        loss_func: Callable | None = None,
        opt_func: Callable[..., torch.optim.Optimizer] = Adam,
        lr: float | slice = 0.001,
        splitter: Callable = trainable_params,
        cbs: Any = None,
        metrics: Sequence | Callable | None = None,
        path: str | Path | None = None,
        model_dir: str | Path = "models",
        wd: float | int | None = None,
        wd_bn_bias: bool = False,
        train_bn: bool = True,
        moms: tuple = MOMS,
        default_cbs: bool = True,
    ) -> None:
        super().__init__()
        if loss_func is None:
            raise CardiganError("loss_func is None; expected a function (output, target). Type loss_func=nn.L1Loss().")
        refuse("train_bn", train_bn, True, "no part of a model is frozen by groups here")
        refuse(
            "moms",
            tuple(moms),
            MOMS,
            "only a schedule would read them; give mom to the optimizer: partial(Adam, mom=0.5)",
        )
        loader(dls, 0)  # a wrong one is told of now
        self.dls, self.model, self.loss_func = dls, model, loss_func
        self.opt_func, self.splitter, self.wd, self.wd_bn_bias = opt_func, splitter, wd, wd_bn_bias
        self.lr = opt_func.keywords.get("lr", lr) if isinstance(opt_func, partial) else lr
        self.path, self.model_dir = Path(path or getattr(dls, "path", None) or "."), model_dir
        self.metrics = named(metrics)
        self.epoch = self.n_epoch = self.iter = 0
        self.training, self.loss = False, torch.tensor(0.0)
        self.pred: Tensor | None = None
        self.xb: tuple[Any, ...] = ()
        self.yb: tuple[Any, ...] = ()
        self.gan = self._game()
        self._made: engines.Engine | None = None
        self._averages = Averages(self.metrics.values())
        self.add_cbs([Recorder()] if default_cbs else []).add_cbs(cbs)

    def _game(self) -> GAN:
        """What the loop trains."""
        terms = (Content(self.loss_func, self._watch),)
        return GAN(AsGenerator(self.model), AsDiscriminator(nn.Identity()), ALONE, terms)

    def _turn(self, progress: Progress) -> Turn:
        """Whose turn it is."""
        return ("generator",)

    def _watch(self, step: Step, loss: Tensor) -> None:
        """Keep what callbacks and metrics read, while the loop is at a step."""
        self.loss, self.pred = loss.detach().mean(), step.fake.detach()

    def _show(self, batch: Batch) -> None:
        """Set ``xb`` and ``yb``, in the order of whoever plays."""
        middle = () if batch.labels is None else (batch.labels,)
        self.xb, self.yb = (batch.source, *middle), (batch.real,)

    def _shown(self) -> tuple[Any, ...]:
        """The batch that ``xb`` and ``yb`` make, in the loader's order."""
        return (*self.xb, *self.yb)

    # Training

    def fit(
        self,
        n_epoch: int,
        lr: Rate | None = None,
        wd: float | None = None,
        cbs: Any = None,
        reset_opt: bool = False,
    ) -> None:
        """Train for ``n_epoch`` passes over the training data; one batch is one turn of one player.

        Optimizers keep their state from one fit to the next.

        Args:
            n_epoch: passes.
            lr: the learning rate of this fit, by default the learner's.
            wd: weight decay of this fit; by default the learner's, and where that is None it stays as it was.
            cbs: callbacks for this fit only.
            reset_opt: begin with fresh optimizers.

        Raises:
            CardiganError: if there are no batches, nothing to train, or a loss is not finite or gives no gradient.
        """
        if not hasattr(n_epoch, "__index__") or n_epoch < 0:
            raise CardiganError(f"n_epoch is {n_epoch!r}; expected a whole number of passes. Type fit(1, ...).")
        added: list[Callback] = []
        try:
            for cb in listed(cbs):
                made, count = callback(cb), len(self.cbs)
                added += self.add_cb(made).cbs[count:]
            engine = self._engine(anew=reset_opt)
            engine.ready(self.lr if lr is None else lr, self.wd if wd is None else wd)
            self.n_epoch = n_epoch
            with suppress(CancelFitException):
                self._call("before_fit")
                self._epochs(engine)
            self._call("after_fit")
        except NonFiniteError as problem:
            told = ", ".join(f"{name} {value:.4g}" for name, value in problem.losses.items())
            raise CardiganError(
                f"The loss or its gradient is not finite in epoch {self.epoch}, batch {self.iter} ({told}). No "
                "weight was changed by it. Lower the learning rate, such as fit(1, 1e-4), or mend the data."
            ) from problem
        finally:
            self.training = False
            self.model.eval()
            self.remove_cbs(added)

    def _epochs(self, engine: engines.Engine) -> None:
        feed = Feed(engine.training.device, images=len(self.players) == 2)
        records = fit(
            engine.training, feed, turns=lambda progress: engine.insist(self._turn(progress)), images=sys.maxsize
        )
        for epoch in range(self.n_epoch):
            self.epoch = epoch
            self._averages = Averages(self.metrics.values())
            self.model.train()
            self._call("before_epoch")
            self._pass(engine, feed, records)
            self._call("after_epoch")

    def _pass(self, engine: engines.Engine, feed: Feed, records: Iterator[StepRecord]) -> None:
        self.training, count = True, 0
        data = loader(self.dls, 0)
        assert data is not None
        for place, raw in enumerate(data):
            self.iter = place
            feed.hold(raw)
            self._show(feed.at(0))
            self._call("before_batch")
            for name, given in (("xb", self.xb), ("yb", self.yb)):
                if not isinstance(given, tuple | list):
                    raise CardiganError(
                        f"A callback set learn.{name} to a {type(given).__name__}; expected a tuple of tensors. "
                        f"Type self.learn.{name} = (tensor,)."
                    )
            feed.hold(self._shown())
            next(records)
            engine.training.judge()  # now, so that the batch can be named
            self._measure()
            self._call("after_batch")
            count += 1
        self.training = False
        if not count:
            raise CardiganError(
                f"The training data gave no batch in epoch {self.epoch}; expected at least one. A DataLoader with "
                "drop_last=True gives none if it has fewer items than its batch size, and an iterator gives its items "
                "only once."
            )

    def _measure(self) -> None:
        """Add the batch to the metrics of the training data, if somebody wants them."""
        if getattr(getattr(self, "recorder", None), "train_metrics", False):
            assert self.pred is not None
            self._averages.add(self.pred, self.yb[0])

    # The training below

    def _engine(self, *, anew: bool = False) -> engines.Engine:
        """The training, made when it is first needed: what was frozen by then has no optimizer."""
        if anew or self._made is None:
            self._made = engines.Engine(
                self.gan,
                self.model,
                players=self.players,
                splitter=self.splitter,
                opt_func=self.opt_func,
                lr=self.lr,
                wd_bn_bias=self.wd_bn_bias,
                device=self.device,
            )
        return self._made

    def scale_rates(self, player: Player, factor: float) -> None:
        """Multiply one player's learning rates for the rest of this fit; for ``before_fit`` of a callback."""
        self._engine().scale_rates(player, factor)

    @property
    def optimizers(self) -> Mapping[Any, torch.optim.Optimizer]:
        """Each player's own optimizer: fastai has one for both, as ``opt``."""
        return self._engine().training.optimizers

    # Files

    def save(self, file: str | Path, with_opt: bool = True) -> Path:
        """Write the model, and the optimizers if ``with_opt``, to ``path/model_dir/file.safetensors``."""
        path = self._file(file)
        engines.save(self._engine(), path, with_opt=with_opt)
        return path

    def load(self, file: str | Path, with_opt: bool = True, strict: bool = True) -> Self:
        """Read what :meth:`save` wrote.

        Args:
            file: as it was saved.
            with_opt: the optimizers, the clock and the seed too, if they were saved.
            strict: insist that the weights of the model are those of the file. If not, those whose names fit are read,
                and nothing else: optimizers and clock stay as they are.

        Raises:
            CardiganError: if there is no such file, or it is of other networks.
        """
        engines.load(self._engine(), self._file(file), with_opt=with_opt, strict=strict)
        return self

    def _file(self, file: str | Path) -> Path:
        path = self.path / self.model_dir / file
        return path if path.suffix == ".safetensors" else path.with_name(f"{path.name}.safetensors")


def refuse(name: str, given: Any, default: Any, why: str) -> None:
    """Refuse an argument that would do nothing.

    Raises:
        CardiganError: unless it is left at its default.
    """
    if given != default:
        raise CardiganError(f"{name} is {given!r}; expected {default!r}: {why}. Leave {name} out.")
