"""``make bench``: its arithmetic, its pages, its command line, and one quick try of each question that is cheap."""

import json
import os
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch):
    """``benchmarks`` on the path, and threads as they were."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def command(*words):
    from bench.command import main

    return main([*words, "--quick", "--threads", "1"])


# its arithmetic


def test_a_ratio_says_how_many_times_better_the_second_arm_is():
    from bench.table import Row

    rate = Row("step", "images/s", {"tutorial": [10.0, 20.0, 10.0], "ours": [30.0, 20.0, 40.0]})
    assert rate.ratio == (3.0, 1.0, 4.0)  # of medians 30 and 10; the rounds are 3, 1 and 4
    cost = Row("step", "MiB", {"tutorial": [10.0, 20.0], "ours": [5.0, 40.0]}, more=False)
    assert cost.ratio == (15.0 / 22.5, 0.5, 2.0)
    assert Row("step", "s", {"ours": [1.0]}).ratio is None


def test_arms_take_turns_in_reversed_order_every_second_round():
    from bench.alternation import in_turn

    seen = []
    arms = {name: lambda name=name: seen.append(name) or len(seen) for name in "ab"}
    assert in_turn(arms, rounds=3, seconds=100.0) == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert "".join(seen) == "abbaab"


@pytest.mark.parametrize(("slow", "rounds"), [(0.1, 5), (3.0, 3), (30.0, 1)])
def test_rounds_end_when_the_time_does_but_not_before_three_unless_it_is_far_over(monkeypatch, slow, rounds):
    from bench import alternation

    clock = [0.0]
    monkeypatch.setattr(alternation.time, "perf_counter", lambda: clock[0])

    def work():
        clock[0] += slow
        return clock[0]

    assert len(alternation.in_turn({"a": work}, rounds=5, seconds=10.0)["a"]) == rounds


def test_a_turn_lasts_at_least_as_long_as_asked_and_the_first_piece_is_not_counted(monkeypatch):
    from bench import alternation
    from bench.alternation import Plan

    clock, costs = [0.0], iter([0.5, *[0.25] * 100])
    monkeypatch.setattr(alternation.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(alternation.time, "process_time", lambda: clock[0] / 2)

    def work():
        clock[0] += next(costs)
        return 8

    (found,) = alternation.rates({"a": work}, Plan(rounds=1, piece=2.0), seconds=100.0)["a"]
    assert (found.images, found.rate, found.cpu_rate) == (32, 32.0, 64.0)  # four pieces, by the first one's half second


def test_work_that_is_done_elsewhere_is_timed_by_the_clock_there():
    """This process waits meanwhile; the other one's loop goes on where it was."""
    from bench.alternation import spent
    from bench.elsewhere import Elsewhere, There

    with Elsewhere(threads=1) as place:
        assert place.do(os.getpid) != os.getpid()
        work = There(place, "mlp", batch=4)
        found = spent(work, pieces=20)
    assert found.images == 80
    assert found.cpu == work.process_time() > 0.0
    assert found.cpu_rate == 80 / found.cpu


def test_when_a_race_came_to_a_score():
    from bench.race import reached

    falling = [(10.0, 8.0), (20.0, 4.0), (40.0, 1.0)]
    assert reached(falling, 6.0) == (15.0, True)
    assert reached(falling, 4.0) == (20.0, True)
    assert reached(falling, 9.0) == (10.0, False)  # it was there at the first look, and may have been sooner
    assert reached(falling, 0.5) == (float("inf"), False)


# the tutorials


@pytest.mark.parametrize("name", ["mlp", "cgan", "dcgan", "fastgan", "wgan"])
def test_ours_is_the_mathematics_of_the_tutorial(name):
    from bench.sides import difference
    from bench.steps import AGREE
    from bench.tutorials import load

    assert difference(load(name), batch=2) < AGREE / 5


def test_other_mathematics_would_be_noticed(monkeypatch):
    """The check can fail: another learning rate shows in the second iteration's losses, and nothing is compared."""
    import torch.optim
    from bench.alternation import Plan
    from bench.steps import DifferentMathematicsError, beside_tutorial

    real = torch.optim.Adam
    monkeypatch.setattr(
        torch.optim, "Adam", lambda *given, **told: real(*given, **told | ({} if told.get("fused") else {"lr": 0.01}))
    )
    with pytest.raises(DifferentMathematicsError, match=r"mlp: .* not the same mathematics"):
        next(beside_tutorial("mlp", Plan(quick=True), seconds=1.0))


def test_a_process_of_its_own_knows_the_shapes_of_the_tutorials():
    from bench.inside import SHAPES
    from bench.tutorials import NAMES, load

    told = {name: (each.size, each.channels, each.classes, each.recipe) for name in NAMES for each in [load(name)]}
    assert told == SHAPES


def test_the_printed_transforms_crop_the_middle_at_the_shorter_side(tmp_path):
    from bench.folder import PrintedImageFolder
    from PIL import Image

    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = 255  # exactly what the crop keeps
    (tmp_path / "one").mkdir()
    Image.fromarray(wide).save(tmp_path / "one" / "wide.jpg", quality=95)
    image, _ = PrintedImageFolder(tmp_path, 20)[0]
    assert image.shape == (3, 20, 20)
    assert image.dtype == torch.float32
    assert image[:, :, 2:-2].min() > 0.9  # white is 1


