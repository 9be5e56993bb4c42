import os
import shutil

import pytest

from cardigan.data import BadImage, DataSettings, open_source
from cardigan.errors import CardiganError


def test_hidden_links_and_pipes_are_counted_and_never_opened(tree, tmp_path):
    outside = tree(tmp_path / "outside", "secret.png")
    root = tree(tmp_path / "in", "a.png", ".DS_Store", "Thumbs.db", "._a.png", ".hidden/b.png")
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    source = open_source(root)
    assert [item.name for item in source] == ["a.png"]
    assert source.ignored == {
        "hidden or system": 4,
        "links that lead out of the folder": 1,
        "links that lead back to a folder above them": 1,
        "special (pipe or device)": 1,
    }


def test_files_that_change_after_the_listing_are_refused(tree, png, tmp_path):
    root = tree(tmp_path, "a.png", "b.png", "c.png", "d.png")
    source = open_source(root)
    (root / "a.png").unlink()
    (root / "b.png").write_bytes(png() + b"more")
    os.utime(root / "c.png", (1, 1))
    (root / "d.png").unlink()
    os.mkfifo(root / "d.png")
    for item, reason in zip(source, ["disappeared", "changed", "changed", "changed"], strict=True):
        with pytest.raises(BadImage, match=f"{reason} after the folder was listed"):
            item.read()
    assert open_source(root).key != source.key


def test_an_unreadable_sub_folder_is_listed(tree, tmp_path, monkeypatch):
    tree(tmp_path, "a.png", "closed/b.png")
    real = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert open_source(tmp_path).rejected == (("closed/", "the folder cannot be read: Permission denied"),)
    with pytest.raises(
        CardiganError, match=r"The folder .*closed cannot be read: Permission denied\. Check its rights"
    ):
        open_source(tmp_path / "closed")


def test_links_inside_the_folder_are_followed(tree, tmp_path):
    root = tree(tmp_path / "set", "pool/1.png", "pool/2.png", "pool/more/3.png")
    (root / "cat").mkdir()
    (root / "cat" / "a.png").symlink_to("../pool/1.png")
    (root / "dog").symlink_to("pool/more")
    source = open_source(root)
    assert [item.name for item in source] == ["cat/a.png", "dog/3.png", "pool/1.png", "pool/2.png", "pool/more/3.png"]
    assert source.classes == ("cat", "dog", "pool")
    assert source.items[0].read() == source.items[2].read()
    assert source.remarks == ()
    (tmp_path / "link").symlink_to(root)
    assert len(open_source(tmp_path / "link")) == 5


def test_links_that_lead_out_are_named_and_followed_when_asked(tree, message, tmp_path):
    tree(tmp_path / "blobs", "1.png", "2.png", "sub/3.png")
    root = tree(tmp_path / "set", "own.png")
    (root / "one.png").symlink_to(tmp_path / "blobs" / "1.png")
    (root / "all").symlink_to(tmp_path / "blobs")
    source = open_source(root)
    assert [item.name for item in source] == ["own.png"]
    assert source.ignored == {"links that lead out of the folder": 2}
    assert source.remarks == (
        f"2 links lead out of the folder, and what lies there is left out: all -> {tmp_path / 'blobs'}. To follow: "
        "--set links=follow",
    )
    followed = open_source(root, DataSettings(links="follow"))
    assert [item.name for item in followed] == ["all/1.png", "all/2.png", "all/sub/3.png", "one.png", "own.png"]
    (root / "own.png").unlink()
    assert message(root).endswith("saw 2 links that lead out of the folder. To follow the links: --set links=follow")


@pytest.mark.parametrize("links", ["inside", "follow"])
def test_loops_are_never_followed_and_dead_links_are_listed(tree, tmp_path, links):
    root = tree(tmp_path / "set", "a/1.png", "b/2.png")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "b").symlink_to(root / "b")
    (root / "b" / "a").symlink_to(root / "a")
    (root / "dead.png").symlink_to("nowhere.png")
    (root / "dead").symlink_to("nowhere")
    source = open_source(root, DataSettings(links=links))
    assert [item.name for item in source] == ["a/1.png", "a/b/2.png", "b/2.png", "b/a/1.png"]
    assert source.ignored == {"links that lead back to a folder above them": 4, "links to nothing": 1}
    assert source.rejected == (("dead.png", "a link to nothing, or unreadable: No such file or directory"),)


def test_a_web_of_links_does_not_grow(tree, tmp_path):
    root = tree(tmp_path / "set", "19/1.png")
    for number in range(19):
        (root / str(number)).mkdir()
        for name in "ab":
            (root / str(number) / name).symlink_to(root / str(number + 1))
    assert len(open_source(root)) < 40  # of 2**20 ways to the one image


RUN = b'{"command": "cardigan train photos", "request": {}, "resolved": {}}'


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_run_folders_are_no_data(tree, tmp_path, kind):
    root = tree(tmp_path / "set", "cat/1.png", "dog/2.png", "runs/x/samples/3.png", "runs/x/drawn/4.png")
    (root / "runs" / "x" / "config.json").write_bytes(RUN)
    (root / "cat" / "config.json").write_bytes(b'{"model_type": "resnet"}')
    path = root
    if kind != "folder":
        path = shutil.make_archive(str(tmp_path / "set"), kind, root)
    source = open_source(path)
    assert [item.name for item in source] == ["cat/1.png", "dog/2.png"]
    assert source.classes == ("cat", "dog")
    assert source.ignored == {"in run folders of Cardigan": 2, ".json": 1}
    assert source.remarks == ()


def test_a_run_itself_is_no_source_but_a_folder_in_it_is(tree, message, tmp_path):
    root = tree(tmp_path / "run", "drawn/1.png", "drawn/2.png")
    (root / "config.json").write_bytes(RUN)
    assert message(root).startswith(f"{root} is the folder of a run of Cardigan, and its pictures are no data")
    assert len(open_source(root / "drawn")) == 2
    assert "The pictures of runs are no data" in message(tmp_path)
