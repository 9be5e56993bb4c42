import pytest
import torch

from cardigan.data import memory


def test_free_memory_is_a_number_of_bytes():
    found = memory.free_memory(torch.device("cpu"))
    assert isinstance(found, int)
    assert 2**20 < found < 2**50


def test_pages_that_only_cache_files_count_as_free(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 100 kB\nMemAvailable: 700 kB\nHugePages_Total: 0\n")
    assert memory._available(tmp_path / "meminfo") == 700 * 1024
    assert memory._available(tmp_path / "missing") > 2**20


@pytest.mark.parametrize(
    ("most", "stat", "left"),
    [
        ("1000", "anon 500\ninactive_file 300\n", 700),  # 600 in use, of them 300 that can be dropped
        ("1000", "anon 500\n", 400),
        ("500", "anon 500\n", 0),
        ("max", "anon 500\n", float("inf")),
    ],
)
def test_a_container_has_what_it_is_allowed(tmp_path, most, stat, left):
    (tmp_path / "memory.max").write_text(most + "\n")
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.stat").write_text(stat)
    assert memory._allowed(tmp_path) == left
    assert memory._allowed(tmp_path / "missing") == float("inf")


def test_the_smaller_of_both_counts(monkeypatch):
    monkeypatch.setattr(memory, "_available", lambda: 50)
    for allowed in (20, float("inf")):
        monkeypatch.setattr(memory, "_allowed", lambda allowed=allowed: allowed)
        assert memory.free_memory(torch.device("cpu")) == min(50, allowed)


@pytest.mark.parametrize("free", [2**20, 2**30, 7 * 2**30, 11 * 2**30, 80 * 2**30])
def test_images_leave_room_for_networks(free):
    """At least half, and six GiB where there is more than that to leave."""
    taken = memory.room_for_images(free)
    assert free / 8 <= taken <= free / 2
    assert free - taken >= min(6 * 2**30, 7 / 8 * free)


def test_a_card_of_8_gib_keeps_six_for_networks():
    assert memory.room_for_images(7 * 2**30) == 2**30
