"""Pictures drawn from the same latents through training, so that one can see it learn."""

from concurrent.futures import Future
from pathlib import Path

import torch
from torch import Tensor

from cardigan.beside import beside
from cardigan.contracts import GeneratorNetwork
from cardigan.report.grids import grid, save_png
from cardigan.sample import draw, latents_for

SNAPSHOTS = 24
"""Pictures over a budget, where it affords them."""
AFFORDABLE = 0.01
"""The share of a budget that pictures may take."""
DRAWN = 5 * AFFORDABLE
"""Images, as a share of a budget in images, that all pictures together may draw: drawing one takes up to a fifth of
training on one."""
MEASURED = 64
"""Images on which the normalisation of a pictured generator is measured; the published model takes more."""
ROWS = 8
RESTORED_COLUMNS = 4
"""Restored pictures are fewer and larger than drawn ones, for details matter."""


def affordable(images: int | None) -> int:
    """How many pictures a budget in images affords, so that two runs of one seed are pictured alike.

    Args:
        images: the budget; None for one in minutes, whose pictures become fewer once one was timed.

    Example:
        >>> [affordable(images) for images in (64, 20_000, 200_000, None)]
        [0, 7, 24, 24]
    """
    return SNAPSHOTS if images is None else min(SNAPSHOTS, int(DRAWN * images / (MEASURED + ROWS * ROWS)))


class Snapshots:
    """Draws a grid at chosen moments: dense at the start, where most happens.

    Args:
        folder: where the pictures go, named by images seen.
        count: how many over the whole budget.
        spent: the share of the budget that is spent already.
        images: where the run stands; pictures beyond it are removed.
        seed: of the latents.
        sources: what the generator starts from, if it is not latents; (N, C, H, W).
    """

    def __init__(
        self,
        folder: Path,
        *,
        count: int,
        spent: float = 0.0,
        images: int = 0,
        seed: int = 0,
        sources: Tensor | None = None,
    ) -> None:
        self.folder, self.seed = folder, seed
        self.sources = None if sources is None else sources[: ROWS * RESTORED_COLUMNS]
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.png"):
            if path.stem.isdigit() and int(path.stem) > images:
                path.unlink()
        self._pending: Future[Path] | None = None
        self._moments = [(place / count) ** 2 for place in range(count)]
        if images:
            self.thin(count, spent)

    def thin(self, count: int, spent: float) -> None:
        """Take no more than ``count`` over the whole budget, of which a share is spent."""
        planned = [(place / count) ** 2 for place in range(count)]
        self._moments = [moment for moment in planned if moment > spent]

    def due(self, spent: float) -> bool:
        """Whether it is time for the next one; asking counts as taking it."""
        due = bool(self._moments) and spent >= self._moments[0]
        self._moments = [moment for moment in self._moments if moment > spent]
        return due

    def take(self, network: GeneratorNetwork, *, images: int) -> Path:
        """Draw the grid of a published generator; the file is written meanwhile.

        Args:
            network: in evaluation mode.
            images: images seen, for the name.

        Returns:
            Where it will lie, once :meth:`settle` has been called.
        """
        columns, labels = layout(int(network.classes))  # pyright: ignore[reportArgumentType]
        if self.sources is None:
            pictures = draw(network, latents_for(network, ROWS * columns, seed=self.seed), labels)
        else:
            columns, pictures = RESTORED_COLUMNS, draw(network, self.sources)
        path = self.folder / f"{images:012d}.png"
        self.settle()
        # Packing a picture takes longer than drawing a small one, and nobody waits for it.
        self._pending = beside(save_png, grid(pictures, columns=columns, background=None), path)
        return path

    def settle(self) -> None:
        """See the picture that is being written to its end, if there is one.

        Raises:
            OSError: if it could not be written.
        """
        pending, self._pending = self._pending, None
        if pending:
            pending.result()


def layout(classes: int) -> tuple[int, Tensor | None]:
    """The columns of a grid and the class of each picture: a column for each class where there are 2 to 12.

    Example:
        >>> columns, labels = layout(10)
        >>> columns, labels[:12].tolist()
        (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    """
    columns = classes if 2 <= classes <= 12 else 8
    return columns, torch.arange(ROWS * columns).remainder(classes) if classes else None
