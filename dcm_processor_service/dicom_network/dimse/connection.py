"""Opens the TCP or TLS connection to a peer, and explains why it failed."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse import tls
from dcm_processor_service.errors import EXIT_CONFIGURATION, PeerUnreachableError

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer, SendOptions

__all__ = ["PeerRefusesError", "connect", "host_of"]


class PeerRefusesError(PeerUnreachableError):
    """No association is possible, and another attempt would fail too, because a title or a certificate is wrong."""

    exit_code = EXIT_CONFIGURATION
    retryable = False


def connect(peer: Peer, options: SendOptions) -> socket.socket:
    """Connects to the peer, over TLS if its settings say so; every wait has a limit.

    Raises:
        ConfigurationError: A certificate file is unusable.
        PeerUnreachableError: The host is unknown, nothing listens there, or no answer came in time.
        PeerRefusesError: The TLS handshake failed.
    """
    context = tls.client_context(peer) if peer.tls else None
    host = host_of(peer)
    try:
        # tries all addresses of the host name, IPv6 and IPv4
        connection = socket.create_connection((host, peer.port), timeout=options.connection_timeout_s)
    except (socket.gaierror, UnicodeError) as error:
        raise PeerUnreachableError(f"{peer.address}: the host name cannot be resolved; check it") from error
    except ConnectionRefusedError as error:
        raise PeerUnreachableError(f"{peer.address}: nothing listens on this port; check host and port") from error
    except TimeoutError as error:
        raise PeerUnreachableError(
            f"{peer.address}: no connection within {options.connection_timeout_s:g} s; check host, port and firewall"
        ) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PeerUnreachableError(f"{peer.address}: no connection ({reason})") from error
    # without Nagle's algorithm, which would delay each small request by 40 ms
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(options.acse_timeout_s)
    return connection if context is None else _handshake(connection, context, peer)


def _handshake(connection: socket.socket, context: ssl.SSLContext, peer: Peer) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(connection, server_hostname=host_of(peer))
    except OSError as error:
        connection.close()
        raise handshake_failed(peer, error) from error


def handshake_failed(peer: Peer, error: OSError) -> PeerUnreachableError:
    """Makes the error for a failed TLS handshake, which is retryable if no check failed but the connection ended."""
    message = f"{peer.address}: no TLS with the peer, {tls.explain_failure(error)}"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return PeerRefusesError(message)
    return PeerUnreachableError(message)


def host_of(peer: Peer) -> str:
    """Returns the host without the brackets of an IPv6 URL and the dot of the DNS root."""
    return peer.host.strip().strip("[]").rstrip(".")
