"""What goes wrong in a user's hands, in the user's words.

An error says what happened (with the value), what was expected, and what to type next. The command line prints it
without a traceback and exits with 2; a Python caller catches :class:`CardiganError`.
"""


class CardiganError(ValueError):
    """A fault the user can mend: bad input, a setting that cannot work, a run folder in the wrong state."""


class MissingExtraError(CardiganError, ImportError):
    """A feature needs a library that the lean core does not bring.

    Args:
        feature: what was asked for, as the user would say it.
        extra: the name of the extra that brings the library.

    Example:
        >>> print(MissingExtraError("TensorBoard", extra="tensorboard"))
        TensorBoard needs a library that is not installed. Install it with: pip install "cardigan[tensorboard]"
    """

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(
            f'{feature} needs a library that is not installed. Install it with: pip install "cardigan[{extra}]"'
        )