# its pages


def result(question="memory", **changed):
    from bench.table import Result, Row

    rows = [
        Row(
            "DCGAN: peak memory",
            "MiB",
            {"tutorial": [200.0, 210.0, 190.0], "ours": [100.0, 100.0, 100.0]},
            more=False,
            short="memory",
            goal=1.0,
        )
    ]
    machine = {"processor": "a chip", "cores": 4, "threads": 2, "load": [0.5, 0, 0], "python": "3.11", "torch": "2.13"}
    machine |= {"numpy": "2", "pillow": "11", "cardigan": "0.1.0"}
    return Result(question, rows, machine, made="2030-01-02T03:04:05Z", **changed)


def test_a_page_says_the_newest_result_between_its_markers_and_nothing_else_changes(tmp_path):
    from bench.pages import filled

    result().write(tmp_path)
    older = result(skipped=("an old reason",))
    (tmp_path / "2029-12-31-memory.json").write_text(older.write(tmp_path / "other").read_text())
    page = (
        "before <!-- bench:memory -->\nold\n<!-- /bench:memory --> after <!-- bench:summary --><!-- /bench:summary -->"
    )
    text = filled(page, tmp_path)
    assert text.startswith("before <!-- bench:memory -->\n| what |")
    assert "| DCGAN: peak memory | 200 MiB, tutorial | 100 MiB, ours | **2** [1.9..2.1] (goal 1) |" in text
    assert "2030-01-02, a chip, 2 of 4 cores, load at the start 0.5; Python 3.11, torch 2.13" in text
    assert "old" not in text.replace("(goal", "")
    assert "| memory | 200 MiB | 100 MiB | **2** [1.9..2.1] |" in text
    assert filled(text, tmp_path) == text


def test_a_question_without_an_answer_says_so(tmp_path):
    from bench.pages import UNMEASURED, filled

    assert filled("<!-- bench:steps -->x<!-- /bench:steps -->", tmp_path) == (
        f"<!-- bench:steps -->\n{UNMEASURED}\n<!-- /bench:steps -->"
    )


def test_the_pages_of_the_project_say_what_is_kept():
    from bench.pages import PAGES, filled
    from bench.questions import QUESTIONS
    from bench.table import RESULTS

    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert filled(text, RESULTS) == text, f"{page.name} was changed by hand: python benchmarks/bench pages"
    page = PAGES[0].read_text(encoding="utf-8")
    assert [name for name in QUESTIONS if f"<!-- bench:{name} -->" not in page] == []


def test_a_result_is_read_as_it_was_written(tmp_path):
    from bench.table import newest

    known = result(skipped=("why",))
    path = known.write(tmp_path)
    assert path.name == "2030-01-02-memory.json"
    assert json.loads(path.read_text())["rows"][0]["ratio"] == [2.0, 1.9, 2.1]
    again = newest(tmp_path, "memory")
    assert again is not None
    assert again.rows == known.rows
    assert list(again.skipped) == list(known.skipped)


def test_the_processor_is_named_as_the_system_names_it(tmp_path):
    from bench.table import processor

    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Chip 9000\nmodel name\t: other\n")
    assert processor(tmp_path / "cpuinfo") == "A Chip 9000"
    assert processor(tmp_path / "none")


# its command line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing"], "invalid choice: 'nothing'"),
        (["steps", "resnet"], "steps has no part 'resnet'; expected some of mlp, cgan, dcgan"),
        (["folder", "dcgan"], "folder has no part 'dcgan'; expected none"),
        (["steps", "--rounds", "0"], "'0' is no whole number of at least 1"),
        (["steps", "--peer", "keras=python"], "names no peer; expected NAME=PYTHON with NAME one of fastai, torchgan"),
    ],
)
def test_what_is_wrong_is_said(words, told, capsys):
    from bench.command import main

    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_the_command_line_knows_the_peers_and_tutorials():
    from bench.command import PEER_NAMES
    from bench.peers import PEERS
    from bench.questions import TUTORIALS
    from bench.tutorials import NAMES

    assert list(PEER_NAMES) == list(PEERS)
    assert TUTORIALS == NAMES


def test_a_peer_that_is_not_there_is_named_and_the_rest_goes_on(tmp_path, capsys):
    from bench.table import newest

    assert (
        command("steps", "fastai", "torchgan", "--peer", f"fastai={sys.executable} -c 1 ", "--out", str(tmp_path)) == 0
    )
    found = newest(tmp_path, "steps")
    assert found is not None
    assert "torchgan: no interpreter that has it was named (--peer torchgan=PYTHON)" in found.skipped
    assert any(text.startswith("fastai: its process ended with code 0") for text in found.skipped)
    assert "not measured: torchgan" in capsys.readouterr().out


