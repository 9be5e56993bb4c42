import errno
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from cardigan import models
from cardigan.sample import draw, latents_for
from cardigan.watchers import snapshots as snapshots_module
from cardigan.watchers.snapshots import DRAWN, MEASURED, ROWS, SNAPSHOTS, Snapshots, affordable, layout


def taken(snapshots, moments):
    return [moment for moment in moments if snapshots.due(moment)]


def network(**wanted):
    return models.mlp.Generator(size=4, latent=3, hidden=(8,), **wanted).eval()


def test_moments_are_dense_at_the_start(tmp_path):
    moments = [place / 1000 for place in range(1001)]
    assert taken(Snapshots(tmp_path, count=4), moments) == [0.0, 0.063, 0.25, 0.563]
    assert taken(Snapshots(tmp_path, count=1), moments) == [0.0]


def test_moments_that_were_passed_over_are_taken_once(tmp_path):
    assert taken(Snapshots(tmp_path, count=10), [0.0, 0.5, 0.5, 0.63, 0.65, 1.0]) == [0.0, 0.5, 0.65, 1.0]


def test_a_resumed_run_goes_on_with_the_moments_that_are_left(tmp_path):
    snapshots = Snapshots(tmp_path, count=4, spent=0.25, images=64)
    assert taken(snapshots, [place / 1000 for place in range(250, 1001)]) == [0.563]


def test_fewer_are_taken_where_they_take_long(tmp_path):
    moments = [place / 1000 for place in range(1001)]
    snapshots = Snapshots(tmp_path, count=24)
    assert snapshots.due(0.0)
    snapshots.thin(4, 0.0)
    assert taken(snapshots, moments) == [0.063, 0.25, 0.563]
    snapshots.thin(0, 0.0)
    assert taken(snapshots, moments) == []
    assert taken(Snapshots(tmp_path, count=0), moments) == []


def test_pictures_draw_no_more_than_their_share_of_a_budget_in_images():
    for images in (1, 64, 2_559, 2_560, 20_000, 61_440, 10**7):
        count = affordable(images)
        assert count * (MEASURED + ROWS * ROWS) <= DRAWN * images
        assert count == SNAPSHOTS or (count + 1) * (MEASURED + ROWS * ROWS) > DRAWN * images


def test_a_resumed_run_removes_the_pictures_beyond_it(tmp_path):
    for name in ("000000000064.png", "000000000128.png", "mine.png", "real.npy"):
        (tmp_path / name).write_bytes(b"")
    Snapshots(tmp_path, count=4, spent=0.2, images=64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000000064.png", "mine.png", "real.npy"]


@pytest.mark.parametrize(("classes", "columns"), [(0, 8), (1, 8), (2, 2), (10, 10), (12, 12), (13, 8), (100, 8)])
def test_each_class_has_a_column_where_there_are_few(classes, columns):
    found, labels = layout(classes)
    assert found == columns
    if classes == 0:
        assert labels is None
    else:
        assert labels.shape == (ROWS * columns,)
        assert 0 <= labels.min() <= labels.max() < classes
    if 2 <= classes <= 12:
        assert torch.equal(labels.reshape(ROWS, columns), torch.arange(classes).expand(ROWS, -1))


def test_a_picture_is_a_grid_of_the_same_latents(tmp_path):
    snapshots, generator = Snapshots(tmp_path, count=4, seed=5), network()
    first = snapshots.take(generator, images=0)
    again = snapshots.take(generator, images=1_234)
    snapshots.settle()
    assert (first.name, again.name) == ("000000000000.png", "000000001234.png")
    assert first.read_bytes() == again.read_bytes()
    with Image.open(first) as opened:
        sheet = np.asarray(opened.convert("L"))
    expected = draw(generator, latents_for(generator, 64, seed=5))
    step = (sheet.shape[0] - 4) // (ROWS - 1)
    for place in (0, 1, 9, 63):
        row, column = divmod(place, 8)
        cell = sheet[row * step : row * step + 4, column * step : column * step + 4]
        np.testing.assert_array_equal(cell, expected[place].reshape(4, 4))
    other = Snapshots(tmp_path, count=4, seed=6)
    path = other.take(generator, images=1)
    other.settle()
    assert path.read_bytes() != first.read_bytes()


def test_a_conditional_picture_shows_every_class(tmp_path):
    snapshots = Snapshots(tmp_path, count=4)
    path = snapshots.take(network(classes=10), images=0)
    snapshots.settle()
    with Image.open(path) as opened:
        assert opened.width > opened.height


def test_nobody_waits_for_a_picture_to_be_written(tmp_path, monkeypatch):
    """The second waits for the first, so that no two are in memory and none is lost."""
    begun, may_end = threading.Event(), threading.Event()
    write = snapshots_module.save_png

    def slowly(picture, path):
        begun.set()
        assert may_end.wait(60)
        return write(picture, path)

    monkeypatch.setattr(snapshots_module, "save_png", slowly)
    snapshots = Snapshots(tmp_path, count=4)
    first = snapshots.take(network(), images=0)
    assert begun.wait(60)
    assert not first.exists()
    may_end.set()
    second = snapshots.take(network(), images=64)
    assert first.exists()
    snapshots.settle()
    assert second.exists()
    snapshots.settle()  # nothing is left to wait for


def test_a_picture_that_could_not_be_written_is_told_of(tmp_path, monkeypatch):
    def full(picture, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(snapshots_module, "save_png", full)
    snapshots = Snapshots(tmp_path, count=4)
    snapshots.take(network(), images=0)
    with pytest.raises(OSError, match="No space left on device"):
        snapshots.settle()
    snapshots.settle()  # once
