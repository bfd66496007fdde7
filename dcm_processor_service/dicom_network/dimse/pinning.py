"""TLS settings that check the peer's certificate for an expected name or fingerprint, before anything is sent."""

from __future__ import annotations

import hashlib
import hmac
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from dcm_processor_service.models import Peer

__all__ = ["NotPinnedError", "context_for", "fingerprint"]


class NotPinnedError(ssl.SSLError):
    """The fingerprint of the peer's certificate is not the one that the peer's settings require."""


class _PeerContext(ssl.SSLContext):
    """Checks the peer's certificate in the handshake: against the expected name, and by its fingerprint.

    Both checks work for connections that this package or an HTTP library makes, also through a proxy.
    """

    server_name: str | None = None
    pinned: str | None = None

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,  # noqa: FBT001  the signature is that of the base class
        do_handshake_on_connect: bool = True,  # noqa: FBT001
        suppress_ragged_eofs: bool = True,  # noqa: FBT001
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        name = self.server_name or server_hostname
        return super().wrap_socket(
            sock, server_side, do_handshake_on_connect, suppress_ragged_eofs, server_hostname=name, session=session
        )

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        name = self.server_name or server_hostname
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname=name, session=session)


class _PeerSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001
        super().do_handshake(block)
        _require(self.context, self.getpeercert(binary_form=True))


class _PeerObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _require(self.context, self.getpeercert(binary_form=True))


def context_for(peer: Peer) -> ssl.SSLContext:
    """Returns client TLS settings that check the peer's name and fingerprint; reads no files."""
    context = _PeerContext(ssl.PROTOCOL_TLS_CLIENT)
    context.server_name, context.pinned = peer.tls_server_name, peer.certificate_sha256
    if peer.certificate_sha256:
        context.sslsocket_class, context.sslobject_class = _PeerSocket, _PeerObject
    return context


def fingerprint(certificate: bytes) -> str:
    """Returns the SHA-256 of a certificate in DER form, in hexadecimal digits.

    Example:
        >>> fingerprint(b"")[:8]
        'e3b0c442'
    """
    return hashlib.sha256(certificate).hexdigest()


def _require(context: ssl.SSLContext, certificate: bytes | None) -> None:
    shown = fingerprint(certificate or b"")
    if not isinstance(context, _PeerContext) or not hmac.compare_digest(shown, context.pinned or ""):
        raise NotPinnedError(
            f"its certificate has the SHA-256 fingerprint {shown}, not that of certificate_sha256; ask its operator"
        )
