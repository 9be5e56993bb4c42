"""Whether the fast ways of a device compute what the plain way computes: seen on two turns, which leave no trace.

A *path* is a fast way of doing something: a fused optimizer, a layout, a precision, a compiler, a way that pixels take.
Copies of the training take the next two turns, first by the plain paths and then with one path more each time. A path
whose numbers differ by more than its digits explain is dropped.

How much digits explain is not guessed. The plain way takes the same turns while every layer is disturbed, forward
and backward, by as much as the path rounds. What that changes in each loss, gradient and buffer, rounding may change.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from warnings import catch_warnings

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from cardigan.clock import Progress
from cardigan.contracts import Batch, Batches, FastBatches, Player, Turn
from cardigan.crew import Crew
from cardigan.randomness import generator
from cardigan.share import Share, own_batch, sharing
from cardigan.training.loop import PLAYERS, Training
from cardigan.training.networks import Modes
from cardigan.training.optimizers import unfuse
from cardigan.training.pace import run_as
from cardigan.training.spectral import SpectralNorms
from cardigan.training.steps import draw_sources
from cardigan.training.verdicts import NonFiniteError

TIMES = 8.0
"""Numbers may differ by so many times what disturbing the plain way by a path's rounding changes: each layer rounds
anew, forward and backward, where the disturbance comes once. See docs/decisions/023-self-check.md for what was
measured."""
KINK = 0.02
"""Gradients may differ by this share of themselves in any case: where a ReLU's input is almost zero, the last digit
decides whether it passes one on. Penalties on gradients likewise. Losses and buffers have no such jumps."""
MOST = 0.9
"""And never by more than this share of themselves: a gradient of something else is about 1.4 of it away."""
FLOAT32, TF32, BFLOAT16 = 2.0**-20, 2.0**-10, 2.0**-8
"""What one rounding is, of 1. Float32 rounds to 2**-24; a sum of a few hundred products in another order, to this."""
APPLE = 2.0**-17
"""Likewise on Apple's GPUs, whose mathematics are built for speed, beside the CPU."""
STEP = 1e-4
"""An optimizer's step from the same gradients may differ by this share of itself: nothing amplifies its rounding."""


@dataclass(frozen=True)
class Path:
    """A fast way, as a value.

    Args:
        name: what users read.
        taken: whether a training takes it.
        drop: have a training, in place, do without it.
        digits: what it rounds to, of 1, in a training; beside what is rounded anyway.
    """

    name: str
    taken: Callable[[Training], bool]
    drop: Callable[[Training], None]
    digits: Callable[[Training], float]


def _fused(training: Training) -> bool:
    return any(group.get("fused") for each in training.optimizers.values() for group in each.param_groups)


def _unfuse(training: Training) -> None:
    for optimizer in training.optimizers.values():
        unfuse(optimizer)


def _without(**changes: Any) -> Callable[[Training], None]:
    return lambda training: run_as(training, replace(training.way, **changes))


def _digits(training: Training) -> float:
    """What a training rounds products to, of 1."""
    if training.way.precision == "bfloat16":
        return BFLOAT16
    if training.way.precision == "tf32":
        return TF32
    return APPLE if training.device.type == "mps" else FLOAT32


def _exact_digits(training: Training) -> float:
    return APPLE if training.device.type == "mps" else FLOAT32


FUSED = Path("fused optimizer", _fused, _unfuse, _exact_digits)
BATCHED = Path(
    "batched spectral norm",
    lambda training: training.batched and any(each.norms for each in training.norms.values()),
    lambda training: setattr(training, "batched", False),
    _exact_digits,
)
CHANNELS_LAST = Path(
    "channels last", lambda training: training.way.channels_last, _without(channels_last=False), _exact_digits
)
ROUNDED = [
    Path(
        name,
        lambda training, name=name: training.way.precision == name,
        _without(precision="float32"),
        _digits,
    )
    for name in ("tf32", "bfloat16")
]
COMPILED = Path("compiled networks", lambda training: training.way.compiled, _without(compiled=False), _digits)
PATHS = (FUSED, BATCHED, CHANNELS_LAST, *ROUNDED, COMPILED)
"""In the order in which they are tried; each together with those before it that were found right."""
STREAMS = ("resident batches", "prefetched batches")
"""What the paths of pixels are called; batches take one of them."""


