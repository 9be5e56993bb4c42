import builtins

import pytest

from cardigan.data import BadImage, DataSettings, decode, hub, open_source
from cardigan.errors import CardiganError, MissingExtraError


@pytest.fixture
def library(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    return datasets


@pytest.mark.filterwarnings("ignore")
def test_imagefolder_goes_through_the_hub_library(message, tree, tmp_path, library):
    tree(tmp_path / "set", "cat/1.png", "dog/1.png", "dog/2.png")
    source = open_source(f"imagefolder:{tmp_path / 'set'}")
    assert source.classes == ("cat", "dog")
    assert sorted(item.label for item in source) == [0, 1, 1]
    assert decode(source.items[0].read()).pixels.shape == (16, 16, 3)
    assert source.description == "3 images of the column image, 2 classes"
    assert source.key == open_source(f"imagefolder:{tmp_path / 'set'}").key
    assert "The data set imagefolder:" in message(f"imagefolder:{tmp_path / 'none'}")


@pytest.mark.filterwarnings("ignore")
def test_hub_columns_are_found(message, png, library, monkeypatch):
    features = library.Features(
        {"text": library.Value("string"), "img": library.Image(), "kind": library.ClassLabel(names=["no", "yes"])}
    )
    rows = {"text": ["a", "b"], "img": [{"bytes": png(), "path": None}, None], "kind": [1, 0]}
    monkeypatch.setattr(hub, "_probe", lambda name: None)
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


def test_an_unreachable_hub_is_a_quick_and_clear_error(message, library, monkeypatch):
    def offline(name):
        raise ConnectionError("Name or service not known\nmore")

    monkeypatch.setattr(hub, "_probe", offline)
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


@pytest.fixture
def table(png, tmp_path):
    """Writes a parquet file of images as the Hub keeps them, without the Hub's own notes in it."""
    arrow = pytest.importorskip("pyarrow", reason="the library of parquet is not installed")
    from pyarrow import parquet

    def write(name, **columns):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"image": {"bytes": png(colour), "path": None}} for colour in ("red", "green", "blue", "white")]
        for at, row in enumerate(rows):
            row.update({title: values[at] for title, values in columns.items()})
        parquet.write_table(arrow.Table.from_pylist(rows), path)
        return path

    return write


@pytest.mark.filterwarnings("ignore")
def test_parquet_is_read(table, png, message, library, tmp_path):
    path = table("a.parquet", kind=["cat", "dog", "cat", "dog"])
    source = open_source(path)
    assert source.classes == ("cat", "dog")
    assert [item.label for item in source] == [0, 1, 0, 1]
    assert [item.read() for item in source] == [png(colour) for colour in ("red", "green", "blue", "white")]
    unclear = open_source(table("b.parquet", sex=list("mfmf"), side=list("llrr")))
    assert unclear.classes == ()
    assert "which of its columns holds the classes is not clear: sex, side." in unclear.remarks[0]
    assert open_source(tmp_path / "b.parquet", DataSettings(labels_from="side")).classes == ("l", "r")
    with pytest.raises(CardiganError, match=r"labels_from is 'age', but .* has the columns sex, side"):
        open_source(tmp_path / "b.parquet", DataSettings(labels_from="age"))
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    assert "c.parquet cannot be read as parquet" in message(tmp_path / "c.parquet")


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_parquet_gives_its_training_part(table, library, tmp_path):
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        table(f"set/data/{name}.parquet", label=[0, 1, 0, 1])
    source = open_source(tmp_path / "set")
    assert (len(source), source.classes) == (8, ("0", "1"))
    assert source.remarks[0].startswith("Only train is read: test (1) is left out")
    assert len(open_source(tmp_path / "set", DataSettings(split="test"))) == 4


@pytest.mark.filterwarnings("ignore")
def test_a_path_in_a_row_is_never_opened(png, library, tmp_path):
    (tmp_path / "secret.png").write_bytes(png())
    features = library.Features({"image": library.Image(decode=False)})
    rows = {"image": [{"bytes": None, "path": str(tmp_path / "secret.png")}]}
    library.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    (item,) = open_source(tmp_path / "a.parquet")
    with pytest.raises(BadImage, match=r"the row holds (a path, not an|no) image"):
        item.read()


def test_parquet_needs_its_extra(table, monkeypatch):
    path, real = table("a.parquet"), builtins.__import__

    def without(name, *args, **kwargs):
        if name == "datasets":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"Reading .*a\.parquet, which is parquet, needs .*cardigan\[hub\]"):
        open_source(path)
