"""Listens for associations with pynetdicom, and leaves no thread and no open socket behind."""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from pynetdicom import _config
from pynetdicom.transport import ThreadedAssociationServer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator

    from pynetdicom import AE

__all__ = ["listening"]

# pynetdicom would log the identifiers of queries, which name patients
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False

_POLL_S = 0.05  # how often, in seconds, the server checks whether to stop
_HANDSHAKE_S = 5.0  # the time for a TLS handshake, during which no other client can connect
_LAST_WORDS_S = 0.1  # the time for an association to end by itself, if it is just being released


class _Server(ThreadedAssociationServer):
    """Records accepted sockets, to close them later: pynetdicom leaves a socket open if the other side closed first."""

    def __init__(self, accepted: list[socket.socket], *args: Any, **kwargs: Any) -> None:
        self.accepted = accepted
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        assert self.socket is not None
        request, address = self.socket.accept()
        if self.ssl_context is not None:
            request.settimeout(_HANDSHAKE_S)
            request = self.ssl_context.wrap_socket(request, server_side=True)
            request.settimeout(None)
        self.accepted.append(request)
        return request, address

    def shutdown(self) -> None:
        """Stops accepting connections; afterwards, each accepted connection has its association."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()


@contextmanager
def listening(
    entity: AE, address: tuple[str, int], handlers: list[Any], ssl_context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serves while the ``with`` block runs; yields the port, which the system chooses if the given port is 0.

    Raises:
        OSError: The process cannot listen at the port.
    """
    accepted: list[socket.socket] = []
    kind = cast("type[ThreadedAssociationServer]", partial(_Server, accepted))
    server = entity.make_server(address, evt_handlers=handlers, ssl_context=ssl_context, server_class=kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="dicom-listener")
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        for association in entity.active_associations:
            association.join(_LAST_WORDS_S)
            if association.is_alive():
                if (
                    association.requestor.primitive is None
                ):  # a client has connected but sent nothing: do not wait for it
                    association.dul.to_user_queue.put(None)
                    association.join(_LAST_WORDS_S)
                association.abort()
                association.join()
        for request in accepted:
            request.close()
