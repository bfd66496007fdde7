"""Blocking or async: where blocking work runs, and how coroutines that never suspend run without an event loop.

Every facade is written once, as ``async def``. In the blocking mode, the repositories that a facade awaits never
suspend: they do their work at once, in the caller's thread. The coroutine of the facade therefore runs to its end in a
single step, which is an ordinary call: tracebacks are short, a debugger can step through it, and no thread is needed.
"""

from __future__ import annotations

import asyncio
import contextvars
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from dcm_processor_service.ports.forks import SharedLock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

__all__ = ["Mode", "Offload", "Turns", "in_thread", "inline", "iterate_inline", "run_inline"]

T = TypeVar("T")

Mode: TypeAlias = Literal["blocking", "async"]
"""Whether a callback is an ordinary function or ``async def``."""


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Steps a coroutine to its end, without an event loop, and returns its result.

    Raises:
        RuntimeError: The coroutine suspended, because it used an asynchronous repository in place of a blocking one.

    Example:
        >>> async def volume_ml() -> float:
        ...     return 12.5
        >>> run_inline(volume_ml())
        12.5
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        coroutine.close()
    raise RuntimeError("a blocking session reached an asynchronous repository: use AsyncContainer for it")


def iterate_inline(items: AsyncIterator[T]) -> Iterator[T]:
    """Yields the items of an asynchronous iterator that never suspends; closes it, even if the caller stops early.

    Example:
        >>> async def slices() -> AsyncIterator[int]:
        ...     yield 1
        ...     yield 2
        >>> list(iterate_inline(slices()))
        [1, 2]
    """

    async def step() -> T:
        return await items.__anext__()

    try:
        while True:
            try:
                item = run_inline(step())
            except StopAsyncIteration:
                return
            yield item
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            run_inline(close())


class Turns(Protocol):
    """A lock that lets in one thread, or one task of an event loop, at a time."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Waits for the caller's turn; leaving the block lets the next caller in."""


class Offload(Protocol):
    """Runs blocking work: in place in the blocking mode, in a thread in the asynchronous one."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Runs ``work`` and returns its result; a cancellation is raised only after the work has ended."""

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        """Returns a function that offloaded work calls to run a coroutine of the session and wait for it."""

    def turns(self) -> Turns:
        """Returns a new lock: between threads in the blocking mode, between tasks in the asynchronous one."""


class _ThreadTurns:
    def __init__(self) -> None:
        self._lock = SharedLock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        with self._lock:
            yield


class _TaskTurns:
    def __init__(self) -> None:
        self._lock = SharedLock()
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        with self._lock:
            own = self._of_loops.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with own:
            yield


class _Inline:
    async def __call__(self, work: Callable[[], T], /) -> T:
        return work()

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        return run_inline

    def turns(self) -> Turns:
        return _ThreadTurns()


class _InThread:
    async def __call__(self, work: Callable[[], T], /) -> T:
        context = contextvars.copy_context()
        under_way = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(work))
        cancelled: asyncio.CancelledError | None = None
        while not under_way.done():
            try:
                await asyncio.wait([under_way])
            except asyncio.CancelledError as error:
                # Goes on waiting: the thread cannot be stopped, and must not write after a later write of the caller.
                cancelled = error
        if cancelled is None:
            return under_way.result()
        under_way.exception()  # marks the exception as retrieved, so that asyncio does not log it
        raise cancelled

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        loop = asyncio.get_running_loop()
        return lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    def turns(self) -> Turns:
        return _TaskTurns()


inline: Offload = _Inline()
"""Runs blocking work where it is called; never suspends."""

in_thread: Offload = _InThread()
"""Runs blocking work in a thread of the event loop's pool."""
