"""One sitting of a run, as the other processes see it: they train, and the first one does everything else."""

import socket
from dataclasses import dataclass, field
from typing import Any

from cardigan.contracts import Batches
from cardigan.course import turns_of
from cardigan.crew import Crew, Word
from cardigan.device_checks import DeviceCheck
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.interrupts import InterruptedRunError, Interrupts
from cardigan.recipes import Recipe
from cardigan.runs import Run
from cardigan.session import stopped
from cardigan.training.loop import Training
from cardigan.training.unison import check_alike, hand_out
from cardigan.training.verdicts import NonFiniteError
from cardigan.trials import Budget


class FinishedElsewhereError(CardiganError):
    """The run is finished, and its folder is not to be seen from this process."""


class _Unheard(Interrupts):
    """Remembers signals without a word; the first process speaks."""

    def _heard(self, number: int, frame: Any) -> None:
        self.number = self.number or number


@dataclass
class Following:
    """One sitting of a run in a process that is not the first.

    What is exchanged here, the first process exchanges in :class:`~cardigan.session.Session` in the same order.
    """

    crew: Crew
    folder: RunFolder
    config: dict[str, Any]
    recipe: Recipe
    training: Training
    batches: Batches
    device_check: DeviceCheck = field(default_factory=DeviceCheck)
    """How the fast paths of the device are checked before it trains."""
    saved: int = 0
    """Images seen when the last checkpoint was written."""

    def train(self) -> None:
        """Train along to the end of the budget."""
        hand_out(self.training)
        with _Unheard() as interrupts:
            self.batches, _ = self.device_check(self.recipe, self.training, self.batches)
            while True:
                try:
                    return self._to_the_end(interrupts)
                except NonFiniteError:
                    with self.crew.one_fate():
                        pass  # the first one goes back to a checkpoint, or gives up
                    hand_out(self.training)

    def _to_the_end(self, interrupts: Interrupts) -> None:
        trained, budget = False, Budget(**self.config["budget"])
        turns = () if self.crew.agree(Word()).done else turns_of(self.recipe, self.training, self.batches, budget)
        for _ in turns:
            trained = True
            word = self.crew.agree(Word(signal=interrupts.number or 0))
            self.saved = word.saved
            if word.save or word.signal:
                check_alike(self.training)
            if word.signal:
                raise InterruptedRunError(word.signal, stopped(self.training, self.folder))
            if word.done:
                break
        if trained:
            check_alike(self.training)

    def finish(self) -> Run:
        """Wait until the first process has finished the run, and open it.

        Raises:
            FinishedElsewhereError: if its folder cannot be seen from here.
        """
        with self.crew.one_fate():
            pass
        try:
            run = Run(self.folder.path)
        except CardiganError:
            run = None
        # The first process has added how this sitting ran, so that is left out of the comparison.
        if run is None or run.config | {"sittings": []} != self.config | {"sittings": []}:
            raise FinishedElsewhereError(
                f"The run is finished. Process 0 has written it to {self.folder.path}, which process "
                f"{self.crew.number}, on {socket.gethostname()}, cannot see. What follows is for process 0, or for a "
                f"shared folder."
            )
        return run
