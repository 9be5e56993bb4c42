"""Restoration: larger, sharper, cleaner or coloured pictures, from photos alone.

Three stages: the generator learns to undo the damage pixel by pixel; the discriminator learns to tell its results from
photos; then both play for a short while, in turns that adapt. How long is measured: held-out pieces are restored again
and again, and kept is the generator with the most lifelike texture that has not lost more than `price` decibels.

Source: stages and adaptive turns are NoGAN's (*DeOldify*, Antic, Howard and Manor, 2019); content and patches are
*Image-to-Image Translation with Conditional Adversarial Networks*, Isola et al., 2017; matching is *High-Resolution
Image Synthesis and Semantic Manipulation with Conditional GANs*, Wang et al., 2018; the perceptual loss is *The
Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, Zhang et al., 2018; the trade is *The
Perception-Distortion Tradeoff*, Blau and Michaeli, 2018.
Expect: see docs/restoration.md.
"""

from dataclasses import replace

from cardigan import features as extractors
from cardigan import objectives, regularizers
from cardigan.contracts import GAN
from cardigan.data.degrade import parse
from cardigan.errors import CardiganError
from cardigan.models import unet
from cardigan.recipes._contract import BatchSize, Compromise, Count, Rate, Recipe, Stage, Task, Weight
from cardigan.training.optimizers import Adam
from cardigan.training.schedules import constant, linear
from cardigan.training.turns import adaptive, alternate

DATA = {"fit": "cut"}
"""Photos are cut into pieces at their own resolution, for resizing them would be one more damage to learn."""

SMALLEST = 16
"""Side of the smallest pieces: on less there is no texture that could be compared."""


def multiple_of(*, degrade: str, **others: object) -> int:
    """What the sides of the pieces are multiples of, under these settings of the recipe.

    Example:
        >>> multiple_of(degrade="downscale5+jpeg60")
        5
    """
    return parse(degrade).scale


def recipe(
    task: Task,
    *,
    degrade: str = "downscale4",
    width: Count = 32,
    levels: Count = 2,
    blocks: Count = 2,
    discriminator_width: Count = 32,
    batch_size: BatchSize = 8,
    learning_rate: Rate = 5e-4,
    content: Rate = 1.0,
    game: Weight = 0.01,
    matching: Weight = 0.0,
    perceptual: Weight = 0.0,
    features: str = "",
    threshold: Rate = 1.6,
    price: Weight = 1.0,
    patience: Count = 8,
    flip: bool = True,
) -> Recipe:
    """The rate is the generator's in the first stage; after it both players go on with a fifth of theirs.

    Logits that tell nothing cost the critic 2; it keeps its turn while its loss is above ``threshold``. In the game the
    generator may also be told how far its results are from the photos for a network that ``features`` names, as
    :func:`cardigan.features.load` reads it, weighed by ``perceptual``.
    """
    degradation = parse(degrade)
    if min(task.size) < SMALLEST:
        raise CardiganError(
            f"Pieces of {task.height}x{task.width} pixels show no texture to restore; expected at least {SMALLEST} a "
            f"side. Try --size 96, or the largest that most of your photos reach."
        )
    if task.height % degradation.scale or task.width % degradation.scale:
        raise CardiganError(
            f"Pieces of {task.height}x{task.width} pixels cannot be scaled down {degradation.scale} times. Try --size "
            f"{max(task.height // degradation.scale, 8) * degradation.scale}."
        )
    shape = {"size": task.size, "channels": task.channels}
    gan = GAN(
        generator=unet.Generator(**shape, width=width, levels=levels, blocks=blocks),
        discriminator=regularizers.spectral_norm(unet.Discriminator(**shape, width=discriminator_width)),
        objective=objectives.scaled(objectives.hinge(), generator=game),
        terms=(regularizers.Content(content),),
    )
    alone = replace(gan, objective=replace(gan.objective, generator=None))
    if matching:
        gan = replace(gan, terms=(*gan.terms, regularizers.Matching(matching)))
    if told := _perceptual(perceptual, features, task):
        gan = replace(gan, terms=(*gan.terms, told))
    return Recipe(
        gan,
        batch_size=batch_size,
        optimizers={
            "generator": Adam(learning_rate, beta1=0.9, beta2=0.99),
            "discriminator": Adam(4 * learning_rate, beta1=0.5, beta2=0.99),
        },
        half_life=2_000,
        flip=flip,
        degradation=degradation,
        stages=(
            Stage("content", 0.45, alone, alternate(discriminator=0), linear(to=0.05, start=0.4), trials=6),
            Stage("critic", 0.5, gan, alternate(generator=0), constant(0.2)),
            Stage("game", 1.0, gan, adaptive(discriminator=threshold), constant(0.2), trials=20),
        ),
        choice=Compromise(price=price, patience=patience),
    )


def _perceptual(weight: float, features: str, task: Task) -> regularizers.Perceptual | None:
    """The perceptual loss, None without a weight and a network to look through."""
    if not weight and not features:
        return None
    if not features:
        raise CardiganError(
            f"perceptual={weight:g} compares results with photos through another network, and none is named. Add --set "
            f"features=path/to/classifier.safetensors or --set features=timm:NAME."
        )
    if not weight:
        raise CardiganError(
            f"features={features} is only looked through by the perceptual loss, whose weight is 0. Add --set "
            f"perceptual=0.1, or leave features out."
        )
    extractor = extractors.load(features)
    extractor.check_size(*task.size)
    return regularizers.Perceptual(extractor, weight)
