"""Paths as people type them."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

_HOME = re.compile(r"(-{1,2}[\w-]+=)?([\w.:-]+=)?(~.*)", re.DOTALL)
"""A word with a path from a home folder: alone, after ``--option=``, after ``KEY=``, or after both."""


def path_of(text: str | Path) -> Path:
    """A path; ``~`` at its beginning is the user's home folder, as in a shell.

    Example:
        >>> path_of("~/photos") == Path.home() / "photos", path_of("a/~/b").as_posix(), path_of("./~").as_posix()
        (True, 'a/~/b', '~')
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111  # it leaves the home of an unknown user as it is


def expanded(words: Iterable[str]) -> list[str]:
    """The words of a command line, ``~`` expanded also where shells leave it: in ``--out=~/run`` and ``KEY=~/file``.

    Example:
        >>> home = str(Path.home())
        >>> found = expanded(["train", "~/a", "--out=~/b", "--set", "backbone=~/c", "--features=inception=~/d", "x~y"])
        >>> [word.replace(home, "HOME") for word in found]
        ['train', 'HOME/a', '--out=HOME/b', '--set', 'backbone=HOME/c', '--features=inception=HOME/d', 'x~y']
    """
    found = []
    for word in words:
        match = _HOME.fullmatch(word)
        found.append("".join([match[1] or "", match[2] or "", str(path_of(match[3]))]) if match else word)
    return found
