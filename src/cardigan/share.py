"""This process's share of a batch, while several train together: its rows of what is drawn, sums over all of them.

A share holds inside a turn of training only. Outside, and where one process trains alone, every function here gives
back what it got: measuring, sampling and publishing know of no other process.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cardigan.contracts import Batch
from cardigan.out_of_memory import ran_out
from cardigan.place import LostProcessError


@dataclass(frozen=True)
class Share:
    """One of ``count`` equal parts of each batch, in order; of each group, where a batch holds ``groups`` equal ones.

    Example:
        >>> Share(1, 4).rows(2)
        slice(2, 4, None)
    """

    number: int = 0
    count: int = 1
    groups: int = 1

    def rows(self, count: int) -> slice:
        """Where ``count`` rows of this share lie among those of all."""
        return slice(self.number * count, (self.number + 1) * count)


_CURRENT: ContextVar[Share] = ContextVar("share", default=Share())  # noqa: B039


def current() -> Share:
    """The share that holds now."""
    return _CURRENT.get()


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Let a share hold while the block runs."""
    before = _CURRENT.set(share)
    try:
        yield
    finally:
        _CURRENT.reset(before)


def in_groups(count: int) -> AbstractContextManager[None]:
    """While the block runs, batches hold so many groups of images one after the other, such as real and fake ones."""
    return sharing(replace(current(), groups=count))


def drawn(draw: Callable[[int], Tensor], count: int) -> Tensor:
    """Random numbers for this share's ``count`` images: those that they would have got from one process.

    They are drawn for the images of all processes, so that all stay at the same place in the random stream.

    Args:
        draw: gives so many rows.
        count: images of this share.

    Example:
        >>> whole = torch.rand(4, generator=torch.Generator().manual_seed(0))
        >>> with sharing(Share(1, 2)):
        ...     mine = drawn(lambda count: torch.rand(count, generator=torch.Generator().manual_seed(0)), 2)
        >>> torch.equal(mine, whole[2:])
        True
    """
    share = current()
    if share.count == 1:
        return draw(count)
    groups = draw(count * share.count).chunk(share.groups)
    return torch.cat([group[share.rows(count // share.groups)] for group in groups])


def own(rows: Tensor) -> Tensor:
    """This share's part of the rows of all."""
    share = current()
    return rows[share.rows(len(rows) // share.count)]


def spread(rows: Tensor) -> Tensor:
    """This share's rows at their places among those of all; zeros where the others' would be."""
    share = current()
    whole = rows.new_zeros(len(rows) * share.count, *rows.shape[1:])
    whole[share.rows(len(rows))] = rows
    return whole


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, in order; can be differentiated any number of times.

    Args:
        rows: as many in every process, (B, ...).

    Returns:
        (B x count, ...), the same in every process.
    """
    return rows if current().count == 1 else _Sum.apply(spread(rows))


def mean(value: Tensor) -> Tensor:
    """The mean of a value over all processes; can be differentiated any number of times."""
    count = current().count
    return value if count == 1 else _Sum.apply(value) / count


def own_batch(batch: Batch, size: int) -> Batch:
    """This share of a batch, where the one who made it did not know of shares and gave the ``size`` images of all."""
    if current().count == 1 or len(batch.real) != size:
        return batch
    parts: dict[str, Any] = {
        name: None if rows is None else own(rows)
        for name in ("real", "labels", "source", "indices")
        for rows in [getattr(batch, name)]
    }
    return replace(batch, **parts)


def add_up(tensor: Tensor, operation: Any = None) -> None:
    """Replace a tensor in place by its sum over all processes, or by what another ``dist.ReduceOp`` gives.

    Raises:
        LostProcessError: if one of them is gone.
    """
    with telling_of_loss():
        dist.all_reduce(tensor, op=dist.ReduceOp.SUM if operation is None else operation)


@contextmanager
def telling_of_loss() -> Iterator[None]:
    """Turn what the network library raises where another process is gone into our own error."""
    try:
        yield
    except RuntimeError as error:
        if ran_out(error):  # in this process itself
            raise
        # Gloo begins with the place in its source, and NCCL with a page of advice after the first line.
        said = re.sub(r"^\[[^]]*\]\s*", "", str(error).strip().partition("\n")[0])
        raise LostProcessError(said.partition(". ")[0]) from error


class _Sum(torch.autograd.Function):
    """The sum over all processes. Each of them reads it, so a gradient is the sum of theirs: the same thing again."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone(memory_format=torch.contiguous_format)
        add_up(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.apply(gradients[0])
