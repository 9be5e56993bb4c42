import json
import tarfile
import zipfile

import pytest

from cardigan.data import DataSettings, open_source, scan
from cardigan.errors import CardiganError

NAMES = [f"{number:03d}.png" for number in range(6)]
KINDS = ["cat", "dog", "owl"] * 2


def csv(title="file_name,label", names=NAMES, kinds=KINDS, mark=","):
    rows = [title.replace(",", mark), *(f"{name}{mark}{kind}" for name, kind in zip(names, kinds, strict=True))]
    return "\n".join(rows).encode()


@pytest.fixture
def beside(tree, png, tmp_path):
    """A source of six images with tables: as a folder, a zip or a tar."""

    def write(tables, kind="folder", names=NAMES, **settings):
        root = tree(tmp_path / "set", *names)
        for name, content in tables.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        path = root
        if kind == "zip":
            path = tmp_path / "set.zip"
            with zipfile.ZipFile(path, "w") as file:
                for each in files:
                    file.write(each, each.relative_to(root).as_posix())
        if kind == "tar":
            path = tmp_path / "set.tar.gz"
            with tarfile.open(path, "w:gz") as file:
                file.add(root, "set")
        return open_source(path, DataSettings(**settings))

    return write


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "dataset.json",
            json.dumps({"labels": [[name, kind] for name, kind in zip(NAMES, KINDS, strict=True)]}).encode(),
        ),
        ("labels.json", json.dumps(dict(zip(NAMES, KINDS, strict=True))).encode()),
        ("metadata.csv", csv()),
        (
            "metadata.jsonl",
            b"\n".join(
                b'{"file_name": "%s", "label": "%s"}' % (name.encode(), kind.encode())
                for name, kind in zip(NAMES, KINDS, strict=True)
            ),
        ),
        ("train.csv", csv("id,breed", [name[:3] for name in NAMES])),
        ("train.csv", csv("id,anything", [str(int(name[:3])) for name in NAMES])),
        ("semicolons.csv", csv(mark=";")),
        ("tabs.tsv", csv("a,kind", mark="\t")),
        ("paths.csv", csv(names=[f"./set\\{name}" for name in NAMES])),
        ("excel.csv", csv().decode().encode("utf-16")),
        ("untitled.csv", csv().partition(b"\n")[2]),
        ("list.txt", csv(mark=" ").partition(b"\n")[2]),
        (
            "onehot.csv",
            b"image,cat,dog,owl\n"
            + b"\n".join(
                f"{name[:3]},{at % 3 == 0:d},{at % 3 == 1:d},{at % 3 == 2:d}".encode() for at, name in enumerate(NAMES)
            ),
        ),
    ],
)
def test_tables_give_classes(beside, name, content, kind):
    source = beside({name: content}, kind)
    assert source.classes == ("cat", "dog", "owl")
    assert [item.label for item in source] == [0, 1, 2, 0, 1, 2]
    assert "3 classes from " in source.description
    assert name in source.description
    assert not source.remarks
    assert not source.ignored


def test_a_table_beside_the_folder_of_its_images(beside):
    source = beside(
        {"train.csv": csv("id,label", [name[:3] for name in NAMES])}, names=[f"train/{name}" for name in NAMES]
    )
    assert source.classes == ("cat", "dog", "owl")
    assert source.description == "6 images, 3 classes from train.csv (column label)"


def test_numbers_are_classes_in_their_order(beside):
    source = beside({"dataset.json": json.dumps({"labels": [[n, at % 2 + 9] for at, n in enumerate(NAMES)]}).encode()})
    assert source.classes == ("9", "10")
    assert [item.label for item in source] == [0, 1] * 3


def test_a_data_set_that_says_it_has_no_labels(beside):
    source = beside({"dataset.json": b'{"labels": null}'}, names=[f"{at % 2}/{name}" for at, name in enumerate(NAMES)])
    assert source.classes == ()
    assert source.description == "6 images, no classes, as dataset.json says"
    assert source.remarks == ("The folders are not read as classes. If they are: --set labels_from=folders",)


def test_the_key_changes_with_the_labels(beside):
    first = beside({"metadata.csv": csv()}, "zip").key
    assert first == beside({"metadata.csv": csv()}, "zip").key
    assert first != beside({"metadata.csv": csv(kinds=KINDS[::-1])}, "zip").key
    assert first != beside({"metadata.csv": csv()}, "zip", labels=False).key


