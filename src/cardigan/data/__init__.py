"""Images on their way to training: a source is scanned and becomes a store, and batches are drawn from the store."""

from cardigan.data.decode import BadImage, decode
from cardigan.data.items import Item, Source
from cardigan.data.options import DataSettings
from cardigan.data.preparation import prepare
from cardigan.data.scan import Scan, scan
from cardigan.data.sources import open_source
from cardigan.data.store import Store
from cardigan.data.words import printable

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
