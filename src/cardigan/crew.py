"""The processes that train together: joining, agreeing, handing out. One process alone is a crew of one, at no cost.

They find each other by the environment that torchrun, ``accelerate launch`` or a cluster's operator sets. Tensors on a
GPU travel by NCCL, those in main memory by Gloo. What they agree on lies in main memory: waiting keeps no GPU busy.
"""

import atexit
import itertools
import json
import os
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cardigan import place, share
from cardigan.errors import CardiganError

PATIENCE = timedelta(hours=24)
"""How long the others wait while the first one prepares data, measures or writes. A process that dies is noticed
sooner, for its connections close; this bounds one that hangs."""
JOINING = timedelta(minutes=10)
"""How long they wait for each other when they start: who has not come by then will not come."""
LEAVING = timedelta(seconds=30)
"""How long leaving the others may take: NCCL may wait for a process that is gone, and torchrun waits as long."""


@dataclass(frozen=True)
class Word:
    """What is agreed on between two turns; of each the largest of what the processes say.

    Args:
        signal: that asked one of them to stop, 0 for none.
        save: a checkpoint is due.
        done: training ends here, though there is budget left.
        saved: images seen when the last checkpoint was written.
    """

    signal: int = 0
    save: bool = False
    done: bool = False
    saved: int = 0


@dataclass(frozen=True)
class Crew:
    """The processes that train together, seen by one of them.

    Args:
        number: of this process, from 0.
        count: how many they are.

    Example:
        >>> Crew().first, Crew().agree(Word(save=True))
        (True, Word(signal=0, save=True, done=False, saved=0))
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.number == 0

    def sharing(self, batch_size: int) -> AbstractContextManager[None]:
        """Let this process's share of each batch hold while the block runs.

        Raises:
            CardiganError: if the batch cannot be shared evenly.
        """
        self.check(batch_size)
        return share.sharing(share.Share(self.number, self.count))

    def check(self, batch_size: int) -> None:
        """Refuse a batch that cannot be shared evenly.

        Raises:
            CardiganError: naming sizes and numbers of processes that fit.

        Example:
            >>> Crew(0, 4).check(30)
            Traceback (most recent call last):
            ...
            cardigan.errors.CardiganError: A batch of 30 images cannot be shared evenly by 4 processes. Type --set \