@dataclass(frozen=True)
class Findings:
    """What a self-check has come to.

    Args:
        same: the paths that compute what the plain way does.
        dropped: the others, each with what differs.
        problem: why nothing could be found out, or what is wrong with the plain way itself; "" for nothing.

    Example:
        >>> Findings(("fused optimizer",), {"bfloat16": "it fails"}).told("the CPU")
        ['bfloat16 does not compute on the CPU what the plain way does (it fails): this run does without it.']
    """

    same: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    def told(self, device: str) -> list[str]:
        """A sentence for each thing that a user has to know.

        Args:
            device: what it is called.
        """
        drops = [
            f"{name} does not compute on {device} what the plain way does ({what}): this run does without it."
            for name, what in self.dropped.items()
        ]
        return [*drops, *([self.problem] if self.problem else [])]


def selfcheck(
    training: Training, batches: Batches, players: Turn, *, reference: torch.device | str | None = None
) -> Findings:
    """Compare each fast path that a training takes with the plain path, on copies of it.

    The training itself is not touched, nor is any random state; see :func:`do_without`.

    Args:
        training: as it stands. Of several processes, each looks at its share of the batches by itself.
        batches: where real images come from.
        players: who plays in the turns to come.
        reference: the device whose plain way is right; by default the training's, and the CPU for Apple's GPUs.
    """
    try:
        with catch_warnings(action="ignore"), training.crew.sharing(batches.batch_size):
            plain = batches.plainly() if isinstance(batches, FastBatches) else batches
            device = torch.device(reference or ("cpu" if training.device.type == "mps" else training.device))
            same, dropped = [], {}
            if isinstance(batches, FastBatches) and batches.path:
                differs = _batches_differ(training, batches, plain)
                dropped |= {batches.path: differs} if differs else {}
                same += [] if differs else [batches.path]
            drawn = [_given(training, plain, turn, device) for turn in range(2)]
        with catch_warnings(action="ignore"):
            return _compared(training, drawn, players, device, same, dropped)
    except torch.OutOfMemoryError:
        return Findings(problem="The self-check did not fit into memory, so the fast paths are not compared.")
    except NonFiniteError:  # of the plain way: training itself will come to it, and say so
        return Findings(problem="The plain way's numbers are not finite, so the fast paths are not compared.")


def do_without(training: Training, batches: Batches, names: Sequence[str]) -> Batches:
    """Have a training do without paths, from now on, and give the batches that it is to draw from.

    Args:
        training: changed in place.
        batches: where its real images come from.
        names: of paths; those that it does not take are passed over.
    """
    for path in PATHS:
        if path.name in names and path.taken(training):
            path.drop(training)
    if isinstance(batches, FastBatches) and batches.path in names:
        return batches.plainly()
    return batches


def taken(training: Training, batches: Batches) -> list[str]:
    """The names of the fast paths that a training takes."""
    streams = [batches.path] if isinstance(batches, FastBatches) and batches.path else []
    return [*streams, *(path.name for path in PATHS if path.taken(training))]


# --- the paths of pixels -------------------------------------------------------------------------------------------


def _batches_differ(training: Training, fast: Batches, plain: Batches) -> str:
    """What differs between two ways of drawing the same batches, "" for nothing: not a bit may.

    All are drawn before any is looked at, one after the other as in training: what one overwrites of another is seen.
    """
    now, size = training.progress.images, fast.batch_size
    places = [now + turn * size for turn in range(4)]
    found = [fast.at(place) for place in places]
    for mine, place in zip(found, places, strict=True):
        true = plain.at(place)
        for name in ("indices", "real", "labels", "source"):
            one, other = getattr(mine, name), getattr(true, name)
            if (one is None) != (other is None) or (one is not None and not torch.equal(one, other)):
                told = {"real": "the images", "source": "what the generator starts from"}.get(name, f"the {name}")
                return f"{told} of a batch are others"
    return ""


