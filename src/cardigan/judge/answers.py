"""The answers, in a CSV file that is longer by a line after each: what was answered once is never lost."""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cardigan.durable import sync_folder
from cardigan.errors import CardiganError


@dataclass(frozen=True)
class Answer:
    """One line.

    Args:
        rater: who.
        trial: the place in this rater's order, from 0.
        part: ``practice``, ``check`` or ``judged``.
        left: the picture, or the left one of a pair: its kind and a number.
        right: the other one of a pair, else "".
        answer: ``real`` or ``fake``; of a pair the kind that was chosen, ``A``, ``B`` or ``noise``.
        expected: the right answer, "" where there is none.
        seconds: that it took.
    """

    rater: str
    trial: int
    part: str
    left: str
    right: str
    answer: str
    expected: str
    seconds: float


COLUMNS = [field.name for field in fields(Answer)]


class Answers:
    """All answers to one plan.

    A line that a crash cut short is left out, and cut off before the next is written. Of two answers of one rater to
    one question, the first stands.

    Args:
        path: the CSV file; made with the first answer.

    Raises:
        CardiganError: if it holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._given: dict[tuple[str, int], Answer] = {}
        for answer in _read(path):
            self._given.setdefault((answer.rater, answer.trial), answer)

    def __len__(self) -> int:
        return len(self._given)

    @property
    def raters(self) -> list[str]:
        """Who answered, in the order of their first answers."""
        return list(dict.fromkeys(rater for rater, _ in self._given))

    def of(self, rater: str) -> dict[int, Answer]:
        """One rater's answers, by trial."""
        return {trial: answer for (name, trial), answer in self._given.items() if name == rater}

    def add(self, answer: Answer) -> bool:
        """Write an answer and wait until it is on the disk; False if this question was answered before.

        Raises:
            OSError: if it cannot be written; it then counts as not given.
        """
        if (answer.rater, answer.trial) in self._given:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = _whole(self.path.read_bytes()) if self.path.exists() else 0
        with self.path.open("ab") as file:
            file.truncate(whole)
            file.write(b"" if whole else _line(COLUMNS))
            file.write(_line(list(asdict(answer).values())))
            file.flush()
            os.fsync(file.fileno())
        if not whole:
            sync_folder(self.path.parent)
        self._given[answer.rater, answer.trial] = answer
        return True


def _read(path: Path) -> Iterator[Answer]:
    blob = path.read_bytes() if path.exists() else b""
    text = blob[: _whole(blob)].decode("utf-8", errors="replace")
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        try:
            if number == 1:
                if row != COLUMNS:
                    raise ValueError("the first line should be " + ",".join(COLUMNS))
                continue
            rater, trial, part, left, right, answer, expected, seconds = row
            yield Answer(rater, int(trial), part, left, right, answer, expected, float(seconds))
        except ValueError as error:
            raise CardiganError(
                f"Line {number} of {path} is no answer ({error}). Mend or remove the line, or move the file away to "
                f"begin anew."
            ) from error


def _whole(blob: bytes) -> int:
    """The length of the lines that are whole.

    Example:
        >>> _whole(b"one,1\\ntwo,2\\nthr")
        12
    """
    return blob.rfind(b"\n") + 1


def _line(values: list[object] | list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
