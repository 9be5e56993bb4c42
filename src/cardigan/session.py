"""One sitting of a run: from its newest checkpoint to the end of its budget."""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cardigan._version import __version__
from cardigan.clock import StepRecord
from cardigan.contracts import Batches, GeneratorNetwork
from cardigan.copies import warning
from cardigan.cost import note_memory
from cardigan.course import find_pace, turns_of
from cardigan.crew import Crew, Word
from cardigan.data import Store
from cardigan.device_checks import DeviceCheck, called, noted
from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.interrupts import InterruptedRunError, Interrupts
from cardigan.recipes import Recipe
from cardigan.runs import Run
from cardigan.sample import load_generator, publish
from cardigan.settings import Settings
from cardigan.training import checkpoint as checkpoints
from cardigan.training.loop import Training
from cardigan.training.selfcheck import Findings
from cardigan.training.unison import check_alike, hand_out
from cardigan.training.verdicts import NonFiniteError
from cardigan.training.writer import Writer
from cardigan.trials import Budget, Exam, HeldOut, Trials
from cardigan.watchers.progress import Display, Silent, display, sentence
from cardigan.watchers.records import RecordsWriter
from cardigan.watchers.snapshots import AFFORDABLE, MEASURED, ROWS, SNAPSHOTS, Snapshots, affordable
from cardigan.watchers.tensorboard import TensorBoardWriter

MOST_ROLLBACKS = 2
"""Rollbacks of one fault; a fault is another one ``CALM`` turns after the one before."""
CALM = 1_000
"""Turns in which Adam forgets a gradient (its second moments remember as many): what breaks later is another fault."""
LEAST_SCALE = 1 / 256
"""Of the learning rate that is set: what rollbacks may leave of it over a whole run."""
MOST_NORMALISED = 1024
"""Images on which the normalisation of a generator that may be published is measured, where a run trains on as many
times 16."""