def _given(training: Training, batches: Batches, turn: int, device: torch.device) -> Batch:
    """A batch that is complete: with what the generator starts from, so that all ways start from the same."""
    images = training.progress.images + turn * batches.batch_size
    batch = _on(own_batch(batches.at(images), batches.batch_size), device)
    rng = generator(training.seed, "latents", images, device=device)
    with sharing(Share()):
        source, _ = draw_sources(training.gan, batch, rng)
    return replace(batch, source=source)


def _on(batch: Batch, device: torch.device) -> Batch:
    others = {
        name: None if rows is None else rows.to(device)
        for name in ("labels", "source", "indices")
        for rows in [getattr(batch, name)]
    }
    return Batch(batch.real.to(device), **others)


# --- the paths of networks and optimizers --------------------------------------------------------------------------


@dataclass
class _Seen:
    """What one turn came to: numbers by name, and of each optimizer's step what it should have done."""

    numbers: dict[str, Tensor] = field(default_factory=dict)
    steps: list["_Step"] = field(default_factory=list)


@dataclass
class _Step:
    """An optimizer's step: what it moved, from where, and to where a plain one moves the same."""

    player: Player
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    expected: dict[str, Tensor]


def _compared(
    training: Training, drawn: Sequence[Batch], players: Turn, device: torch.device, same: list[str], dropped: dict
) -> Findings:
    """Climb from the plain way to the training's own, one path at a time."""
    paths = [path for path in PATHS if path.taken(training)]
    names = [path.name for path in paths]
    plain = _copied(training, names, device)
    one = _turn(plain, drawn[0], players, device)
    between = _Moment.of(plain)
    two = _turn(plain, drawn[1], players, device)
    del plain

    def disturbed(digits: float) -> list[dict[str, float]]:
        """How far numbers move that are rounded so."""
        other = _copied(training, names, device)
        _disturb(other, digits)
        moved = [_turn(other, _shaken(drawn[0], digits), players, device)]
        between.back(other)
        moved.append(_turn(other, _shaken(drawn[1], digits), players, device))
        return [_away(seen.numbers, true.numbers) for seen, true in zip(moved, (one, two), strict=True)]

    known: dict[float, list[dict[str, float]]] = {}

    def differs(without: Sequence[str], digits: float, *, spoil: bool) -> str:
        known[digits] = known.get(digits) or disturbed(digits)
        draws = _DrawnOn(device) if _elsewhere(training, device) else nullcontext()
        with draws:
            other = _copied(training, without, training.device)
            for batch, true, slack in zip(drawn, (one, two), known[digits], strict=True):
                seen = _turn(other, _on(batch, training.device), players, device)
                if found := _difference(seen, true, slack, digits):
                    return found
                between.back(other)
            return _moved_by_nan(other, drawn[1], players) if spoil else ""

    def tried(without: Sequence[str], digits: float, *, spoil: bool = False) -> str:
        try:
            return differs(without, digits, spoil=spoil)
        except torch.OutOfMemoryError:
            raise
        except NonFiniteError:
            return "its numbers are not finite"
        except Exception as error:  # compilers and drivers fail in ways of their own
            return f"it fails: {type(error).__name__}"

    if _elsewhere(training, device) and (found := tried(names, _exact_digits(training))):
        return Findings(
            tuple(same),
            dropped,
            f"{training.device.type} computes otherwise than {device.type} ({found}), so nothing that is trained there "
            f"can be trusted. Type --device {device.type}, or update PyTorch.",
        )
    for path in paths:
        without = [name for name in names if name not in (*same, path.name)]
        if found := tried(without, path.digits(training), spoil=path is FUSED):
            dropped[path.name] = found
        else:
            same.append(path.name)
    return Findings(tuple(same), dropped)


