"""What a run costs: what is measured is what was used, and is kept over sittings."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cardigan import cost
from cardigan.launch import train

GIB = 2**30


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_the_system():
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123
        high = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    assert cost.peak_memory("cpu") == {"process_memory": pytest.approx(1024 * high, rel=0.05)}


def test_the_peak_grows_with_what_is_used_and_stays():
    before = cost.peak_memory("cpu")["process_memory"]
    large = np.ones(before // 8 + 2**23)
    assert cost.peak_memory("cpu")["process_memory"] > before + 2**25
    during = cost.peak_memory("cpu")
    del large
    after = cost.peak_memory("cpu")["process_memory"]
    assert after == pytest.approx(during["process_memory"], rel=0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells one number only")
def test_a_large_process_does_not_count_for_those_it_starts():
    large = np.ones(2**28)  # 2 GiB
    script = "from cardigan import cost; print(cost.peak_memory('cpu')['process_memory'])"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(told) < large.nbytes


@pytest.mark.parametrize(("platform", "count"), [("linux", 1024 * 5), ("darwin", 5)])
def test_units_of_systems(monkeypatch, platform, count):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(cost, "STATUS", Path("/nowhere"))
    monkeypatch.setattr(resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 5}))
    assert cost.peak_memory("cpu") == {"process_memory": count}


def test_a_system_that_does_not_tell(monkeypatch):
    monkeypatch.setattr(cost, "STATUS", Path("/nowhere"))
    monkeypatch.setitem(sys.modules, "resource", None)
    assert cost.peak_memory("cpu") == {}


@pytest.mark.gpu
def test_a_gpu_tells_its_own():
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    large = torch.ones(2**24, device="cuda")
    assert cost.peak_memory("cuda")["device_memory"] == before + 4 * 2**24
    del large
    assert cost.peak_memory("cuda:0")["device_memory"] == before + 4 * 2**24


def test_the_highest_of_all_sittings_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "cost.json"
    assert cost.read_cost(path) == {}
    for now, kept in (
        ({"process_memory": 5}, {"process_memory": 5}),
        ({"process_memory": 3, "device_memory": 7}, {"process_memory": 5, "device_memory": 7}),
        ({}, {"process_memory": 5, "device_memory": 7}),
        ({"process_memory": 9}, {"process_memory": 9, "device_memory": 7}),
    ):
        monkeypatch.setattr(cost, "peak_memory", lambda device, now=now: now)
        cost.note_memory(path, "cpu")
        assert cost.read_cost(path) == kept


@pytest.mark.parametrize("text", ["", "[]", '{"process_memory": "much"}', "{"])
def test_what_is_damaged_is_not_known(tmp_path, text):
    (tmp_path / "cost.json").write_text(text, encoding="utf-8")
    assert cost.read_cost(tmp_path / "cost.json") == {}
    cost.note_memory(tmp_path / "cost.json", "cpu")
    assert cost.read_cost(tmp_path / "cost.json") == cost.peak_memory("cpu")


@pytest.mark.parametrize(
    ("known", "speeds", "told"),
    [
        ({}, [], []),
        ({}, [0.0], []),
        ({}, [2.0, 2.0, 1000.0], [("Speed", "2 images/s"), ("100,000 images take", "13 h 53 min")]),
        ({}, [1234.6, 0.0], [("Speed", "1,235 images/s"), ("100,000 images take", "1 min 21 s")]),
        ({"process_memory": 900 * 2**20}, [], [("Peak memory", "900 MiB")]),
        (
            {"process_memory": 2 * GIB, "device_memory": 5 * GIB // 2},
            [],
            [("Peak memory", "2.5 GiB of the GPU's, 2.0 GiB of the machine's")],
        ),
    ],
)
def test_what_is_told(known, speeds, told):
    assert cost.told(known, [{"images_per_second": speed} for speed in speeds]) == told


def test_a_report_tells_what_its_run_cost(tmp_path):
    np.savez(tmp_path / "data.npz", images=np.random.default_rng(0).integers(0, 256, (20, 16, 16), dtype=np.uint8))
    given = {"recipe": "quick", "size": 16, "images": 64, "device": "cpu", "quiet": True, "width": 2, "batch_size": 8}
    run = train(tmp_path / "data.npz", out=tmp_path / "run", **given)
    kept = json.loads((tmp_path / "run" / "cost.json").read_text())["process_memory"]
    assert 0.5 * kept < cost.peak_memory("cpu")["process_memory"] <= 1.5 * kept
    facts = dict(run._contents().summary)
    assert facts["Peak memory"] == f"{kept / 2**20:.0f} MiB" if kept < GIB else f"{kept / GIB:.1f} GiB"
    speed = float(facts["Speed"].removesuffix(" images/s").replace(",", ""))
    assert speed == pytest.approx(np.median([line["images_per_second"] for line in run.records]), abs=0.5)
    html = run.report().read_text(encoding="utf-8")
    for name in ("Peak memory", "Speed", "100,000 images take", "Training time"):
        assert f"<dt>{name}</dt><dd>{facts[name]}</dd>" in html
