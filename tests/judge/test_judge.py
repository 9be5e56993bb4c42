"""The door: from a run's folder to a page, and from the page's answers to what they come to."""

import json
import threading
import urllib.request
from urllib.error import HTTPError

import pytest

from cardigan.errors import CardiganError
from cardigan.judge import collected, judge
from cardigan.judge.server import Server


@pytest.fixture
def visited(monkeypatch):
    """What happens while the page is open, and then Ctrl-C."""

    def make(visit):
        def serve(server):
            thread = threading.Thread(target=super(Server, server).serve_forever, args=[0.01])
            thread.start()
            try:
                visit(server)
            finally:
                server.shutdown()
                thread.join()
            raise KeyboardInterrupt

        monkeypatch.setattr(Server, "serve_forever", serve)

    return make


def opens(server):
    """Open the page and begin, as a browser does."""
    with urllib.request.urlopen(server.url, timeout=20) as page:
        cookie = page.headers["Set-Cookie"].partition(";")[0]
    headers = {"Cookie": cookie, "Origin": server.origin, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.origin}/begin", json.dumps({"rater": "ann"}).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as reply:
        return json.load(reply)


def test_a_run_is_judged_until_ctrl_c(untrained, tmp_path, visited, answer_all):
    run = untrained(tmp_path / "faces")
    told, standings = [], []

    def visit(server):
        standings.append(opens(server))
        answer_all(server.desk, "ann")

    visited(visit)
    results = judge(run.path, count=10, announce=told.append, open_browser=False)
    assert standings[0]["total"] == 18
    assert results.headline == "faces: 0% of 10 answers were wrong."
    (csv,) = (run.path / "judgements").glob("*.csv")
    assert told == [f"Judge at {told[0].split()[2]}\nCtrl-C ends it; answers are kept in {csv}"]
    assert collected(run.path) == [(csv, results)]


def test_the_same_questions_go_on_and_others_are_kept_apart(untrained, tmp_path, visited, answer_all):
    run, other = untrained(tmp_path / "old"), untrained(tmp_path / "new")
    settings = {"count": 10, "announce": lambda text: None, "open_browser": False}
    for name in ("ann", "bob"):
        visited(lambda server, name=name: answer_all(server.desk, name))
        results = judge(run, **settings)
    assert results.shares[0].trials == 20
    assert judge(run, other, **settings).shares[0].trials == 10
    assert judge(run, seed=1, **settings).shares[0].trials == 10
    tasks = [(found.plan.task, found.plan.seed, len(found.raters)) for _, found in collected(run.path)]
    assert sorted(tasks) == [("preference", 0, 1), ("real-or-fake", 0, 2), ("real-or-fake", 1, 1)]


def test_a_generator_that_was_trained_on_is_judged_anew(untrained, tmp_path, visited, answer_all):
    run = untrained(tmp_path / "faces")
    visited(lambda server: answer_all(server.desk, "ann"))
    settings = {"count": 10, "announce": lambda text: None, "open_browser": False}
    judge(run.path, **settings)
    config = run.folder.generator / "config.json"
    weights = untrained(tmp_path / "later").folder.generator
    config.write_bytes((weights / "config.json").read_bytes())
    (run.folder.generator / "model.safetensors").write_bytes((weights / "model.safetensors").read_bytes())
    visited(lambda server: answer_all(server.desk, "bob"))
    assert [rater.name for rater in judge(run.path, **settings).raters] == ["bob"]
    assert len(collected(run.path)) == 2


def test_the_page_needs_its_token(untrained, tmp_path, visited):
    def visit(server):
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(server.origin, timeout=20)

    visited(visit)
    results = judge(untrained(tmp_path / "faces"), count=10, announce=lambda text: None, open_browser=False)
    assert results.raters == ()


@pytest.mark.parametrize(("screen", "asked"), [("", 0), (":0", 1)])
def test_a_browser_is_opened_where_it_can_show_something(untrained, tmp_path, visited, monkeypatch, screen, asked):
    urls = []
    opening = threading.Event()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", screen)
    monkeypatch.setattr("webbrowser.open", lambda url: (urls.append(url), opening.set()))
    visited(lambda server: opening.wait(20 if asked else 0))
    told = []
    judge(untrained(tmp_path / "faces"), count=10, announce=told.append)
    assert len(urls) == asked
    assert all(url in told[0] for url in urls)


def test_a_run_that_nobody_judged_is_told(untrained, tmp_path):
    run = untrained(tmp_path / "faces")
    with pytest.raises(CardiganError, match=r"Nobody has judged .*faces yet. Type: cardigan judge .*faces"):
        collected(run.path)
    with pytest.raises(CardiganError, match=r"is not a run: it has no config.json"):
        collected(tmp_path)
