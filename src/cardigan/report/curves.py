"""Line charts as inline SVG, written by hand: no plotting library, no script, a few kilobytes each.

A chart draws text and axes in ``currentColor``, so it follows the page into dark mode. Each series is a faint raw
line under a moving average. Rare spikes are cut off at the edge and marked, so that they do not flatten the rest.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

Points = Sequence[tuple[float, float]]
Values = NDArray[np.float64]

COLOURS = ("#2b8ccb", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c", "currentColor")
"""Told apart by colour-blind readers, on white and on black (close to Okabe and Ito's); repeated with dashes."""

WIDTH, PLOT_HEIGHT = 420, 175
LEFT, RIGHT, BOTTOM = 44, 14, 42
MOST_POINTS = 300
FEWEST_FOR_AVERAGE = 24
MOST_MARKS = 20
LARGEST = 1e150  # beyond this, differences of finite numbers overflow


@dataclass(frozen=True)
class Axis:
    """A straight map from values to pixels.

    Args:
        low: the value drawn at ``start``.
        high: the value drawn at ``stop``; above ``low``.
        start: pixel.
        stop: pixel; may be less than ``start``, as SVG counts downwards.

    Example:
        >>> Axis(0, 10, start=40, stop=240)(5)
        140.0
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The pixel of ``value``; values beyond the axis are held at its edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)


def chart(series: Mapping[str, Points], *, title: str, x_label: str, y_label: str) -> str:
    """Draw series of points as one line chart.

    Values that are not finite leave a gap and a cross; a series of one point is a dot; no points at all give an empty
    chart that says so. At most 300 points of a series are drawn, chosen so that its extremes survive.

    Args:
        series: name -> points (x, y), in any order of x. One series named "" needs no legend.
        title: above the chart, and its name for screen readers.
        x_label: what x is, with its unit.
        y_label: what y is, with its unit.

    Returns:
        An ``<svg>`` element; every text in it is escaped.

    Example:
        >>> svg = chart({"real": [(0, 1.0), (1000, 2.0)]}, title="Logits", x_label="images seen", y_label="logit")
        >>> svg.startswith("<svg"), "1k" in svg
        (True, True)
    """
    curves = {name: _clean(points) for name, points in series.items()}
    legend, rows = _legend([] if list(curves) == [""] else list(curves))
    top = 28 + 18 * rows + 20
    height = top + PLOT_HEIGHT + BOTTOM
    across = _axis([x for x, _ in curves.values()], LEFT, WIDTH - RIGHT, margin=0.0)
    up = _axis([y for _, y in curves.values()], top + PLOT_HEIGHT, top, margin=0.05)
    names = escape(f"{title}: {', '.join(curves)}" if any(curves) else title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" fill="currentColor" '
        f'font-size="12" font-family="inherit"><title>{names}</title>',
        f'<text x="0" y="14" font-size="14" font-weight="600">{escape(title)}</text>',
        legend,
        f'<text x="0" y="{top - 10}" opacity=".65">{escape(y_label)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{height - 5}" text-anchor="middle" opacity=".65">'
        f"{escape(x_label)}</text>",
    ]
    if any(len(x) for x, _ in curves.values()):
        lines = [_line(x, y, across, up, index) for index, (x, y) in enumerate(curves.values())]
        parts += [
            _rules(across, up),
            *(line for line, _ in lines),
            _explain({k for _, kinds in lines for k in kinds}, top),
        ]
    else:
        middle = f'x="{WIDTH / 2:.0f}" y="{top + PLOT_HEIGHT / 2:.0f}"'
        parts.append(f'<text {middle} text-anchor="middle" opacity=".65">nothing recorded</text>')
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers between ``low`` and ``high``: multiples of 1, 2 or 5 times a power of ten.

    Example:
        >>> ticks(0.0, 1.1)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.8 * rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def short(value: float, *, step: float = 0.0) -> str:
    """A number short enough for an axis.

    Args:
        value: the number.
        step: the distance to the next tick, which decides the decimals; 0 keeps three significant digits.

    Example:
        >>> [short(value) for value in (0, 1500, 2_000_000, -0.25, 1.5e-7)]
        ['0', '1.5k', '2M', '−0.25', '1.5e−07']
    """
    size = abs(value)
    unit, suffix = next((pair for pair in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if pair[0] <= size < 1e12), (1.0, ""))
    if size >= 1e12 or 0 < size < 1e-4:
        text = f"{value:.3g}"
    else:
        digits = 3 if step == 0 else 1 + max(0, _power(size) - _power(step))
        text = np.format_float_positional(value / unit, precision=digits, fractional=False, trim="-")
    return ("0" if value == 0 else text + suffix).replace("-", "−")


def _power(value: float) -> int:
    return math.floor(math.log10(value) + 1e-9) if value > 0 else 0


def _clean(points: Points) -> tuple[Values, Values]:
    """x and y in the order of x; points without a place on x are left out, endless y become nan."""
    table = np.array([(x, y) for x, y in points], dtype=np.float64).reshape(-1, 2)
    table = table[np.isfinite(table[:, 0])]
    x, y = table[np.argsort(table[:, 0], kind="stable")].T
    return x, np.where(np.isfinite(y), np.clip(y, -LARGEST, LARGEST), np.nan)


def _axis(columns: list[Values], start: float, stop: float, *, margin: float) -> Axis:
    """An axis over all values. With a margin it is robust: it ends at twice the span of the middle 98 percent."""
    finite = [values for column in columns if len(values := column[np.isfinite(column)])]
    if not finite:
        return Axis(0.0, 1.0, start, stop)
    low, high = min(float(values.min()) for values in finite), max(float(values.max()) for values in finite)
    if margin:
        inner = [np.percentile(values, (1, 99)) for values in finite]
        calm_low, calm_high = min(float(pair[0]) for pair in inner), max(float(pair[1]) for pair in inner)
        span = calm_high - calm_low
        low, high = max(low, calm_low - span / 2), min(high, calm_high + span / 2)
    constant = high - low <= 1e-9 * max(abs(low), abs(high))
    room = (0.1 * abs(low) or 1.0) if constant else margin * (high - low)
    return Axis(low - room, high + room, start, stop)


def _rules(across: Axis, up: Axis) -> str:
    """The light grid and the numbers on both axes."""
    parts = []
    for axis, horizontal in ((up, True), (across, False)):
        values = ticks(axis.low, axis.high, most=6)
        step = values[1] - values[0] if len(values) > 1 else 0.0
        for value in values:
            place, text = axis(value), escape(short(value, step=step))
            if horizontal:
                parts.append(f'<path d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".13"/>')
                where = f'x="{LEFT - 7}" y="{place + 4:.1f}" text-anchor="end"'
            else:
                parts.append(f'<path d="M{place:.1f} {up.start:.1f}v5" stroke="currentColor" opacity=".4"/>')
                where = f'x="{place:.1f}" y="{up.start + 18:.1f}" text-anchor="middle"'
            parts.append(f'<text {where} font-size="11" opacity=".75">{text}</text>')
    parts.append(f'<path d="M{LEFT} {up.start:.1f}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".4"/>')
    return "".join(parts)


def _legend(names: list[str]) -> tuple[str, int]:
    """A sample of each line with its name, wrapped by an estimate of the text's width; and the number of rows."""
    parts, x, row = [], 0.0, 0
    for index, name in enumerate(names):
        text = name if len(name) <= 40 else name[:39] + "…"
        width = 24 + 6.6 * len(text) + 14
        if x and x + width > WIDTH:
            x, row = 0.0, row + 1
        y = 36 + 18 * row
        parts.append(f'<path d="M{x:.0f} {y - 4}h16" fill="none" stroke-width="2.5" {_stroke(index)}/>')
        parts.append(f'<text x="{x + 22:.0f}" y="{y}">{escape(text)}</text>')
        x += width
    return "".join(parts), row + 1 if names else 0


def _stroke(index: int) -> str:
    dash = ("", ' stroke-dasharray="5 3"', ' stroke-dasharray="1.5 3"')[index // len(COLOURS) % 3]
    return f'stroke="{COLOURS[index % len(COLOURS)]}"{dash}'


def _line(x: Values, y: Values, across: Axis, up: Axis, index: int) -> tuple[str, set[str]]:
    """One series: raw line, moving average, marks; and which kinds of mark it needed."""
    common = f'fill="none" stroke-linecap="round" stroke-linejoin="round" {_stroke(index)}'
    thinned = _thin(x, y)
    if len(x) < FEWEST_FOR_AVERAGE:
        width = 5 if len(x) == 1 else 2
        parts = [f'<path d="{_path(*thinned, across, up)}" stroke-width="{width}" {common}/>']
    else:
        chosen = np.unique(np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int))
        smooth = _average(np.clip(y, up.low, up.high))[chosen]
        parts = [
            f'<path d="{_path(*thinned, across, up)}" stroke-width="1" opacity=".3" {common}/>',
            f'<path d="{_path(x[chosen], smooth, across, up)}" stroke-width="2" {common}/>',
        ]
    kinds = set()
    for kind, where, shape in (
        ("above", y > up.high, f"{up.stop:.1f}l4 7h-8z"),
        ("below", y < up.low, f"{up.start:.1f}l4 -7h-8z"),
        ("missing", np.isnan(y), f"{up.start - 5:.1f}m-3 -3l6 6m0 -6l-6 6"),
    ):
        for place in _apart([across(value) for value in x[where]]):
            paint = common if kind == "missing" else f'fill="{COLOURS[index % len(COLOURS)]}"'
            parts.append(f'<path class="{kind}" d="M{place:.1f} {shape}" {paint}/>')
            kinds.add(kind)
    return "".join(parts), kinds


def _thin(x: Values, y: Values) -> tuple[Values, Values]:
    """At most 300 points: of each bucket its lowest and its highest, in the order they came."""
    if len(x) <= MOST_POINTS:
        return x, y
    kept: list[int] = []
    for bucket in np.array_split(np.arange(len(x)), MOST_POINTS // 2):
        values = y[bucket]
        places = {0} if np.isnan(values).all() else {int(np.nanargmin(values)), int(np.nanargmax(values))}
        kept += [int(bucket[place]) for place in sorted(places)]
    return x[kept], y[kept]


def _average(y: Values) -> Values:
    """A centred moving average over a twenty-fifth of the series; gaps stay gaps and count for nothing."""
    half = max(2, len(y) // 50)
    known = np.isfinite(y)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, y, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    middle = np.arange(len(y))
    first, last = np.maximum(middle - half, 0), np.minimum(middle + half + 1, len(y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, (sums[last] - sums[first]) / (counts[last] - counts[first]), np.nan)


def _path(x: Values, y: Values, across: Axis, up: Axis) -> str:
    """The ``d`` of a line that starts again after each gap; ``h0`` makes a lonely point a dot."""
    commands, drawing = [], False
    for px, value in zip(x, y, strict=True):
        if not math.isnan(value):
            commands.append(f"{'L' if drawing else 'M'}{across(px):.1f} {up(value):.1f}{'' if drawing else 'h0'}")
        drawing = not math.isnan(value)
    return "".join(commands)


def _apart(places: list[float]) -> list[float]:
    """Places at least ten pixels apart, twenty at most."""
    kept: list[float] = []
    for place in places:
        if not kept or place - kept[-1] >= 10:
            kept.append(place)
    return kept[:MOST_MARKS]


def _explain(kinds: set[str], top: float) -> str:
    words = ["▲▼ beyond the scale"] if kinds & {"above", "below"} else []
    words += ["× not a number"] if "missing" in kinds else []
    where = f'x="{WIDTH - RIGHT}" y="{top - 10}" text-anchor="end" font-size="11" opacity=".65"'
    return f"<text {where}>{' · '.join(words)}</text>" if words else ""
