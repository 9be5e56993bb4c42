import errno
import json
import multiprocessing
import os
import tempfile
import time

import numpy as np
import pytest

from cardigan.data import DataSettings, prepare
from cardigan.data import cache as module
from cardigan.errors import CardiganError


def noise(seed, shape=(16, 16, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def refusal(*args, **kwargs):
    with pytest.raises(CardiganError) as caught:
        prepare(*args, **kwargs)
    return str(caught.value)


def test_a_damaged_store_is_made_again(made, cache):
    images = [noise(index) for index in range(3)]
    prepare(made(images), size=None)
    (folder,) = cache.iterdir()
    with (folder / "images.u8").open("r+b") as file:
        file.truncate(100)
    store = prepare(made(images), size=None)
    np.testing.assert_array_equal(store.images, images)
    (folder / "names.txt").write_text("0\n")
    assert prepare(made(images), size=None).names(range(3)) == ["0", "1", "2"]
    (folder / "store.json").write_text("{")
    np.testing.assert_array_equal(prepare(made(images), size=None).images, images)
    assert list(cache.iterdir()) == [folder]


def test_a_store_that_is_damaged_again_and_again_says_so(made, monkeypatch):
    monkeypatch.setattr(module, "open_store", lambda folder: None)
    assert "are damaged again and again. Delete that folder" in refusal(made([noise(0), noise(1)]), size=None)


def test_abandoned_work_is_swept_away(made, cache):
    old, young = cache / ".x.partial-old", cache / ".x.partial-young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    prepare(made([noise(0), noise(1)]), size=None)
    assert (old.exists(), young.exists()) == (False, True)


def _prepare_slowly(source, cache, results):
    os.environ["CARDIGAN_CACHE"] = cache
    store = prepare(source, size=(8, 8), on_progress=lambda *_: time.sleep(0.002))
    results.put((store.fingerprint, len(store), int(store.images.sum())))


def test_processes_at_once_agree(made, cache):
    source = made([noise(index) for index in range(50)])
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_prepare_slowly, args=(source, str(cache), results)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert len(set(answers)) == 1
    assert len(list(cache.iterdir())) == 1


def test_an_interrupted_store_leaves_nothing(made, cache):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(made([noise(0), noise(1)]), size=None, on_progress=interrupt)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_names_the_variable(made, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    said = refusal(made([noise(0), noise(1)]), size=None, cache=tmp_path / "file" / "cache")
    assert f"cannot be written to {tmp_path / 'file' / 'cache'}: Not a directory." in said
    assert "export CARDIGAN_CACHE=/path/to/folder" in said


def test_a_full_disk_says_how_much_is_free(made, monkeypatch, cache):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_sync", full)
    said = refusal(made([noise(0), noise(1)]), size=None)
    assert "No space left on device." in said
    assert "GiB are free there" in said
    assert list(cache.iterdir()) == []


def test_a_complete_store_is_read_where_nothing_can_be_written(made, monkeypatch):
    images = [noise(0), noise(1)]
    prepare(made(images), size=None)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert len(prepare(made(images), size=None)) == 2
    assert "Permission denied" in refusal(made(images), size=(8, 8))


def test_the_cache_follows_the_environment(made, monkeypatch, tmp_path):
    monkeypatch.delenv("CARDIGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    prepare(made([noise(0), noise(1)]), size=None)
    (folder,) = (tmp_path / "xdg" / "cardigan").iterdir()
    facts = json.loads((folder / "store.json").read_text())
    assert facts["shape"] == [2, 16, 16, 3]


def test_a_damaged_store_of_pieces_is_cut_again(made, cache):
    images, cut = [noise(index, (24, 16, 3)) for index in range(3)], DataSettings(fit="cut")
    whole = prepare(made(images), size=(16, 16), settings=cut)
    assert whole.pieces == (2, 2, 2)
    expected = np.array(whole.images)
    (folder,) = cache.iterdir()
    facts = json.loads((folder / "store.json").read_text())

    def again():
        calls = []
        store = prepare(made(images), size=(16, 16), settings=cut, on_progress=lambda *done: calls.append(done))
        np.testing.assert_array_equal(store.images, expected)
        assert (store.pieces, store.names([5])) == ((2, 2, 2), ["2, piece 2"])
        assert list(cache.iterdir()) == [folder]
        return len(calls)

    assert again() == 0
    older = {key: value for key, value in facts.items() if key != "pieces"}
    for changed in (older, {**facts, "format": facts["format"] - 1}, {**facts, "pieces": None}, []):
        (folder / "store.json").write_text(json.dumps(changed))
        assert again() == 3
        assert again() == 0
    with (folder / "images.u8").open("r+b") as file:
        file.truncate(16 * 16 * 3 * 5)
    assert again() == 3
    (folder / "names.txt").write_text("0\n1\n2\n")
    assert again() == 3
