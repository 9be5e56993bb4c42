"""The loop: batches and turns in, records out.

It knows no architecture and no loss. It draws a batch and fakes, lets the players of the turn act, checks that every
number is finite *before* a weight moves, steps the player's own optimizer, updates the average, and yields a record.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from cardigan.checks import check, check_choice, check_not_negative
from cardigan.clock import Progress, StepRecord, Turns
from cardigan.contracts import GAN, PLAYERS, Adaptive, Batch, Batches, GeneratorNetwork, Player
from cardigan.crew import together as crew_of_all
from cardigan.errors import CardiganError
from cardigan.randomness import generator, seeded
from cardigan.share import gathered, own_batch
from cardigan.training.buffers import Buffers, Kept
from cardigan.training.ema import Average, settled
from cardigan.training.networks import Modes
from cardigan.training.optimizers import Adam, OptimizerSettings, laid_out
from cardigan.training.precision import Precision, Way, arithmetic, digits, usual
from cardigan.training.probe import Probed
from cardigan.training.schedules import Schedule, check_multiplier
from cardigan.training.spectral import SpectralNorms
from cardigan.training.steps import Played, differentiated, draw_fakes, draw_sources
from cardigan.training.turns import alternate, check_turn
from cardigan.training.verdicts import DISTANT, NonFiniteError, Verdict
from cardigan.training.whole_batch import over_all

SETTINGS = ("optimizers", "half_life", "seed", "device", "precision")
"""What a :class:`Training` is made with beside its GAN."""


class Training:
    """Everything that changes while a GAN trains: networks, optimizers, the average and the clock.

    Where torch.distributed has joined several processes, each of them makes one of these, and they train together: they
    begin with the first one's weights, each takes its share of every batch, and gradients and numbers are averaged.

    A network that is switched to evaluation in the body of the loop trains on in training mode at the next turn.

    Args:
        gan: networks, objective and regularizers; moved to ``device`` in place.
        optimizers: settings for each player, or one for both. Each player has its own optimizer, so that the one whose
            turn it is not cannot move.
        half_life: of the averaged generator, in images that its own steps saw; 0 publishes the trained weights
            themselves.
        seed: of all randomness.
        device: where to train.
        precision: what the networks multiply, ``"float32"``, ``"tf32"`` or ``"bfloat16"``. None is ``"tf32"`` where the
            device knows it, as in PyTorch, and ``"float32"`` everywhere else.

    Attributes:
        average: follows the generator; :meth:`published` makes its ``network`` ready to draw.
        settings: what it was made with.

    Raises:
        CardiganError: if a part of the GAN or a setting cannot work; if an adaptive augmentation is no module; if the
            device does not compute in the precision; or, of several processes, if a layer cannot be trained by them.
    """

    def __init__(
        self,
        gan: GAN,
        *,
        optimizers: OptimizerSettings | Mapping[Player, OptimizerSettings] | None = None,
        half_life: float = 20_000,
        seed: int = 0,
        device: torch.device | str = "cpu",
        precision: Precision | None = None,
    ) -> None:
        if not isinstance(gan, GAN):
            raise CardiganError(f"Training got {gan!r} to train, expected a GAN. Type Training(GAN(...)).")
        gan.check()
        _check_weights(gan)
        check("seed", seed, lambda value: isinstance(value, Integral), "a whole number", 0, of="Training")
        check_not_negative("half_life", half_life, of="Training", instead=20_000)
        if isinstance(gan.augment, Adaptive) and not isinstance(gan.augment, nn.Module):
            raise CardiganError(
                f"{type(gan.augment).__name__} adapts (it has observe), but is no torch.nn.Module, so a checkpoint "
                f"would forget what it learned. Make it a module and keep its numbers in buffers."
            )
        self.gan = gan.to(device)
        self.device, self.seed = torch.device(device), seed
        self.compute_in(usual(self.device) if precision is None else precision)
        self.crew = crew_of_all()
        if self.crew.count > 1:
            for module in self.modules():
                over_all(module)
                self.crew.hand_out([*module.parameters(), *module.buffers()])
        self.modes = Modes([gan.generator, gan.discriminator])
        settings = _for_each(optimizers)
        # Walking a network for its weights costs as much as a small layer, so it is done once.
        self.weights = {
            player: [weight for weight in gan.network(player).parameters() if weight.requires_grad]
            for player in PLAYERS
        }
        self.optimizers = {player: settings[player](gan.network(player).parameters()) for player in PLAYERS}
        self.full_rates = {
            player: [group["lr"] for group in optimizer.param_groups] for player, optimizer in self.optimizers.items()
        }
        self.rate_scale = 1.0
        self.norms = {player: SpectralNorms(gan.network(player)) for player in PLAYERS}
        self.batched = True
        """Whether spectral norm divides all weights of a network at once; one by one computes the same."""
        self.probed = True
        """Whether networks and batches are looked at before the first turn of a :func:`fit`."""
        self._buffers: dict[nn.Module, Buffers] = {}
        self.average = Average(gan.generator, half_life=half_life)
        self.progress = Progress()
        self.settings: dict[str, Any] = {
            "optimizers": optimizers,
            "half_life": half_life,
            "seed": seed,
            "device": device,
            "precision": precision,
        }
        gan.training = self
        self.unread: list[Verdict] = []
        """Verdicts on steps that their optimizer guards until somebody reads what became of them."""

    def compute_in(self, precision: Precision) -> None:
        """Have the networks multiply in a precision from now on; all that is saved of them stays as it is.

        Raises:
            CardiganError: if there is no such precision, or the device does not compute in it.
        """
        self.arithmetic, self._digits = arithmetic(precision, self.device), digits(precision, self.device)
        self.precision: Precision = precision
        self.way = Way(precision)

    def modules(self) -> list[nn.Module]:
        """Both networks, as in ``PLAYERS``, and an augmentation that learns."""
        learning = [self.gan.augment] if isinstance(self.gan.augment, nn.Module) else []
        return [self.gan.discriminator, self.gan.generator, *learning]

    def _buffers_of(self, module: nn.Module) -> Buffers:
        """Those of a module that trains; another stage may bring another augmentation."""
        if module not in self._buffers:
            self._buffers[module] = Buffers(module)
        return self._buffers[module]

    def published(self, batches: Batches, *, images: int = 1024) -> GeneratorNetwork:
        """A copy of the averaged generator, ready to draw: evaluation mode, normalisation measured for its weights.

        Args:
            batches: give the classes to measure on.
            images: how many images to measure on.

        Raises:
            NonFiniteError: if a step was not finite whose verdict had not been read yet.
        """
        self.judge()

        def draws() -> Iterator[tuple[Tensor, Tensor | None]]:
            for start in range(0, images, batches.batch_size):
                rng = generator(self.seed, "standing statistics", start, device=self.device)
                yield draw_sources(self.gan, batches.at(start), rng)

        with self._digits(), seeded(self.seed, "standing statistics", device=self.device):
            return settled(self.average.network, draws())

    def set_rates(self, multiplier: float) -> None:
        """Set every learning rate to its full value times ``multiplier`` times the scale that remedies set.

        Raises:
            CardiganError: if the multiplier is negative or not a finite number.
        """
        check_multiplier(multiplier)
        for player, optimizer in self.optimizers.items():
            for group, full in zip(optimizer.param_groups, self.full_rates[player], strict=True):
                group["lr"] = full * multiplier * self.rate_scale

    def turn(self, batches: Batches, turns: Turns) -> StepRecord:
        """Let the next players act on the next batch; of several processes, each on its share of it.

        Raises:
            CardiganError: if the batch cannot be shared evenly.
            LostProcessError: if another process is gone.
        """
        with self._digits(), self.crew.sharing(batches.batch_size):
            return self._turn(batches, turns)

    @property
    def sound(self) -> bool:
        """Whether every step so far was finite; waits for the device."""
        return all(verdict.sound for verdict in self.unread)

    def judge(self, *, before: int = sys.maxsize) -> None:
        """Read the verdicts on the steps of turns that began before so many images, and wait for them.

        What is written or drawn after it is of sound networks. Of several processes, all have to call it.

        Raises:
            NonFiniteError: if one of the steps was not finite. The clock may be a turn further; no weight was changed
                by the step.
        """
        while self.unread and self.unread[0].images < before:
            verdict = self.unread.pop(0)
            if not verdict.sound:
                self.unread.clear()
                error = verdict.undone()
                self.average.update(self.gan.generator, images=0)  # it copied buffers
                raise error

    def _turn(self, batches: Batches, turns: Turns) -> StepRecord:
        progress, turn = self.progress, check_turn(turns(self.progress))
        self.modes.put_back()
        batch = own_batch(batches.at(progress.images), batches.batch_size)
        losses: dict[str, Tensor] = {}
        logits: dict[str, Tensor] = {}
        # Networks in training mode write into their buffers whenever they are asked; who only looks on must not change.
        needed = [kept for verdict in self.unread for kept in verdict.kept]
        kept = [self._buffers_of(module).keep(needed=needed) for module in self.modules()]
        norms = self.norms
        with ExitStack() as stack:
            stack.enter_context(seeded(self.seed, "layers", progress.images, device=self.device))
            for player in PLAYERS:
                stack.enter_context(norms[player].turn())
            norms["generator"].step(batched=self.batched)
            rng = generator(self.seed, "latents", progress.images, device=self.device)
            with self.arithmetic():
                fakes = draw_fakes(self.gan, batch, rng, graph="generator" in turn)
            for player in turn:
                if player == "discriminator" or self.gan.objective.generator is not None:
                    norms["discriminator"].step(batched=self.batched)
                played, gradients = differentiated(
                    *(self.gan, player, batch, fakes),
                    steps=progress.steps[player],
                    weights=self.weights[player],
                    arithmetic=self.arithmetic,
                )
                named, means = self._move(player, played, gradients, batch, kept)
                norms[player].forget()
                losses |= {f"{player}/{name}": value for name, value in named.items()}
                logits = means | logits
                if player == "discriminator" and isinstance(self.gan.augment, Adaptive):
                    above = played.logits["real"] - (self.gan.objective.boundary or 0.0)
                    self.gan.augment.observe(gathered(above), images=batches.batch_size)
        for player, buffers in zip(PLAYERS, kept, strict=False):
            if player not in turn:
                buffers.put_back()
        began = progress.images
        progress.images += batches.batch_size
        progress.turns += 1
        progress.streak = progress.streak + 1 if turn == progress.last else 1
        progress.last = turn
        if "generator" in turn:
            self.average.update(self.gan.generator, images=batches.batch_size)
        self.judge(before=began)
        gauges = self.gan.augment.gauges() if isinstance(self.gan.augment, Adaptive) else {}
        return StepRecord(progress, losses, logits, gauges)

    def _move(
        self, player: Player, played: Played, gradients: Sequence[Tensor | None], batch: Batch, kept: list[Kept]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Step one player's own optimizer.

        Returns:
            The losses and the mean logits, of the whole batch.
        """
        weights, optimizer, progress = self.weights[player], self.optimizers[player], self.progress
        used = [weight for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None]
        present = [gradient for gradient in gradients if gradient is not None]
        losses = [value.detach() for value in played.losses.values()]
        means = [value.mean() for value in played.logits.values()]
        # In one exchange, and before anyone judges them: all processes come to the same verdict.
        averages = iter(self.crew.averaged([*present, *losses, *means]))
        present = [next(averages) for _ in present]
        named = {name: next(averages) for name in played.losses}
        logits = {name: next(averages) for name in played.logits}
        verdict = Verdict(player, named, present, images=progress.images, indices=batch.indices, kept=kept)
        if self.device.type in DISTANT and verdict.guard(optimizer):
            self.unread.append(verdict)
        elif not verdict.sound:
            self.judge()  # an earlier step may be where it began
            raise verdict.undone()
        for weight, gradient in zip(used, laid_out(present, used), strict=True):
            weight.grad = gradient
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for projection in self.gan.projections:
            if projection.player == player:
                projection(self.gan.network(player))
        progress.steps[player] += 1
        if "adversarial" in named:
            new, old = named["adversarial"], progress.smoothed.get(player)
            share = max(0.1, 1 / progress.steps[player])
            moved = new if old is None else torch.lerp(torch.as_tensor(old).to(new), new, share)
            progress.smoothed[player] = torch.where(verdict.finite, moved, 0.0 if old is None else old)
        return named, logits


