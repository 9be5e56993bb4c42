"""What was recorded while a generator learned, as charts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cardigan.report.curves import chart


def charts(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(SVG, caption) of the discriminator's losses, the generator's, any others, the logits, gauges and the speed."""
    if not records:
        return []
    losses = list(dict.fromkeys(name for record in records for name in record.get("losses") or {}))
    others = [name for name in losses if not name.startswith(("discriminator/", "generator/"))]
    drawn: list[tuple[str, str]] = []
    for title, prefix in (("Discriminator", "discriminator/"), ("Generator", "generator/"), ("Other losses", "")):
        mine = [name for name in losses if name.startswith(prefix)] if prefix else others
        series = {name.removeprefix(prefix): _series(records, "losses", name) for name in mine}
        if series:
            drawn.append((chart(series, title=title, x_label="images seen", y_label="loss"), ""))
    logits = {name: _series(records, "logits", name) for name in ("real", "fake")}
    judged = chart(logits, title="Mean logits", x_label="images seen", y_label="logit")
    drawn.append((judged, "What the discriminator answers on average, before any sigmoid. High means real."))
    gauges = list(dict.fromkeys(name for record in records for name in record.get("gauges") or {}))
    if gauges:
        series = {name: _series(records, "gauges", name) for name in gauges}
        drawn.append((chart(series, title="Gauges", x_label="images seen", y_label="value"), ""))
    speed = {"": _series(records, "images_per_second")}
    drawn.append((chart(speed, title="Speed", x_label="images seen", y_label="images per second"), ""))
    return drawn


def score_charts(trials: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(SVG, caption) of a generator's score against images seen, with what was kept and what training images score.

    Args:
        trials: each with "images", "kid", "floor", "samples", "against", "through" and perhaps "best"; one that is
            "again" was measured on other noise.

    Example:
        >>> line = {"images": 100, "kid": 0.02, "floor": 0.001, "samples": 500, "through": "a quick look"}
        >>> line["against"], line["best"] = "180 held-out images", True
        >>> svg, caption = score_charts([line, line | {"again": True, "kid": 0.021}])[0]
        >>> "Score: while training, kept, kept, on other noise, training images" in svg
        True
    """
    if not trials:
        return []
    first, points = trials[0], [line for line in trials if not line.get("again")]
    groups = {
        "while training": points,
        "kept": [line for line in points if line.get("best")],
        "kept, on other noise": [line for line in trials if line.get("again") and line.get("best")],
    }
    series = {name: [_thousandfold(line, "kid") for line in lines] for name, lines in groups.items() if lines}
    if first["floor"] is not None:
        series["training images"] = [_thousandfold(line, "floor") for line in points]
    caption = (
        f"How far {first['samples']:,} samples are from {first['against']}, through {first['through']}: the kernel "
        f"distance. Low is near. The best of several is a lucky one, so the score to tell is that on other noise."
    )
    return [(chart(series, title="Score", x_label="images seen", y_label="KID x 1,000"), caption)]


def _thousandfold(line: Mapping[str, Any], key: str) -> tuple[float, float]:
    value = line[key]
    return float(line["images"]), math.nan if value is None else 1_000 * float(value)


def _series(records: Sequence[Mapping[str, Any]], *keys: str) -> list[tuple[float, float]]:
    """(images, value) of every record that tells it; a player that rests, or a lazy term, leaves no gap."""
    points = []
    for record in records:
        value: Any = record
        for key in keys[:-1]:
            value = value.get(key) or {}
        if keys[-1] in value:
            told = value[keys[-1]]
            points.append((float(record["images"]), math.nan if told is None else float(told)))
    return points
