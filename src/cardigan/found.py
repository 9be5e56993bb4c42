"""What is found in a run's folder before training begins: a checkpoint to go on from, or a reason not to."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cardigan.course import Standing
from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.randomness import STREAMS
from cardigan.request import Request, differences, located
from cardigan.training import checkpoint as checkpoints
from cardigan.trials import Budget

ENDS = "The budget that is given now is spent, so training ends here and the generator is published as it is."
"""Told where a run that was stopped is given less than it has spent."""
ASIDE = {"images", "minutes", "source"}
"""What of a request may change without changing how a run trains on the same images: its budget, and their place."""


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from, and what was wrong with newer ones."""

    checkpoint: checkpoints.Checkpoint
    rejected: dict[str, str]

    def told(
        self, previous: dict[str, Any], config: dict[str, Any], budget: Sequence[str], *, scale: float
    ) -> list[str]:
        """What the user should know about this resume.

        Args:
            previous: the configuration that the run had.
            config: the one that it has now.
            budget: what another budget does, see :func:`told_budget`; empty where it is as it was.
            scale: the share of the learning rate that rollbacks have left.
        """
        state = self.checkpoint.state
        texts = self.passed_over()
        texts.append(f"Resumed after {state['images']:,} images from {self.checkpoint.folder.name} (verified).")
        if state.get("streams", 1) != STREAMS:
            texts.append(
                "The checkpoint is of a version that drew its random numbers otherwise: weights, optimizers and clock "
                "go on, with other latents and another order of images. Samples of a seed are other pictures now."
            )
        known = len(texts) if state.get("streams", 1) == STREAMS else -1
        if state["rate_scale"] != 1.0:
            left = f"Rollbacks have left {state['rate_scale']:.3g} of the learning rate that is set"
            texts.append(f"{left}{'.' if scale == state['rate_scale'] else '; under other settings it is full again.'}")
            known += 1
        texts += [f"Changed on resume: {text}" for text in changes(previous, config["request"])]
        texts += budget
        earlier, data = previous["data"], config["data"]
        if earlier["fingerprint"] != data["fingerprint"]:
            texts.append(f"The data has changed: {earlier['count']:,} images before, {data['count']:,} now.")
        if earlier.get("split") != data["split"]:
            texts.append(
                f"Other images are held out: {earlier.get('held_out', 0):,} before, {data['held_out']:,} now. Some "
                f"of them may have been trained on, so a test for copying is not to be trusted."
            )
        was, is_now = {"processes": 1} | previous, {"processes": 1} | config
        moved = [key for key in ("version", "torch", "device", "threads", "processes") if was[key] != is_now[key]]
        texts += [f"{key} was {was[key]}, is {is_now[key]}." for key in moved]
        if len(texts) > known or config["budget"]["minutes"] or config["device"] != "cpu" or is_now["processes"] > 1:
            texts.append("From here on the same seed decides, but not the same bits as without the interruption.")
        else:
            texts.append("From here on bit for bit as without the interruption.")
        return texts

    def passed_over(self) -> list[str]:
        """Which newer checkpoints cannot be used, and why."""
        return [f"{name} rejected: {reason}" for name, reason in self.rejected.items()]


def find_checkpoint(
    folder: RunFolder, request: Request, previous: dict[str, Any] | None, *, resume: bool
) -> Found | None:
    """The checkpoint to go on from; None for a fresh start.

    Raises:
        CardiganError: if the folder belongs to another run, or has a history but no usable checkpoint.
    """
    checkpoint, rejected = checkpoints.newest(folder.checkpoints)
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in rejected.items())
    fresh = "To start anew, choose another --out."
    if resume and checkpoint is None:
        raise CardiganError(f"There is no checkpoint to resume from in {folder.path}.{reasons}\n{fresh}")
    if checkpoint is None and folder.has_history():
        raise CardiganError(f"{folder.path} holds a run without a usable checkpoint.{reasons}\n{fresh}")
    if previous is None and (checkpoint is not None or any(folder.path.glob("[!.]*"))):
        raise CardiganError(f"{folder.path} is in use and is not a run of Cardigan: it has no config.json. {fresh}")
    changed = changes(previous, request.to_dict()) if previous and checkpoint else []
    if changed and not resume:
        raise CardiganError(
            f"{folder.path} holds another run: {'; '.join(changed)}. Choose another --out for a new run, or add "
            f"--resume to go on with the changed settings."
        )
    if previous and checkpoint and request.sides:
        check_shape(previous["shape"], [*request.sides, previous["shape"][2]])
    return Found(checkpoint, rejected) if checkpoint else None


def changes(previous: dict[str, Any], request: dict[str, Any]) -> list[str]:
    """What a request asks for differently from the run before, in words. One source may be spelt in several ways."""
    before = previous["request"]
    if previous["data"].get("place", located(before["source"])) == located(request["source"]):
        before = before | {"source": request["source"]}
    return differences(before, request)


