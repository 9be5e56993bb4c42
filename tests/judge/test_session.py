"""Plans: balanced, blind, each picture once, and the same again from the same seed."""

from collections import Counter

import pytest

from cardigan.errors import CardiganError
from cardigan.judge.session import FEWEST_CHECKS, Plan, Trial, kind, rater_name

TASKS = ["real-or-fake", "preference"]


def parts(plan, rater, part):
    return [trial for trial in plan.trials(rater) if trial.part == part]


def shown(trials):
    return [name for trial in trials for name in (trial.left, trial.right) if name]


def test_half_of_the_pictures_are_real(plan):
    judged = parts(plan(count=40), "ann", "judged")
    assert Counter(trial.expected for trial in judged) == {"real": 20, "fake": 20}
    assert all(trial.expected == kind(trial.left) and not trial.right for trial in judged)
    assert Counter(trial.expected for trial in parts(plan(count=11), "ann", "judged")) == {"real": 5, "fake": 6}


def test_each_run_lies_left_in_half_of_the_pairs(plan):
    judged = parts(plan("preference", 40), "ann", "judged")
    assert Counter(kind(trial.left) for trial in judged) == {"A": 20, "B": 20}
    assert {frozenset(trial.options) for trial in judged} == {frozenset("AB")}
    # The pairs are of the same places: no sample is chosen to lie beside a poor one.
    assert all(trial.left.split()[1] == trial.right.split()[1] for trial in judged)
    assert {trial.expected for trial in judged} == {""}


@pytest.mark.parametrize("task", TASKS)
def test_every_picture_is_shown_once(plan, task):
    names = shown(plan(task, 30).trials("ann"))
    assert len(names) == len(set(names))


@pytest.mark.parametrize("task", TASKS)
def test_all_raters_see_the_same_pictures_in_other_orders(plan, task):
    made = plan(task, 30)
    ann, bob = (made.trials(name) for name in ("ann", "bob"))
    assert set(shown(ann)) == set(shown(bob))
    assert shown(ann) != shown(bob)
    assert made.trials("ann") == plan(task, 30).trials("ann") == ann
    assert plan(task, 30, seed=1).trials("ann") != ann


def test_the_order_tells_nothing(plan):
    made = plan(count=10)
    firsts = Counter(parts(made, f"rater {number}", "judged")[0].left for number in range(500))
    assert len(firsts) == 10
    assert all(25 < count < 80 for count in firsts.values())
    made = plan("preference", 10)
    lefts = Counter(parts(made, f"rater {number}", "judged")[0].left for number in range(1000))
    assert len(lefts) == 20
    assert all(25 < count < 80 for count in lefts.values())


def test_practice_comes_first_and_has_its_own_pictures(plan):
    trials = plan(count=10).trials("ann")
    assert [trial.part for trial in trials[:5]] == ["practice"] * 5
    assert all(trial.part != "practice" for trial in trials[5:])
    assert {kind(trial.left) for trial in trials[:5]} == {"known", "fake", "noise"}
    assert all(trial.expected for trial in trials[:5])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("count", [10, 11, 60, 100, 1000])
def test_checks_are_strewn_and_never_first(plan, task, count):
    made = plan(task, count)
    assert made.checks == max(FEWEST_CHECKS, round(count / 20))
    after = [trial for trial in made.trials("ann") if trial.part != "practice"]
    places = [place for place, trial in enumerate(after) if trial.part == "check"]
    assert len(places) == made.checks
    assert len(after) == count + made.checks
    assert places[0] > 0
    stretch = len(after) / made.checks
    assert all(place * stretch <= at + 2 and at <= (place + 1) * stretch + 2 for place, at in enumerate(places))


def test_the_answer_of_a_check_lies_on_both_sides(plan):
    made = plan("preference", 200)
    checks = parts(made, "ann", "check")
    assert {trial.options.index(trial.expected) for trial in checks} == {0, 1}
    assert {trial.expected for trial in checks} == {"A", "B"}
    assert all("noise" in trial.options for trial in checks)


def test_another_plan_has_another_key(plan):
    plans = [plan(), plan(count=12), plan(seed=1), plan(generators=("b",)), plan("preference")]
    assert len({made.key for made in plans}) == len(plans)
    assert plan(notes=("told",)).key == plan().key
    assert plan().key.startswith("real-or-fake-")


def test_the_rules_name_their_numbers(plan):
    told = " ".join(plan(count=100).rules)
    for words in (
        "100 pictures and 5 checks",
        "2 or more of the checks wrong",
        "always gives the same answer",
        "0.25 seconds",
    ):
        assert words in told
    assert "always chooses the same side" in " ".join(plan("preference").rules)


@pytest.mark.parametrize(
    ("count", "task", "told"), [(9, TASKS[0], "pictures to judge is 9"), (1001, TASKS[1], "pairs to judge is 1001")]
)
def test_too_few_or_many_are_told(plan, count, task, told):
    with pytest.raises(CardiganError, match=f"{told}, expected 10 to 1,000"):
        plan(task, count)


@pytest.mark.parametrize(
    ("typed", "name"), [("Ann", "ann"), ("  A. B.  ", "a. b."), ("Zoë-2", "zoë-2"), ("x" * 24, "x" * 24)]
)
def test_a_name_is_kept_in_small_letters(typed, name):
    assert rater_name(typed) == name


@pytest.mark.parametrize("typed", ["", "=1+1", "+x", "-x", "@x", "a,b", 'a"b', "a\x00b", "x" * 25, "<b>"])
def test_a_name_that_a_table_would_misread_is_refused(typed):
    with pytest.raises(CardiganError, match="Initials or a nickname have 1 to 24 letters or digits"):
        rater_name(typed)


def test_left_and_right_have_a_meaning():
    assert Trial("judged", "noise 1").options == ("real", "fake")
    assert Trial("check", "noise 0", "A 3", "A").options == ("noise", "A")
    assert isinstance(hash(Plan(task="real-or-fake", runs=("a",), generators=("",), count=10, seed=0)), int)
