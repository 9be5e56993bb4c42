"""Where fastai keeps the data sets it downloads. Nothing is downloaded here."""

import os
from pathlib import Path, PurePosixPath

from cardigan.errors import CardiganError

_ENDINGS = (".tgz", ".tar.gz", ".tar", ".zip")


class URLs:
    """fastai's names for data sets, as far as they are images to generate.

    Each is what the unpacked folder is called.

    Source: ``fastai.data.external``.
    """

    LSUN_BEDROOMS = "bedroom.tgz"
    MNIST = "mnist_png.tgz"
    CIFAR = "cifar10.tgz"
    PETS = "oxford-iiit-pet.tgz"
    FLOWERS = "oxford-102-flowers.tgz"
    CARS = "stanford-cars.tgz"


def untar_data(url: str | Path, data: str | Path | None = None) -> Path:
    """The folder of a data set that fastai has unpacked before, or that you have put there.

    Against fastai: nothing is downloaded, so what is not there is an error that says where to put it.

    Source: ``fastai.data.external``.

    Args:
        url: one of :class:`URLs`, any URL of an archive, or a folder that exists.
        data: the folder of data sets; by default ``$FASTAI_HOME/data``, else ``~/.fastai/data``.

    Raises:
        CardiganError: if there is no such folder.

    Example:
        >>> untar_data(".")
        PosixPath('.')
    """
    if isinstance(url, Path) or Path(url).is_dir():
        folder = Path(url).expanduser()
    else:
        name = PurePosixPath(url).name
        name = next((name.removesuffix(ending) for ending in _ENDINGS if name.endswith(ending)), name)
        home = Path(os.environ.get("FASTAI_HOME") or "~/.fastai").expanduser()
        folder = (home / "data" if data is None else Path(data).expanduser()) / name
    if not folder.is_dir():
        raise CardiganError(
            f"There is no folder {folder}; expected the unpacked images in it, for nothing is downloaded here. Put "
            'them there, or give their folder instead: path = Path("my/images")'
        )
    return folder
