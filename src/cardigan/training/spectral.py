"""Spectral norm for all layers of a network at once: one power iteration a step, however often the network is asked.

Source: *Spectral Normalization for Generative Adversarial Networks*, Miyato et al., 2018, algorithm 1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from cardigan.training.buffers import LISTS


class StepwiseSpectralNorm(parametrizations._SpectralNorm):
    """torch's spectral norm of one weight, which knows of turns.

    Outside of a turn it is torch's own: a power iteration for each pass in training mode. In a turn its vectors move
    when a step begins and at no other time, and the divided weight may be there already, computed with the others.
    """

    held: Tensor | None = None
    """The weight, divided; None where it is to be divided whenever it is read."""
    in_turn = False
    """Whether a turn is under way."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over an estimate of its largest singular value."""
        if self.held is not None:
            return self.held
        if self.in_turn:
            return _divided(self, weight, self._u.clone(), self._v.clone())
        return super().forward(weight)


class SpectralNorms:
    """The spectrally normalised weights of a network.

    torch's own parametrisations learn of turns, in place: names, parameters and buffers stay. Left alone are those with
    several iterations a pass, and weights with another parametrisation beside it.

    Args:
        network: whose weights.

    Attributes:
        norms: the parametrisation of each weight.

    Example:
        >>> layer = parametrizations.spectral_norm(nn.Linear(2, 2))
        >>> norms = SpectralNorms(layer)
        >>> with norms.turn():
        ...     norms.step()
        ...     layer.weight is layer.weight
        True
    """

    def __init__(self, network: nn.Module) -> None:
        self._lists: list[Any] = [each for each in network.modules() if _taken(each)]
        self.norms: list[Any] = [each[0] for each in self._lists]
        for norm in self.norms:
            norm.__class__ = StepwiseSpectralNorm

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While the block runs, vectors move in :meth:`step` alone."""
        for norm in self.norms:
            norm.in_turn = True
        try:
            yield
        finally:
            for norm in self.norms:
                norm.in_turn, norm.held = False, None

    def step(self, *, batched: bool = True) -> None:
        """Move the vectors of all layers in training mode by one power iteration, and divide their weights.

        Args:
            batched: all weights in operations that they share. False is the plain way, in which each layer divides its
                weight whenever it is read; it computes the same.
        """
        moving = [each for each in self._lists if each[0].training]
        if not moving:
            return
        norms: list[Any] = [each[0] for each in moving]
        weights: list[Tensor] = [each.original for each in moving]
        if not batched:
            for norm, weight in zip(norms, weights, strict=True):
                norm._power_method(norm._reshape_weight_to_matrix(weight), 1)
            return
        with torch.no_grad():
            matrices = [norm._reshape_weight_to_matrix(weight) for norm, weight in zip(norms, weights, strict=True)]
            lefts, _ = _normalised([matrix.mv(norm._v) for norm, matrix in zip(norms, matrices, strict=True)], norms)
            seen = [matrix.T.mv(left) for matrix, left in zip(matrices, lefts, strict=True)]
            # The length of what the right vectors come from is what the left ones make of the weight: its norm.
            rights, lengths = _normalised(seen, norms)
            LISTS._foreach_copy_([norm._u for norm in norms], lefts)
            LISTS._foreach_copy_([norm._v for norm in norms], rights)
        with torch.enable_grad():
            divided = _Divided.apply((norms, lefts, rights, lengths), *weights)
        for norm, weight in zip(norms, divided, strict=True):
            norm.held = weight

    def forget(self) -> None:
        """Let go of the divided weights, since the weights have moved: each is divided when it is read."""
        for norm in self.norms:
            norm.held = None


def _taken(module: Any) -> bool:
    """Whether it is the parametrisation of a weight by torch's spectral norm and nothing else."""
    if not isinstance(module, parametrize.ParametrizationList) or len(module) != 1 or module.is_tensor is not True:
        return False
    norm, weight = module[0], module.original
    return bool(
        type(norm) in (parametrizations._SpectralNorm, StepwiseSpectralNorm)
        and weight.ndim > 1
        and weight.is_floating_point()
        and norm.n_power_iterations == 1
    )


def _normalised(vectors: Sequence[Tensor], norms: Sequence[Any]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Vectors of length 1, and how long they were."""
    lengths = LISTS._foreach_norm(vectors)
    LISTS._foreach_clamp_min_(lengths, [norm.eps for norm in norms])
    return LISTS._foreach_div(vectors, lengths), lengths


def _divided(norm: Any, weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """One weight over what its vectors, which stand still, make of it."""
    return weight / torch.dot(left, norm._reshape_weight_to_matrix(weight).mv(right))


class _Divided(torch.autograd.Function):
    """Weights W over their norms u'Wv, and the derivative of all of them in operations that they share.

    A loss's derivative G by W/s becomes (G - (G.W / s) uv') / s.
    """

    @staticmethod
    def forward(ctx: Any, known: tuple[Sequence[Any], ...], *weights: Tensor) -> tuple[Tensor, ...]:
        # No saved tensors, which a loss in two halves would find let go; weights do not move before the derivative.
        ctx.known, ctx.weights = known, weights
        ctx.set_materialize_grads(False)
        return tuple(LISTS._foreach_div(weights, known[-1]))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        there = [place for place, gradient in enumerate(gradients) if gradient is not None]
        norms, lefts, rights, lengths = ([kind[place] for place in there] for kind in ctx.known)
        weights = [ctx.weights[place] for place in there]
        given = [gradient for gradient in gradients if gradient is not None]
        if torch.is_grad_enabled():  # somebody will differentiate this too
            divided = map(_divided, norms, weights, lefts, rights)
            found = torch.autograd.grad(tuple(divided), weights, given, create_graph=True)
        else:
            found = _derivative(norms, weights, given, lefts, rights, lengths)
        result: list[Tensor | None] = [None] * len(gradients)
        for place, gradient in zip(there, found, strict=True):
            result[place] = gradient
        return None, *result


def _derivative(
    norms: Sequence[Any],
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    lefts: Sequence[Tensor],
    rights: Sequence[Tensor],
    lengths: Sequence[Tensor],
) -> Sequence[Tensor]:
    # Convolutions give gradients transposed, where products of vectors want a weight's numbers side by side.
    gradients = [gradient.contiguous() for gradient in gradients]
    inner = [one.reshape(-1).dot(other.reshape(-1)) for one, other in zip(gradients, weights, strict=True)]
    lefts = LISTS._foreach_mul(lefts, LISTS._foreach_div(inner, lengths))
    found = []
    for norm, gradient, left, right in zip(norms, gradients, lefts, rights, strict=True):
        moved = gradient.movedim(norm.dim, 0)
        found.append(torch.addr(moved.flatten(1), left, right, alpha=-1).view(moved.shape).movedim(0, norm.dim))
    LISTS._foreach_div_(found, lengths)
    return found
