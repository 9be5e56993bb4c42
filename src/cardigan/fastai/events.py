"""Events: what a learner calls its callbacks for, and the callbacks it holds.

A learner calls each callback by the name of an event, in the order of their ``order``.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

from cardigan.errors import CardiganError
from cardigan.fastai.absent import absent
from cardigan.fastai.measures import listed

EVENTS = ("before_fit", "before_epoch", "before_batch", "after_batch", "after_epoch", "after_fit")
"""What a learner calls. ``before_batch`` and ``after_batch`` are those of training."""
_UNKNOWN = (
    *("after_create", "before_train", "after_train", "before_validate", "after_validate", "after_pred", "after_loss"),
    *("before_backward", "after_backward", "before_step", "after_step", "after_cancel_fit", "after_cancel_epoch"),
    *("after_cancel_train", "after_cancel_validate", "after_cancel_batch", "after_cancel_step"),
    "after_cancel_backward",
)


SOLE = {
    "trainer": "Give your own when the learner is made: cbs=GANTrainer(...)",
    "switcher": "Give your own when the learner is made, switcher=, or take the first out: learn.remove_cb({})",
    "factor of the critic's rates": "Take the first out: learn.remove_cb({})",
}
"""Where a learner is given what only one callback can be."""


class CancelFitException(Exception):  # noqa: N818  (fastai's name)
    """Raised by a callback to end the fit; ``after_fit`` is called all the same."""


class Callback:
    """Something that watches a learner; the methods named in :data:`EVENTS` are called.

    What it does not have itself is looked up in its learner, as in fastai.

    Source: ``fastai.callback.core``.

    Attributes:
        order: lower is called earlier; equal ones as they were added.
        run: whether it is called at all; true again after each fit, as in fastai.
        run_train: whether it is called for training batches.
        sole: what only one callback of a learner can be, such as its switcher; None for any number.
        learn: the learner it was added to.

    Example:
        >>> class Counter(Callback):
        ...     seen = 0
        ...     def after_batch(self):
        ...         self.seen += 1
        >>> Counter().name
        'counter'
    """

    order: int = 0
    run: bool = True
    run_train: bool = True
    sole: str | None = None
    learn: Any = None

    @property
    def name(self) -> str:
        """The learner's attribute that it is found under: the class's name in lower case, without ``Callback``."""
        words = re.sub(r"([a-z\d])([A-Z])|([A-Z]+)(?=[A-Z][a-z])", r"\1\3_\2", type(self).__name__)
        return words.lower().removesuffix("_callback").strip("_") or "callback"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in (*EVENTS, *_UNKNOWN) or self.learn is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.learn, name)


def callback(given: Any) -> Callback:
    """A callback, made where its class was given.

    Raises:
        CardiganError: if it is none of ours, or waits for an event that a learner never calls.
    """
    made = given() if isinstance(given, type) else given
    if not isinstance(made, Callback):
        raise CardiganError(
            f"{type(made).__name__} is no callback that can be used here; expected a subclass of "
            f"cardigan.fastai.Callback with methods among {', '.join(EVENTS)}."
        )
    if waiting := [event for event in _UNKNOWN if hasattr(type(made), event)]:
        raise CardiganError(
            f"The callback {type(made).__name__} has {waiting[0]}, which is never called here; the events are "
            f"{', '.join(EVENTS)}. Rename the method to one of them."
        )
    if sorted_by := [name for name in ("run_after", "run_before", "toward_end") if hasattr(type(made), name)]:
        raise CardiganError(
            f"The callback {type(made).__name__} has {sorted_by[0]}, which is not read here; expected an order, lower "
            "being called earlier. Type order = 10."
        )
    return made


class Watched:
    """Holds callbacks, and calls them; what a learner is to those who watch it.

    Attributes:
        sole: the kinds of callbacks of which one makes sense here, and not more.
        cbs: the callbacks, as they were added.
        logger: where lines are printed to.
    """

    sole: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.cbs: list[Callback] = []
        self.logger: Callable[[str], None] = print

    def add_cb(self, cb: Any) -> Self:
        """Add a callback, or one of a class, and make it an attribute by its name; one that is there stays as it is.

        Raises:
            CardiganError: if it cannot be used here, or its name is that of something else.
        """
        made = callback(cb)
        if any(own is made for own in self.cbs):
            return self
        hidden = self.__dict__.get(made.name)
        if hasattr(type(self), made.name) or (made.name in self.__dict__ and not isinstance(hidden, Callback)):
            raise CardiganError(
                f"A callback of class {type(made).__name__} would hide learn.{made.name}; expected another name. "
                "Rename the class."
            )
        self._check_sole(made)
        made.learn = self
        self.cbs.append(made)
        setattr(self, made.name, made)
        return self

    def add_cbs(self, cbs: Any) -> Self:
        """Add one callback or several."""
        for cb in listed(cbs):
            self.add_cb(cb)
        return self

    def _check_sole(self, made: Callback) -> None:
        """Refuse what makes no sense here, or only once.

        Raises:
            CardiganError: the message says where it belongs.
        """
        if made.sole is None:
            return
        if made.sole not in self.sole:
            raise CardiganError(
                f"{type(made).__name__} among the callbacks of a {type(self).__name__}; expected it with a GANLearner, "
                "which has two players. Leave it out."
            )
        if present := [type(own).__name__ for own in self.cbs if own.sole == made.sole]:
            raise CardiganError(
                f"The learner has {present[0]} as its {made.sole} already, and expected is one; so "
                f"{type(made).__name__} cannot be added. {SOLE[made.sole].format(present[0])}"
            )

    def remove_cb(self, cb: Any) -> Self:
        """Take a callback, or all of a class, out again.

        Raises:
            CardiganError: if the learner cannot do without it.
        """
        for each in [own for own in self.cbs if own is cb or (isinstance(cb, type) and isinstance(own, cb))]:
            if each.sole == "trainer":
                raise CardiganError(
                    f"{type(each).__name__} says whose turn it is, so the learner cannot do without it. "
                    f"{SOLE['trainer']}, or set what you want: learn.{each.name}.beta = 0.9"
                )
            self.cbs.remove(each)
            if self.__dict__.get(each.name) is each:
                del self.__dict__[each.name]
                for namesake in (own for own in self.cbs if own.name == each.name):
                    setattr(self, each.name, namesake)
        return self

    def remove_cbs(self, cbs: Any) -> Self:
        """Take out one callback or several."""
        for cb in listed(cbs):
            self.remove_cb(cb)
        return self

    def __getattr__(self, name: str) -> Any:
        raise absent(type(self).__name__, name)

    @contextmanager
    def no_bar(self) -> Iterator[None]:
        """Show no progress bar meanwhile: there is none."""
        yield

    @contextmanager
    def no_logging(self) -> Iterator[None]:
        """Print nothing meanwhile."""
        logger, self.logger = self.logger, lambda line: None
        try:
            yield
        finally:
            self.logger = logger

    def _call(self, event: str) -> None:
        for each in sorted(self.cbs, key=lambda cb: cb.order):
            if hasattr(each, event) and each.run and (each.run_train or not event.endswith("_batch")):
                getattr(each, event)()
        if event == "after_fit":
            for each in self.cbs:
                each.run = True
