"""Runs coroutines that never suspend, without an event loop.

Every facade is written once, as ``async def``. In the blocking world nothing below a facade suspends: repositories do
their work where they are called. Such a coroutine runs to its end in a single step, and the step is an ordinary call:
short tracebacks, a debugger that steps through, no thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

T = TypeVar("T")

__all__ = ["iterate_inline", "run_inline"]


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Steps a coroutine to its end.

    Raises:
        RuntimeError: The coroutine suspended: an asynchronous repository stands where a blocking one belongs.
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
    """Walks an asynchronous iterator that never suspends; closes it when the walk ends early."""

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
