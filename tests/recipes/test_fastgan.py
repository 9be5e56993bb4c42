"""The recipes of FastGAN, and of the self-supervised GAN: that they ask for the numbers of their papers and code."""

import pytest
import torch

from cardigan import recipes, regularizers
from cardigan.augment import AdaptiveAugment, DiffAugment
from cardigan.clock import Progress
from cardigan.contracts import Unchanged
from cardigan.models import fastgan, resnet
from cardigan.recipes import Task

SMALL = {"width": 4, "latent": 8}


def prepare(name, task=None, **settings):
    """The recipe for 64 x 64 colour images, small."""
    return recipes.prepare(name, task or Task(64, 64), **{**SMALL, **settings})


def test_fastgans_numbers_are_the_papers():
    with torch.device("meta"):
        recipe = recipes.prepare("fastgan", Task(64, 96, channels=1, classes=3))
    gan, shape = recipe.gan, {"size": (64, 96), "channels": 1, "classes": 3, "width": 64}
    assert isinstance(gan.generator, fastgan.Generator)
    assert isinstance(gan.discriminator, fastgan.Discriminator)
    expected = shape | {"latent": 256, "two_scales": True, "excitation": True, "output": "tanh", "pairs": "code"}
    assert gan.generator.arguments.items() >= expected.items()
    assert gan.discriminator.arguments.items() >= (shape | {"excitation": True, "decoders": True}).items()
    assert repr(gan.objective) == "hinge()"
    assert gan.terms == (regularizers.Reconstruction(1.0, regularizers.pixels_and_slopes, targets="antialias"),)
    assert repr(gan.augment) == "DiffAugment(policies=('color', 'translation'))"
    assert (recipe.batch_size, recipe.half_life, recipe.flip) == (8, 5_500, True)
    assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (2e-4, 0.5, 0.999)
    assert [recipe.schedule(spent) for spent in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 1.0, 0.1])
    assert recipe.turns(Progress()) == ("discriminator", "generator")


def test_the_numbers_for_a_cpu():
    recipe = recipes.prepare("fastgan-lite", Task(64, 64, channels=3, classes=3))
    gan, shape = recipe.gan, {"size": (64, 64), "channels": 3, "classes": 3, "width": 8, "spectral": False}
    assert isinstance(gan.generator, fastgan.Generator)
    assert isinstance(gan.discriminator, fastgan.Discriminator)
    assert gan.generator.arguments.items() >= (shape | {"latent": 256, "two_scales": True}).items()
    assert gan.discriminator.arguments.items() >= (shape | {"decoders": True, "texture": True}).items()
    assert repr(gan.objective) == "hinge()"
    assert gan.terms == (regularizers.Reconstruction(1.0),)
    assert isinstance(gan.augment, AdaptiveAugment)
    assert (recipe.batch_size, recipe.half_life, recipe.flip) == (8, 5_500, True)
    assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (3e-3, 0.0, 0.99)
    assert [recipe.schedule(spent) for spent in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.515, 0.03])


@pytest.mark.parametrize("name", ["fastgan", "fastgan-lite"])
@pytest.mark.parametrize("excitation", [True, False])
def test_excitation_is_that_of_both_networks(name, excitation):
    gan = prepare(name, excitation=excitation).gan
    for network in (gan.generator, gan.discriminator):
        assert network.arguments["excitation"] is excitation
        assert bool(len(network.excitations)) is excitation


@pytest.mark.parametrize("name", ["fastgan", "fastgan-lite"])
def test_without_reconstruction_there_are_neither_decoders_nor_term(name):
    gan = prepare(name, reconstruction=0).gan
    assert gan.terms == ()
    assert len(gan.discriminator.decoders) == 0
    gan = prepare(name, reconstruction=0.3).gan
    assert [term.weight for term in gan.terms] == [0.3]
    assert len(gan.discriminator.decoders) == 3


@pytest.mark.parametrize("recipe", ["fastgan", "fastgan-lite"])
@pytest.mark.parametrize(("name", "kind"), [("fixed", DiffAugment), ("adaptive", AdaptiveAugment), ("off", Unchanged)])
def test_the_kinds_of_augmentation(recipe, name, kind):
    found = prepare(recipe, augmentation=name).gan.augment
    assert type(found) is kind
    if kind is not Unchanged:
        assert tuple(found.policies) == ("color", "translation")


