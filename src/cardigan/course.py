"""A recipe's stages, one after the other, over what is left of a budget."""

from collections.abc import Iterator

from cardigan.clock import StepRecord
from cardigan.contracts import Batches
from cardigan.recipes import Recipe
from cardigan.training.loop import Training, fit
from cardigan.trials import Budget


def turns_of(recipe: Recipe, training: Training, batches: Batches, budget: Budget) -> Iterator[tuple[str, StepRecord]]:
    """Every turn that is left of a budget, stage by stage: the stage's name and the turn's record."""
    start, minutes = 0.0, budget.minutes
    for stage in recipe.course:
        # The same networks under another objective: the optimizers do not notice.
        training.gan = stage.gan
        for record in fit(
            training,
            batches,
            turns=stage.turns,
            images=budget.images,
            seconds=60 * minutes if minutes else None,
            schedule=stage.schedule,
            part=(start, stage.until),
        ):
            yield stage.name, record
        start = stage.until
