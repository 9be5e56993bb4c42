import stat
import zipfile

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
