"""Keeps a forked child from inheriting locks that another thread held, and connections that one process owns.

A forked child has one thread, a copy of all memory, and the parent's open files. A lock that another thread held would
stay locked for ever in the child, a thread pool would have no threads, and two processes would use one connection.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["OfOneProcess", "Pausable", "SharedLock", "pause_at_forks"]

T = TypeVar("T")


class SharedLock:
    """A reentrant lock that a forked child can acquire, whichever thread of the parent held it.

    Another thread may fork while the lock is held. Use it only for state that is valid at each such point; otherwise
    use :func:`pause_at_forks`.

    Example:
        >>> lock = SharedLock()
        >>> with lock, lock:
        ...     "held"
        'held'
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Frees the lock in a forked child, unless the thread that forked holds it."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()


class OfOneProcess(Generic[T]):
    """A value that each process makes for itself at first use, and that the threads of the process share.

    Example:
        >>> OfOneProcess(os.getpid).get() == os.getpid()
        True
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = SharedLock()
        self._made: tuple[int, T] | None = None

    def get(self) -> T:
        """Returns this process's value."""
        with self._lock:
            if self._made is None or self._made[0] != os.getpid():
                self._made = (os.getpid(), self._make())
            return self._made[1]

    def take(self) -> T | None:
        """Returns this process's value, for the caller to close, and forgets it; None if it was never made."""
        with self._lock:
            made, self._made = self._made, None
            return made[1] if made is not None and made[0] == os.getpid() else None


class Pausable(Protocol):
    """An object that must have no operation under way while the process forks."""

    def pause(self) -> None:
        """Waits for operations under way, keeps others from beginning, and releases all that no child may inherit."""

    def resume(self) -> None:
        """Lets operations begin again, in the parent and in the child."""


def pause_at_forks(part: Pausable) -> None:
    """Pauses an object before every fork of this process, and resumes it afterwards; does not keep the object alive.

    Example:
        >>> class Connection:
        ...     paused = False
        ...     def pause(self) -> None:
        ...         self.paused = True
        ...     def resume(self) -> None:
        ...         self.paused = False
        >>> connection = Connection()
        >>> pause_at_forks(connection)
        >>> connection.paused
        False
    """
    _pausable.add(part)


_locks: WeakSet[SharedLock] = WeakSet()
_pausable: WeakSet[Pausable] = WeakSet()
_paused: list[Pausable] = []
_forking = threading.Lock()


def _pause() -> None:
    _forking.acquire()  # so that two threads that fork at once do not pause the same objects in different orders
    for part in list(_pausable):
        part.pause()
        _paused.append(part)


def _resume() -> None:
    while _paused:
        _paused.pop().resume()
    _forking.release()


def _resume_child() -> None:
    _resume()
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):  # missing on Windows, which has no fork
    os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_resume_child)
