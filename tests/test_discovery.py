import sys
import types

import pytest

from cardigan import discovery, models
from cardigan.errors import CardiganError


@pytest.fixture
def gadgets(tmp_path, monkeypatch):
    """A package ``gadgets`` with three public files and two that are not."""
    for name in ("plain", "two_words", "zebra", "_private", "__init__"):
        (tmp_path / f"{name}.py").write_text(f"NAME = {name!r}\n", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no module", encoding="utf-8")
    package = types.ModuleType("gadgets")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "gadgets", package)
    yield package
    for name in [name for name in sys.modules if name.startswith("gadgets.")]:
        del sys.modules[name]


def test_names_are_the_files_with_hyphens_sorted(gadgets, tmp_path):
    assert discovery.names(gadgets) == ["plain", "two-words", "zebra"]
    (tmp_path / "as_printed.py").write_text("", encoding="utf-8")
    assert discovery.names(gadgets) == ["as-printed", "plain", "two-words", "zebra"]


def test_a_name_becomes_its_module(gadgets):
    assert discovery.load(gadgets, "two-words").NAME == "two_words"
    assert discovery.load(gadgets, "zebra").__name__ == "gadgets.zebra"


@pytest.mark.parametrize("name", ["two_words", "_private", "../plain", "plain.NAME", "", "os"])
def test_only_listed_names_are_loaded(gadgets, name):
    with pytest.raises(CardiganError, match=r"There is no gadget .* Known: plain, two-words, zebra\."):
        discovery.load(gadgets, name)


def test_the_error_names_the_nearest_and_all(gadgets):
    with pytest.raises(CardiganError) as caught:
        discovery.load(gadgets, "two-word")
    assert str(caught.value) == (
        "There is no gadget 'two-word'. Did you mean 'two-words'? Known: plain, two-words, zebra."
    )


def test_a_suggestion_is_made_only_when_near():
    known = ["learning_rate", "width", "batch_size"]
    assert discovery.suggestion("lerning_rate", known) == " Did you mean 'learning_rate'?"
    assert discovery.suggestion("batchsize", known) == " Did you mean 'batch_size'?"
    assert discovery.suggestion("xyzzy", known) == ""
    assert discovery.suggestion("anything", []) == ""


def test_architectures_are_found_and_loaded_as_attributes():
    assert {"dcgan", "mlp", "resnet"} <= set(discovery.names(models))
    assert models.resnet is models.load("resnet")
    with pytest.raises(AttributeError, match="no attribute 'resnett'"):
        _ = models.resnett
    with pytest.raises(CardiganError, match=r"There is no model 'dgcan'\. Did you mean 'dcgan'\?"):
        models.load("dgcan")
