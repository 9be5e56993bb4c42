"""The restoration recipe: what its game may look through."""

import pytest
import torch

from cardigan import recipes
from cardigan.contracts import Batch
from cardigan.errors import CardiganError
from cardigan.features import Features
from cardigan.features.classifier import Classifier
from cardigan.recipes import Task
from cardigan.regularizers import Perceptual
from cardigan.training.steps import Fakes, play


def prepared(**settings):
    return recipes.prepare("restore", Task(16, 16, 3), width=4, levels=1, blocks=1, **settings)


def looking(stage):
    return [term for term in stage.gan.terms if isinstance(term, Perceptual)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "classifier.safetensors"
    Classifier(classes=3, channels=1, widths=(4, 8)).save(path)
    return str(path)


def refused(**settings):
    with pytest.raises(CardiganError) as caught:
        prepared(**settings)
    return str(caught.value)


def test_the_games_generator_also_looks_through_the_network_named(path):
    content, critic, game = prepared(perceptual=0.3, features=path, matching=0.1).stages
    assert looking(content) == []
    assert looking(critic) == looking(game)
    (term,) = looking(game)
    assert isinstance(term.features, Features)
    assert (term.weight, term.features.name) == (0.3, path)
    assert [each.name for each in game.gan.terms] == ["content", "matching", "perceptual"]
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    source = images.roll(1, dims=3)
    fakes = Fakes(game.gan.generator(source), source, None)
    played = play(game.gan, "generator", Batch(images, source=source), fakes, steps=0)
    played.losses["perceptual"].backward()
    slopes = [weight.grad for weight in game.gan.generator.parameters() if weight.grad is not None]
    assert sum(float(slope.abs().sum()) for slope in slopes) > 0
    assert all(weight.grad is None for weight in term.features.parameters())


def test_without_the_settings_nothing_is_looked_through():
    assert not any(looking(stage) for stage in prepared().stages)


def test_the_networks_start_the_same_whatever_is_looked_through(path):
    plain, looked = (each.gan.generator.state_dict() for each in (prepared(), prepared(perceptual=1.0, features=path)))
    assert all(torch.equal(plain[key], looked[key]) for key in plain)


def test_what_the_run_records_names_the_network_and_its_digest(path):
    recipe = prepared(perceptual=0.3, features=path)
    (term,) = looking(recipe.stages[-1])
    told = repr(term)
    assert path in told
    assert term.features.digest[:12] in told
    assert len(told) < len(path) + 200
    assert term in recipe.gan.terms


def test_one_setting_without_the_other_is_refused(path):
    assert refused(perceptual=0.1) == (
        "perceptual=0.1 compares results with photos through another network, and none is named. Add --set "
        "features=path/to/classifier.safetensors or --set features=timm:NAME."
    )
    assert refused(features=path) == (
        f"features={path} is only looked through by the perceptual loss, whose weight is 0. Add --set perceptual=0.1, "
        "or leave features out."
    )


def test_a_network_that_cannot_be_used_is_refused_before_any_work(tmp_path):
    assert refused(perceptual=0.1, features="vgg").startswith("There is no feature extractor 'vgg'. Expected timm:NAME")
    deep = tmp_path / "deep.safetensors"
    Classifier(classes=2, widths=(2,) * 6).save(deep)
    said = refused(perceptual=0.1, features=str(deep))
    assert said.startswith(f"The feature extractor {deep} fails on images of 16x16 pixels (RuntimeError: ")


def test_the_settings_are_checked_where_networks_have_no_weights(path):
    with torch.device("meta"):
        (term,) = looking(prepared(perceptual=0.3, features=path).stages[-1])
    assert {weight.device.type for weight in term.features.parameters()} == {"cpu"}
