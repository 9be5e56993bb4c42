"""Finding parts by their names: the strings at the doors become modules here, and nowhere else."""

import difflib
import importlib
import pkgutil
from types import ModuleType

from cardigan.errors import CardiganError


def names(package: ModuleType) -> list[str]:
    """The modules in a package's folder, sorted, with hyphens where the file names have underscores.

    Example:
        >>> from cardigan import models
        >>> "dcgan" in names(models)
        True
    """
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
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
        raise CardiganError(f"There is no {kind} {name!r}.{suggestion(name, known)} Known: {', '.join(known)}.")
    return importlib.import_module(f"{package.__name__}.{name.replace('-', '_')}")


def suggestion(name: str, known: list[str]) -> str:
    """`` Did you mean 'x'?`` when one of the known names is near, else an empty string.

    Example:
        >>> suggestion("lerning_rate", ["learning_rate", "width"])
        " Did you mean 'learning_rate'?"
    """
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
