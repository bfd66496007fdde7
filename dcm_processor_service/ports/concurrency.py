"""Blocking or async: where blocking work runs, and how coroutines that never suspend run without an event loop.

Every facade is written once, as ``async def``. In the blocking mode nothing below a facade suspends: repositories do
their work where they are called. Such a coroutine runs to its end in a single step, and the step is an ordinary call:
short tracebacks, a debugger that steps through, no thread.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

__all__ = ["Mode", "Offload", "in_thread", "inline", "iterate_inline", "run_inline"]

T = TypeVar("T")

Mode: TypeAlias = Literal["blocking", "async"]
"""Whether a callback is an ordinary function or ``async def``."""


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Steps a coroutine to its end, without an event loop, and returns its result.

    Raises:
        RuntimeError: The coroutine suspended: an asynchronous repository stands where a blocking one belongs.

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
    """Walks an asynchronous iterator that never suspends; closes it when the walk ends early.

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


class Offload(Protocol):
    """Runs blocking work: in place in the blocking mode, in a thread in the asynchronous one."""

    async def __call__(self, work: Callable[[], T], /) -> T:
        """Runs ``work`` and gives its result."""

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        """Gives a function by which offloaded work runs a coroutine of the session, and waits for it."""


class _Inline:
    async def __call__(self, work: Callable[[], T], /) -> T:
        return work()

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        return run_inline


class _InThread:
    async def __call__(self, work: Callable[[], T], /) -> T:
        return await asyncio.to_thread(work)

    def way_back(self) -> Callable[[Coroutine[Any, Any, Any]], Any]:
        loop = asyncio.get_running_loop()
        return lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()


inline: Offload = _Inline()
"""Runs blocking work where it is called; never suspends."""

in_thread: Offload = _InThread()
"""Runs blocking work in a thread of the event loop's pool."""
