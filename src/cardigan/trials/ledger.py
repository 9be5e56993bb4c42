"""When a generator is measured while it trains, and what is written down of it. What is measured, an exam says."""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cardigan.clock import Progress
from cardigan.contracts import GeneratorNetwork
from cardigan.durable import replace_durably
from cardigan.folder import read_lines
from cardigan.recipes import Stage

KEYS = frozenset({"images", "seconds", "budget", "stage", "steps"})
"""What every measurement tells, beside the numbers of its exam."""
AGAIN = "again"
"""Marks the measurement of the published generator on other noise or other images, after training."""
AFFORDABLE = 0.03
"""The share of a budget in minutes that measuring may take."""

Line = dict[str, Any]
"""A measurement."""
Lines = Sequence[Line]


class Exam(Protocol):
    """What is measured, and what follows from it.

    Everywhere, ``before`` are the measurements of the stages before the last one, ``last`` those of the last stage,
    whose generators compete; both in order.
    """

    @property
    def sparing(self) -> bool:
        """Whether measurements, which tell how long they "took", are spread out where they take too long."""
        ...

    @property
    def count(self) -> int:
        """Images that are drawn for a measurement."""
        ...

    def course(self, stages: Sequence[Stage]) -> tuple[Stage, ...]:
        """The recipe's stages with as many trials as there are to be."""
        ...

    def knows(self, line: Line) -> bool:
        """Whether it is one of its own measurements, made in the same way."""
        ...

    def measure(self, network: GeneratorNetwork) -> Line:
        """The numbers of a published generator, in evaluation mode; the same generator gets the same ones."""
        ...

    def confirm(self, network: GeneratorNetwork) -> Line:
        """The numbers of the generator that was chosen, on other noise or images than it was chosen by; {} if none."""
        ...

    def best(self, before: Lines, last: Lines) -> int | None:
        """The place of the generator to put aside as things stand, in ``last``; None for the one from before."""
        ...

    def choice(self, before: Lines, last: Lines) -> int | None:
        """The place of the generator to publish at the end: the best, or the last."""
        ...

    def done(self, before: Lines, last: Lines) -> bool:
        """Whether nothing better is to be expected, so that training may end."""
        ...

    def warning(self, last: Lines) -> str:
        """What the user should know now; "" if nothing."""
        ...

    def verdict(self, before: Lines, last: Lines, again: Line | None) -> str:
        """Which generator is kept, and what was measured, in words."""
        ...


@dataclass(frozen=True)
class Budget:
    """What a run may spend: one of the two is None.

    Args:
        images: drawn from the data.
        minutes: of training.
        since: where a run that was given another budget went on: images, seconds, and the place in the recipe's
            course. From there the rest of the course is spread over the rest of the budget. None for a run whose
            course is spread over the whole budget.
    """

    images: int | None
    minutes: float | None
    since: Sequence[float] | None = None

    def share(self, *, images: int, seconds: float) -> float:
        """The share of it that is spent, 0 to 1 and a little beyond.

        Example:
            >>> Budget(None, 2.0).share(images=64, seconds=30.0)
            0.25
        """
        return images / self.images if self.images else seconds / (60 * (self.minutes or 0.0))

    def place(self, *, images: int, seconds: float) -> float:
        """The place in the recipe's course, which decides the stage and the learning rate; 1 where it ends.

        Example:
            >>> Budget(200, None).place(images=50, seconds=0.0)
            0.25
            >>> longer = Budget(400, None, since=(200, 9.0, 0.5))
            >>> [longer.place(images=images, seconds=0.0) for images in (100, 200, 300, 400)]
            [0.5, 0.5, 0.75, 1.0]
        """
        if self.since is None:
            return self.share(images=images, seconds=seconds)
        now, (before, clock, place) = (images if self.images else seconds), self.since
        end, start = (self.images, before) if self.images else (60 * (self.minutes or 0.0), clock)
        return 1.0 if now >= end else 1.0 - (1.0 - place) * min((end - now) / (end - start), 1.0)


