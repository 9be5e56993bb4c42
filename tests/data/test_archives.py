import io
import os
import stat
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from cardigan.data import BadImage, archives, decode, open_source


def test_dangerous_zip_members_are_listed_and_never_opened(zipped, tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    names = ("../up.png", "/root.png", "C:\\win.png", "a\\..\\..\\b.png", "good.png", "__MACOSX/._good.png", "x.txt")
    with zipfile.ZipFile(zipped(tmp_path / "a.zip", *names), "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(link, "/etc/passwd")
        file.writestr("bomb.bmp", bytes(3_000_000))
    source = open_source(tmp_path / "a.zip")
    assert [item.name for item in source] == ["good.png"]
    assert decode(source.items[0].read()).pixels.shape == (16, 16, 3)
    out = "its path leads out of the archive"
    assert dict(source.rejected) == {
        "../up.png": out,
        "/root.png": out,
        "C:/win.png": out,
        "a/../../b.png": out,
        "link.png": "a link or a device",
        "bomb.bmp": "unpacks to over 500 times its size, like a zip bomb",
    }
    assert source.ignored == {"hidden or system": 1, ".txt": 1}


def test_encrypted_members_are_listed(zipped, tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", "a.png", "b.png").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    source = open_source(tmp_path / "a.zip")
    assert source.rejected == (("a.png", "encrypted"),)
    assert [item.name for item in source] == ["b.png"]


def test_a_damaged_member_is_a_bad_image(zipped, tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", "a.png").read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BadImage, match=r"damaged in the zip .*CRC"):
        open_source(tmp_path / "a.zip").items[0].read()


def test_archives_have_caps(message, zipped, tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", "a.png", "b.png", "c.png")
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_MEMBERS", 2)
        said = message(path)
        assert "holds 3 files that unpack to" in said
        assert "at most 2 files" in said
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_TOTAL", 10)
        assert "unpack it yourself and give the folder" in message(path)
    monkeypatch.setattr(archives, "MAX_MEMBER", 10)
    assert [reason for _, reason in open_source(path).rejected] == ["unpacks to 0 MiB, over the limit of 0"] * 3


def test_a_broken_zip_says_so(message, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK not a zip")
    assert "cannot be read as a zip: File is not a zip file. Expected a whole .zip file" in message(tmp_path / "a.zip")


def tarred(path, members, mode="w"):
    """A tar of (name or header, bytes)."""
    with tarfile.open(path, mode) as file:
        for member, content in members:
            header = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            header.size = len(content) if header.isreg() else 0
            file.addfile(header, io.BytesIO(content))
    return path


def header(name, kind, target=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.tar", "w"),
        ("a.tar.gz", "w:gz"),
        ("a.tgz", "w:gz"),
        ("a.tar.bz2", "w:bz2"),
        ("a.tar.xz", "w:xz"),
        ("b.tar", "w:gz"),
    ],
)
def test_tars_are_read_like_folders(png, tmp_path, name, mode):
    members = [
        (f"./set/{kind}/{number}.png", png(colour))
        for kind, colour in (("dog", "red"), ("cat", "blue"))
        for number in (2, 1)
    ]
    source = open_source(
        tarred(tmp_path / name, [*members, ("./set/.DS_Store", b"x"), ("./set/notes.txt", b"x")], mode)
    )
    assert [item.name for item in source] == ["set/cat/1.png", "set/cat/2.png", "set/dog/1.png", "set/dog/2.png"]
    assert source.classes == ("cat", "dog")
    assert source.ignored == {"hidden or system": 1, ".txt": 1}
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda item: item.read(), [*source] * 8))
    assert read == [png("blue"), png("blue"), png("red"), png("red")] * 8
    assert source.key == open_source(tmp_path / name).key


def test_dangerous_tar_members_are_listed_and_never_opened(png, tmp_path):
    members = [
        ("good.png", png()),
        ("/root.png", png()),
        ("a/../../up.png", png()),
        (header("hard.png", tarfile.LNKTYPE, "good.png"), b""),
        (header("soft/near.png", tarfile.SYMTYPE, "../good.png"), b""),
        (header("out.png", tarfile.SYMTYPE, "../../etc/passwd"), b""),
        (header("absolute.png", tarfile.SYMTYPE, "/etc/passwd"), b""),
        (header("pipe.png", tarfile.FIFOTYPE), b""),
    ]
    source = open_source(tarred(tmp_path / "a.tar", members))
    assert [item.name for item in source] == ["good.png", "hard.png", "soft/near.png"]
    assert {item.read() for item in source} == {png()}
    assert dict(source.rejected) == {
        "/root.png": "its path leads out of the archive",
        "a/../../up.png": "its path leads out of the archive",
        "out.png": "a link that leads to no file in the archive",
        "absolute.png": "a link that leads to no file in the archive",
        "pipe.png": "a device, or a file with holes",
    }


def test_tars_have_caps(message, png, tmp_path, monkeypatch):
    bomb = tarred(tmp_path / "bomb.tar.gz", [("a.png", png()), ("b.bmp", bytes(2**27))], "w:gz")
    assert "bomb.tar.gz unpacks to over 500 times its size, like a bomb" in message(bomb)
    forged = header("pax", tarfile.XHDTYPE)
    forged.size = 2**31
    with tarfile.open(tmp_path / "forged.tar.gz", "w:gz") as file:
        file.addfile(forged)
    assert "cannot be read as a tar: a header claims to be too large" in message(tmp_path / "forged.tar.gz")
    path = tarred(tmp_path / "a.tar", [(f"{number}.png", png()) for number in range(4)])
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    assert "Expected at most 2 files" in message(path)


def test_a_broken_tar_says_so(message, png, tmp_path):
    whole = tarred(
        tmp_path / "a.tar.gz", [(f"{number}.png", os.urandom(2000)) for number in range(20)], "w:gz"
    ).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert "a.tar.gz cannot be read as a tar" in message(tmp_path / "a.tar.gz")
    (tmp_path / "b.tar").write_bytes(b"words" * 500)
    assert "b.tar cannot be read as a tar" in message(tmp_path / "b.tar")
