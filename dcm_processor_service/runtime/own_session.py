"""The session of this process's own job, for functions without a context.

The process has one container, made from the environment at the first use and closed when the process ends. While a
runner runs a callback, these functions use the runner's container: both share one store and one connection. A forked
child makes its own container, since connections do not survive a fork.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.execution.plain_entries import limits_kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.session.session import Session

__all__ = ["close_own_container", "own_container", "own_session", "serving", "spare_own_limits"]


class _Own:
    """The container that functions without a context use."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Starts without a container; a forked child leaves its parent's container for the parent to close."""
        self.lock = threading.RLock()
        self.served: list[Container] = []
        self.container: Container | None = None
        self.closing = ExitStack()
        self.limits: ExitStack | None = None


_own = _Own()
_first_process = os.getpid()
"""The id of the job's own process. A forked child has another id; it enforces no limits and writes no result, since its
parent does both."""


def own_container() -> Container:
    """Returns the container of this process's job.

    Raises:
        ConfigurationError: The environment does not name a job; raised when the session is first used.
    """
    with _own.lock:
        if _own.served:
            return _own.served[-1]
        if _own.container is None:
            _own.container = _own.closing.enter_context(opened(Container()))
            if _own.limits is None and _is_first_process():
                _own.limits = limits_kept(_own.container)
                atexit.register(_own.limits.close)
        return _own.container


def own_session() -> Session:
    """Returns the session of this process's job.

    Raises:
        ConfigurationError: The environment does not name a job.
    """
    session: Session = own_container().session()
    return session


def _is_first_process() -> bool:
    """Returns whether this is the job's own process, and no child that was forked or that multiprocessing started."""
    return os.getpid() == _first_process and multiprocessing.parent_process() is None


def spare_own_limits() -> None:
    """Leaves the time limit and the result to a runner that handles them, because a process has only one such timer."""
    with _own.lock:
        if _own.limits is None:
            _own.limits = ExitStack()


@contextmanager
def serving(container: Container) -> Iterator[None]:
    """Makes functions without a context use this container within the block; the caller closes it."""
    with _own.lock:
        _own.served.append(container)
    try:
        yield
    finally:
        with _own.lock:
            if container in _own.served:  # in a forked child, the list has been emptied
                _own.served.remove(container)


def close_own_container() -> None:
    """Closes the container that functions without a context opened; the next use opens another."""
    with _own.lock:
        _own.container = None
        _own.closing.close()


atexit.register(close_own_container)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_own.begin)
