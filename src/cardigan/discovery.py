"""Finding parts by their names: the strings at the doors become modules here, and nowhere else."""

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from cardigan.errors import CardiganError


def names(package: ModuleType) -> list[str]:
    """The modules in a package's folder, sorted, with hyphens where the file names have underscores.

    Example:
        >>> from cardigan import models
        >>> "dcgan" in names(models)
        True
    """
    return names_in(*package.__path__)


def names_in(*folders: str | Path) -> list[str]:
    """The same of folders, without importing the package.

    Example:
        >>> "sources" in names_in(Path(__file__).parent / "data")
        True
    """
    found = (module.name for module in pkgutil.iter_modules(map(str, folders)))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def load(package: ModuleType, name: str) -> ModuleType:
    """The module of that name in a package's folder.

    Raises:
        CardiganError: if there is none; the message names the nearest and lists all.

    Example:
        >>> from cardigan import models
        >>> load(models, "dcgan").__name__
        'cardigan.models.dcgan'
    """
    known = names(package)
    kind = package.__name__.rpartition(".")[2].removesuffix("s")
    if name not in known:
        raise CardiganError(unknown(kind, name, known))
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")


def unknown(kind: str, name: str, known: list[str]) -> str:
    """The answer to a name that does not exist.

    Example:
        >>> unknown("recipe", "dgcan", ["dcgan", "wgan"])
        "There is no recipe 'dgcan'. Did you mean 'dcgan'? Known: dcgan, wgan."
    """
    return f"There is no {kind} {name!r}.{suggestion(name, known)} Known: {', '.join(known)}."


def suggestion(name: str, known: list[str]) -> str:
    """`` Did you mean 'x'?`` when one of the known names is near, else an empty string.

    Example:
        >>> suggestion("lerning_rate", ["learning_rate", "width"])
        " Did you mean 'learning_rate'?"
    """
    near = nearest(name, known)
    return f" Did you mean {near!r}?" if near else ""


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that is spelt most alike, None if none is.

    Example:
        >>> nearest("widht", ["learning_rate", "width"])
        'width'
    """
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)
