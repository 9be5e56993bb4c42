"""Advice in messages is followed to the letter, and must work: sizes, channels, batches, classes, values."""

import re

import numpy as np
import pytest
from PIL import Image

from cardigan.arguments import size as as_size
from cardigan.data.holding import hold_out
from cardigan.errors import CardiganError
from cardigan.launch import _batches, _recipe, open_store
from cardigan.request import Request, check


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CARDIGAN_CACHE", str(tmp_path / "cache"))


def begin(source, given):
    """Everything that a run does before its first turn."""
    request = Request(str(source), **given)
    settings = check(request, device="cpu")
    store = open_store(request, settings, "cpu", None, quiet=True)
    recipe = _recipe(request, settings, store, "cpu")
    split = hold_out(store, share=settings.data.hold_out, draws=recipe.degradation is None)
    _batches(store, split, recipe, seed=0, device="cpu", resident=True).at(0)
    return store


def noise(count, height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels)[: 3 + (channels > 1)], np.uint8)


def folder(path, pictures):
    path.mkdir()
    for at, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"{at}.png")
    return path


SOURCES = {
    "grey": lambda path: folder(path / "grey", noise(72, 16, 16, 1)),
    "colour": lambda path: folder(path / "colour", noise(72, 40, 40)),
    "wide": lambda path: folder(path / "wide", noise(36, 90, 160)),
    "sprites": lambda path: folder(path / "sprites", noise(40, 12, 12)),
    "few": lambda path: folder(path / "few", noise(5, 32, 32)),
    "long": lambda path: folder(path / "long", noise(33, 16, 176)),
    "one": lambda path: folder(path / "one", noise(1, 100, 1200)) / "0.png",
    "small one": lambda path: folder(path / "one", noise(1, 50, 70)) / "0.png",
}
CASES = [
    ("grey", {"recipe": "vanilla-as-printed", "size": 16}),
    ("grey", {"recipe": "dcgan-as-printed", "size": 50}),
    ("grey", {"recipe": "dcgan-as-printed", "size": 32}),
    ("grey", {"recipe": "dcgan", "size": 64}),
    ("colour", {"recipe": "vanilla-as-printed"}),
    ("colour", {"recipe": "dcgan", "size": 50}),
    ("colour", {"recipe": "quick", "size": 40, "settings": {"channels": "5"}}),
    ("wide", {"recipe": "quick", "size": (45, 80)}),
    ("wide", {"recipe": "dcgan", "size": (90, 160)}),
    ("wide", {"recipe": "quick", "size": (61, 47)}),
    ("wide", {"recipe": "fastgan-lite", "size": (45, 80)}),
    ("sprites", {"recipe": "quick"}),
    ("sprites", {"recipe": "quick", "size": 64}),
    ("few", {"recipe": "quick"}),
    ("few", {"recipe": "dcgan", "settings": {"duplicates": "keep"}}),
    ("long", {"recipe": "quick"}),
    ("one", {"recipe": "quick", "size": 64}),
    ("small one", {"recipe": "quick", "size": 64}),
    ("one", {"recipe": "quick", "settings": {"max_megapixels": "0.01"}}),
]


def advised(message):
    """What a message says to type: each alternative as words of a command line."""
    found = []
    for part in re.split(r", or |; or | or (?=--)|; |, (?=\w+ [^,]*--set)", message):
        options = re.findall(r"--(size|recipe) ([\w-]+)|--set (\w+=[\w.#-]+)", part)
        if options:
            found.append([(name or "set", value or pair) for name, value, pair in options])
        found += [[("size", side)] for side in re.findall(r"--size \d+, (\d+) or (?:\d+)", part)]
        found += [[("size", side)] for side in re.findall(r"--size \d+, \d+ or (\d+)", part)]
    return found


def followed(given, options):
    """A request with an advice taken."""
    changed = {**given, "settings": dict(given.get("settings", {}))}
    for name, value in options:
        if name == "set":
            key, _, text = value.rstrip(".").partition("=")
            changed["settings"][key] = text
        else:
            changed[name] = as_size(value) if name == "size" else value
    return changed


@pytest.mark.parametrize(("source", "given"), CASES, ids=[f"{source} {given}" for source, given in CASES])
def test_every_advice_that_is_followed_starts_a_run(tmp_path, source, given):
    path = SOURCES[source](tmp_path)
    with pytest.raises(CardiganError) as caught:
        begin(path, given)
    follow(path, given, [str(caught.value)])


def follow(path, given, messages):
    """Every advice leads to a run, at once or by way of advice on something else; none comes twice."""
    alternatives = advised(messages[-1])
    assert alternatives, messages
    assert len(messages) == len(set(messages)) <= 3, messages
    for options in alternatives:
        assert followed(given, options) != given, messages
        try:
            begin(path, followed(given, options))
        except CardiganError as error:
            follow(path, followed(given, options), [*messages, str(error)])


@pytest.mark.parametrize("recipe", ["vanilla-as-printed", "cgan-as-printed", "dcgan-as-printed"])
def test_a_recipe_of_one_size_enlarges_the_digits_and_says_so(recipe):
    """The first command of a tutorial: no size, no settings."""
    store = begin("digits", {"recipe": recipe})
    assert store.shape[:2] in ((28, 28), (64, 64))
    assert any("smaller than asked and are enlarged, which teaches blur" in text for text in store.scan["warnings"])


def test_a_run_that_began_in_colour_goes_on_in_colour_though_its_images_are_grey(tmp_path):
    grey = np.repeat(noise(40, 16, 16, 1)[..., None], 3, axis=3)
    request = Request(str(folder(tmp_path / "grey", grey)), recipe="quick")
    settings = check(request, device="cpu")
    now = open_store(request, settings, "cpu", None, quiet=True)
    before = open_store(request, settings, "cpu", (16, 16, 3), quiet=True)
    assert (now.shape, before.shape) == ((16, 16, 1), (16, 16, 3))
    np.testing.assert_array_equal(before.images, np.repeat(now.images, 3, axis=3))


def test_all_of_five_pictures_make_a_batch(tmp_path):
    assert len(begin(SOURCES["few"](tmp_path), {"recipe": "quick", "settings": {"batch_size": "5"}})) == 5


def test_what_a_crop_loses_is_told_and_padding_keeps_it(tmp_path):
    path = SOURCES["wide"](tmp_path)
    said = "\n".join(begin(path, {"recipe": "quick", "size": 64}).scan["warnings"])
    assert "Cropped to 64x64, the images lose 44% of what they show, on average." in said
    for options in advised(said[said.index("Cropped") :].partition("\n")[0]):
        kept = begin(path, followed({"recipe": "quick", "size": 64}, options)).scan["warnings"]
        assert not any("Cropped" in text for text in kept)
    fitting = begin(path, {"recipe": "quick", "size": (48, 88)}).scan["warnings"]
    assert not any("Cropped" in text for text in fitting)


def test_a_panorama_is_cut_into_pieces(tmp_path):
    assert begin(SOURCES["one"](tmp_path), {"recipe": "quick"}).shape == (32, 32, 3)
    long = SOURCES["long"](tmp_path)
    pieces = begin(long, {"recipe": "quick", "settings": {"fit": "cut"}, "size": 16})
    assert pieces.shape == (16, 16, 3)
    assert len(pieces) == 33 * 21  # each half over the next