def test_a_question_that_fails_does_not_cost_the_others(tmp_path, monkeypatch, capsys):
    from bench import questions
    from bench.command import main
    from bench.table import Row, newest

    def broken(_plan):
        raise ValueError("out of luck")
        yield

    answers = {"one": broken, "two": lambda _plan: iter([Row("two", "s", {"ours": [1.0]})])}
    monkeypatch.setattr("bench.command.measure", answers.get)
    monkeypatch.setattr("bench.command.QUESTIONS", {name: questions.Question(name, 1.0) for name in answers})
    assert main(["--out", str(tmp_path), "--threads", "1"]) == 1
    told = capsys.readouterr()
    assert "out of luck" in told.err
    assert "failed: one" in told.err
    assert newest(tmp_path, "two") is not None
    assert newest(tmp_path, "one") is None


def test_quality_without_data_is_left_out(capsys):
    assert command("quality") == 0
    told = capsys.readouterr().out
    for file in ("mnist.npz", "fashion-mnist.npz"):
        assert f"not measured: quality: no {file} was given (--data FOLDER" in told


# quick tries


@pytest.mark.parametrize(
    ("words", "rows"), [(["steps", "mlp"], 2), (["sampling", "mlp"], 1), (["checkpoint", "mlp"], 2), (["storing"], 3)]
)
def test_a_quick_try(words, rows, tmp_path, capsys):
    from bench.table import newest

    assert command(*words, "--out", str(tmp_path)) == 0
    found = newest(tmp_path, words[0])
    assert found is not None
    assert found.quick
    assert len(found.rows) == rows
    for row in found.rows:
        assert all(len(values) == 2 and min(values) > 0 for values in row.values.values())
    assert "times better" in capsys.readouterr().out


def test_the_arithmetic_of_a_step_by_hand():
    """One linear layer with its gradients: forward, by weights, and by inputs."""
    from bench.limits import operations, product, spent_on

    layer = torch.nn.Linear(30, 20, bias=False)
    images = torch.rand(10, 30, requires_grad=True)

    def step():
        layer(images).sum().backward()
        return 10

    assert operations(step) * 1e9 == pytest.approx(3 * 2 * 10 * 30 * 20)
    assert product(64)() * 1e9 == pytest.approx(2 * 64**3)
    heavy = product(512)
    assert spent_on(heavy)["products and convolutions"] > 0.5
    drawn = torch.empty(200_000)
    assert next(iter(spent_on(lambda: float(drawn.bernoulli_(0.5)[0])))) == "random numbers"


def test_the_limits_of_a_step(tmp_path, capsys):
    from bench.table import newest

    assert command("limits", "mlp", "--out", str(tmp_path)) == 0
    (row,) = newest(tmp_path, "limits").rows
    assert row.unit == "GFLOP/s"
    assert "the tutorial multiplies 1." in row.note  # it takes the discriminator's gradients in the generator's step
    assert "products and convolutions" in row.note
    assert "GFLOP/s" in capsys.readouterr().out


def test_a_part_of_a_question_does_not_take_the_place_of_the_whole_answer(tmp_path, monkeypatch):
    from bench import command as commands
    from bench.table import Result, now

    monkeypatch.setattr(commands, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(commands, "PAGES", ())
    monkeypatch.setattr(commands, "asked", lambda name, plan, facts: Result(name, [], facts, made=now()))
    assert commands.main(["steps", "mlp"]) == 0
    assert not (tmp_path / "results").exists()
    assert commands.main(["steps"]) == 0
    assert [path.name[11:] for path in (tmp_path / "results").iterdir()] == ["steps.json"]


def test_a_result_says_of_which_code_and_environment_it_is(monkeypatch):
    from bench.table import commit, machine

    monkeypatch.setenv("OMP_PROC_BIND", "close")
    monkeypatch.setenv("HOME", "/home/somebody")
    told = machine(threads=1)
    assert told["environment"]["OMP_PROC_BIND"] == "close"
    assert "HOME" not in told["environment"]
    assert told["commit"] == commit()
    assert commit(Path("/")) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [[name] for name in ("folder", "memory", "startup", "evaluation", "scaling", "steps", "checkpoint", "sampling")],
)
def test_a_quick_try_of_what_takes_longer(words, tmp_path):
    from bench.table import newest

    assert command(*words, "--out", str(tmp_path)) == 0
    found = newest(tmp_path, words[0])
    assert found is not None
    assert found.rows or (words != ["scaling"] and found.skipped)
    assert all(statistics.median(values) > 0 for row in found.rows for values in row.values.values())


@pytest.mark.slow
def test_a_quick_race(tmp_path):
    from bench.table import newest

    data = ROOT.parent / "shared" / "data"
    if not (data / "mnist.npz").exists() or not (data / "fashion-mnist.npz").exists():
        pytest.skip("no shared/data/mnist.npz and fashion-mnist.npz beside the project")
    assert command("quality", "--data", str(data), "--out", str(tmp_path)) == 0
    found = newest(tmp_path, "quality")
    assert found is not None
    for title in ("MNIST", "Fashion-MNIST"):
        assert len([row for row in found.rows if row.name.startswith(title)]) >= 3
