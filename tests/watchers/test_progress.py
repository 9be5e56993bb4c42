import pytest

from cardigan.watchers import progress
from cardigan.watchers.progress import Bar, Plain, Silent, display, sentence


def line(**changes):
    return {"images": 64_000, "images_per_second": 2048.0, "losses": {"generator/adversarial": 1.25}} | changes


def test_a_record_as_a_person_reads_it():
    losses = {"discriminator/adversarial": 0.123456, "discriminator/r1": 0.00001, "generator/adversarial": 12345.0}
    assert sentence(line(losses=losses), remaining=3675.9) == (
        "64,000 images · 2,048/s · 61:15 left · discriminator 0.123 · discriminator r1 0.00001 · generator 12,300"
    )
    assert sentence(line(images_per_second=0.4), remaining=0.2).startswith("64,000 images · 0/s · 0:00 left")


@pytest.fixture
def no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def test_where_there_is_no_terminal_plain_lines_go_to_standard_error(no_terminal, capsys):
    with display("training") as bar:
        assert isinstance(bar, Plain)
        bar.show(0.25, "a quarter")
        bar.show(0.5, "too soon")
        bar.show(1.0, "all")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "training  25%  a quarter\ntraining 100%  all\n"


def test_each_step_of_a_few_is_named_where_that_is_asked(no_terminal, capsys):
    with display("publishing", every=0.0) as bar:
        bar.show(0.0, "drawing")
        bar.show(0.5, "writing")
    assert capsys.readouterr().err == "publishing   0%  drawing\npublishing  50%  writing\n"


def test_a_plain_line_comes_when_the_last_one_is_old(no_terminal, capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with display("training") as bar:
        for share, moment in ((0.1, 100.0), (0.2, 109.9), (0.3, 110.0), (0.4, 119.0)):
            now[0] = moment
            bar.show(share, "x")
    assert [text.split()[1] for text in capsys.readouterr().err.splitlines()] == ["10%", "30%"]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    with display("training") as bar:
        assert isinstance(bar, Plain)


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with display("training") as bar:
        assert isinstance(bar, Bar)
        bar.show(0.5, "half way")
    out, err = capsys.readouterr()
    assert out == ""
    assert "training" in err
    assert "half way" in err
    assert "50%" in err


def test_quiet_shows_nothing(capsys):
    with display("training", shown=False) as bar:
        assert isinstance(bar, Silent)
        bar.show(1.0, "all")
    assert capsys.readouterr() == ("", "")
