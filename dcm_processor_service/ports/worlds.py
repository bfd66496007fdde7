"""The two worlds: where blocking work runs, and how it gets back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

from dcm_processor_service._blocking import run_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["Colour", "Offload", "in_thread", "inline"]

T = TypeVar("T")

Colour: TypeAlias = Literal["blocking", "async"]


class Offload(Protocol):
    """Runs blocking work: in place in the blocking world, in a thread in the asynchronous one."""

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
