"""TLS with a peer: our certificates, the check of the peer's certificate, and reasons for failures (PS3.15, annex B).

The peer's certificate must be valid for the host to which we connect, or for ``tls_server_name``. It must be signed by
the authority in ``ca_file``, or be the certificate in that file; without ``ca_file``, it must be signed by an authority
that this machine trusts. If ``certificate_sha256`` is set, the fingerprint is checked instead, or in addition if
``ca_file`` is set too. A client certificate is optional, because many peers require none.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from dcm_processor_service.dicom_network.dimse.pinning import NotPinnedError, context_for
from dcm_processor_service.disk import is_file
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from dcm_processor_service.models import Peer

__all__ = ["client_context", "explain_failure", "server_context"]

# the numbers X509_V_ERR_… from OpenSSL's x509_vfy.h, for which the ssl module has no names
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_IN_CHAIN, _NO_LOCAL_ISSUER, _UNVERIFIABLE = 9, 10, 18, 19, 20, 21
_REVOKED, _HOST_MISMATCH, _ADDRESS_MISMATCH = 23, 62, 64

_UNKNOWN_AUTHORITY = "authority check: its certificate's authority is not trusted here; set the peer's ca_file"
_VERIFY = {
    _NOT_YET_VALID: "validity check: its certificate is not valid yet; compare both clocks",
    _EXPIRED: "validity check: its certificate has expired",
    _SELF_SIGNED: _UNKNOWN_AUTHORITY,
    _SELF_SIGNED_IN_CHAIN: _UNKNOWN_AUTHORITY,
    _NO_LOCAL_ISSUER: _UNKNOWN_AUTHORITY,
    _UNVERIFIABLE: _UNKNOWN_AUTHORITY,
    _REVOKED: "revocation check: its certificate is revoked",
    _HOST_MISMATCH: "host name check: its certificate is for another name; use the name that is in the certificate",
    _ADDRESS_MISMATCH: "host name check: its certificate does not name this address; use a name that it has",
}
_REASONS = {
    "WRONG_VERSION_NUMBER": "it does not speak TLS on this port",
    "HTTP_REQUEST": "it does not speak TLS on this port",
    "UNSUPPORTED_PROTOCOL": "protocol check: it supports only versions before TLS 1.2",
    "TLSV1_ALERT_PROTOCOL_VERSION": "protocol check: it does not accept TLS 1.2 or 1.3",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it found no common cipher, or wants a client certificate (cert_file, key_file)",
    "NO_SHARED_CIPHER": "cipher check: no cipher in common",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client certificate: set the peer's cert_file and key_file",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority of our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refused our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refused our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it refused our certificate as expired",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it refused the kind of our certificate",
}


def client_context(peer: Peer) -> ssl.SSLContext:
    """Returns the TLS settings for a peer; reads its certificate files.

    Raises:
        ConfigurationError: A file is missing, unreadable, or not of the right kind; the message names the field.
    """
    context = context_for(peer)  # verifies certificate and host name by default
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if peer.certificate_sha256 and not peer.ca_file:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the fingerprint is the stricter check
    elif peer.ca_file:
        _require_file(peer, "ca_file", peer.ca_file)
        try:
            context.load_verify_locations(cafile=peer.ca_file)
            # accepts as authority also the peer's own certificate, or one in the middle of its chain: an operator may
            # have no other
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        except (ssl.SSLError, OSError) as error:
            raise _unusable(peer, "ca_file", "holds no certificate in PEM form that can be read") from error
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    _load_own_certificate(context, peer)
    return context


def server_context(peer: Peer) -> ssl.SSLContext:
    """Returns the TLS settings for one of our ports, to which a peer sends; both sides need a certificate.

    Raises:
        ConfigurationError: A file is missing, unreadable, or not of the right kind; the message names the field.
    """
    if not peer.cert_file:
        raise _unusable(peer, "cert_file", "is not set, and without it the peer could send to us only without TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    if peer.ca_file:
        _require_file(peer, "ca_file", peer.ca_file)
        try:
            context.load_verify_locations(cafile=peer.ca_file)
        except (ssl.SSLError, OSError) as error:
            raise _unusable(peer, "ca_file", "holds no certificate in PEM form that can be read") from error
    else:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    _load_own_certificate(context, peer)
    return context


def _load_own_certificate(context: ssl.SSLContext, peer: Peer) -> None:
    if not peer.cert_file:
        if peer.key_file:
            raise _unusable(peer, "key_file", "is set without cert_file; set both or neither")
        return
    _require_file(peer, "cert_file", peer.cert_file)
    if peer.key_file:
        _require_file(peer, "key_file", peer.key_file)
    try:
        # the empty password makes an encrypted key fail; otherwise OpenSSL would wait for a password at the terminal
        context.load_cert_chain(peer.cert_file, peer.key_file or None, password=b"")
    except (ssl.SSLError, OSError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise _unusable(peer, "key_file", "is not the key of cert_file") from error
        raise _unusable(
            peer, "cert_file or key_file", "cannot be loaded; both must be PEM, and the key not encrypted"
        ) from error


def explain_failure(error: OSError) -> str:
    """Returns a text that says which check of a TLS handshake failed.

    Example:
        >>> explain_failure(ConnectionResetError())
        'it closed the connection; it wants a client certificate, or does not speak TLS'
    """
    if isinstance(error, NotPinnedError):
        return f"fingerprint check: {error.args[0]}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY.get(error.verify_code, f"certificate check: OpenSSL's verification error {error.verify_code}")
    if isinstance(error, TimeoutError):
        return "no answer to the handshake in time; it may not speak TLS on this port"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return _REASONS.get(error.reason, f"OpenSSL says {error.reason}")
    return "it closed the connection; it wants a client certificate, or does not speak TLS"


def _require_file(peer: Peer, field: str, path: str) -> None:
    if not is_file(path):
        raise _unusable(peer, field, "names no file on this machine")


def _unusable(peer: Peer, field: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"TLS for the peer {peer.name!r}: {field} {reason}")
