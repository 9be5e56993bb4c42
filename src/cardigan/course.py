"""A recipe's stages, one after the other, over what is left of a budget."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from cardigan.clock import Progress, StepRecord, Turns
from cardigan.contracts import Batches, Turn
from cardigan.recipes import Recipe, Stage
from cardigan.settings import RunSettings
from cardigan.training.loop import PLAYERS, Training, fit
from cardigan.training.pace import LONG, quickest, ways
from cardigan.trials import Budget

AHEAD = 32
"""Turns that are looked at to know who plays."""


@dataclass(frozen=True)
class Standing:
    """Where a run stands in its recipe's course.

    Args:
        stage: the stage whose turns come next; the last one where the course is over.
        begins: the place in the course at which that stage begins.
        rate: the multiplier of the learning rate.
        over: whether no turn is left.
    """

    stage: Stage
    begins: float
    rate: float
    over: bool


def standing_at(recipe: Recipe, budget: Budget, *, images: int, seconds: float) -> Standing:
    """The stage and the learning rate at a moment of a run.

    Example:
        >>> from cardigan import recipes
        >>> recipe = recipes.prepare("quick", recipes.Task(16, 16, 1), seed=0, width=2)
        >>> standing_at(recipe, Budget(100, None), images=50, seconds=0.0).rate
        0.515
    """
    place = min(budget.place(images=images, seconds=seconds), 1.0)
    start, stage = next(
        ((start, stage) for start, stage in _stages(recipe) if place < stage.until), [*_stages(recipe)][-1]
    )
    rate = stage.schedule((place - start) / (stage.until - start))
    return Standing(stage, start, rate, over=place >= 1.0)


def respread(recipe: Recipe, before: Budget, now: Budget, *, images: int, seconds: float) -> Budget:
    """The budget ``now`` of a run that had another one ``before``: no stage that is finished begins again.

    The learning rate is that of the new budget, as if the run had been given it from the start: decision 020.
    """
    reached = standing_at(recipe, before, images=images, seconds=seconds).begins
    if now.share(images=images, seconds=seconds) >= reached:
        return now
    return replace(now, since=[images, seconds, reached])


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
            place=lambda progress: budget.place(images=progress.images, seconds=progress.seconds),
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
    standing = standing_at(recipe, budget, images=progress.images, seconds=progress.seconds)
    if standing.over or not (budget.minutes and run.pace and training.crew.count == 1):
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
    training.gan = standing.stage.gan
    training.set_rates(standing.rate)
    found = quickest(training, batches, coming_players(standing.stage.turns, progress), candidates, seconds=left)
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


def coming_players(turns: Turns, progress: Progress) -> Turn:
    """Who plays in the turns to come."""
    coming = [turns(replace(progress, turns=progress.turns + count)) for count in range(AHEAD)]
    return tuple(player for player in PLAYERS if any(player in turn for turn in coming))
