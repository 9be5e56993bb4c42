import io
import re
import zipfile

import numpy as np
import pytest

from cardigan.data import DataSettings, open_source, prepare, scan
from cardigan.data import arrays as module
from cardigan.data.arrays import from_memory, images_in, labels_in
from cardigan.errors import CardiganError


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_npz_of_grey_and_colour(tmp_path):
    images = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    source = open_source(
        npz(tmp_path / "a.npz", train_images=images, train_labels=np.array([0, 2, 0]), test_images=images)
    )
    assert source.classes == ("0", "2")
    assert [item.label for item in source] == [0, 1, 0]
    assert source.ignored == {"test_images (test data)": 3}
    np.testing.assert_array_equal(source.items[1].read(), images[1, :, :, None])
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
        ({"notes": np.zeros(4)}, "holds notes [4]; expected one array of images, [N, H, W] or [N, H, W, C]. Save it"),
        ({"faces": IMAGES, "masks": IMAGES}, "holds faces [3, 8, 8], masks [3, 8, 8]: 2 arrays may be the images"),
        ({"mu": np.zeros(2048), "sigma": np.eye(20)}, "holds mu and sigma: statistics of features"),
        ({"images": IMAGES[:0]}, "images in {} is uint8 [0, 8, 8]; expected numbers, [N, H, W]"),
        ({"images": IMAGES, "labels": np.zeros(2, int)}, "labels in {} is int64 [2]; expected one label for each of 3"),
        ({"images": IMAGES, "labels": np.array([0, -1, 1])}, "labels in {}: 1 value is below 0: -1 at 1. Often that"),
        ({"images": np.array([{}, None])}, "cannot be read as an .npz: Object arrays cannot be loaded"),
    ],
)
def test_wrong_arrays_say_what_was_expected(message, tmp_path, arrays, expected):
    path = npz(tmp_path / "a.npz", **arrays)
    assert expected.format(path) in message(path)


