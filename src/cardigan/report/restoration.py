"""What a restoration shows: pictures side by side through its stages, and its measurements on them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cardigan.errors import CardiganError
from cardigan.report.curves import chart
from cardigan.report.grids import Pixels, encode_webp
from cardigan.report.pictures import PIXELATED_BELOW, Picture, embed, lay_out

MOST_ROWS = 12
COLUMN_WIDTH = 250
"""CSS pixels; a picture is enlarged as often as it fits in whole."""
LOSSLESS_BYTES, QUALITY = 1_200_000, 95  # of all columns together; larger ones are compressed, all alike

MEASURES = (
    ("psnr", "Fidelity", "PSNR, dB", "How near restored pictures are to the true ones, pixel by pixel. High is near."),
    ("texture", "Texture", "distance", "How far their details, close up, are from those of true ones. Low is alike."),
)


def compared(comparison: Sequence[tuple[str, Pixels]]) -> list[Picture]:
    """One picture a column: the same place in each shows the same photo.

    Args:
        comparison: (name, images), all uint8 of one shape (N, H, W, C); of more than 12, evenly chosen ones are shown.

    Raises:
        CardiganError: if the shapes differ, or have no picture.

    Example:
        >>> both = np.zeros((20, 96, 96, 3), dtype=np.uint8)
        >>> [(each.label, each.width, each.widest) for each in compared([("given", both), ("true", both)])]
        [('given', 96, 192), ('true', 96, 192)]
    """
    shapes = {name: images.shape for name, images in comparison}
    if len(set(shapes.values())) > 1 or any(len(shape) != 4 for shape in shapes.values()):
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise CardiganError(f"Pictures are compared in columns of one shape (N, H, W, C), got {told}.")
    sheets = []
    for name, images in comparison:
        chosen = np.linspace(0, len(images) - 1, min(MOST_ROWS, len(images))).round().astype(int)
        sheets.append((name, lay_out(images[chosen], 1)))
    large = sum(len(encode_webp(each)) for _, each in sheets) > LOSSLESS_BYTES
    columns = []
    for name, each in sheets:
        side = each.shape[1]
        times = max(1, COLUMN_WIDTH // side)
        look: dict[str, Any] = {"widest": times * side, "pixelated": times > 1 or side < PIXELATED_BELOW}
        columns.append(embed(each, label=name, quality=QUALITY if large else None, **look))
    return columns


def trial_charts(trials: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(SVG, caption) of each measure against images seen: a line for each stage, and a dot for what was kept.

    Args:
        trials: each with "images", "stage", "psnr", "texture" and perhaps "best"; a missing or None number counts as
            not a number. One that is "again" was measured on images that the kept one was not chosen by.

    Example:
        >>> line = {"images": 100, "stage": "content", "psnr": 25.0, "texture": 0.3, "best": True}
        >>> svg, caption = trial_charts([line])[0]
        >>> "Fidelity: content, kept" in svg
        True
    """
    if not trials:
        return []
    charts = []
    for key, title, unit, caption in MEASURES:
        stages: dict[str, list[tuple[float, float]]] = {}
        points = [line for line in trials if not line.get("again")]
        for line in points:
            stages.setdefault(str(line["stage"]), []).append(_point(line, key))
        # Beside them in the legend and over them in the drawing, a line of one point, which is a dot.
        kept = {
            "kept": [_point(line, key) for line in points if line.get("best")][-1:],
            "kept, on other images": [_point(line, key) for line in trials if line.get("again") and line.get("best")],
        }
        series = stages | {name: found for name, found in kept.items() if found}
        charts.append((chart(series, title=title, x_label="images seen", y_label=unit), caption))
    return charts


def _point(line: Mapping[str, Any], key: str) -> tuple[float, float]:
    value = line.get(key)
    return float(line["images"]), math.nan if value is None else float(value)