class Trials:
    """The measurements of one run, kept in ``trials.jsonl``.

    Args:
        path: of the file.
        exam: what is measured.
        stages: of the recipe. The exam says how often each is measured; the generators of the last one compete.
        budget: of the run. Generators that were measured under an earlier budget go on competing.
        images: where the run stands; measurements beyond it are dropped.
        stored: images seen by the generators of the last stage that are put aside; if the best is not among them, that
            stage's measurements are dropped.
    """

    def __init__(
        self,
        path: Path,
        exam: Exam,
        stages: Sequence[Stage],
        *,
        budget: Budget,
        images: int = 0,
        stored: Container[int] = (),
    ) -> None:
        self.path, self.exam, self.budget, course = path, exam, budget, exam.course(stages)
        self._last_stage = course[-1].name if len(course) > 1 else None
        found = [line for line in read_lines(path) if line.keys() >= KEYS and exam.knows(line)]
        self.lines = [line for line in found if line["images"] <= images and not line.get(AGAIN)]
        if self.kept and self.kept["images"] not in stored:
            self.lines = [line for line in self.lines if not self.is_last(line["stage"])]
        self._confirmed = next((line for line in reversed(found) if line.get(AGAIN)), None)
        told = "".join(map(_text, [*self.lines, *([self.again] if self.again else [])]))
        if path.exists() and path.read_text(encoding="utf-8") != told:  # a line cut short goes too
            replace_durably(path, told.encode())
        self._expected = 0.0
        starts = [0.0, *(stage.until for stage in course)]
        measured = self._share(self.lines[-1]) if self.lines else -1.0
        planned = [
            moment
            for start, stage in zip(starts, course, strict=False)
            for moment in moments(start, stage.until, stage.trials)
        ]
        self._moments = [moment for moment in self._spared(planned) if moment > measured]

    def due(self, progress: Progress) -> bool:
        """Whether the generator is to be measured; one that has not moved since is not measured again."""
        moved = not self.lines or progress.steps["generator"] > self.lines[-1]["steps"]
        return moved and bool(self._moments) and self._spent(progress) >= self._moments[0]

    def expect(self, seconds: float) -> None:
        """Say what drawing an image takes: where that is long, less is measured, or nothing."""
        self._expected = seconds * self.exam.count
        self._moments = self._spared(self._moments)

    def is_last(self, stage: str) -> bool:
        """Whether it is the stage whose generators compete."""
        return self._last_stage in (None, stage)

    def take(self, network: GeneratorNetwork, progress: Progress, *, stage: str, way: str = "float32") -> Line:
        """Measure a generator. The measurement counts at once, and is written down by :meth:`write`.

        Args:
            network: published, in evaluation mode.
            progress: the clock.
            stage: the stage it comes from.
            way: how the networks run in this sitting.

        Returns:
            The measurement.
        """
        spent = self._spent(progress)
        line = {
            "images": progress.images,
            "seconds": progress.seconds,
            "budget": [self.budget.images, self.budget.minutes],
            "stage": stage,
            "steps": progress.steps["generator"],
            "way": way,
            **self.exam.measure(network),
        }
        self.lines.append(line)
        self._moments = [moment for moment in self._spared(self._moments) if moment > spent]
        return line

    def write(self, line: Line) -> None:
        """Write a measurement down, once its generator is put aside: a kill in between leaves it to be taken again."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_text(line))

    def confirm(self, network: GeneratorNetwork) -> None:
        """Measure the published generator on what it was not chosen by, if the exam does and it was not done before."""
        if self.published is not None and self.again is None and (found := self.exam.confirm(network)):
            self._confirmed = {key: value for key, value in self.published.items() if key in KEYS | {"way"}}
            self._confirmed |= {AGAIN: True} | found
            self.write(self._confirmed)

    @property
    def kept(self) -> Line | None:
        """The measurement of the last stage's generator to put aside; None for the one from before it."""
        _, last = sides = self._sides()
        place = self.exam.best(*sides)
        return None if place is None else last[place]

    @property
    def chosen(self) -> Line | None:
        """The measurement of the last stage's generator to publish; None for the one from before it."""
        _, last = sides = self._sides()
        place = self.exam.choice(*sides)
        return None if place is None else last[place]

    @property
    def published(self) -> Line | None:
        """The measurement of the generator to publish, also where that is the one from before the last stage."""
        before, _ = self._sides()
        return self.chosen or (before[-1] if before else None)

    @property
    def again(self) -> Line | None:
        """The measurement of the published generator on what it was not chosen by; None if there is none yet."""
        confirmed, chosen = self._confirmed, self.published
        return confirmed if confirmed and chosen and all(confirmed[key] == chosen[key] for key in KEYS) else None

    @property
    def done(self) -> bool:
        """Whether the rule expects nothing better, of all measurements and of those under the present budget."""
        before, last = self._sides()
        now = [self.budget.images, self.budget.minutes]
        return all(self.exam.done(before, some) for some in (last, [line for line in last if line["budget"] == now]))

    @property
    def warning(self) -> str:
        """What the user should know now; "" if nothing."""
        return self.exam.warning(self._sides()[1])

    @property
    def verdict(self) -> str:
        """Which generator is kept, and what was measured, in words; "" where nothing was measured."""
        return self.exam.verdict(*self._sides(), self.again) if self.lines else ""

    def _spent(self, progress: Progress) -> float:
        return self.budget.place(images=progress.images, seconds=progress.seconds)

    def _share(self, line: Line) -> float:
        return self.budget.place(images=line["images"], seconds=line["seconds"])

    def _spared(self, planned: list[float]) -> list[float]:
        """The moments to measure at, less of them where the first measurement took too long for so many.

        Under a budget in images they stay, for what comes of such a run must not depend on the machine's speed.
        """
        first = next((line for line in self.lines if line.get("took")), None)
        took = first["took"] if first else self._expected
        if not took or not self.exam.sparing or self.budget.minutes is None:
            return planned
        start, count = self._share(first) if first else 0.0, int(AFFORDABLE * 60 * self.budget.minutes / took)
        count = max(count - 1, 1) if first else count
        if count >= sum(moment > start for moment in planned):
            return planned
        return list(moments(start, 1.0, count)) if start < 1.0 else []

    def _sides(self) -> tuple[list[Line], list[Line]]:
        """What was measured before the last stage, and in it."""
        return [line for line in self.lines if not self.is_last(line["stage"])], [
            line for line in self.lines if self.is_last(line["stage"])
        ]


def moments(start: float, end: float, count: int) -> Iterator[float]:
    """The shares of the budget at which a stage is measured, the last at its end.

    Example:
        >>> list(moments(0.5, 1.0, 2))
        [0.75, 1.0]
    """
    return (start + (end - start) * (place + 1) / count for place in range(count))


def _text(line: Line) -> str:
    return json.dumps(line) + "\n"
