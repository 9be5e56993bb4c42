"""What a run looked like: grids of images, charts, an animation, and one page that holds them all."""

from cardigan.report import animation
from cardigan.report.curves import chart
from cardigan.report.grids import encode_png, enlarge, grid, save_png
from cardigan.report.page import Contents, render, write

__all__ = ["Contents", "animation", "chart", "encode_png", "enlarge", "grid", "render", "save_png", "write"]
