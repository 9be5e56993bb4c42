"""What lies below a learner: the one loop's training, with fastai's ways to set rates, and its file."""

import json
from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from cardigan.contracts import GAN, Player, Turn
from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.fastai.optimizers import Rate, lists, rates, split
from cardigan.randomness import derive
from cardigan.training import Training
from cardigan.training.loop import PLAYERS
from cardigan.training.networks import Modes
from cardigan.training.state import Checkpoint, capture, restore


class Engine:
    """A training with an optimizer for each player, whose parameter groups come from one splitter.

    Args:
        gan: what is trained.
        model: what the splitter is given.
        players: those who ever play.
        splitter: gives parameters, or lists of them, one for each group.
        opt_func: makes an optimizer.
        lr: the learning rate to begin with.
        wd_bn_bias: whether weight decay reaches biases and the parameters of normalisation layers.
        device: where to train.

    Attributes:
        training: networks, optimizers and clock.
        splits: groups that the splitter made.
        seed: drawn when it is first needed, by the numbers that ``torch.manual_seed`` decides about; saved with the
            clock. It and the last ``torch.manual_seed`` decide about the layers that draw, such as dropout.
    """

    def __init__(
        self,
        gan: GAN,
        model: nn.Module,
        *,
        players: tuple[Player, ...],
        splitter: Callable,
        opt_func: Callable[..., torch.optim.Optimizer],
        lr: float | slice,
        wd_bn_bias: bool,
        device: torch.device,
    ) -> None:
        if any(isinstance(each, nn.parameter.UninitializedParameter) for each in model.parameters()):
            raise CardiganError(
                "The networks have lazy layers, which do not know their sizes yet; expected weights. Call each network "
                "once, on a batch such as dls.one_batch() gives, before the first fit."
            )
        gan.to(device)
        networks: dict[Player, nn.Module] = {player: gan.network(player) for player in PLAYERS}
        owned, self.splits = split(model, networks, splitter=splitter, opt_func=opt_func, lr=lr, wd_bn_bias=wd_bn_bias)
        # Nothing is averaged: the generator itself is published, and networks that cannot be copied work, too.
        self.training = Training(gan, optimizers=owned, half_life=0, device=device)
        self.training.probed = False  # fastai's loaders bring images, vectors or anything else
        self.training.modes = Modes([])  # fastai's switch_eval decides who is in evaluation mode
        self.players, self._model, self._splitter = players, model, splitter
        self.seed: int | None = None

    def ready(self, lr: Rate, wd: float | None) -> None:
        """Set the rates of a fit, its weight decay unless None, and ask for what is trainable now.

        Raises:
            CardiganError: if one of them cannot be, or there is nothing to train.
        """
        found = rates(lr, self.splits)
        for optimizer in self.training.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = found[group.get("split", 0)]
                if wd is not None and group["params"]:
                    self._set_decay(group, wd)
        self._ask_for_what_is_trainable()
        self.training.seed = derive(self.own_seed(), "fit", torch.initial_seed())

    def own_seed(self) -> int:
        """The seed, drawn if it is not there yet."""
        if self.seed is None:
            self.seed = int(torch.randint(2**62, ()))
        return self.seed

    def _set_decay(self, group: dict, wd: float | None) -> None:
        if wd and "weight_decay" not in group:
            raise CardiganError(f"wd is {wd}, but this optimizer has no weight decay; expected None. Leave wd out.")
        group["weight_decay"] = wd if group.get("decays", True) else 0.0

    def _ask_for_what_is_trainable(self) -> None:
        """Leave out what was frozen since the optimizers were made; refuse what was thawed."""
        training = self.training
        groups = [group for optimizer in training.optimizers.values() for group in optimizer.param_groups]
        held = {id(weight) for group in groups for weight in group["params"]}
        thawed = [weight for group in lists(self._splitter(self._model)) for weight in group if id(weight) not in held]
        if thawed:
            raise CardiganError(
                f"{len(thawed)} parameters became trainable after the optimizers were made, which do not hold them. "
                "Begin with fresh ones: fit(..., reset_opt=True)"
            )
        for player in self.players:
            every = training.gan.network(player).parameters()
            training.weights[player] = [weight for weight in every if weight.requires_grad and id(weight) in held]

    def insist(self, turn: Turn) -> Turn:
        """The turn, if all of its players can be trained; who is frozen may look on.

        Raises:
            CardiganError: if one cannot.
        """
        for player in turn:
            if not self.training.weights[player]:
                name = {"discriminator": "critic"}.get(player, player)
                raise CardiganError(
                    f"The {name} has no parameter that can be trained; expected at least one. "
                    f"Thaw it with set_freeze_model(learn.{name if len(self.players) > 1 else 'model'}, True)."
                )
        return turn

    def scale_rates(self, player: Player, factor: float) -> None:
        """Multiply one player's learning rates, for this fit."""
        for group in self.training.optimizers[player].param_groups:
            group["lr"] *= factor


