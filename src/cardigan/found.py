"""What is found in a run's folder before training begins: a checkpoint to go on from, or a reason not to."""

from dataclasses import dataclass
from typing import Any

from cardigan.errors import CardiganError
from cardigan.folder import RunFolder
from cardigan.randomness import STREAMS
from cardigan.request import Request, differences
from cardigan.training import checkpoint as checkpoints


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from, and what was wrong with newer ones."""

    checkpoint: checkpoints.Checkpoint
    rejected: dict[str, str]

    def told(self, previous: dict[str, Any] | None, config: dict[str, Any]) -> list[str]:
        """What the user should know about this resume."""
        state = self.checkpoint.state
        texts = [f"{name} rejected: {reason}" for name, reason in self.rejected.items()]
        texts.append(f"Resumed after {state['images']:,} images from {self.checkpoint.folder.name} (verified).")
        if state.get("streams", 1) != STREAMS:
            texts.append(
                "The checkpoint is of a version that drew its random numbers otherwise: weights, optimizers and clock "
                "go on, with other latents and another order of images. Samples of a seed are other pictures now."
            )
        if previous:
            texts += [f"Changed on resume: {text}" for text in differences(previous["request"], config["request"])]
            before, now = previous["data"], config["data"]
            if before["fingerprint"] != now["fingerprint"]:
                texts.append(f"The data has changed: {before['count']:,} images before, {now['count']:,} now.")
            if before.get("split") != now["split"]:
                texts.append(
                    f"Other images are held out: {before.get('held_out', 0):,} before, {now['held_out']:,} now. Some "
                    f"of them may have been trained on, so a test for copying is not to be trusted."
                )
            before, now = {"processes": 1} | previous, {"processes": 1} | config
            moved = [key for key in ("version", "torch", "device", "threads", "processes") if before[key] != now[key]]
            texts += [f"{key} was {before[key]}, is {now[key]}." for key in moved]
            told = len(texts) > 1 + len(self.rejected)
            if moved or told or config["budget"]["minutes"] or config["device"] != "cpu" or now["processes"] > 1:
                texts.append("From here on the same seed decides, but not the same bits as without the interruption.")
            else:
                texts.append("From here on bit for bit as without the interruption.")
        return texts


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
    changed = differences(previous["request"], request.to_dict()) if previous and checkpoint else []
    if changed and not resume:
        raise CardiganError(
            f"{folder.path} holds another run: {'; '.join(changed)}. Choose another --out for a new run, or add "
            f"--resume to go on with the changed settings."
        )
    return Found(checkpoint, rejected) if checkpoint else None


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
