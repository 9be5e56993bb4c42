"""Pictures: generated images laid out as one, and shown where a notebook is running."""

import sys
from typing import Any

from PIL import Image
from torch import Tensor

from cardigan.pixels import to_uint8
from cardigan.report.grids import grid, to_pillow


def picture_of(images: Tensor, *, columns: int | None = None) -> Image.Image | None:
    """Images (N, C, H, W) in [-1, 1] as one Pillow image; None where they are none, such as vectors.

    Example:
        >>> import torch
        >>> picture_of(torch.zeros(4, 3, 8, 8)).size
        (18, 18)
    """
    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4) or 0 in images.shape:
        return None
    return to_pillow(grid(to_uint8(images.cpu()).numpy(), columns=columns))


def show_in_notebook(picture: Any) -> None:
    """Show a picture where IPython is already running; elsewhere do nothing."""
    shell = sys.modules.get("IPython")
    if shell is None or shell.get_ipython() is None:
        return
    from IPython.display import display  # pyright: ignore[reportMissingImports]  # there, for it is running

    display(picture)
