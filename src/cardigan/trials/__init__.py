"""Generators measured while they train: when, on what, what is written down of it, and which one is kept."""

from cardigan.trials.drawn import Drawn
from cardigan.trials.ledger import Budget, Exam, Line, Trials, moments
from cardigan.trials.restored import HeldOut, Restored

__all__ = ["Budget", "Drawn", "Exam", "HeldOut", "Line", "Restored", "Trials", "moments"]
