from pathlib import Path

import numpy as np
import pytest

from cardigan.data import decode, open_source


def test_digits_wins_over_a_folder_of_that_name_but_a_path_does_not(tree, tmp_path, monkeypatch):
    tree(tmp_path, "digits/a.png")
    monkeypatch.chdir(tmp_path)
    assert len(open_source("digits")) == 1797
    assert len(open_source("./digits")) == 1
    assert len(open_source(Path("digits"))) == 1
    assert len(open_source(".")) == 1


def test_wrong_paths_say_what_to_type(message, tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, "photos/a.png")
    assert message("  ").startswith("The source is '  '. Expected a folder of images")
    assert message("fotos").endswith("Did you mean photos?")
    assert message("digit").endswith("Did you mean digits?")
    assert message("photos/nothing").startswith("There is no folder or file photos/nothing. Expected")
    assert "no folder or file nowhere/a.zip" in message("nowhere/a.zip")
    assert "no folder or file a\\x00b" in message("a\0b")
    assert "There is no folder or file" in message("x" * 5000)
    (tmp_path / "notes").write_bytes(b"words")
    assert "notes is no source of images. Expected a folder, a .zip or .tar, an .npz, an .npy or one" in message(
        "notes"
    )


@pytest.mark.parametrize(
    ("name", "count", "classes"),
    [
        ("faces-128.zip", 4500, 0),
        ("bees-ants-256.zip", 200, 2),
        ("fruit-348.zip", 300, 6),
        ("mnist.npz", 60_000, 10),
        ("cifar10-jpeg.npz", 50_000, 10),
    ],
)
def test_shared_data_opens(shared, name, count, classes):
    source = open_source(shared(name))
    assert (len(source), len(source.classes)) == (count, classes)
    raw = source.items[-1].read()
    assert (decode(raw).pixels if isinstance(raw, bytes) else raw).dtype == np.uint8
