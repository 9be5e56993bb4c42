"""The tables of ``docs/benchmarks.md`` and of README, filled from the newest results, so that they cannot drift apart.

A table stands between ``<!-- bench:NAME -->`` and ``<!-- /bench:NAME -->``; all other text is a person's.
"""

import re
import statistics
from collections.abc import Iterable
from pathlib import Path

from bench.images import SETS
from bench.questions import QUESTIONS
from bench.table import Result, Row, newest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "benchmarks.md", ROOT / "README.md")
SUMMARY, RACES = "summary", "races"
UNMEASURED = "Not measured yet: `make bench`."


def fill(paths: Iterable[Path], results: Path) -> list[Path]:
    """Write the tables anew; the pages that changed."""
    changed = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        now = filled(text, results)
        if now != text:
            path.write_text(now, encoding="utf-8")
            changed.append(path)
    return changed


def filled(text: str, results: Path) -> str:
    """A page with its tables as the newest results have them."""
    tables = {SUMMARY: summary(results), RACES: races(results)}
    for name in [*tables, *QUESTIONS]:
        start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        table = tables.get(name) or answer(newest(results, name))
        pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
        text = pattern.sub(lambda _, whole=f"{start}\n{table}\n{end}": whole, text)
    return text


def races(results: Path) -> str:
    """The newest race on each set of images."""
    found = [race for name in SETS if (race := newest(results, f"race-{name}"))]
    return "\n\n".join(answer(race) for race in found) or "Not measured yet: `python benchmarks/quality.py`."


def answer(result: Result | None) -> str:
    """A question's table, where and when it was measured, and what was left out."""
    if result is None:
        return UNMEASURED
    lines = [*table(result.rows), "", place(result)]
    if result.skipped:
        lines += ["", "Not measured: " + "; ".join(result.skipped) + "."]
    return "\n".join(lines)


def table(rows: Iterable[Row]) -> list[str]:
    """Rows as Markdown."""
    lines = ["| what | beside | ours | times better | by CPU time | rounds | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        *other, mine = row.values.items()
        theirs = f"{middle(other[0][1])} {row.unit}, {other[0][0]}" if other else ""
        goal = f" (goal {row.goal:g})" if row.goal else ""
        cells = [row.name, theirs, f"{middle(mine[1])} {row.unit}, {mine[0]}", ratio(row.ratio) + goal]
        lines.append(f"| {' | '.join([*cells, ratio(row.cpu_ratio), str(len(mine[1])), row.note])} |")
    return lines


def place(result: Result) -> str:
    """Machine, versions and date in a sentence."""
    known = result.machine
    load = f", load at the start {known['load'][0]:g}" if known.get("load") else ""
    return (
        f"{result.made[:10]}, {known['processor']}, {known['threads']} of {known['cores']} cores{load}; Python "
        f"{known['python']}, torch {known['torch']}, numpy {known['numpy']}, Pillow {known['pillow']}, Cardigan "
        f"{known['cardigan']}{' of ' + known['commit'] if known.get('commit') else ''}."
    )


def summary(results: Path) -> str:
    """README's table: the rows that have a short name."""
    asked = [*QUESTIONS, *(f"race-{name}" for name in SETS)]
    answers = [found for name in asked if (found := newest(results, name))]
    rows = [(row, found) for found in answers for row in found.rows if row.short and row.ratio]
    if not rows:
        return UNMEASURED
    lines = ["| | tutorial | ours | times better |", "|---|---|---|---|"]
    for row, _ in rows:
        theirs, mine = (f"{middle(values)} {row.unit}" for values in row.values.values())
        lines.append(f"| {row.short} | {theirs} | {mine} | {ratio(row.ratio)} |")
    places = dict.fromkeys(place(found) for _, found in rows)
    return "\n".join([*lines, "", *places])


def ratio(found: tuple[float, float, float] | None) -> str:
    """A ratio with the lowest and highest of the rounds.

    Example: ``1.62 [1.55..1.71]``.
    """
    if found is None:
        return ""
    return f"**{short(found[0])}** [{short(found[1])}..{short(found[2])}]"


def middle(values: Iterable[float]) -> str:
    """The median."""
    return short(statistics.median(values))


def short(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