@dataclass
class Session:
    """One sitting of a run, from its newest checkpoint to its budget."""

    folder: RunFolder
    config: dict[str, Any]
    settings: Settings
    recipe: Recipe
    training: Training
    batches: Batches
    store: Store
    held_out: HeldOut | None
    exam: Exam | None
    quiet: bool
    crew: Crew
    """Who trains along; all the rest is done here, in the first process."""
    device_check: DeviceCheck = field(default_factory=DeviceCheck)
    """How the fast paths of the device are checked before it trains."""
    stage: str = ""
    """The stage of the last turn."""
    saved: int = 0
    """Images seen when the last checkpoint was written."""
    bar: Display = field(default_factory=Silent)
    """Shows how far things are."""
    seconds_drawn: float = 0.0
    """What an image of a picture took to draw; 0 where none was drawn yet."""
    faults: list[int] = field(default_factory=list)
    """The turns at which numbers were not finite, as far as they are one fault."""

    def __post_init__(self) -> None:
        self.writer = Writer(self.folder.checkpoints)

    @property
    def spent(self) -> float:
        """The share of the budget that is spent, 0 to 1 and a little beyond."""
        progress = self.training.progress
        return self.budget.share(images=progress.images, seconds=progress.seconds)

    @property
    def budget(self) -> Budget:
        """What the run may spend."""
        return Budget(**self.config["budget"])

    @property
    def over(self) -> bool:
        """Whether no turn is left: the budget is spent, or nothing better is expected."""
        return self.spent >= 1.0 or ((trials := self._trials()) is not None and trials.done)

    def train(self) -> None:
        """Go to the end of the budget, rolling back a bounded number of times if a number is no longer finite."""
        hand_out(self.training)
        with Interrupts() as interrupts:  # over all attempts: who asks for the end is not forgotten by rolling back
            run = self.settings.run
            self._tell(find_pace(self.recipe, self.training, self.batches, self.budget, run, say=self.say))
            self.batches, found = self.device_check(self.recipe, self.training, self.batches)
            for text in found.told(called(self.training.device)) if found else ():
                self._tell(text)
            self._note_sitting(found)
            while True:
                try:
                    return self._to_the_end(interrupts)
                except NonFiniteError as error:
                    with self.crew.one_fate():
                        self._roll_back(error)
                    hand_out(self.training)

    def _note_sitting(self, found: Findings | None) -> None:
        """Note in ``config.json`` how the networks run in this sitting, unless nothing is left to train.

        A sitting that left no checkpoint has trained nothing that counts, so it is dropped.
        """
        if self.spent >= 1.0:
            return
        now = self.training.progress.images
        before = [sitting for sitting in self.config["sittings"] if sitting["images"] < now]
        this = {"images": now, "device": str(self.training.device), **asdict(self.training.way)}
        this["self_check"] = noted(found)
        self.config["sittings"] = [*before, this]
        self.folder.write_config(self.config)

    def _roll_back(self, error: NonFiniteError) -> None:
        """Go back to the newest checkpoint with half the learning rate, and write that down at once.

        Weights and images go back, time does not: a budget in minutes ends when it was to end. What was learned of the
        fault is in the checkpoint, so that a run that is stopped now does not meet it again.
        """
        began, seconds, turns = time.perf_counter(), self.training.progress.seconds, self.training.progress.turns
        fault = {"player": error.player, "losses": error.losses, "images": error.images}
        fault["batch"] = self.store.names(error.indices)
        replace_durably(self.folder.nonfinite, json.dumps(fault, indent=1).encode())
        saved, _ = checkpoints.newest(self.folder.checkpoints)
        faults = self.faults if self.faults and turns - max(self.faults) <= CALM else []
        scale = self.training.rate_scale / 2
        if saved is None or len(faults) == MOST_ROLLBACKS or scale < LEAST_SCALE:
            raise CardiganError(
                f"{error} It was rolled back {len(faults)} times within {CALM:,} turns, and {2 * scale:.3g} of the "
                f"learning rate that is set is left, without help. The images of the batch are named in "
                f"{self.folder.nonfinite}. The same command with --resume and other settings goes on from the last "
                f"checkpoint."
            ) from error
        self.go_back(saved)
        # Of the failed attempt, not of the checkpoint: each try is calmer.
        self.training.rate_scale, self.faults = scale, [*faults, turns]
        text = f"{error} Rolled back to {saved.step:,} turns, learning rate halved."
        self.folder.add_event(text, images=error.images)
        self.say(text)
        self.training.progress.seconds = seconds + time.perf_counter() - began
        self.save()

    def go_back(self, saved: checkpoints.Checkpoint) -> None:
        """To where a checkpoint was taken."""
        checkpoints.restore(self.training, saved)
        self.stage, self.saved = saved.state.get("stage", ""), saved.state["images"]
        self.faults = list(saved.state.get("faults", ()))

    def _to_the_end(self, interrupts: Interrupts) -> None:
        run, images = self.settings.run, self.training.progress.images
        records = RecordsWriter(self.folder.records, images=images, seconds=self.training.progress.seconds)
        snapshots = self._snapshots()
        trials = self._trials()
        self._measure(trials)  # what a kill between a checkpoint and its measurement has left
        saved_at, record = time.monotonic(), None
        with ExitStack() as stack:
            stack.callback(self._settle)
            self.bar = bar = stack.enter_context(display("training", shown=not self.quiet))
            board = TensorBoardWriter(self.folder.path / "tensorboard", images=images) if run.tensorboard else None
            if board:
                stack.callback(board.close)
            stack.callback(snapshots.settle)
            self._look(snapshots)
            if trials and self.seconds_drawn:
                trials.expect(self.seconds_drawn)
            for record in () if self._agree(trials).done else self._turns():
                if line := records.see(record):
                    bar.show(min(self.spent, 1.0), sentence(line, remaining=self._remaining()))
                    if board:
                        board.see(line)
                self._look(snapshots)
                if not interrupts.number:  # whoever asked for the end does not wait for a measurement
                    self._measure(trials)
                due = time.monotonic() - saved_at >= run.checkpoint_seconds
                word = self._agree(trials, signal=interrupts.number or 0, save=due)
                if word.save or word.signal:
                    check_alike(self.training)
                    self._start_saving()
                    saved_at = time.monotonic()
                if word.signal or self.writer.done:
                    self._settle()
                if word.signal:
                    records.flush(record)
                    raise InterruptedRunError(word.signal, stopped(self.training, self.folder))
                if word.done:
                    break
            if record:
                records.flush(record)
                check_alike(self.training)
                self.save()

    def _agree(self, trials: Trials | None, *, signal: int = 0, save: bool = False) -> Word:
        """What happens before the next turn, as all processes will do it."""
        return self.crew.agree(Word(signal, save, trials is not None and trials.done, self.saved))

    def _turns(self) -> Iterator[StepRecord]:
        """Every turn that is left, noting its stage."""
        for stage, record in turns_of(self.recipe, self.training, self.batches, self.budget):
            self.stage = stage
            yield record

    def _trials(self) -> Trials | None:
        if self.exam is None:
            return None
        return Trials(
            self.folder.trials,
            self.exam,
            self.recipe.course,
            budget=self.budget,
            images=self.training.progress.images,
            stored={int(path.parent.name) for path in self.folder.best.glob("[0-9]*/config.json")},
        )

    @property
    def _normalised_on(self) -> int:
        """Images on which a generator's normalisation is measured that may be published: fewer in a short run.

        By the images of the whole run, so that all generators that compete are measured alike. Those of a budget in
        minutes are expected as the speed so far has it.
        """
        whole = self.budget.images or int(self.training.progress.images / max(self.spent, 1e-9))
        return min(MOST_NORMALISED, max(MEASURED, whole // 16))

    def _measure(self, trials: Trials | None) -> None:
        """Measure the generator where that is due, and put it aside if it is worth keeping."""
        progress = self.training.progress
        if trials is None or not trials.due(progress) or not self.training.sound:
            return
        self.bar.show(min(self.spent, 1.0), "scoring the generator")
        self.save()  # before the measurement, so that nobody can be set back behind it
        network = self.training.published(self.batches, images=self._normalised_on)
        line = trials.take(network, progress, stage=self.stage, way=str(self.training.way))
        if not trials.is_last(self.stage):
            self._publish(network, self.folder.pretrained, images=progress.images)
        elif trials.kept is line:
            self._publish(network, self.folder.best / str(progress.images), images=progress.images)
        self._tell(trials.warning)
        trials.write(line)
        for older in self.folder.best.glob("*"):
            if trials.kept and older.name != str(trials.kept["images"]):
                shutil.rmtree(older)

    def _publish(self, network: GeneratorNetwork, folder: Path, *, images: int) -> None:
        facts = {
            "classes": self.config["data"]["classes"] if network.classes else {},
            "images": images,
            "data": self.store.fingerprint,
            "version": __version__,
        }
        if self.recipe.degradation:
            facts["degrade"] = str(self.recipe.degradation)
            facts["value_range"] = self.config["data"].get("value_range") or ""
        publish(network, folder, facts=facts)

    def _snapshots(self) -> Snapshots:
        return Snapshots(
            self.folder.samples,
            count=self.settings.run.snapshots or affordable(self.budget.images),
            spent=self.spent,
            images=self.training.progress.images,
            seed=self.training.seed,
            sources=self.held_out.source if self.held_out else None,
        )

    def _look(self, snapshots: Snapshots) -> None:
        """Draw a picture where that is due. Under a budget in minutes the first one tells how many are affordable."""
        if not (snapshots.due(self.spent) and self.training.sound):
            return
        self.bar.show(min(self.spent, 1.0), "drawing a picture of what it has learned")
        began = time.perf_counter()
        network = self.training.published(self.batches, images=MEASURED)
        snapshots.take(network, images=self.training.progress.images)
        took = time.perf_counter() - began
        self.seconds_drawn = self.seconds_drawn or took / (MEASURED + ROWS * ROWS)
        if self.budget.minutes and self.settings.run.snapshots is None:
            most = int(AFFORDABLE * 60 * self.budget.minutes / max(took, 1e-9))
            if most < SNAPSHOTS:
                snapshots.thin(most, self.spent)

    def _remaining(self) -> float:
        """Seconds to the end of the budget at the speed so far."""
        return self.training.progress.seconds * max(1.0 / max(self.spent, 1e-9) - 1.0, 0.0)

    def save(self) -> None:
        """Write a checkpoint, and go on when it is safe."""
        self._start_saving()
        self._settle()

    def _start_saving(self) -> None:
        """Begin to write a checkpoint; training may go on meanwhile."""
        self._settle()
        self.writer.start(self.training, {"version": __version__, "stage": self.stage, "faults": self.faults})

    def _settle(self) -> None:
        """See the checkpoint that is being written to its end, if there is one."""
        if written := self.writer.wait():
            self.saved = written.images
            note_memory(self.folder.path / "cost.json", self.training.device)
            self.say(written.warning)

    def finish(self) -> Run:
        """Publish the generator and write the report; other processes wait for that."""
        with self.crew.one_fate():
            self._finish()
        return Run(self.folder.path)

    def _finish(self) -> None:
        with display("publishing", shown=not self.quiet, every=0.0) as bar:
            self._finish_showing(bar)
        self.say(warning(self.folder))

    def _finish_showing(self, bar: Display) -> None:
        bar.show(0.0, "measuring and drawing the generator")
        network = self.training.published(self.batches, images=self._normalised_on)
        trials, snapshots = self._trials(), self._snapshots()
        images = self.training.progress.images
        snapshots.take(network, images=images)
        snapshots.settle()
        if trials and trials.lines:
            if trials.chosen is not trials.lines[-1] or self.held_out:
                chosen = self.folder.best / str(trials.chosen["images"]) if trials.chosen else self.folder.pretrained
                network, facts = load_generator(chosen, device=self.training.device)
                images = facts["images"]
            else:  # the same generator, though the discriminator may have gone on alone
                images = trials.lines[-1]["images"]
            bar.show(0.25, "scoring the generator that is kept")
            trials.confirm(network)
            self._tell(trials.verdict, once=False)
        self._publish(network, self.folder.generator, images=images)
        bar.show(0.4, "drawing samples, looking for copies, writing the report")
        Run(self.folder.path).report()
        bar.show(1.0, "done")

    def _tell(self, text: str, *, once: bool = True) -> None:
        """Note something about the run, and say it; what was noted before is only said again if that is asked for."""
        known = text in (event["text"] for event in self.folder.read_events())
        if text and not known:
            self.folder.add_event(text, images=self.training.progress.images)
        if not (known and once):
            self.say(text)

    def say(self, text: str) -> None:
        """Tell the user, unless the run is quiet."""
        if text and not self.quiet:
            print(text, file=sys.stderr, flush=True)  # noqa: T201


def stopped(training: Training, folder: RunFolder) -> str:
    """What a user who stopped a run is told."""
    images = training.progress.images
    return f"Stopped after {images:,} images; all is saved in {folder.path}. The same command goes on."
