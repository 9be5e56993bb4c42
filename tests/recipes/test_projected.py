"""The projected recipe: what it asks for and builds, and that a run goes on beside the same backbone only."""

import numpy as np
import pytest
import safetensors.torch
import torch

import cardigan
from cardigan import recipes
from cardigan.errors import CardiganError
from cardigan.features.classifier import Classifier
from cardigan.models import fastgan, projected
from cardigan.recipes import Task


@pytest.fixture
def backbone(tmp_path):
    """A small classifier's file; training it would teach these tests nothing."""
    return saved(tmp_path / "small.safetensors", seed=0)


def saved(path, *, seed):
    torch.manual_seed(seed)
    Classifier(classes=10, channels=1, widths=(4, 6)).save(path)
    return path


def test_without_a_backbone_it_says_what_to_type():
    told = (
        "projected judges images through a pretrained network, and none is named. Add --set backbone=timm:NAME (a "
        "network of the timm library), backbone=timm:NAME=weights.safetensors, backbone=path/to/file.safetensors (a "
        "classifier saved by cardigan.features.classifier) or backbone=package.module:function (your own)."
    )
    with pytest.raises(CardiganError) as caught:
        recipes.prepare("projected", Task(64, 64))
    assert str(caught.value) == told
    with pytest.raises(CardiganError) as caught:  # before any work, where the size is known
        cardigan.train("digits", recipe="projected", size=16, images=8, out="never")
    assert str(caught.value) == told


def test_a_backbone_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CardiganError, match=r"There is no file .*absent\.safetensors, expected a classifier"):
        recipes.prepare("projected", Task(64, 64), backbone=str(tmp_path / "absent.safetensors"))


def test_the_numbers_are_the_papers(backbone):
    recipe = recipes.prepare("projected", Task(16, 24, channels=1, classes=3), backbone=str(backbone), resolution=20)
    gan = recipe.gan
    assert isinstance(gan.generator, fastgan.Generator)
    assert isinstance(gan.discriminator, projected.Discriminator)
    assert (gan.generator.latent, gan.generator.classes, gan.discriminator.classes) == (256, 3, 3)
    assert gan.discriminator.arguments == {
        "backbone": str(backbone),
        "size": (16, 24),
        "channels": 1,
        "classes": 3,
        "width": 64,
        "resolution": 20,
    }
    assert gan.discriminator.shown == (20, 30)
    assert repr(gan.objective) == "hinge()"
    assert repr(gan.augment) == "DiffAugment(policies=('color', 'translation', 'cutout'))"
    assert recipe.batch_size == 64
    assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (2e-4, 0.0, 0.99)


def run(backbone, out, **wanted):
    small = {"width": 4, "latent": 8, "batch_size": 8, "channels": 1}
    return cardigan.train(
        "digits", recipe="projected", size=16, out=out, device="cpu", backbone=str(backbone), **small, **wanted
    )


def test_a_run_goes_on_beside_the_same_backbone_and_no_other(backbone, tmp_path):
    out = tmp_path / "run"
    trained = run(backbone, out, images=24)
    assert trained.sample(2, seed=0).shape == (2, 16, 16, 1)
    whole = run(backbone, tmp_path / "whole", images=48)
    resumed = run(backbone, out, images=48, resume=True)
    assert np.array_equal(resumed.sample(4, seed=1), whole.sample(4, seed=1))
    (saved_last, *_) = sorted((out / "checkpoints").glob("step-*"), reverse=True)
    weights = safetensors.torch.load_file(saved_last / "discriminator.safetensors")
    assert {name.partition(".")[0] for name in weights} == {"heads", "mixing", "_extra_state"}
    saved(backbone, seed=1)
    with pytest.raises(CardiganError, match=r"has other weights now .* than when this discriminator was trained"):
        run(backbone, out, images=64, resume=True)
