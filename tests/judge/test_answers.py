"""The CSV file: a line longer after each answer, and whole whatever happens."""

import csv
import os

import pytest

from cardigan.errors import CardiganError
from cardigan.judge.answers import COLUMNS, Answer, Answers


def given(trial, rater="ann", answer="fake"):
    return Answer(rater, trial, "judged", f"fake {trial}", "", answer, "fake", 1.5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.csv"


def test_an_answer_is_in_the_file_before_the_next(path):
    answers = Answers(path)
    for trial in range(3):
        assert answers.add(given(trial))
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == trial + 1
    assert list(rows[2]) == COLUMNS
    assert rows[2] == {
        "rater": "ann",
        "trial": "2",
        "part": "judged",
        "left": "fake 2",
        "right": "",
        "answer": "fake",
        "expected": "fake",
        "seconds": "1.5",
    }
    assert Answers(path).of("ann") == answers.of("ann")


def test_an_answer_is_on_the_disk_when_it_counts(path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    answers = Answers(path)
    answers.add(given(0))
    assert path.stat().st_size in synced


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_line_that_was_cut_short_is_left_out_and_written_again(path, cut):
    answers = Answers(path)
    for trial in range(3):
        answers.add(given(trial))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = Answers(path)
    assert list(again.of("ann")) == [0, 1]
    assert again.add(given(2))
    assert path.read_bytes() == whole


def test_a_head_that_was_cut_short_is_written_again(path):
    Answers(path).add(given(0))
    whole = path.read_bytes()
    for beginning in (b"", whole[:10]):
        path.write_bytes(beginning)
        assert Answers(path).add(given(0))
        assert path.read_bytes() == whole


def test_the_first_of_two_answers_stands(path):
    answers = Answers(path)
    assert answers.add(given(0))
    assert not answers.add(given(0, answer="real"))
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    with path.open("a", encoding="utf-8") as file:
        file.write("ann,0,judged,fake 0,,real,fake,9\n")
    assert Answers(path).of("ann")[0].answer == "fake"


def test_raters_are_kept_apart(path):
    answers = Answers(path)
    for rater in ("bob", "ann", "bob"):
        answers.add(given(len(answers), rater))
    assert answers.raters == ["bob", "ann"]
    assert list(answers.of("bob")) == [0, 2]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ann,x,judged,fake 0,,fake,fake,1\n", "Line 2 of .* is no answer .*'x'"),
        ("ann,1,judged\n", "Line 2 of .* is no answer"),
        ("ann,1,judged,fake 0,,fake,fake,soon\n", "Line 2 of .* is no answer .*'soon'"),
    ],
)
def test_what_is_no_answer_is_told_with_its_line(path, line, told):
    path.write_text(",".join(COLUMNS) + "\n" + line, encoding="utf-8")
    with pytest.raises(CardiganError, match=told):
        Answers(path)


def test_another_file_is_not_written_to(path):
    path.write_text("my,own,table\n1,2,3\n", encoding="utf-8")
    with pytest.raises(CardiganError, match=r"Line 1 of .*the first line should be rater,trial,"):
        Answers(path)


def test_an_answer_that_could_not_be_written_is_not_given(path, monkeypatch):
    answers = Answers(path)
    answers.add(given(0))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            answers.add(given(1))
    assert list(answers.of("ann")) == [0]
