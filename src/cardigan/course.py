"""A recipe's stages, one after the other, over what is left of a budget."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from cardigan.clock import Progress, StepRecord, Turns
from cardigan.contracts import Batches, Turn
from cardigan.recipes import Recipe, Stage
from cardigan.settings import RunSettings
from cardigan.training.loop import PLAYERS, Training, fit
from cardigan.training.pace import LONG, quickest, ways
from cardigan.trials import Budget

AHEAD = 32
"""Turns that are looked at to know who plays."""


def turns_of(recipe: Recipe, training: Training, batches: Batches, budget: Budget) -> Iterator[tuple[str, StepRecord]]:
    """Every turn that is left of a budget, stage by stage: the stage's name and the turn's record."""
    minutes = budget.minutes
    for start, stage in _stages(recipe):
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
            since=0,
        ):
            yield stage.name, record


def find_pace(
    recipe: Recipe,
    training: Training,
    batches: Batches,
    budget: Budget,
    run: RunSettings,
    *,
    say: Callable[[str], None],
) -> str:
    """On a budget in minutes, have the networks run in the way that is quickest here; what measuring takes counts.

    Args:
        recipe: what is trained.
        training: where it stands.
        batches: where real images come from.
        budget: of the run.
        run: the user's settings.
        say: told before the measuring, which may take a while.

    Returns:
        What to note in the run; nothing if the networks run as they always do.
    """
    progress, began = training.progress, time.perf_counter()
    spent = budget.share(images=progress.images, seconds=progress.seconds)
    start, stage = next(((start, stage) for start, stage in _stages(recipe) if spent < stage.until), (0.0, None))
    if not (budget.minutes and stage and run.pace and training.crew.count == 1):
        return ""
    left = 60 * budget.minutes - progress.seconds
    candidates = ways(
        run.precision,
        bfloat16=recipe.bfloat16,
        compiling=left >= LONG and len(recipe.course) == 1,
        device=training.device,
    )
    if len(candidates) == 1:
        return ""
    say(f"Trying how the networks run quickest here: {' or '.join(map(str, candidates))}.")
    training.gan = stage.gan
    training.set_rates(stage.schedule((spent - start) / (stage.until - start)))
    found = quickest(training, batches, _players(stage.turns, progress), candidates, seconds=left)
    progress.seconds += time.perf_counter() - began
    plain, *_ = candidates
    if found is None or found.way == plain:
        return ""
    return f"The networks run in {found.way} here: measured to be {found.gain:.2f} times as quick as in {plain}."


def _stages(recipe: Recipe) -> Iterator[tuple[float, Stage]]:
    """Each stage, and where in the budget it begins."""
    start = 0.0
    for stage in recipe.course:
        yield start, stage
        start = stage.until


def _players(turns: Turns, progress: Progress) -> Turn:
    """Who plays in the turns to come."""
    coming = [turns(replace(progress, turns=progress.turns + count)) for count in range(AHEAD)]
    return tuple(player for player in PLAYERS if any(player in turn for turn in coming))
