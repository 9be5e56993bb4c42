"""A whole session in a real browser: from the consent to the results, with keys and with the mouse."""

import csv
import threading
from contextlib import contextmanager

import pytest

from cardigan.judge.desk import Desk
from cardigan.judge.pictures import preference, real_or_fake
from cardigan.judge.server import Server
from cardigan.judge.session import FASTEST
from cardigan.metrics.proportions import wilson

READY = "document.getElementById('left').getAttribute('aria-disabled') === 'false'"
VIEWS = ("consent", "trial", "interlude", "results", "stopped")


@pytest.fixture
def opened(chromium):
    """A page on which nobody has begun, its desk and its server."""

    @contextmanager
    def make(gallery, folder):
        desk = Desk(gallery, folder)
        with Server(desk) as server:
            thread = threading.Thread(target=server.serve_forever, args=[0.01])
            thread.start()
            try:
                with chromium() as page:
                    page.look(1000, 800)
                    page.open(server.url)
                    page.until(seen("consent"))
                    yield page, desk, server
            finally:
                server.shutdown()
                thread.join()

    return make


def seen(view):
    return f"!document.getElementById('{view}').hidden"


def text(page, name):
    return page.run(f"document.getElementById('{name}').innerText")


def begin(page, name):
    page.run(f"document.getElementById('name').value = '{name}'")
    page.press("Enter")


def wanted(trial, wrong):
    """What the script answers: rightly, but for some pictures; of pairs A."""
    if trial.part == "judged" and trial.left in wrong:
        return {"real": "fake", "fake": "real"}[trial.expected]
    return trial.expected or "A"


def posed(page, trials, number):
    """Wait until a question is asked and can be answered."""
    practice = sum(trial.part == "practice" for trial in trials)
    place = f"{number - practice + 1} of {len(trials) - practice}"
    if number < practice:
        place = f"Practice {number + 1} of {practice}"
    page.until(f"{READY} && document.getElementById('place').innerText === '{place}'")


def session(page, plan, name, *, start=0, stop=None, wrong=(), keys=("ArrowLeft", "ArrowRight")):
    """From a question to another, by keys, or with the mouse where there are none; what was told after practice."""
    told, trials = [], plan.trials(name)
    for number in range(start, len(trials) if stop is None else stop):
        posed(page, trials, number)
        page.run(f"new Promise((done) => setTimeout(done, {1000 * FASTEST + 20}))")
        place = trials[number].options.index(wanted(trials[number], wrong))
        page.press(keys[place]) if keys else page.click(("#left", "#right")[place])
        if trials[number].part == "practice":
            page.until("!document.getElementById('feedback').hidden")
            told.append(text(page, "verdict"))
            page.press("Enter")
            if trials[number + 1].part != "practice":
                page.until(seen("interlude"))
                page.press("Enter")
    return told


