"""Opens the workspace's database: to write, after making it if needed, or, if it is read-only, to read."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from dcm_processor_service.backends.sqlite.failures import is_locked
from dcm_processor_service.disk import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, open_new, sync_folder
from dcm_processor_service.errors import StoredValueError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.ports import Durability

__all__ = ["CLAIM_FOLDER", "CONTENT_FOLDER", "is_read_only", "is_there", "open_to_read", "open_to_write"]

DATABASE_NAME = "workspace.sqlite3"
CONTENT_FOLDER = "files"
CLAIM_FOLDER = "claims"
SCHEMA_VERSION = 1
_RETRY_S = 0.01

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


def is_there(folder: Path) -> bool:
    """Returns whether a folder holds a workspace.

    Raises:
        OSError: The system does not tell, for example for lack of rights; ``exists()`` would return False.
    """
    try:
        (folder / DATABASE_NAME).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def is_read_only(folder: Path) -> bool:
    """Returns whether there is a workspace that this process may not write to."""
    database = folder / DATABASE_NAME
    return is_there(folder) and not (os.access(folder, os.W_OK) and os.access(database, os.W_OK))


def open_to_write(folder: Path, timeout_s: float, durability: Durability) -> sqlite3.Connection:
    """Opens the database, and makes it and its folders if needed; takes no lock on an existing database.

    Raises:
        OSError: A folder or the file cannot be made.
        sqlite3.Error: The file is not a database, or another process holds it.
        StoreError: Something in the folder is a link.
        StoredValueError: A newer version of this package made it.
    """
    durable = durability == "full"
    path = folder / DATABASE_NAME
    make_folder(folder, private=True, durable=durable)
    for entry in (path, folder / CONTENT_FOLDER, folder / CLAIM_FOLDER):
        if entry.is_symlink():
            raise StoreError(
                f"{str(entry)!r} is a link, through which patient data would be written elsewhere; remove it"
            )
    for entry in (folder / CONTENT_FOLDER, folder / CLAIM_FOLDER):
        make_folder(entry, private=True, durable=durable)
        _make_private(entry, PRIVATE_FOLDER)
    _make_file(path, durable=durable)
    connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
    try:
        # FULL syncs the log at each commit; NORMAL may lose the last commits at a power cut, and damages nothing
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        _prepare(connection, timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_file(path: Path, *, durable: bool) -> None:
    """Makes an empty private file; SQLite gives its log the permissions of the database."""
    try:
        open_new(path, private=True).close()
    except FileExistsError:
        _make_private(path, PRIVATE_FILE)
        return
    if durable:
        sync_folder(path.parent)


def _make_private(path: Path, mode: int) -> None:
    status = path.stat()
    if status.st_mode & 0o077 and hasattr(os, "getuid") and status.st_uid == os.getuid():
        path.chmod(mode)


def _prepare(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Makes the schema, unless it exists; retries, since SQLite does not wait if two processes make it at once."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if _version(connection) == 0:
                connection.execute("PRAGMA journal_mode = WAL")
                _migrate(connection)
                # moves the schema from the log to the database file, whose rows can be changed even on a full disk
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _version(connection: sqlite3.Connection) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StoredValueError(
            f"the workspace was made by a newer version of this package (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade the package or start a new workspace"
        )
    return version


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _version(connection) == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def open_to_read(folder: Path, timeout_s: float) -> sqlite3.Connection:
    """Opens the database of a folder that may not be written to.

    SQLite writes files beside a database even to read it. In a folder where it cannot, and where no other process has a
    log, it may treat the database as immutable, but only for one read: at the next read, there may be a log.

    Raises:
        sqlite3.Error: The file is not a database, or it has a log that only a process with write permission can read.
        StoredValueError: A newer version of this package made it.
    """
    path = folder / DATABASE_NAME
    alone = not path.with_name(f"{DATABASE_NAME}-wal").exists()
    url = f"file:{quote(str(path.absolute()))}?mode=ro{'&immutable=1' if alone else ''}"
    connection = sqlite3.connect(url, timeout=timeout_s, isolation_level=None, check_same_thread=False, uri=True)
    try:
        _version(connection)
    except BaseException:
        connection.close()
        raise
    return connection
