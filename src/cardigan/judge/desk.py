"""The desk where raters sit: whose turn it is, what they are shown next, and what they answered."""

import json
import math
import secrets
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cardigan.durable import replace_durably
from cardigan.errors import CardiganError
from cardigan.judge.answers import Answer, Answers
from cardigan.judge.pictures import Gallery
from cardigan.judge.results import Results, analyse
from cardigan.judge.session import Plan, Trial, kind, rater_name

AHEAD = 2
"""Questions whose pictures a page may load before their turn."""
LONGEST = 86_400.0
"""Seconds; who says that an answer took longer is not believed."""


class RefusedError(Exception):
    """What a page asked for and cannot have.

    Args:
        status: as HTTP says it.
        message: for the rater.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Desk:
    """A plan being answered by any number of raters, one after the other or at once.

    Args:
        gallery: the plan and its pictures.
        folder: of the plan and the answers, two files named by the plan's key; made if need be. What was answered to
            the same plan before counts.

    Raises:
        CardiganError: if the folder cannot be written to, or its answers cannot be read.
    """

    def __init__(self, gallery: Gallery, folder: Path) -> None:
        self.plan, self.size = gallery.plan, gallery.size
        # Under these names pictures are fetched; they are drawn anew each time and tell nothing.
        self._names = {name: secrets.token_urlsafe(12) for name in gallery.pictures}
        self._pictures = {self._names[name]: blob for name, blob in gallery.pictures.items()}
        self._lock = threading.Lock()
        self._trials: dict[str, tuple[Trial, ...]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.answers = Answers(folder / f"{self.plan.key}.csv")
            write_plan(self.plan, folder / f"{self.plan.key}.json")
        except OSError as error:
            raise CardiganError(f"Answers cannot be kept in {folder}: {error.strerror or error}.") from error

    def begin(self, name: str) -> dict[str, Any]:
        """Where a rater stands: the next question, or that all is answered. A rater without a name is given one."""
        try:
            rater = rater_name(name) if name.strip() else f"guest-{secrets.token_hex(3)}"
        except CardiganError as error:
            raise RefusedError(400, str(error)) from error
        with self._lock:
            return self._standing(rater)

    def answer(self, name: str, number: int, side: str, seconds: float) -> dict[str, Any]:
        """Keep an answer and say what comes next; where this question was answered before, the first answer stands.

        Args:
            name: the rater's, as :meth:`begin` gave it.
            number: of the question, from 0.
            side: ``"left"`` or ``"right"``.
            seconds: that it took.

        Raises:
            RefusedError: if it is not this question's turn.
            OSError: if the answer cannot be written.
        """
        if side not in ("left", "right") or not (math.isfinite(seconds) and 0 <= seconds <= LONGEST):
            raise RefusedError(400, "This is no answer.")
        with self._lock:
            trials, given = self._asked(name), self.answers.of(name)
            if not 0 <= number < len(trials) or number > len(given):
                raise RefusedError(409, "This question is not on its turn. Load the page again.")
            trial = trials[number]
            chosen = trial.options[side == "right"]
            kept = Answer(name, number, trial.part, trial.left, trial.right, chosen, trial.expected, round(seconds, 3))
            self.answers.add(kept)
            told = _feedback(trial, given.get(number, kept).answer) if trial.part == "practice" else None
            return self._standing(name) | ({"feedback": told} if told else {})

    def picture(self, name: str) -> bytes | None:
        """A PNG, by the name that a page was given; None if there is none of that name."""
        return self._pictures.get(name)

    def results(self, name: str | None = None) -> Results:
        """What all answers come to.

        Args:
            name: a rater who asks, and must have finished: who knows results is no longer blind.
        """
        with self._lock:
            if name is not None and len(self.answers.of(name)) < len(self._asked(name)):
                raise RefusedError(409, "Results are shown when all is answered.")
            return analyse(self.plan, self.answers)

    def finished(self) -> bool:
        """Whether any rater has answered everything."""
        with self._lock:
            return any(len(self.answers.of(name)) >= len(self._asked(name)) for name in self.answers.raters)

    def _asked(self, name: str) -> tuple[Trial, ...]:
        try:
            known = rater_name(name) == name
        except CardiganError:
            known = False
        if not known:
            raise RefusedError(400, "Nobody of this name has begun. Load the page again.")
        if name not in self._trials:
            self._trials[name] = self.plan.trials(name)
        return self._trials[name]

    def _standing(self, rater: str) -> dict[str, Any]:
        trials, done = self._asked(rater), len(self.answers.of(rater))
        practice = sum(trial.part == "practice" for trial in trials)
        standing: dict[str, Any] = {"rater": rater, "done": done, "total": len(trials), "practice": practice}
        if done < len(trials):
            standing["pictures"] = self._shown(trials[done])
            standing["ahead"] = [name for trial in trials[done + 1 : done + 1 + AHEAD] for name in self._shown(trial)]
        return standing

    def _shown(self, trial: Trial) -> list[str]:
        return [self._names[name] for name in (trial.left, trial.right) if name]


def _feedback(trial: Trial, answer: str) -> dict[str, Any]:
    """What is told after practice."""
    right = answer == trial.expected
    if trial.right:
        better = "left" if kind(trial.left) == trial.expected else "right"
        means = f"the other one is plain noise, so you would choose the {better} one"
    elif kind(trial.left) == "noise":
        means = "plain noise is fake, and such pictures check that you look"
    else:
        means = f"this one is {trial.expected}"
    return {"right": right, "text": f"{'Yes' if right else 'No'}: {means}."}


def write_plan(plan: Plan, path: Path) -> None:
    """Write what is asked and which answers count; what lies there already was stated before, and stays."""
    if not path.exists():
        replace_durably(path, json.dumps(asdict(plan) | {"rules": plan.rules}, indent=1).encode())


def read_plan(path: Path) -> Plan:
    """A plan from its file.

    Raises:
        CardiganError: if it is damaged.
    """
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told.pop("rules")
        arguments: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        return Plan(**arguments)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CardiganError(
            f"{path} is no plan of judgements ({error}). Bring it back from a copy of the run."
        ) from error