def _for_each(
    optimizers: OptimizerSettings | Mapping[Player, OptimizerSettings] | None,
) -> Mapping[Player, OptimizerSettings]:
    """The settings of each player.

    Raises:
        CardiganError: if a player is missing or unknown, or what is given makes no optimizer.
    """
    settings: Mapping[Player, OptimizerSettings] = (
        optimizers if isinstance(optimizers, Mapping) else dict.fromkeys(PLAYERS, optimizers or Adam())
    )
    for player in settings:
        check_choice("player", player, PLAYERS, of="optimizers")
    for player in PLAYERS:
        if not callable(made := settings.get(player)):
            raise CardiganError(
                f"optimizers has {made!r} for the {player}, expected settings that make an optimizer of its weights. "
                f"Type optimizers=Adam(2e-4), or one for each: {{'discriminator': Adam(), 'generator': Adam()}}."
            )
    return settings


def _check_weights(gan: GAN) -> None:
    """Refuse networks whose weights are not there yet."""
    for player in PLAYERS:
        lazy = [
            name for name, each in gan.network(player).named_parameters() if isinstance(each, UninitializedParameter)
        ]
        if lazy:
            raise CardiganError(
                f"The {player} has lazy layers, which do not know their sizes yet ({lazy[0]}); expected weights. Call "
                f"it once on a batch before training."
            )


