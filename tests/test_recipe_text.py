"""Recipes as texts: what is shown is what would be taken."""

import pytest

from cardigan import recipes
from cardigan.data.options import FITS
from cardigan.recipe_text import details, overview
from cardigan.settings import resolve


def shown(name, key):
    """The value of a setting, as it is shown; there must be one such line."""
    (line,) = [line for line in details(name).splitlines() if line.startswith(f"  {key} = ")]
    return line.partition(" = ")[2]


def test_every_recipe_is_listed_with_its_first_sentence():
    for name in recipes.names():
        assert f"\n  {name} " in overview()


@pytest.mark.parametrize("name", recipes.names())
def test_the_settings_of_the_data_that_are_shown_are_those_that_are_taken(name):
    settings, problems = resolve(name, {})
    assert settings is not None, problems
    for key, value in vars(settings.data).items():
        assert shown(name, key) == (str(value).lower() if isinstance(value, bool | None) else str(value)), key


def test_a_restoration_cuts_and_says_what_that_is():
    assert shown("restore", "fit") == "cut"
    assert shown("dcgan", "fit") == "crop"
    lines = details("restore").splitlines()
    place = lines.index("  fit = cut")
    assert lines[place + 1 : place + 2 + len(FITS)] == [
        "    an image of another shape is",
        "    crop: cropped to its middle",
        "    stretch: made taller or wider",
        "    pad: filled up with the background",
        "    cut: cut into overlapping pieces at its own resolution, which restoration wants",
    ]
