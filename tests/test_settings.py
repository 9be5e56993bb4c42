import pytest

from cardigan import recipes
from cardigan.data import DataSettings
from cardigan.settings import RunSettings, resolve, resolve_data


def problems(recipe, **given):
    settings, found = resolve(recipe, given)
    assert (settings is None) == bool(found)
    return found


def test_settings_are_sorted_by_whom_they_concern():
    given = {"width": "32", "flip": "true", "labels": "false", "channels": "3", "snapshots": "5"}
    settings, found = resolve("dcgan", given)
    assert found == []
    assert settings.recipe == {"width": 32, "flip": True}  # only what was given: the recipe keeps its defaults
    assert settings.data == DataSettings(labels=False, channels=3)
    assert settings.run == RunSettings(snapshots=5)


def test_nothing_given_is_every_default():
    settings, _ = resolve("dcgan", {})
    assert (settings.data, settings.run, settings.recipe) == (DataSettings(), RunSettings(), {})


def test_texts_and_typed_values_mean_the_same():
    texts = {
        "width": "32",
        "learning_rate": "1e-3",
        "flip": "true",
        "conditional": "none",
        "conditioning": "projection",
    }
    typed = {"width": 32, "learning_rate": 1e-3, "flip": True, "conditional": None, "conditioning": "projection"}
    assert resolve("dcgan", texts)[0] == resolve("dcgan", typed)[0]
    assert resolve("dcgan", texts)[0].recipe == typed


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("lerning_rate", "learning_rate"), ("widht", "width"), ("chanels", "channels"), ("snapshot", "snapshots")],
)
def test_an_unknown_key_is_named_with_its_nearest(wrong, near):
    assert problems("dcgan", **{wrong: "1"}) == [f"There is no setting {wrong!r}. Did you mean {near!r}?"]


def test_a_setting_of_another_recipe_is_unknown():
    assert problems("vanilla", clip="0.1") == ["There is no setting 'clip'. Did you mean 'flip'?"]
    assert problems("wgan", clip="0.1") == []


def test_an_unknown_key_that_is_like_no_other_has_no_suggestion():
    assert problems("dcgan", xyzzy="1") == ["There is no setting 'xyzzy'."]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("width", "x", "width is 'x', expected integer"),
        ("width", "0", "width is '0', expected greater than or equal to 1."),
        ("width", "2.5", "width is '2.5', expected integer"),
        ("batch_size", "1", "batch_size is '1', expected greater than or equal to 2."),
        ("learning_rate", "-0.1", "learning_rate is '-0.1', expected greater than 0."),
        ("learning_rate", "0,1", "learning_rate is '0,1', expected number"),
        ("learning_rate", "nan", "learning_rate is 'nan', expected "),
        ("smoothing", "1", "smoothing is '1', expected less than 1."),
        ("flip", "maybe", "flip is 'maybe', expected boolean"),
        ("conditioning", "x", "conditioning is 'x', expected 'projection' or 'concatenation'."),
        ("snapshots", "0", "snapshots is '0', expected greater than or equal to 1."),
        ("checkpoint_seconds", "-1", "checkpoint_seconds is '-1', expected greater than or equal to 0."),
        ("channels", "5", "channels is 5; expected 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA)."),
        ("fit", "squeeze", "fit is 'squeeze', expected 'crop', 'stretch', 'pad' or 'cut'."),
        ("width", None, "width is None, expected integer"),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(key, value, told):
    (found,) = problems("dcgan", **{key: value})
    assert found.startswith(told), found


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
@pytest.mark.parametrize("key", ["learning_rate", "checkpoint_seconds"])
def test_no_number_may_be_infinite_or_no_number(key, value):
    assert len(problems("dcgan", **{key: value})) == 1


def test_everything_wrong_is_told_at_once():
    found = problems("dcgan", lerning_rate="1", width="x", batch_size="-3", channels="5", snapshots="0", fit="pad")
    assert len(found) == 5
    for key in ("lerning_rate", "width", "batch_size", "channels", "snapshots"):
        assert any(key in sentence for sentence in found), key


def test_the_data_alone_knows_its_own_settings():
    assert resolve_data({"channels": "3", "fit": "pad"}) == (DataSettings(channels=3, fit="pad"), [])
    assert resolve_data({"channels": "none"}) == (DataSettings(), [])
    settings, found = resolve_data({"channels": "5", "width": "8"})
    assert settings is None
    assert len(found) == 2


def test_no_key_belongs_to_two_rooms():
    data, run = set(DataSettings.__dataclass_fields__), set(RunSettings.__dataclass_fields__)
    assert not data & run
    for name in recipes.names():
        assert not (data | run) & set(recipes.settings_model(name).model_fields), name