def rows(desk):
    with desk.answers.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def faults(page):
    """What the browser found wrong: scripts that failed, what the policy forbade, what could not be loaded."""
    return [event for event in page.events if event["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]


def test_real_or_fake_from_consent_to_results(opened, untrained, tmp_path):
    run = untrained(tmp_path / "faces", size=32)
    with opened(real_or_fake(run, count=10), run.path / "judgements") as (page, desk, server):
        assert page.run("location.href") == server.origin + "/"  # the token is not in the address bar
        assert "Nothing is sent anywhere" in text(page, "consent")
        begin(page, "Ann")
        told = session(page, desk.plan, "ann", wrong=("fake 0", "fake 3", "real 2"), keys=("r", "f"))
        page.until(seen("results"))
        assert len(told) == 5
        assert all(words.startswith("Yes: ") for words in told)
        assert text(page, "headline") == "faces: 30% of 10 answers were wrong."
        assert text(page, "label") == "Informal: one rater, a self-check."
        low, high = wilson(3, 10)
        assert f"3 of 10, 30% (95% interval {low:.0%} to {high:.0%})" in text(page, "shares")
        assert "2 of 5, 40%" in text(page, "shares")
        assert "You need about 194 answers to tell 60% from 50%" in text(page, "sentences")
        assert page.run("fetch('/answers.csv').then((reply) => reply.text())") == desk.answers.path.read_text("utf-8")
        assert faults(page) == []
        asked = [
            event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"
        ]
        assert {url.split("/picture/")[0].split("?")[0] for url in asked if not url.startswith("data:")} <= {
            server.origin + path for path in ("/", "/begin", "/answer", "/results", "/answers.csv", "")
        }
    written = rows(desk)
    assert [int(row["trial"]) for row in written] == list(range(18))
    assert {row["rater"] for row in written} == {"ann"}
    assert {row["left"] for row in written if row["part"] == "judged" and row["answer"] != row["expected"]} == {
        "fake 0",
        "fake 3",
        "real 2",
    }
    assert all(FASTEST < float(row["seconds"]) < 30 for row in written)
    assert [(trial.left, trial.part) for trial in desk.plan.trials("ann")] == [
        (row["left"], row["part"]) for row in written
    ]


def test_a_session_goes_on_after_the_browser_and_the_server_were_gone(opened, untrained, tmp_path):
    first, second = untrained(tmp_path / "old", size=32), untrained(tmp_path / "new", size=32)
    made = preference(first, second, count=10)
    with opened(made, first.path / "judgements") as (page, desk, server):
        begin(page, "bob")
        session(page, desk.plan, "bob", stop=6, keys=None)
        page.until(READY)
        html = page.run("document.documentElement.outerHTML")
        assert "new" not in html.replace("new Promise", "").replace("new Map", "").replace("new Image", "").replace(
            "new Error", ""
        )
        server.shutdown()
        server.server_close()
        page.press("ArrowLeft")
        page.until(seen("stopped"))
        assert "Your answers up to here are kept." in text(page, "reason")
    assert len(rows(desk)) == 6
    with opened(preference(first, second, count=10), first.path / "judgements") as (page, desk, _):
        begin(page, "BOB")
        page.until(READY)
        assert text(page, "place") == "5 of 13"
        page.open(page.run("location.href"))  # loading the page anew loses nothing either
        page.until(seen("consent"))
        assert page.run("document.getElementById('name').value") == "bob"
        page.press("Enter")
        session(page, desk.plan, "bob", start=6)
        page.until(seen("results"))
        assert text(page, "headline") == "old was preferred in 100% of 10 pairs."
        assert faults(page) == []
        page.click("#another")
        page.until(seen("consent"))
        begin(page, "=1+1")
        page.until("document.getElementById('mistake').innerText !== ''")
        assert "Initials or a nickname have 1 to 24 letters" in text(page, "mistake")
    assert len(rows(desk)) == 15


@pytest.mark.parametrize("task", ["real-or-fake", "preference"])
@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 780)])
def test_a_question_fits_into_the_window(opened, untrained, tmp_path, task, width, height):
    runs = [untrained(tmp_path / name, size=128) for name in ("old", "new")]
    made = real_or_fake(runs[0], count=10) if task == "real-or-fake" else preference(*runs, count=10)
    with opened(made, tmp_path / "judgements") as (page, _, _):
        page.look(width, height)
        begin(page, "ann")
        page.until(READY)
        page.press("ArrowLeft")
        page.until("!document.getElementById('feedback').hidden")
        assert page.run("document.documentElement.scrollWidth") <= width
        assert page.run("document.documentElement.scrollHeight") <= height
        sizes = page.run("[...document.querySelectorAll('.frame img')].map((i) => [i.offsetWidth, i.offsetHeight])")
        assert len(sizes) == len({*map(tuple, sizes)}) + (task == "preference")
        assert all(wide == pytest.approx(high, abs=1) and wide >= 120 for wide, high in sizes)
