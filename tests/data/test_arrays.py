import io
import zipfile

import numpy as np
import pytest

from cardigan.data import arrays as module
from cardigan.data import open_source


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_npz_of_grey_and_colour(tmp_path):
    images = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    source = open_source(
        npz(tmp_path / "a.npz", train_images=images, train_labels=np.array([0, 2, 0]), test_images=images)
    )
    assert source.classes == ("0", "1", "2")
    assert [item.label for item in source] == [0, 2, 0]
    np.testing.assert_array_equal(source.items[1].read(), images[1])
    plain = open_source(npz(tmp_path / "b.npz", images=np.zeros((2, 8, 9, 3), np.uint8)))
    assert plain.description == "2 images of images, no labels"
    assert plain.items[0].read().shape == (8, 9, 3)
    assert plain.key != source.key


def test_npz_of_jpeg_files(message, png, tmp_path):
    files = [png("red"), png("blue")]
    offsets = np.cumsum([0, *map(len, files)])
    data = np.frombuffer(b"".join(files), np.uint8)
    path = npz(tmp_path / "a.npz", train_jpeg=data, train_offsets=offsets, train_labels=np.array([1, 0]))
    source = open_source(path)
    assert [item.read() for item in source] == files
    assert [item.label for item in source] == [1, 0]
    assert "with offsets missing" in message(npz(tmp_path / "b.npz", train_jpeg=data))
    wrong = npz(tmp_path / "c.npz", train_jpeg=data, train_offsets=offsets[::-1].copy())
    assert f"do not rise within 0 to {len(data)}" in message(wrong)


IMAGES = np.zeros((3, 8, 8), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"faces": IMAGES}, "holds faces; expected train_images or images (uint8"),
        ({"images": IMAGES.astype(np.float32)}, "images in {} is float32 [3, 8, 8]; expected uint8 [N, H, W]"),
        ({"images": IMAGES[0]}, "is uint8 [8, 8]; expected uint8 [N, H, W]"),
        ({"images": np.zeros((3, 8, 8, 5), np.uint8)}, "is uint8 [3, 8, 8, 5]; expected"),
        ({"images": IMAGES[:0]}, "is uint8 [0, 8, 8]; expected"),
        (
            {"images": IMAGES, "labels": np.zeros(2, int)},
            "labels in {} are int64 [2]; expected one whole number for each",
        ),
        (
            {"images": IMAGES, "labels": np.zeros(3)},
            "are float64 [3]; expected one whole number for each of 3 images",
        ),
        ({"images": IMAGES, "labels": np.array([0, -1, 1])}, "1 label in {} is outside 0 to 2: -1 at 1. Expected"),
        ({"images": IMAGES, "labels": np.array([0, 9, -7])}, "2 labels in {} are outside 0 to 2: 9 at 1, -7 at 2."),
        ({"images": np.array([{}, None])}, "cannot be read as an .npz: Object arrays cannot be loaded"),
    ],
)
def test_wrong_arrays_say_what_was_expected(message, tmp_path, arrays, expected):
    path = npz(tmp_path / "a.npz", **arrays)
    assert expected.format(path) in message(path)


def test_a_broken_npz_says_so(message, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    assert "cannot be read as an .npz" in message(tmp_path / "a.npz")


def test_only_the_first_offending_labels_are_listed(message, tmp_path):
    path = npz(tmp_path / "a.npz", images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(2, 11) - 11)
    said = message(path)
    assert f"9 labels in {path} are outside 0 to 8: -9 at 0, -8 at 1, -7 at 2, -6 at 3, -5 at 4 and 4 more." in said


def test_falling_offsets_are_refused_in_unsigned_numbers_too(message, tmp_path):
    data, offsets = np.zeros(30, np.uint8), np.array([0, 20, 10], np.uint32)
    assert "do not rise within 0 to 30" in message(npz(tmp_path / "b.npz", train_jpeg=data, train_offsets=offsets))


def header(shape, kind="|u1", magic=(1, 0)):
    """The start of an array file that claims a shape."""
    file = io.BytesIO()
    facts = {"descr": kind, "fortran_order": False, "shape": shape}
    (np.lib.format.write_array_header_1_0 if magic == (1, 0) else np.lib.format.write_array_header_2_0)(file, facts)
    return file.getvalue()


@pytest.mark.parametrize("magic", [(1, 0), (2, 0)])
def test_headers_that_claim_too_much_are_refused_before_anything_is_unpacked(message, tmp_path, monkeypatch, magic):
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("unpacked"))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", header((10**9, 64, 64, 3), magic=magic) + bytes(64))
    assert message(tmp_path / "a.npz").startswith(
        f"images in {tmp_path / 'a.npz'} claims to be uint8 [1000000000, 64, 64, 3], 12,288,000,000,000 bytes, but the "
        "file holds 64. It is damaged"
    )


def test_arrays_have_a_cap(message, tmp_path, monkeypatch):
    path = npz(tmp_path / "a.npz", images=IMAGES, labels=np.zeros(3, int))
    monkeypatch.setattr(module, "MAX_TOTAL", 100)
    said = message(path)
    assert said.startswith(f"The arrays in {path} unpack to 0.0 GiB, expected at most 0 GiB.")
    assert "give their folder or a .zip of it" in said


def test_arrays_like_a_zip_bomb_are_refused(message, tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    size = data.index(b"PK\x01\x02") + 24  # where the archive's own list says what a member unpacks to
    data[size : size + 4] = (5 * 2**28).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(data)
    assert "unpack to 1.2 GiB, over 500 times their size, like a zip bomb." in message(tmp_path / "a.npz")


def test_object_arrays_are_never_unpickled(message, tmp_path):
    path = npz(tmp_path / "a.npz", images=IMAGES, labels=np.array([{}, None, 1]))
    assert "Object arrays cannot be loaded" in message(path)
    assert len(open_source(npz(tmp_path / "b.npz", images=IMAGES, other=np.array([{}, None])))) == 3
