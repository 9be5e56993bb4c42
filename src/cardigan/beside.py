"""Work that is done while training goes on, such as writing files: in a thread of its own, which ends."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def beside(work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Future[Result]:
    """Begin some work that need not be waited for.

    While a second thread that has ever computed lives, OpenMP believes the machine overbooked and puts the training's
    threads to sleep after each operation (decision 015). So each piece of work has a thread that ends with it.

    Args:
        work: what to do, with its arguments.

    Returns:
        What it will come to; an error is raised where somebody asks for the result.

    Example:
        >>> beside(sum, [1, 2]).result()
        3
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
    promised = thread.submit(work, *args, **kwargs)
    thread.shutdown(wait=False)
    return promised