def fit(
    gan: GAN | Training,
    batches: Batches,
    *,
    turns: Turns | None = None,
    images: float | None = None,
    seconds: float | None = None,
    schedule: Schedule | None = None,
    part: tuple[float, float] = (0.0, 1.0),
    since: float | None = None,
    place: Callable[[Progress], float] | None = None,
    **settings: Any,
) -> Iterator[StepRecord]:
    """Train, one turn after the other, until the budget is spent; an ordinary ``for`` body watches.

    Called again, it goes on where the training stands. Before the first turn it looks at both networks, and says what
    does not fit.

    Args:
        gan: what to train; or a :class:`Training`. A GAN is trained by its ``training``, which the first call makes.
        batches: where real images come from.
        turns: whose turn is next; by default one each, discriminator first.
        images: stop when this many images have been drawn since the call, or since ``since``.
        seconds: stop after this many seconds of training, likewise. The learning rate then depends on the machine's
            speed, and two runs are no longer bit-identical.
        schedule: how the learning rate moves over the budget, or over ``part`` of it; None leaves the optimizers'
            rates to whoever sets them.
        part: where in the budget this stage of the training begins and ends, as shares of it; it starts where the
            clock stands and stops at the end of the stage.
        since: the clock's reading, in images or in seconds, at which the budget began; None: now. 0 takes the budget
            for that of the whole training, which a resumed one has spent a part of.
        place: where in the budget a clock stands, 0 to 1; None takes the share that is spent.
        **settings: of :class:`Training`, when ``gan`` is a GAN; the same in each call.

    Yields:
        A record of each turn.

    Raises:
        CardiganError: unless exactly one budget is given, above 0; if a setting, a network or a turn cannot work.
        NonFiniteError: if a loss or gradient is not finite; no weight has been changed by it. On a GPU it is told of a
            turn later, or when ``Training.judge`` is called.
        LostProcessError: if several processes train together and one of them is gone.

    Example:
        >>> from cardigan import models, objectives
        >>> from cardigan.data import Store
        >>> from cardigan.data.batches import batches
        >>> import numpy as np
        >>> store = Store.from_arrays(np.zeros((32, 8, 8, 1), dtype=np.uint8))
        >>> gan = GAN(models.mlp.Generator(size=8, latent=4), models.mlp.Discriminator(size=8), objectives.hinge())
        >>> [record.progress.images for record in fit(gan, batches(store, batch_size=16), images=64)]
        [16, 32, 48, 64]
        >>> [record.progress.images for record in fit(gan, batches(store, batch_size=16), images=32)]
        [80, 96]
        >>> gan.training.published(batches(store, batch_size=16)).training
        False
    """
    if (images is None) == (seconds is None):
        raise CardiganError("Give fit exactly one budget: images=N or seconds=S.")
    for name, budget in (("images", images), ("seconds", seconds)):
        if budget is not None:
            check(name, budget, lambda value: value > 0, f"a number of {name} above 0", 1_000, of="fit")
    if not (isinstance(part, tuple) and len(part) == 2 and 0 <= part[0] < part[1] <= 1):
        raise CardiganError(f"fit: part is {part!r}, expected two shares of the budget, such as part=(0.0, 0.5).")
    if since is not None:
        check_not_negative("since", since, of="fit", instead=0)
    training = _training_of(gan, settings)
    training.gan.check()
    return _turns_of(training, batches, turns or alternate(), images, seconds, schedule, part, since, place)


