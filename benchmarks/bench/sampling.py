"""How quickly a generator draws: a published model in evaluation mode, beside the tutorial's network as it calls it."""

from collections.abc import Iterator

import torch

from bench.alternation import Plan, Work, rates, row
from bench.sides import same_mathematics, store_for
from bench.table import Row
from bench.tutorials import Tutorial, load
from cardigan.pixels import to_uint8
from cardigan.sample import draw, latents_for
from cardigan.training.ema import settled

COUNT = 64
NAMES = ("mlp", "dcgan")


def rows(plan: Plan) -> Iterator[Row]:
    """The same architecture on both sides, to uint8."""
    wanted = [name for name in NAMES if plan.wants(name)]
    count = 16 if plan.quick else COUNT
    for name in wanted:
        tutorial = load(name)
        arms = {"tutorial": printed(tutorial, count), "cardigan": ours(tutorial, count)}
        yield row(
            f"{tutorial.title}: sampling",
            rates(arms, plan, seconds=plan.seconds / len(wanted)),
            note=f"{count} images; ours in chunks of 16, so that an image does not depend on how many are drawn",
        )


def printed(tutorial: Tutorial, count: int) -> Work:
    """All at once, in training mode."""
    network, _ = tutorial.networks()
    noise = tutorial.noise(count)[0]
    noise = noise[:, :, None, None] if tutorial.maps else noise

    def work() -> float:
        with torch.no_grad():
            return len(to_uint8(network(noise).view(count, tutorial.channels, tutorial.size, tutorial.size)))

    return work


def ours(tutorial: Tutorial, count: int) -> Work:
    """As ``cardigan sample`` draws."""
    generator = same_mathematics(tutorial, store_for(tutorial, 4), 4).gan.generator
    network = settled(generator, [(torch.randn(16, generator.latent), None)])
    latents = latents_for(network, count, seed=0)
    return lambda: len(draw(network, latents))
