"""What a process of ours asks of its threads and of its memory, and what it leaves to its user."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from cardigan import tuning

GLIBC = platform.libc_ver()[0] == "glibc"


@pytest.fixture
def settings(monkeypatch):
    """The environment of a user who has set nothing, and what the allocator was told."""
    for name in [name for name in os.environ if name.startswith(("GOMP_", "MALLOC_", "GLIBC_", "LD_PRELOAD"))]:
        monkeypatch.delenv(name)
    told = []
    monkeypatch.setattr(tuning, "keep_memory", lambda: told.append("keep"))
    monkeypatch.setenv("GOMP_SPINCOUNT", "x")  # so that it is put back
    monkeypatch.delenv("GOMP_SPINCOUNT")
    return told


def test_threads_wait_briefly_and_memory_is_kept(settings):
    tuning.tune_process()
    assert (os.environ["GOMP_SPINCOUNT"], settings) == ("3000", ["keep"])


def test_a_users_own_threads_are_left_alone(settings, monkeypatch):
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    tuning.tune_process()
    assert (os.environ["GOMP_SPINCOUNT"], settings) == ("7", ["keep"])


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"])
def test_a_users_own_allocator_is_left_alone(settings, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    tuning.tune_process()
    assert settings == []


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert tuning.keep_memory() is False


COUNTED = """
import resource, sys
from cardigan.tuning import keep_memory
if sys.argv[1] == "kept":
    assert keep_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for round in range(2):  # the first finds the memory
    before = faults()
    for _ in range(10):
        blocks = [bytearray(size << 20) for size in (1, 7, 40)]
        del blocks
print(faults() - before)
"""


@pytest.mark.skipif(not GLIBC, reason="the allocator of this C library is not told anything")
def test_memory_that_is_kept_is_not_asked_for_again():
    """Each page of 48 MiB costs a fault whenever it comes from the system: ten times 12,288 of 4 KiB, or none."""

    def faults(how):
        words = [sys.executable, "-c", COUNTED, how]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    given_back, kept = faults("given back"), faults("kept")
    assert kept < 100 < given_back
