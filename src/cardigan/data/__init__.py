"""Images on their way to training: a source is scanned and becomes a store, and batches are drawn from the store."""

from cardigan.data.decode import BadImage, DataSettings, decode, printable
from cardigan.data.scan import Scan, scan
from cardigan.data.sources import Item, Source, open_source
from cardigan.data.store import Store, prepare

__all__ = [
    "BadImage",
    "DataSettings",
    "Item",
    "Scan",
    "Source",
    "Store",
    "decode",
    "open_source",
    "prepare",
    "printable",
    "scan",
]
