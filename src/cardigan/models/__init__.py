"""Networks: one file for each architecture, holding a ``Generator`` and a ``Discriminator``, or one of the two if it
goes with any other architecture's.

A generator takes ``(latents, labels)``, has ``latent``, ``classes`` and ``arguments`` (what built it), and gives images
(B, C, H, W) in [-1, 1]. A discriminator takes ``(images, labels)`` and gives raw logits (B, K), high meaning real.

A new architecture is one new file here. Nothing lists it: it is found by its name.
"""

import sys
from types import ModuleType

from cardigan import discovery


def load(name: str) -> ModuleType:
    """The architecture of that name.

    Raises:
        CardiganError: if there is none; the message lists all.

    Example:
        >>> load("mlp").Generator.__name__
        'Generator'
    """
    return discovery.load(sys.modules[__name__], name)


def __getattr__(name: str) -> ModuleType:
    if name.replace("_", "-") in discovery.names(sys.modules[__name__]):
        return load(name.replace("_", "-"))
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
