"""The page that raters see: one HTML document without anything from elsewhere, made for a plan."""

import base64
import hashlib
import importlib.resources
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined

from cardigan.judge.results import Results
from cardigan.judge.session import Plan
from cardigan.report.pictures import PIXELATED_BELOW

SHOWN, WIDEST = 448, 720
"""CSS pixels: what small pictures are enlarged to, and what large ones do not exceed."""
MOST_TIMES = 10
"""That the smallest are enlarged: beyond that one sees squares and no picture."""
SECONDS_EACH = 4
"""That people need for a picture or a pair, about."""


@dataclass(frozen=True)
class Page:
    """A document and the policy that it is sent with.

    Args:
        html: UTF-8.
        policy: the value of Content-Security-Policy; it names the document's own script and style by their hashes.
    """

    html: bytes
    policy: str

    @classmethod
    def of(cls, plan: Plan, size: tuple[int, int]) -> "Page":
        """The page for a plan whose pictures have this size, (height, width).

        Example:
            >>> plan = Plan(task="preference", runs=("a", "b"), generators=("", ""), count=40, seed=0)
            >>> b"40 pairs" in Page.of(plan, (32, 32)).html
            True
        """
        here = importlib.resources.files("cardigan.judge")
        style, script, template = (
            (here / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html.j2")
        )
        environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        text = environment.from_string(template).render(
            plan=plan,
            pair=plan.task == "preference",
            minutes=max(1, round((plan.count + plan.checks) * SECONDS_EACH / 60)),
            height=size[0],
            width=size[1],
            widest=_widest(*size),
            pixelated=max(size) < PIXELATED_BELOW,
            style=style,
            script=script,
        )
        policy = (
            f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src {_source(style)}; "
            f"script-src {_source(script)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return cls(text.encode(), policy)


def result_lines(results: Results) -> dict[str, Any]:
    """Results as the page draws them."""
    return {
        "headline": results.headline,
        "label": results.label if results.counted else "",
        "sentences": results.sentences,
        "shares": [
            {"name": share.name, "value": share.value, "interval": share.interval, "told": str(share)}
            for share in results.shares
        ],
        "raters": [
            {
                "name": rater.name,
                "counts": [f"{share.hits} of {share.trials}" for share in rater.shares],
                "left_out": rater.left_out,
            }
            for rater in results.raters
        ],
        "columns": [share.name for share in next((rater.shares for rater in results.raters if rater.shares), ())],
    }


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _widest(height: int, width: int) -> int:
    """CSS pixels for the width of a picture; a small one by a whole number, so that its squares are alike.

    Example:
        >>> _widest(16, 16), _widest(48, 48), _widest(256, 256), _widest(1024, 512)
        (160, 432, 448, 360)
    """
    longest = max(height, width)
    if longest < PIXELATED_BELOW:
        return min(MOST_TIMES, SHOWN // longest) * width
    return round(min(max(SHOWN, longest), WIDEST) * width / longest)
