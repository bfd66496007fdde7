"""The workspace folder: one connection to its database for each process, used by one thread at a time."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dcm_processor_service.backends.sqlite.database import is_read_only, is_there, open_to_read, open_to_write
from dcm_processor_service.backends.sqlite.failures import DISK_FULL, absent, read_only, translated
from dcm_processor_service.ports.forks import pause_at_forks

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from dcm_processor_service.ports import Durability, Offload

__all__ = ["SqliteStore", "folder_of"]

T = TypeVar("T")


def folder_of(url: str) -> Path:
    """Returns the workspace folder that a URL such as ``sqlite:///data/workspace``, or a bare path, names."""
    return Path(url.removeprefix("sqlite://")).expanduser()


class SqliteStore:
    """One connection, used by one thread at a time; opened at first use, and closed while the process forks.

    A connection that is carried into a child breaks the locks of both processes
    (https://www.sqlite.org/howtocorrupt.html, section 2.6).
    """

    def __init__(self, folder: Path, timeout_s: float, offload: Offload, durability: Durability = "full") -> None:
        self.folder = folder
        self.durability: Durability = durability
        self._timeout_s = timeout_s
        self._offload = offload
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        pause_at_forks(self)

    def pause(self) -> None:
        """Waits for the transaction under way, and closes the connection."""
        self._lock.acquire()
        self.close()

    def resume(self) -> None:
        """Lets the next transaction open a connection."""
        self._lock.release()

    async def run(self, work: Callable[[sqlite3.Connection], T], need_bytes: int = 0) -> T:
        """Runs one transaction that writes about ``need_bytes``, through the offload."""
        return await self._offload(lambda: self.transaction(work, need_bytes))

    async def compute(self, work: Callable[[], T]) -> T:
        """Runs work on files, through the offload."""
        return await self._offload(work)

    def transaction(self, work: Callable[[sqlite3.Connection], T], need_bytes: int = 0) -> T:
        """Runs one transaction: if this returns, all its changes are stored; if it raises, none of them is stored."""
        with self._lock, translated(self.folder, lambda: need_bytes):
            connection = self._to_write()
            try:
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException as error:
                self._roll_back(connection, error)
                raise
            return result

    def _roll_back(self, connection: sqlite3.Connection, error: BaseException) -> None:
        if connection.in_transaction:  # on a full disk, SQLite has rolled back by itself
            connection.execute("ROLLBACK")
        if DISK_FULL in str(error):
            self.close()  # this removes the incomplete log

    def rows(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Returns the rows of a query, without a transaction of its own; none if there is no workspace yet."""
        with self._lock, translated(self.folder):
            if self._connection is None and not is_there(self.folder):
                return []  # a read makes nothing
            with self._to_read() as connection:
                return connection.execute(statement, values).fetchall()

    async def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Returns the rows of a query, through the offload."""
        return await self._offload(lambda: self.rows(statement, values))

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def require_existing(self) -> None:
        """Looks for the workspace, and makes none.

        Raises:
            StoreError: There is no workspace.
        """
        with translated(self.folder):
            if not is_there(self.folder):
                raise absent(self.folder)

    def require_writable(self) -> None:
        """Opens the workspace for writing.

        Raises:
            StoreError: This process may not write to it.
        """
        with self._lock, translated(self.folder):
            self._to_write()

    def _to_write(self) -> sqlite3.Connection:
        if self._connection is None:
            if is_read_only(self.folder):
                raise read_only(self.folder)
            self._connection = open_to_write(self.folder, self._timeout_s, self.durability)
        return self._connection

    @contextmanager
    def _to_read(self) -> Iterator[sqlite3.Connection]:
        if self._connection is not None or not is_read_only(self.folder):
            yield self._to_write()
            return
        connection = open_to_read(self.folder, self._timeout_s)
        try:
            yield connection
        finally:
            connection.close()