def test_folders_that_say_the_same_keep_their_names(beside):
    names = [f"{kind}/{name}" for kind, name in zip(KINDS, NAMES, strict=True)]
    numbers = {"cat": 0, "dog": 1, "owl": 2}
    source = beside({"all.csv": csv(names=names, kinds=[numbers[kind] for kind in KINDS])}, names=names)
    assert source.classes == ("cat", "dog", "owl")
    assert source.remarks == ()
    assert source.description == "3 class folders, 6 images"


def test_a_table_overrules_folders_that_say_something_else(beside):
    names = [f"site{at % 2}/{name}" for at, name in enumerate(NAMES)]
    tables = {"data.csv": csv(names=NAMES)}
    source = beside(tables, names=names)
    assert source.classes == ("cat", "dog", "owl")
    assert source.remarks == ("The folders are not read as classes. If they are: --set labels_from=folders",)
    assert beside(tables, names=names, labels_from="folders").classes == ("site0", "site1")


def test_one_table_in_each_folder(beside):
    names = [f"{at % 2:05d}/{name}" for at, name in enumerate(NAMES)]
    rows = {
        kind: b"Filename;ClassId\n"
        + b"".join(f"{name[6:]};{kind}\n".encode() for name in names if name.startswith(f"{kind:05d}"))
        for kind in (0, 1)
    }
    source = beside({f"{kind:05d}/GT-{kind}.csv": content for kind, content in rows.items()}, names=names)
    assert source.classes == ("00000", "00001")
    assert not source.ignored


def test_what_is_not_clear_is_said_and_chosen(beside):
    rows = b"image,sex,side,age\n" + b"".join(
        f"{name},{'mf'[at % 2]},{'lr'[at // 3]},{at}.5\n".encode() for at, name in enumerate(NAMES)
    )
    source = beside({"skin.csv": rows})
    assert source.classes == ()
    assert source.remarks == (
        "skin.csv names 6 of 6 images, but which of its columns holds the classes is not clear: sex, side. Type --set "
        "labels_from=sex, or --set labels=false.",
    )
    assert source.remarks[0] in scan(source).warnings
    assert beside({"skin.csv": rows}, labels_from="side").classes == ("l", "r")
    assert beside({"skin.csv": rows}, labels_from="skin.csv:sex").classes == ("f", "m")
    with pytest.raises(
        CardiganError, match=r"labels_from is 'sexx', but there is no such column .* columns sex, side, age"
    ):
        beside({"skin.csv": rows}, labels_from="sexx")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "metadata.csv",
            csv("file_name,text", kinds=[f"photo number {at}" for at in range(6)]),
            "none of its columns looks like classes: text",
        ),
        (
            "metadata.csv",
            csv(names=[f"x{name}" for name in NAMES]),
            "metadata.csv names images, none of which is among those read: x000.png",
        ),
        (
            "half.csv",
            csv(names=NAMES[:4], kinds=KINDS[:4]),
            "gives classes to 4 of 6 images only, so they are not used. To train on these only: --set labels_from=",
        ),
        (
            "boxes.csv",
            csv(names=[*NAMES, "000.png"], kinds=[*KINDS, "dog"]),
            "boxes.csv gives more than one label to 1 image (000.png), so it is not read as classes.",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_never_silent(beside, name, content, said):
    source = beside({name: content})
    assert source.classes == ()
    (remark,) = source.remarks
    assert said in remark


def test_two_tables_that_differ(beside):
    tables = {"breed.csv": csv("id,breed"), "style.csv": csv("id,style", kinds=["old"] * 3 + ["new"] * 3)}
    source = beside(tables)
    assert source.classes == ()
    assert source.remarks[0].startswith(
        "Classes are found in breed.csv (column breed), style.csv (column style), and they differ"
    )
    assert beside(tables, labels_from="style.csv").classes == ("new", "old")


def test_images_without_a_label_are_left_out_where_the_table_is_asked_for(beside):
    source = beside({"half.csv": csv(names=NAMES[:4], kinds=KINDS[:4])}, labels_from="half.csv")
    assert len(source) == 4
    assert source.rejected == tuple((name, "has no label in half.csv (column label)") for name in NAMES[4:])


def test_other_files_are_no_tables(beside):
    source = beside(
        {"notes.txt": b"words and words", "a.json": b"{broken", "b.json": b"[1, 2]", "c.csv": b"a,b\n1,2\n"}
    )
    assert source.ignored == {".json": 2, ".csv": 1, ".txt": 1}
    assert source.remarks == ()


def test_accents_are_compared_as_they_are_read(beside):
    source = beside({"metadata.csv": csv(names=["e\u0301.png", *NAMES[1:]])}, names=["\u00e9.png", *NAMES[1:]])
    assert source.classes == ("cat", "dog", "owl")
