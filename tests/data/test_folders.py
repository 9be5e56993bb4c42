import os

import pytest

from cardigan.data import BadImage, open_source
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
