"""Finds out from an error message of the driver what is wrong with TLS, since the driver has no error class for it."""

from __future__ import annotations

from pymongo.errors import ConnectionFailure, PyMongoError, ServerSelectionTimeoutError

__all__ = ["certificate_fault", "handshake_hint"]

_CERTIFICATE_FAULTS = {
    "hostname mismatch": "its certificate is for another host name",
    "is not valid for": "its certificate is for another host name",
    "doesn't match": "its certificate is for another host name",
    "ip address mismatch": "its certificate is for another address",
    "certificate has expired": "its certificate has expired",
    "not yet valid": "its certificate is not valid yet, unless a clock is wrong",
    "certificate revoked": "its certificate is revoked",
    "certificate purpose": "its certificate is not for servers",
    "too weak": "its certificate has a key or digest that is too weak for this machine",
    "certificate_verify_failed": "its certificate is not signed by an authority that this machine trusts",
    "wrong_version_number": "it does not speak TLS",
    "certificate_required": "it asks for a client certificate",
    "alert_unknown_ca": "it does not trust the authority of our certificate",
    "alert_certificate_expired": "our certificate has expired",
    "alert_bad_certificate": "it refuses our certificate",
    "alert_certificate_unknown": "it refuses our certificate",
    "alert_unsupported_certificate": "it refuses our certificate",
    "protocol_version": "it speaks other versions of TLS than this machine",
    "unsupported_protocol": "it speaks other versions of TLS than this machine",
}
"""Parts of the driver's message, the most specific first, with the meaning of each."""

_HANDSHAKE = "ssl handshake failed"
_TEMPORARY = ("timed out", "eof", "reset", "refused", "broken pipe", "closed", "unreachable", "aborted")
"""Parts of messages of a failed handshake that a frozen, overloaded or ending server may also cause."""


def certificate_fault(error: PyMongoError) -> str:
    """Returns what is wrong with a certificate or with the choice of TLS; empty if another attempt may succeed."""
    if not isinstance(error, ConnectionFailure):
        return ""
    text = str(error).lower()
    if "ssl" not in text and "certificate" not in text:
        return ""
    for piece, meaning in _CERTIFICATE_FAULTS.items():
        if piece in text:
            return meaning
    return "the TLS handshake fails" if _HANDSHAKE in text and not any(piece in text for piece in _TEMPORARY) else ""


def handshake_hint(error: PyMongoError) -> str:
    """Returns what the URL may lack if a server ends connections before it answers; empty for any other error."""
    text = str(error).lower()
    if _HANDSHAKE in text and not certificate_fault(error):
        return "; the TLS handshake does not end, which may be because the server does not speak TLS"
    if isinstance(error, ServerSelectionTimeoutError) and "connection closed" in text:
        return (
            "; a server closes the connection before it answers; it may ask for TLS (tls=true in the URL), "
            "or for a client certificate (tlsCertificateKeyFile)"
        )
    return ""
