"""A race: arms train in turn, and each is scored when it has spent the seconds of a point."""

import statistics
from collections.abc import Sequence

from bench.contenders import Contender
from bench.eyes import Eyes

SLICE = 5.0
"""Seconds of a turn."""


def race(
    contenders: dict[str, Contender], points: Sequence[float], eyes: Eyes, *, samples: int
) -> dict[str, list[dict]]:
    """Let them train in turn, and score each when it has spent the seconds of a point, as far as its own budget goes.

    Returns:
        For each arm a line for each point: ``seconds``, ``images``, ``score``.
    """
    lines: dict[str, list[dict]] = {name: [] for name in contenders}
    own = {name: points_of(name, points) for name in contenders}
    while any(len(found) < len(own[name]) for name, found in lines.items()):
        for name, arm in contenders.items():
            if len(lines[name]) == len(own[name]):
                continue
            point = own[name][len(lines[name])]
            until = min(arm.seconds + SLICE, point)
            while arm.seconds < until:
                arm.step()
            if arm.seconds >= point:
                score = eyes.score(arm.sample(samples))
                lines[name].append({"seconds": arm.seconds, "images": arm.images, "score": score})
                print(f"  {name}: {score:.1f} after {arm.seconds:.0f} s, {arm.images:,} images", flush=True)
    return lines


def points_of(entry: str, points: Sequence[float]) -> list[float]:
    """The points that an arm comes to: all, or for ``ARM@SECONDS`` those up to its own budget.

    Example:
        >>> points_of("auto", [60, 120, 300]), points_of("auto@120", [60, 120, 300])
        ([60, 120, 300], [60, 120])
    """
    budget = entry.partition("@")[2]
    return [point for point in points if not budget or point <= float(budget)]


def reached(curve: Sequence[tuple[float, float]], score: float) -> tuple[float, bool]:
    """When a curve first came to a score, by a straight line between points.

    Args:
        curve: (seconds, score) with rising seconds.
        score: to be reached; less is better.

    Returns:
        The seconds, and whether that is exact; else it was sooner than that, or never (infinity).

    Example:
        >>> reached([(10, 8.0), (20, 4.0)], 6.0), reached([(10, 8.0)], 9.0), reached([(10, 8.0)], 7.0)[0]
        ((15.0, True), (10, False), inf)
    """
    before: tuple[float, float] | None = None
    for seconds, value in curve:
        if value <= score:
            if before is None:
                return seconds, False
            share = (before[1] - score) / (before[1] - value)
            return before[0] + share * (seconds - before[0]), True
        before = seconds, value
    return float("inf"), False


def middle_curve(seeds: dict[str, list[dict]], points: Sequence[float]) -> list[tuple[float, float]]:
    """The median over seeds at each point of the arm's own."""
    return [
        (point, statistics.median(lines[place]["score"] for lines in seeds.values()))
        for place, point in enumerate(points)
    ]
