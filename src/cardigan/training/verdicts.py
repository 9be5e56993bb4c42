"""Whether a player's step is made of finite numbers, found before a weight moves.

Where tensors lie in main memory the answer is read at once, and a step that is not finite never happens. Reading it
from a GPU would stall that: there the optimizer itself leaves its weights alone, and the answer is read a turn later.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cardigan.contracts import Player
from cardigan.errors import CardiganError
from cardigan.share import current, gathered, sharing
from cardigan.training.buffers import LISTS, Kept

DISTANT = frozenset({"cuda"})
"""Kinds of devices that work through a queue: whoever reads a number there waits until they come to it."""


class NonFiniteError(CardiganError):
    """A loss or a gradient is no longer a number; no weight was changed by it.

    Args:
        player: whose step it was.
        losses: every named loss of that step.
        images: images seen when the step's turn began.
        indices: the images of the batch, by their place in the store.
    """

    def __init__(self, player: Player, losses: dict[str, float], images: int, indices: list[int]) -> None:
        told = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        super().__init__(
            f"The {player}'s loss or gradient is not finite after {images} images ({told}). No weight was "
            f"changed by it. Lower the learning rate (--set learning_rate=...) or strengthen the regularizer."
        )
        self.player, self.losses, self.images, self.indices = player, losses, images, indices


class Verdict:
    """What is known of one player's step: whether its numbers are finite, and what to say and to put back if not.

    Args:
        player: whose step.
        losses: every named loss, a scalar each; of several processes their means.
        gradients: of the player's weights, likewise.
        images: images seen when the turn began.
        indices: the images of this process's share of the batch, by their place in the store; or None.
        kept: the buffers of all modules that train, as they were when the turn began.

    Attributes:
        finite: a boolean scalar where the losses lie.

    Example:
        >>> verdict = Verdict("generator", {"adversarial": torch.tensor(torch.inf)}, [torch.ones(2)], images=64)
        >>> verdict.sound, verdict.finite
        (False, tensor(False))
    """

    def __init__(
        self,
        player: Player,
        losses: Mapping[str, Tensor],
        gradients: Sequence[Tensor],
        *,
        images: int,
        indices: Tensor | None = None,
        kept: Sequence[Kept] = (),
    ) -> None:
        self.player: Player = player
        self.losses, self.images, self.indices, self.kept = losses, images, indices, kept
        self._share = current()
        # Norms are 0 or more, so their sum is below infinity if all numbers are finite, and at no other time.
        norms = LISTS._foreach_norm([*gradients, *losses.values()])
        self.finite = torch.stack(norms).sum() < torch.inf
        self._copy, self._arrived = self.finite, None
        if self.finite.is_cuda:
            # On its way to the host from here on, so that whoever asks later waits for this step and not for later
            # ones. Only an event tells when such a copy has arrived, and only here is there one to ask.
            self._copy = self.finite.to("cpu", non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(self.finite.device))

    @property
    def sound(self) -> bool:
        """Whether the step is finite; waits for the device to have come so far."""
        if self._arrived:
            self._arrived.synchronize()
        return bool(self._copy)

    def guard(self, optimizer: torch.optim.Optimizer) -> bool:
        """Have the optimizer's next step change nothing if this one is not finite, with nobody asking.

        Returns:
            Whether it can do that: torch's fused Adam and AdamW can. SGD would begin with momenta that nobody wrote.
        """
        able = isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW) and bool(optimizer.defaults["fused"])
        if able:
            optimizer.found_inf = (~self.finite).float()  # pyright: ignore[reportAttributeAccessIssue]
        return able

    def undone(self) -> NonFiniteError:
        """Put all buffers back to where the turn began, and say what happened.

        Of several processes, all have to call it.
        """
        for buffers in self.kept:
            buffers.put_back()
        indices = []
        if self.indices is not None:
            with sharing(self._share):
                indices = gathered(self.indices.to(self.finite.device)).tolist()
        losses = {name: float(value) for name, value in self.losses.items()}
        return NonFiniteError(self.player, losses, self.images, indices)
