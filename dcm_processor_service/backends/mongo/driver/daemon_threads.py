"""Threads for which the process does not wait when it ends.

motor runs each operation in a thread. A thread of the standard library's executor keeps the interpreter from ending
until its operation has ended: with a frozen server, for the whole time limit of the operation.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DaemonThreads"]

P = ParamSpec("P")
T = TypeVar("T")


class DaemonThreads(Executor):
    """An executor of daemon threads, which are started when needed and then kept.

    Example:
        >>> DaemonThreads(2).submit(pow, 2, 5).result()
        32
    """

    def __init__(self, most: int) -> None:
        self.pid = os.getpid()
        self._most = most
        self._count = 0
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs a call in a thread.

        Raises:
            RuntimeError: The system cannot start another thread; the call is not made.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._idle.acquire(blocking=False) and self._count < self._most:
                threading.Thread(target=self._work, name=f"mongo-{self._count + 1}", daemon=True).start()
                self._count += 1
        self._calls.put((future, lambda: fn(*args, **kwargs)))  # after the start of a thread, which may raise
        return future

    def _work(self) -> None:
        while True:
            self._make(*self._calls.get())
            self._idle.release()

    @staticmethod
    def _make(future: Future[Any], call: Callable[[], Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  raised where the result is waited for
            future.set_exception(error)