def save(engine: Engine, path: Path, *, with_opt: bool) -> None:
    """Write networks, and optimizers where wanted, into one safetensors file; the clock and the seed go along.

    Raises:
        CardiganError: if it cannot be written.
    """
    files, state = capture(engine.training)
    tensors = {
        f"{name}/{key}": tensor.detach().clone().contiguous().cpu()
        for name, file in files.items()
        if name != "average" and (with_opt or not name.endswith("-optimizer"))
        for key, tensor in file.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        state |= {"with_opt": with_opt, "seed": engine.own_seed()}
        replace_durably(path, safetensors.torch.save(tensors, {"cardigan": json.dumps(state)}))
    except OSError as problem:
        raise CardiganError(
            f"{path} could not be written: {problem.strerror or problem}. Free space, mend the permissions, or give "
            "the learner another path."
        ) from problem


def load(engine: Engine, path: Path, *, with_opt: bool, strict: bool) -> None:
    """Read such a file back: the networks, and the optimizers with the clock and the seed where wanted and in it.

    Unless ``strict``, the networks alone, as far as names fit.

    Raises:
        CardiganError: if there is no such file, or it is of other networks.
    """
    try:
        blob = path.read_bytes()
        tensors = safetensors.torch.load(blob)
        with safetensors.safe_open(path, "pt") as file:
            state = json.loads((file.metadata() or {})["cardigan"])
    except FileNotFoundError:
        kept = sorted(each.stem for each in path.parent.glob("*.safetensors"))
        raise CardiganError(
            f"There is no {path}; expected one of {', '.join(kept) or 'none yet'}. "
            f"Write it with learn.save({path.stem!r})."
        ) from None
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as problem:
        raise CardiganError(
            f"{path} is not a file of learn.save ({problem}). fastai's .pth files are pickles, which can run code and "
            "are not read; carry weights over with safetensors."
        ) from problem
    files: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, rest = key.partition("/")
        files.setdefault(name, {})[rest] = tensor
    if with_opt and strict and state["with_opt"]:
        _restore_all(engine.training, path, state, files)
        engine.seed = state.get("seed", engine.seed)
        return
    fitting = 0
    for player in engine.players:
        network, saved = engine.training.gan.network(player), files.get(player, {})
        try:
            network.load_state_dict(saved, strict=strict)
        except RuntimeError as problem:
            told = " ".join(str(problem).split())[:300]
            raise CardiganError(
                f"{path} was saved from other networks ({told}). Build the learner with the same ones."
            ) from problem
        fitting += len(saved.keys() & network.state_dict().keys())
    if not fitting:
        raise CardiganError(
            f"Nothing in {path} has a name that this learner's networks have; expected at least one tensor that fits. "
            "Build the learner with the same networks."
        )


def _restore_all(training: Training, path: Path, state: dict, files: dict[str, dict[str, torch.Tensor]]) -> None:
    complete = {name: files.get(name, {}) for player in PLAYERS for name in (player, f"{player}-optimizer")}
    complete["average"] = complete["generator"]  # one and the same network
    alone = f"Load the networks alone: load({path.stem!r}, with_opt=False)."
    for player, optimizer in training.optimizers.items():
        held = sum(len(group["params"]) for group in optimizer.param_groups)
        known = {key.partition(".")[0] for key in complete[f"{player}-optimizer"]}
        if any(int(place) >= held for place in known):
            raise CardiganError(f"{path} was saved with optimizers of more than the {held} parameters of now. {alone}")
    try:
        restore(training, Checkpoint(path, state["turns"], state, complete))
    except CardiganError as problem:
        told = str(problem).partition(", so this run")[0]
        raise CardiganError(f"{path} does not fit this learner. {told}. {alone}") from problem
