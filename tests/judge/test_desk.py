"""The desk: what a rater is told and not told, and where each of them stands."""

import json

import pytest

from cardigan.errors import CardiganError
from cardigan.judge.desk import Desk, RefusedError, read_plan


def test_a_rater_is_told_where_they_stand_and_nothing_of_what_is_shown(desk):
    table = desk()
    standing = table.begin("Ann")
    assert standing.pop("pictures") != standing.pop("ahead")
    assert standing == {"rater": "ann", "done": 0, "total": 18, "practice": 5}


@pytest.mark.parametrize("task", ["real-or-fake", "preference"])
def test_what_is_told_of_a_check_has_the_same_form_as_of_any_other(desk, answer_all, task):
    table = desk(task)
    standings = [table.begin("ann")]
    for number, trial in enumerate(table.plan.trials("ann")):
        standings.append(table.answer("ann", number, "left", 1.0))
        assert ("feedback" in standings[-1]) == (trial.part == "practice")
    for standing in standings[:-1]:
        names = {name for trial in table.plan.trials("ann") for name in (trial.left, trial.right) if name}
        told = json.dumps(standing | {"feedback": None})
        assert not any(f'"{name}"' in told for name in names)
        assert len(standing["pictures"]) == (1 if task == "real-or-fake" else 2)
    assert "pictures" not in standings[-1]


def test_the_names_of_pictures_are_drawn_anew(gallery, tmp_path):
    made = gallery()
    first, second = (Desk(made, tmp_path / "judgements") for _ in range(2))
    names = [first.begin("ann")["pictures"][0], second.begin("ann")["pictures"][0]]
    assert names[0] != names[1]
    assert first.picture(names[0]) == second.picture(names[1]) == made.pictures[made.plan.trials("ann")[0].left]
    assert first.picture(names[1]) is None
    assert first.picture(made.plan.trials("ann")[0].left) is None


def test_practice_is_commented_on(desk):
    table = desk()
    table.begin("ann")
    told = {}
    for number, trial in enumerate(table.plan.trials("ann")[:5]):
        told[trial.left] = table.answer("ann", number, "left", 1.0)["feedback"]
    assert told["known 0"] == {"right": True, "text": "Yes: this one is real."}
    assert told["fake 5"] == {"right": False, "text": "No: this one is fake."}
    assert told["noise 0"]["text"] == "No: plain noise is fake, and such pictures check that you look."


def test_practice_on_pairs_is_commented_on(desk):
    table = desk("preference")
    table.begin("ann")
    trial = table.plan.trials("ann")[0]
    better = trial.options.index(trial.expected)
    told = table.answer("ann", 0, ("left", "right")[better], 1.0)["feedback"]
    words = f"Yes: the other one is plain noise, so you would choose the {('left', 'right')[better]} one."
    assert told == {"right": True, "text": words}


def test_a_second_answer_changes_nothing(desk):
    table = desk()
    table.begin("ann")
    first = table.answer("ann", 0, "left", 1.0)
    assert table.answer("ann", 0, "right", 2.0) == first
    table.answer("ann", 1, "left", 1.0)
    assert table.answer("ann", 0, "right", 2.0)["done"] == 2
    assert len(table.answers) == 2


@pytest.mark.parametrize("number", [1, -1, 18, 1000])
def test_a_question_that_is_not_on_its_turn_is_refused(desk, number):
    table = desk()
    table.begin("ann")
    with pytest.raises(RefusedError, match="not on its turn") as caught:
        table.answer("ann", number, "left", 1.0)
    assert caught.value.status == 409
    assert len(table.answers) == 0


@pytest.mark.parametrize(
    ("side", "seconds"),
    [("up", 1.0), ("", 1.0), ("left", -1.0), ("left", float("nan")), ("left", float("inf")), ("left", 1e9)],
)
def test_what_is_no_answer_is_refused(desk, side, seconds):
    table = desk()
    with pytest.raises(RefusedError, match="This is no answer"):
        table.answer("ann", 0, side, seconds)
    assert len(table.answers) == 0


@pytest.mark.parametrize("name", ["Ann", "=1+1", "", " ann", "x" * 99])
def test_a_name_that_no_one_was_given_is_refused(desk, name):
    with pytest.raises(RefusedError, match="Nobody of this name"):
        desk().answer(name, 0, "left", 1.0)


def test_a_rater_may_go_nameless_and_may_not_be_a_formula(desk):
    table = desk()
    first, second = (table.begin("  ")["rater"] for _ in range(2))
    assert first.startswith("guest-")
    assert first != second
    with pytest.raises(RefusedError, match="Initials or a nickname"):
        table.begin("=1+1")


def test_a_rater_goes_on_where_they_stopped(gallery, tmp_path):
    before = Desk(gallery(), tmp_path / "judgements")
    before.begin("ann")
    for number in range(7):
        before.answer("ann", number, "left", 1.0)
    after = Desk(gallery(), tmp_path / "judgements")
    assert after.begin("ANN")["done"] == 7
    assert after.begin("bob")["done"] == 0


def test_results_are_for_those_who_have_finished(desk, answer_all):
    table = desk()
    answer_all(table, "ann")
    assert table.results("ann").shares
    table.begin("bob")
    with pytest.raises(RefusedError, match="shown when all is answered"):
        table.results("bob")


def test_the_plan_lies_there_before_the_first_answer(desk):
    table = desk()
    path = table.answers.path.with_suffix(".json")
    assert not table.answers.path.exists()
    assert json.loads(path.read_text(encoding="utf-8"))["rules"] == list(table.plan.rules)
    assert read_plan(path) == table.plan


def test_a_damaged_plan_is_told(desk):
    path = desk().answers.path.with_suffix(".json")
    for text in ("{", "[]", "{}", '{"rules": [], "task": 1}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CardiganError, match="is no plan of judgements"):
            read_plan(path)


def test_a_folder_that_cannot_be_written_to_is_told(gallery, forbidden, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    for folder in (tmp_path / "file" / "judgements", forbidden / "judgements"):
        with pytest.raises(CardiganError, match="Answers cannot be kept in"):
            Desk(gallery(), folder)
