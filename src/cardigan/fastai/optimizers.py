"""fastai's optimizers, and how a learner's parameters become the groups of two optimizers, one for each network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import Parameter

from cardigan.contracts import Player
from cardigan.errors import CardiganError

NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm, nn.GroupNorm)
Rate = float | slice | Sequence[float]


def Adam(  # noqa: N802  (fastai's name)
    params: Iterable[Any],
    lr: float | slice,
    mom: float = 0.9,
    sqr_mom: float = 0.99,
    eps: float = 1e-5,
    wd: float = 0.01,
    decouple_wd: bool = True,
) -> torch.optim.Optimizer:
    """Adam with fastai's defaults, which are not torch's: beta2 0.99, epsilon 1e-5 and decoupled weight decay 0.01.

    Source: *Decoupled Weight Decay Regularization*, Loshchilov and Hutter, 2019; the numbers are fastai's.

    Args:
        params: parameters, lists of them (one for each group), or torch's parameter groups.
        lr: the learning rate; a slice spreads it over the groups, see :func:`rates`.
        mom: memory of the mean.
        sqr_mom: memory of the square.
        eps: keeps the division tame.
        wd: weight decay.
        decouple_wd: shrink the weights themselves; false adds the decay to the gradient.

    Example:
        >>> Adam([nn.Parameter(torch.zeros(2))], lr=1e-3).defaults["betas"]
        (0.9, 0.99)
    """
    kind = torch.optim.AdamW if decouple_wd else torch.optim.Adam
    groups, rate = _grouped(params, lr)
    return kind(groups, lr=rate, betas=(float(mom), float(sqr_mom)), eps=eps, weight_decay=wd, fused=True)


def RMSProp(  # noqa: N802  (fastai's name)
    params: Iterable[Any],
    lr: float | slice,
    mom: float = 0.0,
    sqr_mom: float = 0.99,
    eps: float = 1e-8,
    wd: float = 0.0,
    decouple_wd: bool = True,
) -> torch.optim.Optimizer:
    """RMSProp as fastai has it: decoupled weight decay, and a momentum of gradients, not of steps as torch's.

    Against fastai: ``eps`` counts. There it is accepted and never read.

    Source: *Lecture 6.5 - RMSProp*, Tieleman and Hinton, 2012; the numbers are fastai's.

    Args:
        params: parameters, lists of them (one for each group), or torch's parameter groups.
        lr: the learning rate; a slice spreads it over the groups, see :func:`rates`.
        mom: memory of the gradient, 0 for none.
        sqr_mom: memory of the square.
        eps: keeps the division tame.
        wd: weight decay.
        decouple_wd: shrink the weights themselves; false adds the decay to the gradient.

    Example:
        >>> RMSProp([nn.Parameter(torch.zeros(2))], lr=2e-4).defaults["eps"]
        1e-08
    """
    groups, rate = _grouped(params, lr)
    return _RMSProp(groups, {"lr": rate, "mom": mom, "sqr_mom": sqr_mom, "eps": eps, "weight_decay": wd}, decouple_wd)


class _RMSProp(torch.optim.Optimizer):
    def __init__(self, groups: list[Any], defaults: dict[str, float], decoupled: bool) -> None:
        super().__init__(groups, defaults)
        self.decoupled = decoupled

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch's own stub tells of a closure only
        """Move every weight that has a gradient."""
        assert closure is None, "the loop differentiates; an optimizer only steps"
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Parameter, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state, decay = self.state[weight], group["weight_decay"]
        if self.decoupled:
            weight.mul_(1 - group["lr"] * decay)
        elif decay:
            gradient = gradient.add(weight, alpha=decay)
        square = state.setdefault("square", torch.zeros_like(weight))
        square.mul_(group["sqr_mom"]).addcmul_(gradient, gradient, value=1 - group["sqr_mom"])
        if group["mom"]:
            gradient = state.setdefault("gradient", torch.zeros_like(weight)).mul_(group["mom"]).add_(gradient)
        weight.addcdiv_(gradient, square.sqrt().add_(group["eps"]), value=-group["lr"])


def trainable_params(m: nn.Module) -> list[Parameter]:
    """The parameters that ask for gradients, as one group.

    Example:
        >>> len(trainable_params(nn.Linear(2, 3)))
        2
    """
    return [parameter for parameter in m.parameters() if parameter.requires_grad]


def rates(lr: Rate, count: int) -> list[float]:
    """A learning rate for each of ``count`` groups.

    Args:
        lr: one for all; ``slice(low, high)`` from low to high in equal ratios; ``slice(high)`` a tenth of it for all
            but the last group; or one each.
        count: how many groups there are.

    Raises:
        CardiganError: if there are other rates than groups, or one is not above 0.

    Example:
        >>> rates(slice(1e-4, 1e-2), 3), rates(slice(1e-2), 3), rates(0.1, 2)
        ([0.0001, 0.001, 0.01], [0.001, 0.001, 0.01], [0.1, 0.1])
    """
    if isinstance(lr, slice):
        if lr.stop is None:
            raise CardiganError(f"lr is {lr}; expected an upper end. Type lr=slice(1e-5, 1e-3) or lr=slice(1e-3).")
        if count == 1:
            found = [lr.stop]
        elif lr.start:
            found = [lr.start * (lr.stop / lr.start) ** (place / (count - 1)) for place in range(count)]
        else:
            found = [lr.stop / 10] * (count - 1) + [lr.stop]
    else:
        found = list(lr) if isinstance(lr, Sequence) else [lr] * count
    if len(found) != count:
        raise CardiganError(
            f"lr gives {len(found)} learning rates for {count} parameter groups; expected one for each, one for all, "
            "or a slice. The splitter decides how many groups there are."
        )
    if wrong := [rate for rate in found if not rate >= 0]:
        raise CardiganError(f"A learning rate is {wrong[0]}; expected 0 or more, such as lr=2e-4.")
    return [float(f"{rate:.12g}") for rate in found]


@dataclass(frozen=True)
class Owned:
    """The part of a learner's parameter groups that belongs to one network; makes its optimizer.

    Args:
        opt_func: ``(groups, lr=) -> torch.optim.Optimizer``.
        groups: torch's parameter groups. Beside the parameters each holds ``"split"``, its place among the learner's
            groups, and ``"decays"``, whether weight decay reaches it.
        lr: for groups without their own.
    """

    opt_func: Callable[..., torch.optim.Optimizer]
    groups: list[dict[str, Any]]
    lr: float

    def __call__(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """The optimizer of this part; ``parameters`` are those of the network and not read: the splitter decides."""
        if not self.groups:
            return torch.optim.SGD([{"params": []}], lr=0.0)  # a network that nobody trains
        if getattr(self.opt_func, "func", self.opt_func) is torch.optim.LBFGS:
            raise CardiganError(
                "opt_func is LBFGS, which asks for the loss several times in a step; expected one that steps once for "
                "each batch. Pass Adam or RMSProp of cardigan.fastai, or another class of torch.optim."
            )
        optimizer = self.opt_func([dict(group) for group in self.groups], lr=self.lr)
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise CardiganError(
                f"opt_func made a {type(optimizer).__name__}; expected a torch.optim.Optimizer. Pass Adam or RMSProp "
                "of cardigan.fastai, or any class of torch.optim."
            )
        for group in optimizer.param_groups:
            if not group.get("decays", True) and "weight_decay" in group:
                group["weight_decay"] = 0.0
        return optimizer


def split(
    model: nn.Module,
    networks: Mapping[Player, nn.Module],
    *,
    splitter: Callable[[nn.Module], Iterable[Any]],
    opt_func: Callable[..., torch.optim.Optimizer],
    lr: float | slice,
    wd_bn_bias: bool,
) -> tuple[dict[Player, Owned], int]:
    """The parameter groups of a whole model, shared out among the networks that it is made of.

    Args:
        model: what the splitter is given.
        networks: the networks by player; between them they own the model's parameters.
        splitter: gives parameters, or lists of them, one for each group.
        opt_func: makes an optimizer.
        lr: the learning rate to begin with.
        wd_bn_bias: whether weight decay reaches biases and the parameters of normalisation layers.

    Returns:
        What each player owns, and how many groups the splitter made.
    """
    groups = lists(splitter(model))
    found = rates(lr, len(groups))
    spared = set() if wd_bn_bias else set(map(id, _norms_and_biases(model)))
    owned: dict[Player, Owned] = {}
    for player, network in networks.items():
        own = set(map(id, network.parameters()))
        mine = []
        for place, parameters in enumerate(groups):
            for decays in (True, False):
                part = [each for each in parameters if id(each) in own and (id(each) not in spared) == decays]
                if part:
                    mine.append({"params": part, "lr": found[place], "split": place, "decays": decays})
        owned[player] = Owned(opt_func, mine, found[-1])
    return owned, len(groups)


def _norms_and_biases(model: nn.Module) -> Iterable[Parameter]:
    for module in model.modules():
        if isinstance(module, NORMS):
            yield from module.parameters(recurse=False)
        elif isinstance(bias := getattr(module, "bias", None), Parameter):
            yield bias


def lists(params: Iterable[Any]) -> list[list[Parameter]]:
    """Parameters, or lists of them, as lists of them."""
    given = list(params)
    if not given or isinstance(given[0], Parameter):
        return [given]
    return [list(each) for each in given]


def _grouped(params: Iterable[Any], lr: float | slice) -> tuple[list[Any], float]:
    """Torch's parameter groups, and the rate of those without their own."""
    given = list(params)
    if given and isinstance(given[0], dict):
        return given, rates(lr, 1)[0]
    groups = lists(given)
    found = rates(lr, len(groups))
    return [{"params": each, "lr": rate} for each, rate in zip(groups, found, strict=True)], found[-1]