def check_shape(before: list[int], now: list[int]) -> None:
    """Refuse images of another size than the run was begun with: its networks fit no other.

    Raises:
        CardiganError: if they are larger, smaller or have other channels.
    """
    if before == now:
        return
    (*sides, channels), (*asked, given) = before, now
    size = f"The size was {sides[0]}x{sides[1]} pixels (height x width), is {asked[0]}x{asked[1]}"
    told = size if sides != asked else f"The images had {channels} channels, have {given}"
    raise CardiganError(
        f"{told}. The networks of a run fit one kind of images, so this run cannot go on with others. Leave --size and "
        f"the settings of the data as they were, or choose another --out."
    )


def check_data(before: dict[str, Any], now: dict[str, Any], *, resume: bool) -> None:
    """Refuse data that has changed, unless that was allowed.

    Raises:
        CardiganError: if other images would be trained on, or held out, than when the run began.
    """
    if resume:
        return
    if before["fingerprint"] != now["fingerprint"]:
        raise CardiganError(
            f"The data has changed since this run began: {before['count']:,} images then, {now['count']:,} now, or "
            f"other content. Restore it, choose another --out, or add --resume to go on with the changed data."
        )
    if before.get("split") != now["split"]:
        raise CardiganError(
            f"Other images would be held out than when this run began: {before.get('held_out', 0):,} then, "
            f"{now['held_out']:,} now, by another version of Cardigan. Choose another --out, or add --resume to go on; "
            f"then some of those held out have been trained on."
        )


def check_left(folder: RunFolder, previous: dict[str, Any], config: dict[str, Any], *, spent: str, over: bool) -> None:
    """Where no turn is left to train, refuse what would only change what the run says of itself.

    Args:
        folder: of the run.
        previous: the configuration that the run had.
        config: the one that was asked for.
        spent: the budget and what is spent of it, in words.
        over: whether no turn was left under the previous budget either.

    Raises:
        CardiganError: if anything but the budget differs, or a finished run gets another budget that is spent.
    """
    same_data = all(previous["data"].get(key) == config["data"][key] for key in ("fingerprint", "split"))
    idle = ASIDE if same_data else ASIDE - {"source"}
    changed = [text for text in changes(previous, config["request"]) if text.split(" ")[0] not in idle]
    changed += [] if same_data else ["other images would be trained on or held out"]
    more = "Give a larger budget (--images or --minutes)"
    if changed:
        raise CardiganError(
            f"{folder.path} has nothing left to train: {spent}. So nothing would come of what differs: "
            f"{'; '.join(changed)}. {more} to go on with it, or choose another --out for a new run."
        )
    if over and money(previous) != money(config):
        raise CardiganError(
            f"{folder.path} is finished, and this budget leaves nothing to train: {spent}. {more} to go on; the run "
            f"stays as it is."
        )


def money(config: dict[str, Any]) -> tuple[int | None, float | None]:
    """The budget of a run, in images or minutes."""
    return config["budget"]["images"], config["budget"]["minutes"]


def spent_of(budget: Budget, *, images: int, seconds: float) -> str:
    """A budget and what is spent of it.

    Example:
        >>> spent_of(Budget(320, None), images=1920, seconds=3.0)
        '1,920 images are seen of a budget of 320'
        >>> spent_of(Budget(None, 2.0), images=1920, seconds=120.4)
        '2.0 minutes are spent of a budget of 2'
    """
    if budget.images:
        return f"{images:,} images are seen of a budget of {budget.images:,}"
    return f"{seconds / 60:.1f} minutes are spent of a budget of {budget.minutes:g}"


def finished(folder: RunFolder, request: Request, budget: Budget, *, images: int, seconds: float) -> str:
    """What a user is told who asks again for a run that is finished, and how to go on."""
    double = replace(request, images=2 * budget.images) if budget.images else request
    double = double if budget.images else replace(request, minutes=2 * (budget.minutes or 0.0))
    out = shlex.quote(str(folder.path))
    return (
        f"This run is finished: {spent_of(budget, images=images, seconds=seconds)}. Nothing is trained. To go on, give "
        f"it a larger budget: {double.command()} --out {out} --resume"
    )


def told_budget(now: Budget, before: Standing, after: Standing, *, scale: float) -> list[str]:
    """What another budget does to the stage and to the learning rate, in words.

    Args:
        now: the budget from here on.
        before: where the run stood under the earlier one.
        after: where it stands now.
        scale: what rollbacks have left of the learning rate.
    """
    texts = []
    if after.stage.name != before.stage.name:
        texts.append(f"The stage was {before.stage.name}, is {after.stage.name}.")
    elif now.since:
        texts.append(
            f"The stage {after.stage.name} goes on over the rest of the budget: stages that are finished are not "
            f"trained again."
        )
    was, is_now, end = (f"{scale * rate:.3g}" for rate in (before.rate, after.rate, after.stage.schedule(1.0)))
    if was == is_now:
        texts.append(f"The learning rate stays at {was} of what is set.")
    else:
        texts.append(
            f"The learning rate was {was} of what is set and is {is_now}, as if the run had had this budget from the "
            f"start. At the end of the {'stage' if after.begins else 'budget'} it is {end}."
        )
    return texts
