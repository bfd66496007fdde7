"""The sentence about each failure of a TLS handshake, and the settings of a context."""

from __future__ import annotations

import ssl

import pytest

from dcm_processor_service.dicom_network.dimse.pinning import NotPinnedError
from dcm_processor_service.dicom_network.dimse.tls import client_context, explain_failure, server_context
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import Peer

PEER = Peer(name="PACS", ae_title="PACS", host="pacs.example", port=2762, tls=True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (9, "not valid yet"),
        (10, "has expired"),
        (18, "set the peer's ca_file"),
        (19, "set the peer's ca_file"),
        (20, "set the peer's ca_file"),
        (21, "set the peer's ca_file"),
        (23, "is revoked"),
        (62, "for another name"),
        (64, "does not name this address"),
        (7, "certificate check: OpenSSL's verification error 7"),
    ],
)
def test_a_certificate_that_is_refused_is_explained_by_its_check(code: int, said: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    assert said in explain_failure(error)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("WRONG_VERSION_NUMBER", "it does not speak TLS on this port"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "set the peer's cert_file and key_file"),
        ("TLSV1_ALERT_UNKNOWN_CA", "does not trust the authority of our certificate"),
        ("SOMETHING_NEW", "OpenSSL says SOMETHING_NEW"),
    ],
)
def test_a_handshake_that_fails_is_explained_by_its_reason(reason: str, said: str) -> None:
    error = ssl.SSLError(1, "handshake")
    error.reason = reason
    assert said in explain_failure(error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "no answer to the handshake in time"),
        (ssl.SSLEOFError(8, "EOF"), "it closed the connection"),
        (ConnectionResetError(), "it closed the connection"),
        (NotPinnedError("another certificate"), "fingerprint check: another certificate"),
    ],
    ids=["time-out", "end", "reset", "fingerprint"],
)
def test_a_connection_that_ends_is_explained(error: OSError, said: str) -> None:
    assert said in explain_failure(error)


def test_a_peer_is_verified_by_its_name_or_by_its_fingerprint_and_never_below_tls_1_2() -> None:
    plain, pinned = client_context(PEER), client_context(PEER.model_copy(update={"certificate_sha256": "ab" * 32}))
    assert (plain.check_hostname, plain.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert (pinned.check_hostname, pinned.verify_mode) == (False, ssl.CERT_NONE)
    assert plain.minimum_version == pinned.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_port_of_ours_without_a_certificate_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="TLS for the peer 'PACS': cert_file is not set"):
        server_context(PEER)
    with pytest.raises(ConfigurationError, match="key_file is set without cert_file"):
        client_context(PEER.model_copy(update={"key_file": "/nowhere/key.pem"}))