batch_size=32, or start 3. The batch is that of all together, however many they are.
        """
        if batch_size % self.count:
            above = -(-batch_size // self.count) * self.count
            fewer = next(count for count in range(self.count, 0, -1) if batch_size % count == 0)
            raise CardiganError(
                f"A batch of {batch_size} images cannot be shared evenly by {self.count} processes. Type --set "
                f"batch_size={above}, or start {fewer}. The batch is that of all together, however many they "
                f"are."
            )

    def averaged(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The mean of each tensor over all processes, by one exchange of them all."""
        if self.count == 1:
            return list(tensors)
        # A loss of the user's own may lie in main memory while the gradients are on a GPU.
        there = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), torch.device("cpu"))
        flat = torch.cat([tensor.detach().reshape(-1).to(there) for tensor in tensors])
        share.add_up(flat)
        parts = (flat / self.count).split([tensor.numel() for tensor in tensors])
        return [part.view(tensor.shape).to(tensor) for part, tensor in zip(parts, tensors, strict=True)]

    def agree(self, word: Word) -> Word:
        """What they say together."""
        if self.count == 1:
            return word
        said = torch.tensor([word.signal, word.save, word.done, word.saved])
        signal, save, done, saved = self.largest(said).tolist()
        return Word(signal, bool(save), bool(done), saved)

    def largest(self, values: Tensor) -> Tensor:
        """The largest of each whole number over all processes."""
        table = values.to(_table(), copy=True)
        share.add_up(table, dist.ReduceOp.MAX)
        return table

    def from_first(self, value: float) -> float:
        """What the first process says."""
        if self.count == 1:
            return value
        table = torch.tensor([value if self.first else 0.0], dtype=torch.float64, device=_table())
        share.add_up(table)
        return float(table)

    def hand_out(self, tensors: Iterable[Tensor]) -> None:
        """Fill tensors in place with what the first process has in its own."""
        for tensor in tensors if self.count > 1 else ():
            with torch.no_grad(), share.telling_of_loss():
                dist.broadcast(tensor.detach(), 0)

    def bytes_from(self, blob: bytes, number: int = 0) -> bytes:
        """What one process has, for all."""
        if self.count == 1:
            return blob
        mine = self.number == number
        size = torch.tensor([len(blob) if mine else 0], device=_table())
        share.add_up(size)
        table = torch.zeros(int(size), dtype=torch.uint8, device=_table())
        if mine and blob:
            table.copy_(torch.frombuffer(bytearray(blob), dtype=torch.uint8))
        with share.telling_of_loss():
            dist.broadcast(table, number)
        return table.cpu().numpy().tobytes()

    @contextmanager
    def one_fate(self) -> Iterator[None]:
        """If the block fails in one process, it fails in all, with the same message. Nothing may be exchanged in it."""
        problem = None
        try:
            yield
        except CardiganError as error:
            problem = error
        if self.count == 1:
            if problem:
                raise problem
            return
        worst = int(self.largest(torch.tensor([self.count - self.number if problem else 0])))
        if worst:
            who = self.count - worst
            text = f"{problem}" if who == 0 else f"Process {who}, on {socket.gethostname()}: {problem}"
            told = self.bytes_from(text.encode() if who == self.number else b"", who).decode()
            raise problem if problem and who == self.number == 0 else CardiganError(told)

    def device(self, device: str) -> str:
        """The device of this process, where ``device`` was chosen for all.

        Raises:
            CardiganError: if they cannot train together there.
        """
        kind, _, number = device.partition(":")
        if self.count == 1 or kind == "cpu":
            return device
        here, found = place.told(), torch.cuda.device_count() if kind == "cuda" else 0
        if kind != "cuda":
            raise CardiganError(f"Several processes cannot train on {kind} together. Type --device cpu, or start one.")
        if number:
            raise CardiganError(
                f"--device {device} is one GPU for {self.count} processes. Leave it out: each takes its own."
            )
        # A cluster may show each process its own GPU alone. That two share one is seen in compare().
        local = 0 if found == 1 else here.local
        if found != 1 and max(here.neighbours, here.local + 1) > found:
            raise CardiganError(
                f"{max(here.neighbours, here.local + 1)} processes were started on {socket.gethostname()}, which has "
                f"{found} GPUs. Start one for each, --nproc-per-node {found}, or type --device cpu."
            )
        torch.cuda.set_device(local)
        return f"cuda:{local}"

    def compare(self, device: str) -> str:
        """Compare the devices of all processes, each of which has to call it.

        Args:
            device: of this process.

        Returns:
            A warning, where the GPUs have different names and may compute differently; else "".

        Raises:
            CardiganError: in all of them, if two share a GPU or their devices certainly compute differently.
        """
        if self.count == 1:
            return ""
        mine = json.dumps(_described(device)).encode()
        found: list[dict[str, str]] = [json.loads(self.bytes_from(mine, each)) for each in range(self.count)]
        places: dict[tuple[str, str], int] = {}
        for number, each in enumerate(found):
            other = places.setdefault((each["host"], each["unit"]), number)
            if each["unit"] and other != number:
                raise CardiganError(
                    f"Processes {other} and {number} share one GPU of {each['host']} ({each['name']}), and NCCL cannot "
                    f"join them there. Start one process for each GPU, or type --device cpu."
                )
        for kind, told in (("capability", "name"), ("name", "name")):
            number = next((at for at, each in enumerate(found) if each[kind] != found[0][kind]), None)
            if number is None:
                continue
            who = [f"process {at} has {found[at][told]} ({found[at]['capability']})" for at in (0, number)]
            if kind == "capability":
                raise CardiganError(
                    f"The devices are of different kinds: {', '.join(who)}. They round differently, so the networks "
                    f"would drift apart. Start the processes on equal GPUs, or type --device cpu."
                )
            return (
                f"Warning: the GPUs have different names: {', '.join(who)}. They may round differently. Then training "
                f"stops at the first checkpoint; if it does, start the processes on equal GPUs."
            )
        return ""


def _described(device: str) -> dict[str, str]:
    """What is compared of a device; ``unit`` is a GPU that nobody else may use, "" where sharing is no matter."""
    host = socket.gethostname()
    if not device.startswith("cuda"):
        return {"host": host, "name": device, "capability": device, "unit": ""}
    facts = torch.cuda.get_device_properties(device)
    # Slices of one GPU may all have its number.
    unit = "" if "MIG" in facts.name else str(getattr(facts, "uuid", ""))
    return {"host": host, "name": facts.name, "capability": f"compute {facts.major}.{facts.minor}", "unit": unit}


