"""What a checkpoint costs: ours is written, flushed, read back and verified. Beside it a plain ``torch.save``.

In training a copy is written while training goes on: that row says how long it stands still for.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from bench.alternation import Plan, in_turn, spent
from bench.sides import same_mathematics, store_for
from bench.table import Row
from bench.tutorials import load
from cardigan.data.batches import batches
from cardigan.training import checkpoint
from cardigan.training.loop import Training

NAMES = ("mlp", "dcgan")


def rows(plan: Plan) -> Iterator[Row]:
    """Small and large networks, after a step, so that the optimizers have their state."""
    wanted = [name for name in NAMES if plan.wants(name)]
    for name in wanted:
        tutorial = load(name)
        store = store_for(tutorial, 4)
        recipe = same_mathematics(tutorial, store, 4)
        training = Training(recipe.gan, optimizers=recipe.optimizers, half_life=0)
        drawn = batches(store, batch_size=4)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)

            def ours(training: Training = training, folder: Path = folder) -> float:
                training.progress.turns += 1  # a checkpoint of the same step would not be written again
                checkpoint.save(folder / "ours", training, {})
                return 1

            def plain(training: Training = training, folder: Path = folder) -> float:
                parts = [training.gan.generator, training.gan.discriminator, *training.optimizers.values()]
                torch.save([part.state_dict() for part in parts], folder / "plain.pt")
                return 1

            def copied(training: Training = training) -> float:
                checkpoint.Copy.of(training, {})
                return 1

            training.turn(drawn, recipe.turns)
            found, waits = (
                in_turn(
                    {"torch.save": lambda: spent(plain).seconds, "cardigan": lambda act=act: spent(act).seconds},
                    rounds=plan.rounds,
                    seconds=plan.seconds / len(wanted) / 2,
                )
                for act in (ours, copied)
            )
            saved = max((folder / "ours").iterdir())
            size = sum(path.stat().st_size for path in saved.iterdir()) / 2**20
        note = f"{size:.0f} MiB; one in 30 s of training; torch.save flushes and verifies nothing"
        yield Row(f"{tutorial.title}: a checkpoint", "s", found, more=False, note=note)
        still = "ours is copied, and written while training goes on"
        yield Row(f"{tutorial.title}: training stands still for a checkpoint", "s", waits, more=False, note=still)
