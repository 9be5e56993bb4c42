"""The version, where nothing heavy needs importing to read it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("cardigan")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