@pytest.mark.parametrize("name", ["fastgan", "fastgan-as-published"])
def test_features_judge_the_decoders_instead_of_pixels(name):
    """Through a network that changes nothing, features are colours: brought to unit length, so that only their
    direction counts, and opposite ones are 2 apart."""
    (term,) = prepare(name).gan.terms
    assert term.distance is regularizers.pixels_and_slopes
    (term,) = prepare(name, features="torch.nn:Identity").gan.terms
    colours = torch.randn(5, 3, 1, 1).expand(-1, -1, 8, 8)
    for factor, expected in ((0.5, 0.0), (-0.5, 4.0)):
        torch.testing.assert_close(term.distance(factor * colours, colours), torch.full((5,), expected))


@pytest.mark.parametrize("batch_size", [8, 6])
def test_the_numbers_as_published(batch_size):
    recipe = prepare("fastgan-as-published", Task(64, 64, classes=3), batch_size=batch_size)
    gan = recipe.gan
    assert (gan.generator.classes, gan.discriminator.classes) == (0, 0)
    assert gan.generator.arguments["two_scales"]
    assert gan.discriminator.arguments["decoders"]
    assert repr(gan.objective) == "hinge(margin=(0.8, 1.0))"
    weighed = float(batch_size)  # the loss is a mean over the batch, and the published one a sum
    assert gan.terms == (regularizers.Reconstruction(weighed, regularizers.pixels_and_slopes, targets="nearest"),)
    assert repr(gan.augment) == "DiffAugment(policies=('color', 'translation'))"
    assert recipe.batch_size == batch_size
    assert recipe.half_life == 693 * batch_size
    assert 0.999 ** (recipe.half_life / batch_size) == pytest.approx(0.5, abs=5e-4)
    assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (2e-4, 0.5, 0.999)
    assert recipe.schedule(1.0) == 1.0
    assert recipe.flip


def test_the_published_defaults():
    with torch.device("meta"):
        recipe = recipes.prepare("fastgan-as-published", Task(64, 64))
    assert (recipe.batch_size, recipe.gan.terms[0].weight, recipe.half_life) == (8, 8.0, 5544)
    assert (recipe.gan.generator.arguments["width"], recipe.gan.generator.latent) == (64, 256)


@pytest.mark.parametrize(
    ("height", "width", "output"),
    [(64, 64, "none"), (512, 512, "none"), (896, 896, "none"), (1024, 1024, "tanh"), (512, 1024, "tanh")],
)
def test_tanh_is_published_from_1024_pixels_on(height, width, output):
    with torch.device("meta"):
        gan = prepare("fastgan-as-published", Task(height, width)).gan
    assert gan.generator.arguments["output"] == output
    assert isinstance(gan.generator.activation, torch.nn.Tanh) is (output == "tanh")


def test_ssgans_numbers_are_the_papers():
    with torch.device("meta"):
        recipe = recipes.prepare("ssgan", Task(32, 32, classes=3))
    gan = recipe.gan
    assert {term.player: term.weight for term in gan.terms} == {"discriminator": 1.0, "generator": 0.2}
    assert all(isinstance(term, regularizers.Rotation) for term in gan.terms)
    assert len(gan.terms) == 2
    assert isinstance(gan.generator, resnet.Generator)
    assert isinstance(gan.discriminator, regularizers.Rotating)
    assert isinstance(gan.discriminator.discriminator, resnet.Discriminator)
    assert (gan.generator.latent, gan.generator.classes, gan.discriminator.classes) == (128, 3, 3)
    assert repr(gan.objective) == "hinge()"
    assert (recipe.batch_size, recipe.flip) == (64, False)
    assert (recipe.optimizers.learning_rate, recipe.optimizers.beta1, recipe.optimizers.beta2) == (2e-4, 0.0, 0.9)
    assert [recipe.turns(Progress(turns=count))[0][0] for count in range(6)] == list("ddgddg")
    assert [recipe.schedule(spent) for spent in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])


def test_ssgan_normalises_the_head_that_tells_rotations_and_not_the_generator():
    gan = prepare("ssgan", Task(32, 32)).gan
    assert torch.nn.utils.parametrize.is_parametrized(gan.discriminator.head)
    assert not any(torch.nn.utils.parametrize.is_parametrized(module) for module in gan.generator.modules())


def test_ssgans_weights_go_to_their_players():
    terms = prepare("ssgan", Task(32, 32), discriminator_rotation=0.7, generator_rotation=0.1).gan.terms
    assert {term.player: term.weight for term in terms} == {"discriminator": 0.7, "generator": 0.1}


def test_a_rotation_that_weighs_nothing_is_not_computed():
    (term,) = prepare("ssgan", Task(32, 32), generator_rotation=0).gan.terms
    assert term.player == "discriminator"