def test_a_broken_npz_says_so(message, tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    assert "cannot be read as an .npz" in message(tmp_path / "a.npz")


def test_falling_offsets_are_refused_in_unsigned_numbers_too(message, tmp_path):
    data, offsets = np.zeros(30, np.uint8), np.array([0, 20, 10], np.uint32)
    assert "do not rise within 0 to 30" in message(npz(tmp_path / "b.npz", train_jpeg=data, train_offsets=offsets))


def pictures(count=12, side=16, channels=3):
    """Smooth colour pictures that are all different, uint8 (N, H, W, C), from 0 to 255."""
    rows, columns = np.mgrid[0:side, 0:side] * (255 // (side - 1))
    planes = [rows, columns, 255 - rows][:channels]
    return np.stack([np.roll(np.stack(planes, -1), at, axis=0) for at in range(count)]).astype(np.uint8)


COLOUR = pictures()
GREY = COLOUR[..., 0]
AS_NETWORKS_WANT_THEM = {
    "plain": (COLOUR, COLOUR, ""),
    "unit": ((COLOUR / 255).astype(np.float32), COLOUR, "float32 0 to 1"),
    "half": ((COLOUR / 255).astype(np.float16), COLOUR, "float16 0 to 1"),
    "signed": ((COLOUR / 127.5 - 1).astype(np.float32), COLOUR, "float32 -1 to 1"),
    "bytes as floats": (COLOUR.astype(np.float64), COLOUR, "float64 0 to 255"),
    "not quite whole": (np.clip(COLOUR + 0.25, 0, 255), COLOUR, "float64 0.25 to 255"),
    "int64": (COLOUR.astype(np.int64), COLOUR, "int64 0 to 255"),
    "int8": ((COLOUR.astype(int) - 128).astype(np.int8), COLOUR, "int8 -128 to 127"),
    "channels first": (COLOUR.transpose(0, 3, 1, 2), COLOUR, "channels first"),
    "both": ((COLOUR / 127.5 - 1).transpose(0, 3, 1, 2), COLOUR, "float64 -1 to 1, channels first"),
    "grey": (GREY, GREY[..., None], ""),
    "grey, channels first": (GREY[:, None], GREY[..., None], "channels first"),
    "bool": (GREY > 99, (GREY[..., None] > 99) * np.uint8(255), "bool 0 to 1"),
    "12 bits": (GREY.astype(np.uint16) * 16, GREY[..., None], "uint16 0 to 4,080"),
    "16 bits": (GREY.astype(np.uint16) * 257, GREY[..., None], "uint16 0 to 65,535"),
    "decibels": (GREY / 255 * 85.0 - 80, GREY[..., None], "float64 -80 to 5"),
    "of 0 to 16": ((GREY // 17).astype(float), GREY[..., None] // 17 * 17, "float64 0 to 15"),
}


@pytest.mark.parametrize("case", AS_NETWORKS_WANT_THEM)
def test_the_same_pictures_come_out_of_any_array(case):
    given, expected, told = AS_NETWORKS_WANT_THEM[case]
    seen = images_in(given)
    assert seen.told == told
    assert seen.pixels.shape == expected.shape
    store = prepare(from_memory(given), size=None)
    if expected.shape[3] == 3:
        assert store.images.shape == expected.shape
    np.testing.assert_allclose(store.images.astype(int), expected, atol=1)


def test_what_no_usual_range_fits_is_read_in_order_and_told_with_what_to_type():
    dark = (GREY / 255 * 3.5).astype(np.float32)  # neither 0 to 1 nor 0 to 255
    said = "\n".join(scan(from_memory(dark)).warnings)
    assert "The values run from 0 to 3.5, which is no usual range: 0 is read as black and 3.5 as white." in said
    assert "--set value_range=0..3.5" in said
    half = prepare(from_memory(dark), size=None, settings=DataSettings(value_range="0..7"))
    np.testing.assert_allclose(half.images[..., 0].astype(int), GREY // 2, atol=1)


def test_twelve_bits_are_told_with_what_to_type():
    said = "\n".join(scan(from_memory(GREY.astype(np.int32) * 16)).warnings)
    assert "The values are below 4,096, so they are read as 12 bits: 0 is black and 4,095 white." in said
    same = prepare(
        from_memory(GREY.astype(np.int32) * 16), size=None, settings=DataSettings(value_range="0..65535")
    ).images
    np.testing.assert_allclose(same[..., 0].astype(int), GREY // 16, atol=1)


@pytest.mark.parametrize("most", [1, 15])
def test_bytes_that_use_little_are_told_with_what_to_type(most):
    few = (GREY // (255 // most)).clip(0, most).astype(np.uint8)
    assert images_in(few).span is None  # bytes mean 0 to 255
    said = "\n".join(scan(from_memory(few)).warnings)
    assert f"little of the range from 0 to 255: nearly all lie between 0 and {most}" in said
    assert said.endswith(f"--set value_range=0..{most}")
    spread = prepare(from_memory(few), size=None, settings=DataSettings(value_range=f"0..{most}")).images
    assert np.unique(spread).tolist() == [round(255 * level / most) for level in range(most + 1)]


RED_FIRST, BLACK = COLOUR.transpose(0, 3, 1, 2), "np.nan_to_num(images, nan=0, posinf=0, neginf=0)"
REFUSED = {
    "rows": (GREY.reshape(12, -1), "is uint8 [12, 256]", ["images.reshape(-1, 16, 16)"]),
    "rows of CIFAR": (
        RED_FIRST.reshape(12, -1),
        "is uint8 [12, 768]",
        ["images.reshape(-1, 3, 16, 16)", "images.reshape(-1, 16, 16, 3)"],
    ),
    "counted last": (COLOUR.transpose(1, 2, 3, 0), "is uint8 [16, 16, 3, 12]", ["images.transpose(3, 0, 1, 2)"]),
    "films": (COLOUR.reshape(3, 4, 16, 16, 3), "is uint8 [3, 4, 16, 16, 3]", ["images.reshape(-1, 16, 16, 3)"]),
    "many channels": (np.tile(COLOUR, 3), "is uint8 [12, 16, 16, 9]", ["images[..., :3]"]),
    "many first": (np.tile(RED_FIRST, (1, 3, 1, 1)), "is uint8 [12, 9, 16, 16]", ["images[:, :3]"]),
    "not a number": (np.where(COLOUR == 255, np.nan, COLOUR / 255.0), "holds nan at [0, 0, 0, 2]", [BLACK]),
    "infinite": (np.where(COLOUR == 255, -np.inf, COLOUR / 255.0), "holds -inf at [0, 0, 0, 2]", [BLACK]),
    "complex": (COLOUR + 0j, "is complex128 [12, 16, 16, 3]: complex numbers", ["np.abs(images)"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_advice_that_is_followed_works_for_the_array_that_was_seen(case):
    images, seen, advice = REFUSED[case]
    with pytest.raises(CardiganError) as caught:
        images_in(images)
    assert seen in str(caught.value)
    assert all(each in str(caught.value) for each in advice)
    stores = [prepare(from_memory(eval(each, {"images": images, "np": np})), size=None).images for each in advice]
    expected = (
        np.where(COLOUR == 255, 0, COLOUR) if advice == [BLACK] else GREY[..., None] if case == "rows" else COLOUR
    )
    np.testing.assert_allclose(stores[0].astype(int), expected, atol=1)
    assert all(len(each) == 12 for each in stores)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.zeros((9, 3, 3, 3), np.uint8), "channels may lie first (3, of 3x3 pixels) or last (3, of 3x3 pixels)"),
        (np.zeros((9, 3, 64, 1), np.uint8), "channels may lie first (3, of 64x1 pixels) or last (1, of 3x64 pixels)"),
        (np.zeros((40, 60, 3), np.uint8), "It looks like one image. Save it as a PNG and give that file"),
        (np.zeros((40, 60), np.uint8), "It looks like one image. Save it as a PNG and give that file"),
        (np.zeros(9), "Put images of one size together with: np.stack(images)"),
        ([np.zeros((8, 8)), np.zeros((9, 8))], "is a list of arrays of different shapes"),
        (np.array([{}, None]), "Python objects"),
        (np.array(["a"]), "is <U1 [1]; expected numbers"),
        (np.zeros((0, 8, 8)), "is float64 [0, 8, 8]; expected numbers"),
    ],
)
def test_what_may_be_read_in_two_ways_or_in_none_is_refused(images, expected):
    with pytest.raises(CardiganError) as caught:
        images_in(images)
    assert expected in str(caught.value)


LABELS = np.arange(12) % 4


@pytest.mark.parametrize(
    ("labels", "classes", "told"),
    [
        (LABELS, ("0", "1", "2", "3"), ""),
        (LABELS[:, None].astype(np.uint8), ("0", "1", "2", "3"), "from [12, 1]"),
        (np.eye(4, dtype=np.uint8)[LABELS], ("0", "1", "2", "3"), "one-hot"),
        (np.eye(4, dtype=bool)[LABELS], ("0", "1", "2", "3"), "one-hot"),
        (np.array(["a", "b", "c", "d"])[LABELS], ("a", "b", "c", "d"), "texts"),
        (np.array([b"a", b"b", b"c", b"d"])[LABELS], ("a", "b", "c", "d"), "texts"),
        (np.array(["a", "b", "c", "d"], object)[LABELS], ("a", "b", "c", "d"), "texts"),
        (LABELS + 1, ("1", "2", "3", "4"), "named 1 to 4"),
        (LABELS.astype(float), ("0", "1", "2", "3"), "whole floats"),
        (LABELS * 5.0 + 5, ("5", "10", "15", "20"), "whole floats, named 5 to 20"),
        (LABELS % 2 * 2 - 1, ("-1", "1"), "named -1 to 1"),
        (LABELS % 2 == 1, ("False", "True"), ""),
    ],
)
def test_labels_are_read_where_their_meaning_is_clear(labels, classes, told):
    found = labels_in(labels, 12)
    assert (found.classes, found.told) == (classes, told)
    np.testing.assert_array_equal(found.indices, np.searchsorted(np.unique(LABELS), LABELS) % len(classes))


@pytest.mark.parametrize(
    ("labels", "seen"),
    [
        (np.linspace(0.1, 1, 12), "labels: 11 values are no whole number: 0.1 at 0"),
        (np.where(LABELS == 2, np.nan, LABELS), "labels: 3 values are no whole number: nan at 2"),
        (LABELS - 1, "labels: 3 values are below 0: -1 at 0, -1 at 4, -1 at 8."),
        (np.eye(4)[LABELS] * 0.7, "labels is float64 [12, 4], and row 0 is not one-hot"),
    ],
)
def test_advice_on_labels_works_for_the_labels_that_were_seen(labels, seen):
    with pytest.raises(CardiganError) as caught:
        labels_in(labels, 12)
    text = str(caught.value)
    assert seen in text
    advice = text[re.search(r"(np\.unique|labels\.argmax|\(labels >)", text).start() :]
    found = labels_in(eval(advice, {"labels": labels, "np": np}), 12)
    assert len(found.indices) == 12
    assert len(found.classes) >= 2


def test_labels_that_belong_to_other_images_are_refused():
    with pytest.raises(CardiganError, match=r"labels is int64 \[11\]; expected one label for each of 12 images"):
        labels_in(LABELS[:11], 12)


ONE, FEW = np.arange(12), GREY[:3]


@pytest.mark.parametrize(
    ("arrays", "description", "ignored"),
    [
        (
            {"x_train": GREY, "y_train": LABELS, "x_test": FEW, "y_test": LABELS[:3]},
            "12 images of x_train in 4 classes",
            {"x_test (test data)": 3, "y_test (test data)": 3},
        ),
        ({"arr_0": COLOUR}, "12 images of arr_0, no labels", {}),
        ({"arr_0": COLOUR, "arr_1": LABELS}, "12 images of arr_0 in 4 classes", {}),
        ({"X": COLOUR, "y": LABELS}, "12 images of X in 4 classes", {}),
        ({"data": COLOUR, "targets": LABELS, "ids": ONE}, "12 images of data in 4 classes", {"ids (not used)": 12}),
        ({"faces": COLOUR, "mood": LABELS}, "12 images of faces in 4 classes", {}),
        (
            {"faces": COLOUR, "a": LABELS, "b": ONE},
            "12 images of faces, no labels",
            {"a (not used)": 12, "b (not used)": 12},
        ),
        ({"x_test": GREY, "y_test": LABELS}, "12 images of x_test in 4 classes", {}),
        ({"train": GREY, "val": FEW}, "12 images of train, no labels", {"val (test data)": 3}),
        ({"images": GREY, "masks": GREY}, "12 images of images, no labels", {"masks (not used)": 12}),
        ({"validity": GREY}, "12 images of validity, no labels", {}),
    ],
)
def test_arrays_under_the_names_that_others_use(tmp_path, arrays, description, ignored):
    source = open_source(npz(tmp_path / "a.npz", **arrays))
    assert (source.description, source.ignored) == (description, ignored)
    if "class" in description:
        assert [item.label for item in source] == LABELS.tolist()


def test_what_to_type_for_one_array_of_two_works(message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = message(npz(tmp_path / "a.npz", faces=COLOUR, masks=GREY))
    exec(said[said.index("np.savez(") :], {"np": np})
    assert open_source("images.npz").description == "12 images of images, no labels"


def test_a_npy_stays_on_the_disk(message, tmp_path):
    np.save(tmp_path / "a.npy", (COLOUR / 255).astype(np.float32).transpose(0, 3, 1, 2))
    source = open_source(tmp_path / "a.npy")
    assert source.description == "12 images (float32 0 to 1, channels first), no labels"
    read = source.items[3].read()
    while not isinstance(read, np.memmap):
        read = read.base
    np.testing.assert_array_equal(prepare(source, size=None).images, COLOUR)
    np.save(tmp_path / "b.npy", np.array([{}, None]), allow_pickle=True)
    assert "b.npy cannot be read as an .npy: " in message(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:200])
    assert "c.npy cannot be read as an .npy: " in message(tmp_path / "c.npy")


def test_the_key_of_arrays_in_memory_follows_their_content():
    keys = [
        from_memory(images, labels).key
        for images, labels in (
            (GREY, None),
            (GREY.copy(), None),
            (GREY[::-1], None),
            (GREY.astype(np.int16), None),
            (GREY, LABELS),
            (GREY, LABELS[::-1]),
            (GREY, np.array(["a", "b", "c", "d"])[LABELS]),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 6


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