def _elsewhere(training: Training, device: torch.device) -> bool:
    """Whether the reference is another kind of device than the one that trains."""
    return device.type != training.device.type


def _copied(training: Training, without: Sequence[str], device: torch.device) -> Training:
    """A training of its own that stands where ``training`` does, alone, on a device, without some paths."""
    other = copy.copy(training)
    memo: dict[int, Any] = {}
    modules = [*training.modules(), training.average.network]
    for module in modules if device != training.device else ():
        for tensor in [*module.parameters(), *module.buffers()]:
            moved = tensor.detach().to(device, copy=True)
            memo[id(tensor)] = (
                nn.Parameter(moved, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved
            )
    for optimizer in training.optimizers.values() if device != training.device else ():
        for state in optimizer.state.values():
            memo |= {id(value): value.to(device, copy=True) for value in state.values() if isinstance(value, Tensor)}
    other.gan, other.average = copy.deepcopy((training.gan, training.average), memo)
    other.optimizers = copy.deepcopy(training.optimizers, memo)
    other.weights = {player: [memo[id(weight)] for weight in training.weights[player]] for player in PLAYERS}
    other.progress, other.device = copy.deepcopy(training.progress), device
    other.unread, other.crew = [], Crew()
    other.norms = {player: SpectralNorms(other.gan.network(player)) for player in PLAYERS}
    other._buffers = {}
    other.modes = Modes([other.gan.generator, other.gan.discriminator])
    run_as(other, training.way)
    for path in PATHS:
        if path.name in without:
            path.drop(other)
    return other


def _turn(training: Training, batch: Batch, players: Turn, reference: torch.device) -> _Seen:
    """Take a turn, and tell what it came to.

    Raises:
        NonFiniteError: if one of its steps was not finite.
    """
    seen = _Seen()
    with ExitStack() as stack:
        for player in players:
            _watch(training, player, seen, reference, stack)
        stack.enter_context(sharing(Share()))
        record = training.turn(_Fixed(batch), lambda progress: players)
        training.judge()
    seen.numbers |= {f"the loss {name}": value.detach() for name, value in record.losses.items()}
    seen.numbers |= {f"the mean logit {name}": value.detach() for name, value in record.logits.items()}
    for network, module in _networks(training):
        for name, buffer in module.named_buffers():
            if buffer.is_floating_point():
                seen.numbers[f"the {network}'s buffer {name}"] = buffer.detach().clone()
    return seen


def _watch(training: Training, player: Player, seen: _Seen, reference: torch.device, stack: ExitStack) -> None:
    """Note a player's gradients as its optimizer gets them, what it makes of them, and what a plain one makes."""
    optimizer = training.optimizers[player]
    names = {id(weight): name for name, weight in training.gan.network(player).named_parameters()}
    held: dict[str, Any] = {}

    def before(*ignored: Any) -> None:
        memo: dict[int, Any] = {}
        twins: dict[int, str] = {}
        for weight in training.weights[player]:
            twin = nn.Parameter(weight.detach().to(reference, copy=True))
            memo[id(weight)], twins[id(twin)] = twin, names[id(weight)]
            if weight.grad is not None:
                twin.grad = weight.grad.to(reference, copy=True)
                seen.numbers[f"the {player}'s gradient of {names[id(weight)]}"] = twin.grad
            for value in optimizer.state[weight].values() if weight in optimizer.state else ():
                if isinstance(value, Tensor):
                    memo[id(value)] = value.to(reference, copy=True)
        held["plain"] = copy.deepcopy(optimizer, memo)
        unfuse(held["plain"])
        held["twins"], held["before"] = twins, _state(held["plain"], twins)

    def after(*ignored: Any) -> None:
        held["plain"].step()
        held["plain"].zero_grad()
        expected = _state(held["plain"], held["twins"])
        seen.steps.append(_Step(player, held["before"], _state(optimizer, names), expected))

    stack.callback(optimizer.register_step_pre_hook(before).remove)
    stack.callback(optimizer.register_step_post_hook(after).remove)


def _state(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """An optimizer's weights and moments, copied, by name."""
    return {
        f"{key} of {names[id(weight)]}": value.detach().clone()
        for group in optimizer.param_groups
        for weight in group["params"]
        if id(weight) in names
        for key, value in {"weight": weight, **optimizer.state.get(weight, {})}.items()
        if isinstance(value, Tensor)
    }


def _networks(training: Training) -> list[tuple[str, nn.Module]]:
    names = [*PLAYERS, "augmentation"]
    found = list(zip(names, training.modules(), strict=False))
    return [*found, ("average", training.average.network)]


@dataclass
class _Moment:
    """All tensors of a training as they stand, and its clock."""

    tensors: dict[str, Tensor]
    progress: Progress
    images: int

    @classmethod
    def of(cls, training: Training) -> "_Moment":
        tensors = {name: tensor.detach().clone() for name, tensor in _tensors(training)}
        return cls(tensors, copy.deepcopy(training.progress), training.average.images)

    @torch.no_grad()
    def back(self, training: Training) -> None:
        """Have a training that stands after the same turn, on whatever device, stand here to the last bit."""
        for name, tensor in _tensors(training):
            tensor.detach().copy_(self.tensors[name])
        training.progress, training.average.images = copy.deepcopy(self.progress), self.images
        smoothed = training.progress.smoothed
        for player, value in smoothed.items():
            smoothed[player] = value.to(training.device) if isinstance(value, Tensor) else value


def _tensors(training: Training) -> Iterator[tuple[str, Tensor]]:
    """Weights, buffers and moments, by name."""
    for network, module in _networks(training):
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            yield f"{network}: {name}", tensor
    for player in PLAYERS:
        optimizer = training.optimizers[player]
        for place, weight in enumerate(weight for group in optimizer.param_groups for weight in group["params"]):
            for name, value in optimizer.state.get(weight, {}).items():
                if isinstance(value, Tensor):
                    yield f"{player}: {name} {place}", value


@dataclass(frozen=True)
class _Fixed:
    """One batch, whenever it is asked for."""

    batch: Batch

    @property
    def batch_size(self) -> int:
        return len(self.batch.real)

    def at(self, images: int) -> Batch:
        return self.batch


# --- how far apart -------------------------------------------------------------------------------------------------


class _Rounded(torch.autograd.Function):
    """Values times one noise on their way forward, and gradients times another on their way back."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ahead: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return values * ahead

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (back,) = ctx.saved_tensors
        return gradients[0] * back, None, None


def _disturb(training: Training, digits: float) -> None:
    """From now on, have every layer of both players round what it gives, forward and backward, to so many digits."""
    rng = generator(0, "disturb", device=training.device)

    def noise(like: Tensor) -> Tensor:
        return 1.0 + digits * (2.0 * torch.rand(like.shape, generator=rng, device=like.device) - 1.0)

    def round_all(module: nn.Module, given: Any, found: Any) -> Any:
        def rounded(each: Any) -> Any:
            if not isinstance(each, Tensor) or not each.is_floating_point():
                return each
            return _Rounded.apply(each, noise(each), noise(each))

        return tree_map(rounded, found)

    for player in PLAYERS:
        for module in training.gan.network(player).modules():
            if module._parameters or not list(module.children()):
                module.register_forward_hook(round_all)


def _shaken(batch: Batch, digits: float) -> Batch:
    """A batch whose images and sources are rounded likewise."""

    def shaken(values: Tensor, name: str) -> Tensor:
        rng = generator(0, f"disturb {name}", device=values.device)
        return values * (1.0 + digits * (2.0 * torch.rand(values.shape, generator=rng, device=values.device) - 1.0))

    assert batch.source is not None
    return replace(batch, real=shaken(batch.real, "real"), source=shaken(batch.source, "source"))


def _away(found: Mapping[str, Tensor], true: Mapping[str, Tensor]) -> dict[str, float]:
    """How far numbers are from where they should be; infinitely, where they are no numbers or there are none."""

    def away(name: str) -> float:
        if name not in found:
            return math.inf
        apart = float((found[name].to(true[name].device) - true[name]).norm())
        return apart if math.isfinite(apart) else math.inf

    return {name: away(name) for name in true}


def _difference(seen: _Seen, true: _Seen, slack: Mapping[str, float], digits: float) -> str:
    """What differs beyond what rounding explains, in words; "" for nothing.

    Of what one turn computes, the first thing that is wrong: all that follows from it is wrong as well.
    """
    sizes = {name: float(value.norm()) for name, value in true.numbers.items()}
    apart, gradients = _away(seen.numbers, true.numbers), set[str]()
    for step in seen.steps:
        mine = [name for name in sizes if name.startswith(f"the {step.player}'s gradient")]
        gradients |= set(mine)
        largest = max((sizes[name] for name in mine), default=0.0)
        # Below the digits of the largest, a gradient is noise.
        may = {
            name: min(TIMES * (slack[name] + digits * sizes[name]) + KINK * sizes[name], MOST * sizes[name])
            + digits * largest
            for name in mine
        }
        if told := _worst(apart, sizes, may) or _misstep(step):
            return told
    may = {}
    for name in sizes.keys() - gradients:
        may[name] = TIMES * (slack[name] + digits * sizes[name])
        if name.startswith("the loss") and not name.endswith("/adversarial"):
            may[name] += KINK * sizes[name]
        if true.numbers[name].numel() == 1:
            may[name] += TIMES * digits
    return _worst(apart, sizes, may)


def _worst(apart: Mapping[str, float], sizes: Mapping[str, float], may: Mapping[str, float]) -> str:
    """The number that is farthest beyond what it may be away."""
    beyond = {name: apart[name] / max(most, 1e-30) for name, most in may.items() if apart[name] > most}
    if not beyond:
        return ""
    name = max(sorted(beyond), key=lambda each: beyond[each])
    if not math.isfinite(apart[name]):
        return f"{name} is no number"
    return f"{name} is {apart[name] / max(sizes[name], 1e-30):.2g} of itself away"


def _misstep(step: _Step) -> str:
    """What an optimizer made of gradients that a plain one makes something else of."""
    for name, value in step.expected.items():
        moved = float((value - step.before.get(name, torch.zeros_like(value))).norm())
        if _away(step.after, {name: value})[name] > STEP * moved + FLOAT32 / 4 * float(value.norm()):
            return f"the {step.player}'s optimizer makes the {name} something else"
    return ""


def _moved_by_nan(training: Training, batch: Batch, players: Turn) -> str:
    """What a turn changes whose numbers are not finite; "" for nothing, as it has to be."""
    assert batch.source is not None
    spoilt = replace(_on(batch, training.device), real=batch.real * math.nan, source=batch.source * math.nan)
    before = _Moment.of(training).tensors
    try:
        with sharing(Share()):
            training.turn(_Fixed(spoilt), lambda progress: players)
        training.judge()
        return "a step whose numbers are not finite is taken"
    except NonFiniteError:
        pass
    for name, tensor in _tensors(training):
        # The average moves on towards weights that stand still.
        if not name.startswith("average") and not torch.equal(before[name], tensor):
            return f"a step whose numbers are not finite changes what it should not: {name}"
    return ""


class _DrawnOn(TorchDispatchMode):
    """Random numbers of all devices come from one device's global generator, so that two devices draw the same."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        tensors = [each for each in args if isinstance(each, Tensor)]
        there = tensors[0].device if tensors else kwargs.get("device", self.device)

        found = func(*tree_map(self._here, args), **tree_map(self._here, kwargs))
        if tensors and func._schema.is_mutable:
            return args[0].copy_(found)
        return tree_map(lambda each: each.to(there) if isinstance(each, Tensor) else each, found)

    def _here(self, each: Any) -> Any:
        if isinstance(each, torch.device):
            return self.device
        return each.to(self.device) if isinstance(each, Tensor) else each
