import builtins
import io
import os
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cardigan.data import sources
from cardigan.data.decode import BadImage, decode
from cardigan.data.sources import open_source
from cardigan.errors import CardiganError, MissingExtraError

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def shared(name):
    if not (SHARED / name).exists():
        pytest.skip(f"the shared data set {name} is not here")
    return SHARED / name


def png(colour="red", size=(16, 16)):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def tree(root, *names, content=None):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png() if content is None else content)
    return root


def zipped(path, *names, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name in names:
            file.writestr(name, png())
    return path


def message(text):
    with pytest.raises(CardiganError) as caught:
        open_source(text)
    return str(caught.value)


def test_flat_folder(tmp_path):
    source = open_source(str(tree(tmp_path, "b.png", "a.JPG", "c.webp")))
    assert [item.name for item in source] == ["a.JPG", "b.png", "c.webp"]
    assert source.classes == ()
    assert source.description == "a flat heap of 3 images, no classes"
    assert source.items[0].read() == png()


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("wrapper", ["", "data/set/"])
def test_class_folders(tmp_path, kind, wrapper):
    names = [wrapper + name for name in ("dog/1.png", "cat/1.png", "cat/more/2.png")]
    path = zipped(tmp_path / "a.zip", *names) if kind == "zip" else tree(tmp_path, *names)
    source = open_source(path)
    assert source.classes == ("cat", "dog")
    assert [item.label for item in source] == [0, 0, 1]
    assert source.description.startswith("2 class folders, 3 images")
    assert bool(wrapper) == ("(inside data/set)" in source.description)


def test_empty_class_folders_are_named(tmp_path):
    tree(tmp_path, "w/cat/1.png", "w/dog/1.png", "w/.cache/x.png")
    (tmp_path / "w" / "bird").mkdir()
    assert open_source(tmp_path).remarks == ("Class folders without images are left out: bird.",)


def test_sub_folders_that_are_no_classes_say_why(tmp_path):
    loose = open_source(tree(tmp_path / "1", "cat/1.png", "dog/1.png", "x.png"))
    assert loose.classes == ()
    assert loose.remarks == ("The 2 sub-folders were not read as classes, because 1 images lie beside them.",)
    deep = open_source(tree(tmp_path / "2", "train/cat/1.png", "test/cat/2.png"))
    assert deep.classes == ()
    assert "some of them hold no images of their own" in deep.remarks[0]


def test_no_images_says_what_was_seen(tmp_path):
    tree(tmp_path, "a.txt", "b.txt", "c.txt", "d.csv", "README", content=b"x")
    said = message(tmp_path)
    assert said.startswith(f"No images in {tmp_path}. Looked for png, jpg, jpeg, webp, bmp, gif, tif, tiff; saw ")
    assert "3 .txt" in said
    assert "1 files without an ending" in said
    (tmp_path / "empty").mkdir()
    assert "saw nothing" in message(tmp_path / "empty")


def test_hidden_links_and_pipes_are_counted_and_never_opened(tmp_path):
    outside = tree(tmp_path / "outside", "secret.png")
    root = tree(tmp_path / "in", "a.png", ".DS_Store", "Thumbs.db", "._a.png", ".hidden/b.png")
    (root / "link.png").symlink_to(outside / "secret.png")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe.png")
    source = open_source(root)
    assert [item.name for item in source] == ["a.png"]
    assert source.ignored == {
        "hidden or system": 4,
        "symbolic links, not followed": 2,
        "pipes or devices, never opened": 1,
    }


def test_files_that_change_after_the_listing_are_refused(tmp_path):
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


def test_an_unreadable_sub_folder_is_listed(tmp_path, monkeypatch):
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


def test_dangerous_zip_members_are_listed_and_never_opened(tmp_path):
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


def test_encrypted_members_are_listed(tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", "a.png", "b.png").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    source = open_source(tmp_path / "a.zip")
    assert source.rejected == (("a.png", "encrypted"),)
    assert [item.name for item in source] == ["b.png"]


def test_a_damaged_member_is_a_bad_image(tmp_path):
    data = bytearray(zipped(tmp_path / "a.zip", "a.png").read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(BadImage, match=r"damaged in the zip .*CRC"):
        open_source(tmp_path / "a.zip").items[0].read()


def test_archives_have_caps(tmp_path, monkeypatch):
    path = zipped(tmp_path / "a.zip", "a.png", "b.png", "c.png")
    with monkeypatch.context() as patch:
        patch.setattr(sources, "MAX_MEMBERS", 2)
        said = message(path)
        assert "holds 3 files that unpack to" in said
        assert "at most 2 files" in said
    with monkeypatch.context() as patch:
        patch.setattr(sources, "MAX_TOTAL", 10)
        assert "unpack it yourself and give the folder" in message(path)
    monkeypatch.setattr(sources, "MAX_MEMBER", 10)
    assert [reason for _, reason in open_source(path).rejected] == ["unpacks to 0 MiB, over the limit of 0"] * 3


def test_a_broken_zip_says_so(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK not a zip")
    assert "cannot be read as a zip: File is not a zip file. Expected a whole .zip file" in message(tmp_path / "a.zip")


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


def test_npz_of_jpeg_files(tmp_path):
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
            "are float64 [3]; expected one whole number for each of the 3 images",
        ),
        ({"images": IMAGES, "labels": np.array([0, -1, 1])}, "1 labels in {} are outside 0 to 2: -1 at 1. Expected"),
        ({"images": IMAGES, "labels": np.array([0, 9, -7])}, "2 labels in {} are outside 0 to 2: 9 at 1, -7 at 2."),
        ({"images": np.array([{}, None])}, "cannot be read as an .npz: Object arrays cannot be loaded"),
    ],
)
def test_wrong_arrays_say_what_was_expected(tmp_path, arrays, expected):
    path = npz(tmp_path / "a.npz", **arrays)
    assert expected.format(path) in message(path)


def test_a_broken_npz_says_so(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 broken")
    assert "cannot be read as an .npz" in message(tmp_path / "a.npz")


def big_image(path, size=(70, 50)):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def test_one_large_image_is_cut_into_crops(tmp_path):
    path = big_image(tmp_path / "big.png")
    source = open_source(path)
    crops = source.sized((16, 24))
    whole = np.asarray(Image.open(path))
    assert len(source) == 0
    assert len(crops) == (50 - 16 + 1) * (70 - 24 + 1)  # fewer places than crops: each place once
    assert crops.description == "one image of 70x50, cut into 1,645 crops of 24x16"
    assert len({item.name for item in crops}) == len(crops)
    item = crops.items[5]
    top, left = map(int, item.name.rpartition("(")[2].rstrip(")").split(","))
    np.testing.assert_array_equal(item.read(), whole[top : top + 16, left : left + 24])
    assert [item.name for item in open_source(path).sized((16, 24))] == [item.name for item in crops]
    assert source.sized(None).items[0].read().shape == (16, 16, 3)
    assert crops.key != source.sized(None).key
    assert crops.sized((8, 8)) is crops


def test_a_large_image_must_be_large(tmp_path):
    source = open_source(big_image(tmp_path / "big.png"))
    with pytest.raises(
        CardiganError, match=r"big.png is 70x50; crops of 32x32 need an image of at least 64x64.*--size 25"
    ):
        source.sized((32, 32))
    (tmp_path / "big.png").write_bytes(b"<html>")
    with pytest.raises(CardiganError, match=r"big.png cannot be used: looks like HTML.*Expected one whole image"):
        source.sized((8, 8))


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
    original = datasets.load_digits()
    with np.load(Path(sources.__file__).with_name("digits.npz")) as file:
        np.testing.assert_array_equal(file["images"], original.images)
        np.testing.assert_array_equal(file["labels"], original.target)
    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    assert [item.label for item in source] == original.target.tolist()
    drawn = source.items[0].read()
    assert (drawn.shape, drawn.dtype) == ((16, 16), np.uint8)
    means = drawn.reshape(8, 2, 8, 2).mean((1, 3))
    np.testing.assert_allclose(means, original.images[0] / 16 * 255, atol=40)
    assert np.corrcoef(means.ravel(), original.images[0].ravel())[0, 1] > 0.99


def test_digits_wins_over_a_folder_of_that_name_but_a_path_does_not(tmp_path, monkeypatch):
    tree(tmp_path, "digits/a.png")
    monkeypatch.chdir(tmp_path)
    assert len(open_source("digits")) == 1797
    assert len(open_source("./digits")) == 1
    assert len(open_source(Path("digits"))) == 1
    assert len(open_source(".")) == 1


def test_wrong_paths_say_what_to_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path, "photos/a.png")
    assert message("  ").startswith("The source is '  '. Expected a folder of images")
    assert message("fotos").endswith("Did you mean photos?")
    assert message("digit").endswith("Did you mean digits?")
    assert message("photos/nothing").startswith("There is no folder or file photos/nothing. Expected")
    assert "no folder or file nowhere/a.zip" in message("nowhere/a.zip")
    assert "no folder or file a\\x00b" in message("a\0b")
    assert "There is no folder or file" in message("x" * 5000)
    tree(tmp_path, "notes.txt")
    assert "notes.txt is no source of images. Expected a folder, a .zip, an .npz or one large image" in message(
        "notes.txt"
    )


def test_names_in_messages_are_escaped(tmp_path):
    odd = tmp_path / "a\n\u202eb"
    odd.mkdir()
    assert "a\\n\\u202eb. Looked for" in message(odd)


@pytest.fixture
def library(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    return datasets


@pytest.mark.filterwarnings("ignore")
def test_imagefolder_goes_through_the_hub_library(tmp_path, library):
    tree(tmp_path / "set", "cat/1.png", "dog/1.png", "dog/2.png")
    source = open_source(f"imagefolder:{tmp_path / 'set'}")
    assert source.classes == ("cat", "dog")
    assert sorted(item.label for item in source) == [0, 1, 1]
    assert decode(source.items[0].read()).pixels.shape == (16, 16, 3)
    assert source.description == "3 images of the column image, 2 classes"
    assert source.key == open_source(f"imagefolder:{tmp_path / 'set'}").key
    assert "The data set imagefolder:" in message(f"imagefolder:{tmp_path / 'none'}")


@pytest.mark.filterwarnings("ignore")
def test_hub_columns_are_found(library, monkeypatch):
    features = library.Features(
        {"text": library.Value("string"), "img": library.Image(), "kind": library.ClassLabel(names=["no", "yes"])}
    )
    rows = {"text": ["a", "b"], "img": [{"bytes": png(), "path": None}, None], "kind": [1, 0]}
    monkeypatch.setattr(sources, "_probe", lambda name: None)
    monkeypatch.setattr(library, "load_dataset", lambda name, split: library.Dataset.from_dict(rows, features=features))
    source = open_source("someone/pictures")
    assert source.name == "someone/pictures"
    assert source.classes == ("no", "yes")
    assert [item.label for item in source] == [1, 0]
    assert source.items[0].read() == png()
    with pytest.raises(BadImage, match="the row holds no image"):
        source.items[1].read()
    rows["kind"] = [1, -1]
    unlabelled = open_source("hub:pictures")
    assert unlabelled.classes == ()
    assert unlabelled.remarks == ("Not every image has a value in kind, so the set is read without classes.",)
    monkeypatch.setattr(library, "load_dataset", lambda name, split: library.Dataset.from_dict({"text": ["a"]}))
    assert "someone/texts has the columns text; expected one of images" in message("someone/texts")


def test_an_unreachable_hub_is_a_quick_and_clear_error(library, monkeypatch):
    def offline(name):
        raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr(sources, "_probe", offline)
    said = message("someone/pictures")
    assert said.startswith(
        "The data set someone/pictures cannot be loaded (ConnectionError: Name or service not known). "
        "If this machine is offline, download the data set elsewhere and give its folder"
    )
    assert "No file or folder of that name lies here" in said


def test_the_hub_needs_its_extra(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingExtraError, match=r"Reading someone/pictures as a Hugging Face data set .*cardigan\[hub\]"
    ):
        open_source("someone/pictures")


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
def test_shared_data_opens(name, count, classes):
    source = open_source(shared(name))
    assert (len(source), len(source.classes)) == (count, classes)
    raw = source.items[-1].read()
    assert (decode(raw).pixels if isinstance(raw, bytes) else raw).dtype == np.uint8
