import builtins

import pytest

from cardigan.data import BadImage, decode, hub, open_source
from cardigan.errors import MissingExtraError


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
