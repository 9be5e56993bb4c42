"""fastai's data block, as far as GAN scripts write it, over Cardigan's own data room; and where fastai keeps data sets.

Images are scanned, fitted and kept in a store once (see :func:`cardigan.prepare`); batches are then pairs of what
``get_x`` makes of a file and the image in [-1, 1].
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from cardigan.data import DataSettings, Item, Source, Store, prepare, printable
from cardigan.data.formats import EXTENSIONS
from cardigan.errors import CardiganError
from cardigan.fastai.loaders import DataLoaders, StoredLoader
from cardigan.fastai.measures import listed
from cardigan.fastai.transforms import Normalize, Resize, channels_of, only
from cardigan.request import pick_device

Split = tuple[list[int], list[int]]
_ENDINGS = (".tgz", ".tar.gz", ".tar", ".zip")


def get_image_files(path: str | Path, recurse: bool = True, folders: str | Sequence[str] | None = None) -> list[Path]:
    """The image files in a folder, sorted by path; hidden ones are left out.

    Source: ``fastai.data.transforms``; there, the order is that of the disk.

    Args:
        path: the folder.
        recurse: look into its sub-folders.
        folders: of its direct sub-folders, look only into these.

    Example:
        >>> get_image_files("no such folder")
        []
    """
    root, wanted = Path(path), listed(folders)
    found = []
    for file in root.rglob("*") if recurse else root.glob("*"):
        parts = file.relative_to(root).parts
        shown = not any(part.startswith(".") for part in parts) and (not wanted or parts[0] in wanted)
        if shown and file.suffix.lower() in EXTENSIONS and file.is_file():
            found.append(file)
    return sorted(found)


def IndexSplitter(valid_idx: Iterable[int]) -> Callable[[Sequence[Any]], Split]:  # noqa: N802  (fastai's name)
    """A splitter that validates on the items at the given places and trains on the others.

    Source: ``fastai.data.transforms``.

    Example:
        >>> IndexSplitter([1])("abc")
        ([0, 2], [1])
    """
    valid = [int(place) for place in valid_idx]
    aside = set(valid)

    def splitter(items: Sequence[Any]) -> Split:
        if wrong := [place for place in valid if not 0 <= place < len(items)]:
            raise CardiganError(
                f"IndexSplitter asks for item {wrong[0]} of {len(items)}; expected 0 to {len(items) - 1}."
            )
        return [place for place in range(len(items)) if place not in aside], valid

    return splitter


class DataBlock:
    """How files become pairs of an input and an image.

    Only what GANs on noise need is here; for other pairs, give a learner two PyTorch DataLoaders.

    Source: ``fastai.data.block``.

    Args:
        blocks: ``(TransformBlock, ImageBlock)``, or ``(TransformBlock, ImageBlock(PILImageBW))`` for grey images.
        get_items: ``(source) -> files``.
        splitter: ``(files) -> (training places, validation places)``.
        get_x: ``(file) -> input``, such as :func:`generate_noise`; called anew for each image of each batch.
        item_tfms: ``Resize(...)``; None keeps the size that all images must then share.
        batch_tfms: ``Normalize.from_stats(0.5, 0.5)``, which is not optional: images are always in [-1, 1].
        **other: anything else of fastai's, to be refused.

    Raises:
        CardiganError: if something is asked for that is not offered.
    """

    def __init__(
        self,
        blocks: Any = None,
        get_items: Callable[[Any], Iterable[Any]] = get_image_files,
        splitter: Callable[[Sequence[Any]], Any] | None = None,
        get_x: Callable[[Any], Any] | None = None,
        item_tfms: Any = None,
        batch_tfms: Any = None,
        **other: Any,
    ) -> None:
        if other:
            raise CardiganError(
                f"DataBlock does not know {', '.join(other)}; expected only blocks, get_items, splitter, get_x, "
                "item_tfms and batch_tfms. For other data, give the learner two PyTorch DataLoaders, for training and "
                "validation."
            )
        self.channels = channels_of(blocks)
        if get_x is None:
            raise CardiganError("get_x is None; expected what makes an input of a file. Type get_x=generate_noise.")
        self.get_items, self.get_x, self.splitter = get_items, get_x, splitter or IndexSplitter([])
        self.resize = only(Resize, item_tfms, "item_tfms")
        if only(Normalize, batch_tfms, "batch_tfms") is None:
            raise CardiganError(
                "batch_tfms is None; expected a Normalize, for images are always in [-1, 1] here, as generators draw. "
                "Type batch_tfms=Normalize.from_stats([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])."
            )

    def dataloaders(
        self,
        source: Any,
        path: str | Path = ".",
        bs: int = 64,
        device: torch.device | str | None = None,
        num_workers: int | None = None,
        **other: Any,
    ) -> DataLoaders:
        """Prepare the images and give the loaders.

        Args:
            source: what ``get_items`` is given: a folder.
            path: where learners keep files.
            bs: images in a batch.
            device: where batches are wanted; by default a GPU if there is one.
            num_workers: None or 0, for pixels come from one store.
            **other: anything else of fastai's, to be refused.

        Raises:
            CardiganError: if there are no images, or fewer than one batch, or something is asked for that is not
                offered.
        """
        if num_workers:
            raise CardiganError(
                f"num_workers is {num_workers!r}; expected 0: pixels come from one store, prepared once, so there is "
                "nothing that workers could do. Leave num_workers out."
            )
        if other:
            raise CardiganError(
                f"dataloaders does not know {', '.join(other)}; expected only source, path, bs, device and "
                "num_workers. Leave it out, or give the learner PyTorch DataLoaders made to your liking."
            )
        files = [Path(item) for item in self.get_items(source)]
        training, validation = ([files[int(place)] for place in places] for places in self.splitter(files))
        if not training:
            raise CardiganError(
                f"There are no training images in {printable(str(source))}; expected some. Check the path."
            )
        where = torch.device(pick_device("auto") if device is None else device)
        store, lies = self._prepared(files, str(source))
        kept = [[(file, lies[file]) for file in part if file in lies] for part in (training, validation)]
        if not 1 <= bs <= len(kept[0]):
            raise CardiganError(
                f"bs is {bs} for {len(kept[0])} training images; expected 1 to {len(kept[0])}. Type bs={len(kept[0])}."
            )
        train, valid = (StoredLoader(store, kept[at], self.get_x, bs, at == 0, where) for at in (0, 1))
        return DataLoaders(train, valid, path=path)

    def _prepared(self, files: list[Path], source: str) -> tuple[Store, dict[Path, int]]:
        """The store of all files, and where in it the image of each lies; those that cannot be used are told of."""
        settings = DataSettings(
            channels=self.channels,
            background="black",
            fit="crop" if self.resize is None else self.resize.method.value,
            allow_upscale=True,  # fastai enlarges without a word, and code that moves over expects it
            duplicates="keep",  # the splitter's places count every file
            labels=False,
        )
        store = prepare(source_of(files, source), size=self.resize and self.resize.size, settings=settings)
        if len(store) < len(files):
            name, reason = store.scan["bad"][0]
            warnings.warn(
                f"{len(files) - len(store)} of {len(files)} images cannot be used, such as {name}: {reason}.",
                stacklevel=3,
            )
        named = {printable(str(file)): file for file in files}
        return store, {named[name]: at for at, name in enumerate(store.names(range(len(store))))}


def source_of(files: Sequence[Path], name: str) -> Source:
    """Some files as a source of the data room."""
    digest = hashlib.sha256()
    for file in files:
        try:
            status = file.stat()
        except OSError as problem:
            raise CardiganError(
                f"{printable(str(file))} cannot be read: {problem.strerror}; expected an image. Check what get_items "
                "gives."
            ) from None
        digest.update(os.fsencode(file.resolve()) + f"/{status.st_size}/{status.st_mtime_ns}\n".encode())
    items = tuple(Item(str(file), file.read_bytes) for file in files)
    return Source(name, f"{len(files):,} files", items, digest.hexdigest())


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
