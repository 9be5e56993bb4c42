"""Pages that are fetched before anybody reads them."""

import ctypes
import mmap
import os
import sys
import time

import numpy as np
import pytest

from cardigan.data import DataSettings, open_source, prepare
from cardigan.data import batches as module
from cardigan.data.ahead import read_ahead
from cardigan.data.batches import StoredBatches
from cardigan.data.store import Store

SHAPE = (64, 32, 32, 4)
"""An image is a page."""


@pytest.fixture
def on_disk(tmp_path):
    """A view of a file of which nothing is in memory."""
    path = tmp_path / "images.u8"
    np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8).tofile(path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    images = np.memmap(path, np.uint8, "r", shape=SHAPE)
    if present(images).any():
        pytest.skip("this file system keeps all in memory")
    return images


def present(images):
    """Which images are in memory, as the system tells."""
    libc, found = ctypes.CDLL(None, use_errno=True), np.zeros(len(images), np.uint8)
    code = libc.mincore(
        ctypes.c_void_p(images.ctypes.data), ctypes.c_size_t(images.nbytes), found.ctypes.data_as(ctypes.c_void_p)
    )
    assert code == 0
    return found & 1


@pytest.mark.skipif(sys.platform != "linux" or mmap.PAGESIZE != 4096, reason="asks Linux for pages of 4,096 bytes")
def test_what_is_wanted_soon_is_fetched_and_nothing_else(on_disk):
    places = np.array([40, 3, 17])
    read_ahead(on_disk, places)
    until = time.monotonic() + 30
    while present(on_disk).sum() < len(places) and time.monotonic() < until:
        time.sleep(0.001)
    assert present(on_disk).nonzero()[0].tolist() == [3, 17, 40]


def test_pages_that_an_image_shares_with_others_are_no_trouble(tmp_path):
    shape = (7, 5, 5, 3)
    np.zeros(shape, np.uint8).tofile(tmp_path / "images.u8")
    images = np.memmap(tmp_path / "images.u8", np.uint8, "r", shape=shape)
    read_ahead(images, np.arange(7))
    read_ahead(images[2:], np.arange(5))  # it does not tell where it begins
    read_ahead(np.asarray(images), np.arange(7))
    read_ahead(np.zeros(shape, np.uint8), np.arange(7))


def test_streamed_batches_ask_for_the_next_one(monkeypatch):
    asked, drawn = [], []
    monkeypatch.setattr(module, "read_ahead", lambda images, places: asked.append(places.tolist()))
    store = Store.from_arrays(np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1))
    StoredBatches(store, batch_size=4, seed=1).at(0)
    assert asked == [], "all is in memory"
    monkeypatch.setattr(module, "free_memory", lambda device: 0)
    streamed = StoredBatches(store, batch_size=4, seed=1)
    for images in range(0, 24, 4):
        drawn.append(streamed.at(images).indices.tolist())
    assert asked[:-1] == drawn[1:], "also over the end of a pass"


def test_a_prepared_store_lies_in_a_file_that_can_be_asked_for(tmp_path):
    store = prepare(open_source("digits"), settings=DataSettings(), size=(16, 16), cache=tmp_path)
    assert isinstance(store.images, np.memmap)
    assert isinstance(store.images.base, mmap.mmap)
