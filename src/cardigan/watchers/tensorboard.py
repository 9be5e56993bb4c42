"""Records as TensorBoard scalars. Needs the extra ``tensorboard``."""

from pathlib import Path
from typing import Any

from cardigan.errors import MissingExtraError


class TensorBoardWriter:
    """Writes the lines of ``records.jsonl`` as scalars, by images seen.

    Args:
        folder: where the events go.
        images: where the run stands; what an earlier sitting wrote beyond it is hidden.

    Raises:
        MissingExtraError: if TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, images: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("TensorBoard logging (tensorboard=true)", extra="tensorboard") from error
        self._writer = SummaryWriter(str(folder), purge_step=images + 1)

    def see(self, line: dict[str, Any]) -> None:
        """Write one line."""
        scalars = line["losses"] | {f"logits/{name}": value for name, value in line["logits"].items()}
        for name, value in (scalars | {"images_per_second": line["images_per_second"]}).items():
            self._writer.add_scalar(name, value, global_step=line["images"])

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()
