"""A GAN refuses, where it is made, what would train wrongly without a word."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from cardigan import GAN, augment, models, objectives, regularizers
from cardigan.contracts import Normal, Objective
from cardigan.errors import CardiganError
from cardigan.regularizers import R1, R2, GradientPenalty, Rotation, WeightClipping


def gan(**parts):
    whole = {
        "generator": models.mlp.Generator(size=4, latent=3, hidden=(8,)),
        "discriminator": models.mlp.Discriminator(size=4, hidden=(8,)),
        "objective": objectives.hinge(),
    }
    return GAN(**(whole | parts))


@dataclass(frozen=True)
class Ours:
    """A term from somebody's own code."""

    name: str = "ours"
    player: str = "discriminator"
    every: int = 1

    def __call__(self, step):
        return step.real.flatten(1).sum(dim=1)


class Clipping:
    player = "critic"

    def __call__(self, network): ...


class Plain(nn.Module):
    def forward(self, images, labels=None):
        return images


SAME = R1(weight=3.0)

REFUSED = {
    "two terms of one name": (
        {"terms": (R1(100.0), R1(0.001))},
        "Two terms of the discriminator are named 'r1': R1(weight=100.0, every=1) and R1(weight=0.001, every=1). Only "
        "one would count. Leave one out, or give it another name: R1(..., name='r1_2').",
    ),
    "one term twice": ({"terms": (SAME, SAME)}, "Two terms of the discriminator are named 'r1'"),
    "a term that deletes the game": (
        {"terms": (Ours("adversarial"),)},
        "Ours: name is 'adversarial', which is the objective's own loss. Choose another name.",
    ),
    "a term without a name": ({"terms": (Ours(""),)}, "Ours: name is '', expected the word under which records"),
    "a misspelt player": (
        {"terms": (Ours(player="generatr"),)},
        "Ours: player is 'generatr'. Did you mean 'generator'? Known: discriminator, generator.",
    ),
    "no interval": (
        {"terms": (Ours(every=0),)},
        "Ours: every is 0, expected a whole number, at least 1. Type every=1.",
    ),
    "half an interval": ({"terms": (Ours(every=2.5),)}, "Ours: every is 2.5, expected a whole number, at least 1."),
    "a function as a term": (
        {"terms": (lambda step: step.real,)},
        "which has no name and no player and no every; expected one such as regularizers.R1().",
    ),
    "a class as a term": (
        {"terms": (R1,)},
        "terms holds the class R1, expected one such as regularizers.R1(). Type R1().",
    ),
    "a term alone": (
        {"terms": R1()},
        "terms is R1(weight=10.0, every=1), expected a tuple. Type terms=(..., ) around it.",
    ),
    "a misspelt player of a projection": ({"projections": (Clipping(),)}, "Clipping: player is 'critic'. Known: disc"),
    "a projection alone": (
        {"projections": WeightClipping()},
        "projections is WeightClipping(limit=0.01), expected a tup",
    ),
    "an objective's name": ({"objective": "hinge"}, "objective is 'hinge', expected one such as objectives.hinge()."),
    "an objective not called": ({"objective": objectives.hinge}, "objective is the function hinge (call it: hinge())"),
    "names of policies": (
        {"augment": ("color",)},
        "augment is ('color',); expected a function of images such as augment.",
    ),
    "a class as an augmentation": (
        {"augment": augment.DiffAugment},
        "augment is the class DiffAugment, expected a function",
    ),
    "a class as a prior": (
        {"prior": Normal},
        "prior is the class Normal, expected one such as Normal(128). Type Normal().",
    ),
    "a class as a generator": (
        {"generator": models.mlp.Generator},
        "generator is the class Generator, expected a torch.nn.Module.",
    ),
    "a function as a discriminator": ({"discriminator": lambda x: x}, "discriminator is the function <lambda>"),
    "both networks in the other's place": (
        {"generator": models.mlp.Discriminator(size=4), "discriminator": models.mlp.Generator(size=4)},
        "The discriminator of the GAN is a generator, cardigan.models.mlp.Generator. Type GAN(generator=..., discrim",
    ),
    "rotations without a head": (
        {"terms": (Rotation("generator"),)},
        "Rotation needs a discriminator that can tell rot",
    ),
    "reconstruction without decoders": ({"terms": (regularizers.Reconstruction(),)}, "Discriminator has no decode()."),
    "matching without features": (
        {"terms": (regularizers.Matching(),)},
        "Matching compares features of the discriminator, and cardigan.models.mlp.Discriminator has no fea",
    ),
    "a gradient penalty through batch normalisation": (
        {"discriminator": models.dcgan.Discriminator(size=16, width=4), "terms": (GradientPenalty(),)},
        "GradientPenalty asks for the slope of each image alone, and batch normalisation in the discriminator (",
    ),
    "adaptive augmentation without a boundary": (
        {"objective": objectives.wasserstein(), "augment": augment.adaptive("color", "flip")},
        "with wasserstein() one logit does not say that. Take a fixed one, augment.diffaugment('color', 'flip'), or",
    ),
    "adaptive augmentation of pairs": (
        {"objective": objectives.relativistic(), "augment": augment.adaptive("color")},
        "with relativistic() one logit does not say that.",
    ),
    "adaptive augmentation of scaled Wasserstein": (
        {"objective": objectives.scaled(objectives.wasserstein(), generator=2.0), "augment": augment.adaptive("color")},
        "one logit does not say that.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_where_the_gan_is_made(case):
    parts, words = REFUSED[case]
    with pytest.raises(CardiganError) as caught:
        gan(**parts)
    assert words in str(caught.value)


PARTS = {
    "R1: weight is -1, expected a finite number, at least 0. Type weight=1.0.": lambda: R1(-1),
    "R1: weight is nan,": lambda: R1(float("nan")),
    "R2: weight is inf,": lambda: R2(float("inf")),
    "R1: weight is '1',": lambda: R1("1"),  # type: ignore
    "R1: weight is True,": lambda: R1(True),
    "R1: every is 0, expected a whole number, at least 1. Type every=1.": lambda: R1(every=0),
    "R2: every is -4,": lambda: R2(every=-4),
    "GradientPenalty: every is 1.5,": lambda: GradientPenalty(every=1.5),
    "GradientPenalty: weight is -0.5,": lambda: GradientPenalty(-0.5),
    "Rotation: player is 'critic'. Known: discriminator, generator.": lambda: Rotation("critic"),
    "Rotation: weight is nan,": lambda: Rotation(weight=float("nan")),
    "Content: weight is -1,": lambda: regularizers.Content(-1),
    "Matching: weight is inf,": lambda: regularizers.Matching(float("inf")),
    "Perceptual: weight is -1,": lambda: regularizers.Perceptual(nn.Identity(), -1),
    "Perceptual: features is 'vgg', expected a network,": lambda: regularizers.Perceptual("vgg"),
    "Reconstruction: weight is -1,": lambda: regularizers.Reconstruction(-1),
    "Reconstruction: part is 'half'. Known: quadrant, eighth.": lambda: regularizers.Reconstruction(part="half"),
    "Reconstruction: targets is 'nearst'. Did you mean 'nearest'?": lambda: regularizers.Reconstruction(
        targets="nearst"
    ),
    "Reconstruction: distance is 'l1',": lambda: regularizers.Reconstruction(distance="l1"),
    "R1: name is 'adversarial',": lambda: R1(name="adversarial"),
    "WeightClipping: limit is 0, expected a finite number above 0. Type limit=0.01.": lambda: WeightClipping(0),
    "WeightClipping: limit is nan,": lambda: WeightClipping(float("nan")),
    "Normal: latent is 0, expected a whole number, at least 1. Type latent=128.": lambda: Normal(0),
    "Normal: latent is 2.5,": lambda: Normal(2.5),
    "There is no augmentation 'colour'. Did you mean 'color'?": lambda: augment.DiffAugment(("colour",)),
    "The discriminator's loss of Objective is None, expected a function": lambda: Objective(None, None),
    "The generator's loss of Objective is 5,": lambda: Objective(max, 5),
    "boundary is nan, expected a finite logit or None.": lambda: Objective(max, max, boundary=float("nan")),
}


@pytest.mark.parametrize("words", PARTS)
def test_a_part_refuses_a_value_that_cannot_be(words):
    with pytest.raises(CardiganError) as caught:
        PARTS[words]()
    assert words in str(caught.value)


def test_terms_of_one_name_may_stand_in_both_losses_and_another_name_is_taken():
    composed = gan(terms=(Ours(), Ours(player="generator"), R1(), R1(0.5, name="r1_2")))
    assert [(term.player, term.name) for term in composed.terms] == [
        ("discriminator", "ours"),
        ("generator", "ours"),
        ("discriminator", "r1"),
        ("discriminator", "r1_2"),
    ]


def test_parts_that_can_be_read_once_are_kept():
    composed = gan(terms=(term for term in [R1()]), projections=iter([WeightClipping()]))
    assert [type(part).__name__ for part in (*composed.terms, *composed.projections)] == ["R1", "WeightClipping"]
    assert list(composed.terms) == list(composed.terms) != []


def test_batch_normalisation_that_stands_still_mixes_nothing():
    frozen = models.dcgan.Discriminator(size=16, width=4).eval()
    assert gan(discriminator=frozen, terms=(GradientPenalty(),)).terms
    frozen.train()
    with pytest.raises(CardiganError, match="batch normalisation"):
        gan(discriminator=frozen, terms=(GradientPenalty(),)).check()


def test_a_network_without_a_latent_needs_no_prior_until_it_draws():
    assert gan(generator=Plain()).prior is None
    assert gan(generator=Plain(), prior=Normal(5)).prior == Normal(5)
    assert gan().prior == Normal(3)


def test_an_objective_that_reads_more_than_logits_is_not_asked_by_halves():
    class More(Objective):
        def __call__(self, step):
            return super().__call__(step) + step.fake.mean()

    whole = objectives.hinge()
    more = More(whole.discriminator, whole.generator, separable=True)
    assert (whole.in_halves, more.in_halves, replace(whole, separable=False).in_halves) == (True, False, False)


def test_every_objective_says_where_it_is_undecided():
    """The minimum over x of the loss of real and of fake images that are alike, found on a grid."""
    grid = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    for objective, expected in [
        (objectives.minimax(), 0.0),
        (objectives.non_saturating(smoothing=0.3), None),
        (objectives.least_squares(), 0.5),
        (objectives.least_squares(a=-1, b=1, c=0), 0.0),
        (objectives.least_squares(a=2, b=5, c=3), 3.5),
        (objectives.scaled(objectives.least_squares(), discriminator=0.5), 0.5),
    ]:
        best = grid[objective.discriminator(real=grid, fake=grid).argmin()].item()
        assert objective.boundary == pytest.approx(best, abs=2e-4)
        assert expected is None or objective.boundary == expected
    assert objectives.hinge().boundary == 0.0
    assert (objectives.wasserstein().boundary, objectives.relativistic().boundary) == (None, None)
