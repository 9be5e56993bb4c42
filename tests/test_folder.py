import json
import os
import socket
import subprocess
import sys
import time

import pytest

from cardigan.errors import CardiganError
from cardigan.folder import CONFIG_KEYS, LOCK_NAME, RunFolder, remove_empty


def message(action):
    with pytest.raises(CardiganError) as caught:
        action()
    return str(caught.value)


def hold(folder):
    with folder.locked():
        return sorted(path.name for path in folder.path.iterdir())


def lock(folder, **changes):
    content = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()} | changes
    (folder.path / LOCK_NAME).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.make()
    return made


@pytest.fixture
def other():
    """A process that lives as long as the test."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_the_names_in_a_folder(tmp_path):
    run = RunFolder(tmp_path)
    names = [run.config, run.records, run.checkpoints, run.samples, run.generator, run.report]
    assert [path.name for path in names] == [
        "config.json",
        "records.jsonl",
        "checkpoints",
        "samples",
        "generator",
        "report.html",
    ]
    assert {path.parent for path in names} == {tmp_path}


def test_making_a_folder_leaves_no_probe(tmp_path):
    run = RunFolder(tmp_path / "a" / "b")
    assert run.make() == [tmp_path / "a" / "b", tmp_path / "a"]
    assert run.make() == []
    assert list(run.path.iterdir()) == []


def test_only_empty_folders_are_removed(tmp_path):
    empty, full = RunFolder(tmp_path / "a" / "empty"), RunFolder(tmp_path / "b" / "full")
    made = [*empty.make(), *full.make()]
    full.records.write_text("mine", encoding="utf-8")
    remove_empty([*made, tmp_path / "never there"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "full", "records.jsonl"]


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        told = message(RunFolder(path).make)
        assert told.startswith(f"The run cannot be written to {path}: ")
        assert told.endswith("Nothing was started. Choose a folder that you may write to with --out.")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


def test_a_folder_without_permission_is_refused(forbidden):
    for path in (forbidden, forbidden / "run"):
        assert f"The run cannot be written to {path}: Permission denied. Nothing was" in message(RunFolder(path).make)


def test_a_full_or_read_only_disk_is_told_before_the_start(tmp_path, monkeypatch):
    def refuse(self, data):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.write_bytes", refuse)
    assert "Read-only file system. Nothing was started." in message(RunFolder(tmp_path / "run").make)


def test_a_lock_is_there_while_it_is_held_and_says_whose_it_is(folder):
    with folder.locked():
        content = json.loads((folder.path / LOCK_NAME).read_text(encoding="utf-8"))
        assert (content["pid"], content["host"]) == (os.getpid(), socket.gethostname())
        assert abs(content["since"] - time.time()) < 60
        assert [path.name for path in folder.path.iterdir()] == [LOCK_NAME]
    assert list(folder.path.iterdir()) == []


def test_a_lock_is_given_back_after_an_error(folder):
    with pytest.raises(KeyError), folder.locked():
        {}["nothing"]
    assert hold(folder) == [LOCK_NAME]


def test_a_lock_of_a_living_process_is_respected(folder, other):
    since = time.mktime((2026, 1, 2, 14, 2, 0, 0, 0, -1))
    lock(folder, pid=other.pid, since=since)
    assert message(lambda: hold(folder)) == (
        f"The run {folder.path} is in use by process {other.pid} on {socket.gethostname()} since 14:02. Wait for it or "
        f"stop it, or choose another --out."
    )
    assert [path.name for path in folder.path.iterdir()] == [LOCK_NAME]  # untouched, and no draft left


def test_a_lock_of_a_dead_process_is_taken_over(folder):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lock(folder, pid=process.pid)
    with folder.locked():
        assert json.loads((folder.path / LOCK_NAME).read_text(encoding="utf-8"))["pid"] == os.getpid()
    assert list(folder.path.iterdir()) == []


def test_a_lock_of_another_host_is_respected_whatever_its_process(folder):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lock(folder, pid=process.pid, host="elsewhere")
    told = message(lambda: hold(folder))
    assert f"in use by process {process.pid} on elsewhere since " in told
    assert f"If that process is gone, remove {folder.path / LOCK_NAME}, or choose another --out." in told
    assert (folder.path / LOCK_NAME).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"pid": "x", "host": 3}', "\x00" * 40])
def test_a_damaged_lock_is_taken_over(folder, content):
    (folder.path / LOCK_NAME).write_text(content, encoding="utf-8")
    assert hold(folder) == [LOCK_NAME]


def test_without_hard_links_the_lock_still_holds(folder, other, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    with folder.locked():
        assert json.loads((folder.path / LOCK_NAME).read_text(encoding="utf-8"))["pid"] == os.getpid()
        assert "in use by process" in message(lambda: hold(folder))
    assert list(folder.path.iterdir()) == []
    lock(folder, pid=other.pid)
    assert f"in use by process {other.pid}" in message(lambda: hold(folder))


def test_of_many_processes_one_gets_the_lock(folder):
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom cardigan.folder import RunFolder\n"
        "from cardigan.errors import CardiganError\n"
        "try:\n"
        "    with RunFolder(Path(sys.argv[1])).locked():\n"
        "        print('held', flush=True)\n"
        "        sys.stdin.read()\n"
        "except CardiganError:\n"
        "    print('refused', flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(folder.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    crowd = [subprocess.Popen(command, **pipes) for _ in range(5)]
    try:
        told = [process.stdout.readline().strip() for process in crowd]
    finally:
        for process in crowd:
            process.communicate()
    assert sorted(told) == ["held", "refused", "refused", "refused", "refused"]


def test_a_configuration_is_read_or_its_absence_told(folder):
    assert message(folder.read_config) == (
        f"{folder.path} is not a run: it has no config.json. Train one first: cardigan train SOURCE"
    )
    folder.config.write_text('{"a": 1', encoding="utf-8")
    assert f"{folder.config} is damaged (" in message(folder.read_config)
    whole = dict.fromkeys(CONFIG_KEYS, 1)
    folder.config.write_text(json.dumps(whole), encoding="utf-8")
    assert folder.read_config() == whole


@pytest.mark.parametrize("content", ['{"architectures": ["Dcgan"]}', "[1]", "3"])
def test_a_configuration_of_something_else_is_refused(folder, content):
    folder.config.write_text(content, encoding="utf-8")
    told = message(folder.read_config)
    assert f"{folder.config} is not the configuration of a run of this version of Cardigan" in told
    assert "nothing was changed here" in told


def test_records_leave_out_a_line_that_was_cut_short(folder):
    assert folder.read_records() == []
    folder.records.write_text('{"images": 1}\n{"images": 2}\n{"ima', encoding="utf-8")
    assert folder.read_records() == [{"images": 1}, {"images": 2}]


def test_history_is_records_or_a_finished_checkpoint(folder):
    assert not folder.has_history()
    folder.checkpoints.mkdir()
    (folder.checkpoints / "step-000000000.partial-0123").mkdir()
    assert not folder.has_history()
    for name in ("step-000000000", "rejected-step-000000000-0123"):
        (folder.checkpoints / name).mkdir()
        assert folder.has_history()
        (folder.checkpoints / name).rmdir()
    assert not folder.has_history()
    folder.records.write_text("", encoding="utf-8")
    assert folder.has_history()