def _training_of(gan: GAN | Training, settings: dict[str, Any]) -> Training:
    """The training that goes on.

    Raises:
        CardiganError: if there is one already, with other settings.
    """
    if isinstance(gan, Training):
        if settings:
            raise CardiganError(f"Give {', '.join(settings)} to Training, which is there already, and not to fit.")
        return gan
    training = getattr(gan, "training", None)
    for name, value in settings.items():
        check_choice("the setting", name, SETTINGS, of="fit")
        if training and training.settings[name] != value:
            raise CardiganError(
                f"This GAN is being trained already, for {training.progress.images:,} images, with {name}="
                f"{training.settings[name]!r}, and fit was given {name}={value!r}. Leave {name} out to go on. To begin "
                f"anew with these weights, type fit(Training(gan, {name}={value!r}), ...)."
            )
    return training or Training(gan, **settings)


def _turns_of(
    training: Training,
    batches: Batches,
    turns: Turns,
    images: float | None,
    seconds: float | None,
    schedule: Schedule | None,
    part: tuple[float, float],
    since: float | None,
    place: Callable[[Progress], float] | None,
) -> Iterator[StepRecord]:
    """Every turn of :func:`fit`."""
    progress = training.progress
    began = time.perf_counter() - progress.seconds
    if since is None:
        since = progress.seconds if images is None else progress.images

    def spent(progress: Progress) -> float:
        return (progress.seconds - since) / (seconds or 1) if images is None else (progress.images - since) / images

    place, (start, end) = place or spent, part
    seen = Probed(batches, training.gan, training.arithmetic, training.seed) if training.probed else batches
    while (now := place(progress)) < end:
        if schedule is not None:
            training.set_rates(schedule(max((now - start) / (end - start), 0.0)))
        try:
            record = training.turn(seen, turns)
        except NonFiniteError:
            progress.seconds = time.perf_counter() - began  # what the turn took is spent all the same
            raise
        seen = batches
        clock = time.perf_counter() - began
        # Where time decides how far training is, one clock decides for all.
        progress.seconds = clock if seconds is None else training.crew.from_first(clock)
        yield replace(record, progress=progress.copy())
    training.judge()