def together() -> Crew:
    """The crew that this process belongs to: that of torch.distributed's group, or itself alone."""
    if not dist.is_available() or not dist.is_initialized():
        return Crew()
    return Crew(dist.get_rank(), dist.get_world_size())


@contextmanager
def joined() -> Iterator[Crew]:
    """Join those that the launcher started while the block runs; alone, nothing is done.

    A group that the program has joined already is used and left as it is.

    Raises:
        CardiganError: if the environment tells of others, but not where they are.
    """
    here = place.told()
    if here.count == 1 or (dist.is_available() and dist.is_initialized()):
        yield together()
        return
    if not dist.is_available():
        raise CardiganError(f"{here.count} processes were started, but this PyTorch cannot join them. Start one.")
    from torch.distributed.distributed_c10d import PrefixStore

    # PyTorch for Windows has no NCCL; Gloo exchanges tensors of GPUs by way of main memory.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    # A prefix of its own for each joining: a program may train twice, and must not meet its former self.
    store = PrefixStore(f"cardigan-{next(_JOININGS)}", _rendezvous(here))
    _meet(store, here)
    dist.init_process_group(backend, store=store, rank=here.number, world_size=here.count, timeout=PATIENCE)
    try:
        yield together()
    except BaseException:
        _leave(abort=True)
        raise
    _leave(abort=False)


def _meet(store: Any, here: place.Place) -> None:
    """Wait until all have come.

    Raises:
        CardiganError: naming those that have not, after ``JOINING``.
    """
    names = [f"come {number}" for number in range(here.count)]
    try:
        store.set(names[here.number], "")
        store.wait(names, JOINING)
        store.set_timeout(PATIENCE)
    except RuntimeError as error:
        missing = []
        with suppress(RuntimeError):  # the first process keeps the list, and may be gone
            missing = [str(number) for number, name in enumerate(names) if not store.check([name])]
        who = (
            f"process {', '.join(missing[:8])}{' and others' if len(missing) > 8 else ''}" if missing else "the others"
        )
        raise CardiganError(
            f"Of {here.count} processes, {who} did not come within {JOINING.total_seconds() / 60:g} minutes. Look at "
            f"what these have written, mend that, and start all again."
        ) from error


def _leave(*, abort: bool) -> None:
    """Leave the group, in a bounded time.

    Where something went wrong, NCCL is told to give up what it waits for: the others may never answer. If even that
    hangs, this process ends without tidying up, instead of never.
    """
    leaving = threading.Thread(target=_left, args=(abort,), name="leaving", daemon=True)
    leaving.start()
    leaving.join(LEAVING.total_seconds())
    if leaving.is_alive():
        atexit.register(_end)


def _left(abort: bool) -> None:
    if abort:
        from torch.distributed import distributed_c10d

        with suppress(Exception):  # what went wrong before is told
            distributed_c10d._abort_process_group()
    with suppress(Exception):
        if dist.is_initialized():
            dist.destroy_process_group()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(place.TRY_AGAIN)


_JOININGS = itertools.count()
_STORES: dict[str, Any] = {}


def _rendezvous(here: place.Place) -> Any:
    """Where the processes find each other; kept, for its address can be taken only once."""
    if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise CardiganError(
            f"WORLD_SIZE is {here.count}, but {' and '.join(missing)} is not set, so the others cannot be found. Start "
            f"with torchrun --nproc-per-node {here.count} -m cardigan ..., or unset WORLD_SIZE."
        )
    if "store" not in _STORES:
        from torch.distributed.rendezvous import rendezvous

        try:
            _STORES["store"], *_ = next(rendezvous("env://", timeout=JOINING))
        except (RuntimeError, OSError) as error:
            address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
            reason = str(error).strip().partition("\n")[0]
            raise CardiganError(f"The other processes cannot be reached at {address}: {reason}.") from error
    return _STORES["store"]


def _table() -> torch.device:
    """Where small things are exchanged: in main memory, unless the program joined a group that knows GPUs only."""
    known = str(dist.get_backend_config())
    return torch.device("cpu" if "cpu:" in known else f"cuda:{torch.cuda.current_device()}")
