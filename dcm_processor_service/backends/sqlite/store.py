"""The workspace folder: its database, its schema, its content files, and SQLite's errors in our words."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dcm_processor_service.errors import StoredValueError, StoreUnavailableError, UnsupportedValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.ports import Offload

__all__ = ["SqliteStore", "folder_of"]

T = TypeVar("T")

DATABASE_NAME = "workspace.sqlite3"
CONTENT_FOLDER = "files"
SCHEMA_VERSION = 1
_MALFORMED = "malformed JSON"
ORPHAN_AGE_S = 24 * 3600

_SCHEMA = """
CREATE TABLE data (session_id TEXT, job_id TEXT, name TEXT, value TEXT NOT NULL,
    PRIMARY KEY (session_id, job_id, name)) WITHOUT ROWID;
CREATE TABLE files (session_id TEXT, job_id TEXT, name TEXT, content TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (session_id, job_id, name)) WITHOUT ROWID;
CREATE TABLE jobs (position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, session_id TEXT NOT NULL, name TEXT NOT NULL,
    document TEXT NOT NULL);
CREATE INDEX jobs_of_session ON jobs (session_id, name);
CREATE TABLE peers (name TEXT PRIMARY KEY, id TEXT NOT NULL, document TEXT NOT NULL);
CREATE TABLE subjects (id TEXT PRIMARY KEY, level TEXT NOT NULL, uid TEXT NOT NULL, document TEXT NOT NULL);
CREATE INDEX subjects_by_uid ON subjects (level, uid);
CREATE TABLE instances (position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, series_id TEXT NOT NULL,
    document TEXT NOT NULL, path TEXT NOT NULL);
CREATE INDEX instances_of_series ON instances (series_id);
"""


def folder_of(url: str) -> Path:
    """Gives the workspace folder that a URL such as ``sqlite:///data/workspace``, or a bare path, names."""
    return Path(url.removeprefix("sqlite://")).expanduser()


class SqliteStore:
    """One connection, used by one thread at a time; opened at the first use."""

    def __init__(self, folder: Path, timeout_s: float, offload: Offload) -> None:
        self.folder = folder
        self._timeout_s = timeout_s
        self._offload = offload
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs one transaction, where the offload says."""
        return await self._offload(lambda: self._transaction(work))

    async def compute(self, work: Callable[[], T]) -> T:
        """Runs work on files, where the offload says."""
        return await self._offload(work)

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock, self._translated():
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return result

    def rows(self, statement: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Reads, without a transaction of its own."""
        with self._lock, self._translated():
            return self._connect().execute(statement, values).fetchall()

    async def read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Reads, where the offload says."""
        return await self._offload(lambda: self.rows(statement, values))

    def content_path(self, content: str) -> Path:
        """Where the content of a file lies."""
        return self.folder / CONTENT_FOLDER / content

    def close(self) -> None:
        """Closes the connection; the next use would open it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._make_folders()
            connection = sqlite3.connect(
                self.folder / DATABASE_NAME, timeout=self._timeout_s, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                _migrate(connection)
                self._sweep(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _make_folders(self) -> None:
        contents = self.folder / CONTENT_FOLDER
        try:
            contents.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(
                f"the workspace folder {self.folder.name!r} cannot be made: {error.strerror}; choose a folder that you "
                "may write to"
            ) from error

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Removes content that a killed process left: no row points to it, and it is too old to be in the making."""
        oldest = time.time() - ORPHAN_AGE_S
        kept = {content for (content,) in connection.execute("SELECT content FROM files")}
        for entry in (self.folder / CONTENT_FOLDER).iterdir():
            try:
                if entry.name not in kept and entry.stat().st_mtime < oldest:
                    entry.unlink()
            except FileNotFoundError:  # another process was faster
                continue

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (UnicodeEncodeError, OverflowError) as error:
            raise UnsupportedValueError(
                "a name or an id holds what SQLite cannot: lone surrogates, or an integer beyond 64 bits"
            ) from error
        except sqlite3.OperationalError as error:
            if _MALFORMED in str(error):
                raise StoredValueError(
                    f"the workspace database in {self.folder.name!r} holds a damaged document: {error}; restore it or "
                    "start a new one"
                ) from error
            raise StoreUnavailableError(
                f"the workspace database in {self.folder.name!r} cannot be used: {error}; is another process holding "
                "it, or the disk full or read-only?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StoredValueError(
                f"the workspace database in {self.folder.name!r} is damaged: {error}; restore it or start a new one"
            ) from error


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    if version > SCHEMA_VERSION:
        raise StoredValueError(
            f"the workspace was made by a newer version of this package (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade the package or start a new workspace"
        )
