"""A line to a server that can be slow, or lose an answer."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Proxy", "proxied"]

PART_BYTES = 64 * 1024


class Proxy:
    """Forwards bytes in both directions."""

    def __init__(self, listening: socket.socket, target_port: int, bytes_per_s: float | None, *, shared: bool) -> None:
        self.port: int = listening.getsockname()[1]
        self.url = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self.lost = threading.Event()
        self._listening = listening
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s
        self._lines = {upward: threading.Lock() for upward in (True, False)} if shared else None
        self._losing = b""
        self.answers_to_lose = 0
        self._reaches_the_server = True
        self._on = threading.Event()
        self._on.set()
        self.ports_to_the_server: set[int] = set()
        self._sockets: list[socket.socket] = []

    def lose_the_answer_to(
        self, command: str, times: int = 1, *, reaches_the_server: bool = True, holds_the_next: bool = False
    ) -> None:
        """Cuts the connection at the next commands of a name, before or after they reach the server.

        A command of that name that comes after them waits for :meth:`let_on`, if it is to be held.
        """
        self.lost.clear()
        self._losing = command.encode() + b"\x00"
        self.answers_to_lose = times
        self._reaches_the_server = reaches_the_server
        if holds_the_next:
            self._on.clear()

    def let_on(self) -> None:
        """Passes on what is held."""
        self._on.set()

    def serve(self) -> None:
        while True:
            try:
                client = self._listening.accept()[0]
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            self._sockets += [client, server]
            self.ports_to_the_server.add(server.getsockname()[1])
            doomed = threading.Event()
            for source, sink, upward in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass_on, args=(source, sink, doomed, upward), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, doomed: threading.Event, upward: bool) -> None:  # noqa: FBT001
        with suppress(OSError):
            while part := source.recv(PART_BYTES):
                if upward and self._losing and self._losing in part:
                    if self.answers_to_lose:
                        self.answers_to_lose -= 1
                        doomed.set()
                        if not self._reaches_the_server:
                            self.lost.set()
                            break
                    else:
                        self._on.wait()
                if not upward and doomed.is_set():
                    self.lost.set()
                    break
                if self._bytes_per_s is not None:
                    with nullcontext() if self._lines is None else self._lines[upward]:
                        time.sleep(len(part) / self._bytes_per_s)
                sink.sendall(part)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.let_on()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def proxied(target_port: int, bytes_per_s: float | None = None, *, shared: bool = False) -> Iterator[Proxy]:
    """Opens a line to a port of this machine, of so many bytes a second for each direction.

    Each connection has them for itself, or all share them.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proxy = Proxy(listening, target_port, bytes_per_s, shared=shared)
        serving = threading.Thread(target=proxy.serve, daemon=True)
        serving.start()
        try:
            yield proxy
        finally:
            proxy.close()
            serving.join()
