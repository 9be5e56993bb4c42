from pathlib import Path

import numpy as np
import pytest

from cardigan.data import decode, open_source
from cardigan.data.sources import called


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


def test_patterns_and_lists_of_files(message, tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, "photos/a.png", "photos/b.png", "photos/c.jpg", "pets/cat/1.png", "pets/dog/2.png", "more/d.png")
    assert [item.name for item in open_source("photos/*.png")] == ["a.png", "b.png"]
    assert open_source("photos/*.png").name == "photos/*.png"
    assert [item.name for item in open_source(["photos/a.png", Path("more/d.png")])] == ["more/d.png", "photos/a.png"]
    assert open_source("pets/*").classes == ("cat", "dog")
    assert open_source("**/*.png").classes == ()
    both = open_source(["photos", "more"])
    assert (both.classes, len(both)) == ((), 4)
    assert both.remarks == ("photos, more are read as one. To train with classes, give the folder that holds them.",)
    assert open_source(["photos"]).name == "photos"
    assert message("photos/*.gif").startswith("There is no match for the pattern photos/*.gif.")
    assert message(["photos", "64"]).startswith("2 sources are named, and there is no file or folder 64.")
    (tmp_path / "a.zip").write_bytes(b"")
    assert "a.zip is one that is read alone" in message(["photos", "a.zip"])
    (tmp_path / "photos" / "[x].png").write_bytes((tmp_path / "photos" / "a.png").read_bytes())
    assert open_source("photos/[x].png").crops is not None


def test_what_a_source_is_called(tree, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, *(f"photos/{number}.png" for number in range(12)), "photos/x.txt")
    names = [f"photos/{number}.png" for number in range(12)]
    assert called(names) == "photos/*.png"
    assert called([*names, "photos/x.txt"]) == "photos/*"
    assert called(names[:9]) == "photos (9 files)"
    assert called(names[:2]) == "photos/0.png photos/1.png"
    assert called(np.zeros(3)) == "images-in-memory"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "https://example.com/a.zip",
            "is an address; images are read from this machine's disk. Download them first: curl -L",
        ),
        ("s3://bucket/a", "Download them first: aws s3 cp"),
        ("kaggle:someone/cats", "kaggle datasets download someone/cats"),
        ("https://huggingface.co/datasets/someone/cats", "Name the data set by its id: someone/cats"),
    ],
)
def test_addresses_say_how_to_fetch_them(message, text, said):
    assert said in message(text)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.h5", "a.h5 is HDF5, which is not read here. Instead, save its array of images: python -c"),
        ("a.mp4", "ffmpeg -i a.mp4 frames/%06d.png"),
        ("a.7z", "unpack it and give the folder"),
        ("a.tar.zst", "unpack it and give the folder"),
        ("a.pkl", "can run any code and is never read"),
        ("a.csv", "put it beside the images and give their folder"),
    ],
)
def test_other_containers_say_what_to_do(message, tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"x" * 99)
    assert said in message(name)
    assert message(".").startswith("No images in .")


def test_a_folder_of_archives_names_them(message, zipped, tmp_path):
    zipped(tmp_path / "a.zip", "1.png")
    assert message(tmp_path).endswith(f"saw 1 .zip. Give one of its files: {tmp_path / 'a.zip'}")
