"""The differences between the modes of the driver: how a client is made, waited for and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from dcm_processor_service.backends.mongo.documents import Document

__all__ = ["Ahead", "DriverMode"]


class Ahead(Protocol):
    """Documents that are being read; awaiting returns them."""

    def __await__(self) -> Generator[Any, Any, list[Document]]:
        """Waits until the documents are read."""

    def cancel(self) -> bool:
        """Cancels the read if possible, since the documents are no longer needed.

        Returns whether the read was cancelled; in the blocking mode, always False.
        """


class DriverMode(Protocol):
    """One mode of the driver: blocking or asynchronous."""

    def make(self, url: str, **options: Any) -> Any:
        """Makes a client; does not connect."""

    def scope(self) -> object:
        """Returns what a client belongs to: the running event loop (async), or None (blocking).

        In the blocking mode, all threads share one client.
        """

    def close(self, client: Any) -> None:
        """Closes a client; called in a thread of its own."""

    async def reach(self, client: Any) -> None:
        """Waits until the driver knows a server that accepts writes.

        Raises:
            ServerSelectionTimeoutError: The driver found no such server in time.
        """

    async def write(self, call: Callable[[], Any]) -> Any:
        """Makes a call of the driver that changes documents, and returns its result.

        If the task is cancelled, first waits briefly for the call to end.
        """

    async def run(self, call: Callable[[], Any]) -> Any:
        """Makes a call that changes no stored document, such as an index build, and returns its result.

        If the task is cancelled, the cancellation is raised at once, and later writes do not wait for the answer.
        """

    async def all_answered(self, within_s: float) -> bool:
        """Waits for the answers to cancelled writes; returns whether all answers have come in time."""

    async def read_all(self, call: Callable[[], Any], *, whole: bool = True) -> list[Document]:
        """Makes a call that returns a cursor, and returns all its documents.

        Args:
            call: The call.
            whole: Whether the driver's time limit is for all messages together; otherwise it is for each message.
        """

    async def pause(self, seconds: float) -> None:
        """Waits."""

    def start(self, work: Callable[[], Coroutine[Any, Any, list[Document]]]) -> Ahead:
        """Starts work in another thread or task."""
