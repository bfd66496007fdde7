from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import ConfigurationError, PeerUnreachableError
from dcm_processor_service.models import Peer, SendOptions
from dcm_processor_service.testing.fake_pacs import FakePacs
from tests.archives import make_authority
from tests.scripted_peer import Wire, scripted_peer
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from pathlib import Path

    from dcm_processor_service.testing.fake_certificates import Certificate, FakeAuthority

ONCE = SendOptions(attempts=1, acse_timeout_s=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> FakeAuthority:
    return make_authority(folder)


@pytest.fixture(scope="module")
def certificate(authority: FakeAuthority) -> Certificate:
    return authority.issue("pacs")


def refusal(peer: Peer) -> PeerUnreachableError:
    with pytest.raises(PeerUnreachableError) as caught:
        PynetdicomSender().send(make_ct(), peer, options=ONCE)
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost."])
def test_the_server_alone_is_verified(authority: FakeAuthority, certificate: Certificate, host: str) -> None:
    with FakePacs(tls=True, authority=authority, certificate=certificate) as pacs:
        assert PynetdicomSender().send(make_ct(), pacs.peer.model_copy(update={"host": host})).ok
        assert PynetdicomSender().echo(pacs.peer).ok


def test_both_are_verified(authority: FakeAuthority, certificate: Certificate) -> None:
    ours = authority.issue("ours", ["client.example"])
    with FakePacs(tls=True, authority=authority, certificate=certificate, require_client_certificate=True) as pacs:
        peer = pacs.peer.model_copy(update={"cert_file": ours.cert_file, "key_file": ours.key_file})
        assert PynetdicomSender().send(make_ct(), peer).ok


def test_a_certificate_of_another_name_is_refused(authority: FakeAuthority) -> None:
    other = authority.issue("other", ["other.example"])
    with FakePacs(tls=True, authority=authority, certificate=other) as pacs:
        for host in ("127.0.0.1", "localhost"):
            error = refusal(pacs.peer.model_copy(update={"host": host}))
            assert "host name check" in str(error)
            assert not error.retryable
    assert not pacs.received


def test_the_name_is_not_that_of_our_own_machine(authority: FakeAuthority) -> None:
    import socket

    own = authority.issue("own", [socket.gethostname()])
    with FakePacs(tls=True, authority=authority, certificate=own) as pacs:
        assert "host name check" in str(refusal(pacs.peer))


def test_an_unknown_authority_is_refused(authority: FakeAuthority, certificate: Certificate, folder: Path) -> None:
    stranger = make_authority(folder, "stranger")
    with FakePacs(tls=True, authority=authority, certificate=certificate) as pacs:
        for ca_file in (stranger.ca_file, None):
            assert "authority check" in str(refusal(pacs.peer.model_copy(update={"ca_file": ca_file})))


def test_an_expired_certificate_is_refused(authority: FakeAuthority) -> None:
    expired = authority.issue("expired", days=0)
    with FakePacs(tls=True, authority=authority, certificate=expired) as pacs:
        assert "validity check: its certificate has expired" in str(refusal(pacs.peer))


def test_a_peer_that_wants_our_certificate_says_so(authority: FakeAuthority, certificate: Certificate) -> None:
    with FakePacs(tls=True, authority=authority, certificate=certificate, require_client_certificate=True) as pacs:
        assert "it wants a client certificate" in str(refusal(pacs.peer))


def test_our_certificate_of_another_authority_is_refused_there(
    authority: FakeAuthority, certificate: Certificate, folder: Path
) -> None:
    foreign = make_authority(folder, "foreign").issue("foreign-client", ["client.example"])
    with FakePacs(tls=True, authority=authority, certificate=certificate, require_client_certificate=True) as pacs:
        peer = pacs.peer.model_copy(update={"cert_file": foreign.cert_file, "key_file": foreign.key_file})
        assert "our certificate" in str(refusal(peer)) or "client certificate" in str(refusal(peer))


def test_a_peer_without_tls_is_reported(authority: FakeAuthority) -> None:
    with FakePacs() as pacs:
        error = refusal(pacs.peer.model_copy(update={"tls": True, "ca_file": authority.ca_file}))
    assert "no TLS with the peer" in str(error)


def test_a_peer_with_tls_is_reported_when_we_have_none(authority: FakeAuthority, certificate: Certificate) -> None:
    with FakePacs(tls=True, authority=authority, certificate=certificate) as pacs:
        error = refusal(pacs.peer.model_copy(update={"tls": False}))
    assert "no answer to the association request" in str(error)
    assert "speak TLS on this port" in str(error)


def test_an_alert_of_tls_is_known() -> None:
    def script(wire: Wire) -> None:
        wire.read_pdu()
        wire.send(b"\x15\x03\x01\x00\x02\x02\x46")

    with scripted_peer(script) as seen:
        error = refusal(seen.peer)
    assert "it speaks TLS on this port; set the peer's tls" in str(error)
    assert not error.retryable


def test_a_peer_that_closes_without_a_word_may_speak_tls() -> None:
    with scripted_peer(lambda wire: wire.connection.close()) as seen:
        error = refusal(seen.peer)
    assert "it may speak TLS on this port" in str(error)
    assert error.retryable


def test_the_peers_own_certificate_may_be_pinned(authority: FakeAuthority, certificate: Certificate) -> None:
    other = authority.issue("a-namesake")
    with FakePacs(tls=True, authority=authority, certificate=certificate) as pacs:
        pinned = pacs.peer.model_copy(update={"ca_file": certificate.cert_file})
        assert PynetdicomSender().send(make_ct(), pinned).ok
        # no other certificate is accepted, even of the same authority and for the same hosts
        assert "authority check" in str(refusal(pacs.peer.model_copy(update={"ca_file": other.cert_file})))


def test_a_certificate_in_the_middle_of_the_chain_may_be_pinned(authority: FakeAuthority) -> None:
    intermediate = authority.intermediate("department")
    certificate = intermediate.issue("below")
    with FakePacs(tls=True, authority=intermediate, certificate=certificate) as pacs:
        assert PynetdicomSender().send(make_ct(), pacs.peer).ok
        assert pacs.peer.ca_file == intermediate.ca_file != authority.ca_file


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ca_file": "absent.pem"}, "ca_file names no file"),
        ({"ca_file": "empty.pem"}, "ca_file holds no certificate"),
        ({"cert_file": "absent.pem"}, "cert_file names no file"),
        ({"key_file": "pacs.key"}, "key_file is set without cert_file"),
        ({"cert_file": "pacs.pem", "key_file": "absent.key"}, "key_file names no file"),
        ({"cert_file": "pacs.pem", "key_file": "authority.key"}, "key_file is not the key of cert_file"),
        ({"cert_file": "pacs.pem", "key_file": "encrypted.key"}, "the key not encrypted"),
        ({"cert_file": "pacs.pem"}, "cannot be loaded"),
    ],
)
def test_an_unusable_file_is_reported_when_the_peer_is_read(
    folder: Path, certificate: Certificate, changes: dict[str, str], reason: str
) -> None:
    import subprocess

    (folder / "empty.pem").write_text("")
    encrypt = ["openssl", "ec", "-in", certificate.key_file, "-aes128", "-passout", "pass:x", "-out", "encrypted.key"]
    subprocess.run(encrypt, cwd=folder, check=True, capture_output=True)
    changes = {name: str(folder / file) for name, file in changes.items()}
    peer = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104, tls=True, **changes)
    with pytest.raises(ConfigurationError, match=f"'PACS': .*{reason}") as caught:
        PynetdicomSender().check(peer)
    assert str(folder) not in str(caught.value)


def test_usable_files_pass(authority: FakeAuthority, certificate: Certificate) -> None:
    peer = Peer(
        name="PACS",
        ae_title="PACS",
        host="127.0.0.1",
        port=104,
        tls=True,
        ca_file=authority.ca_file,
        cert_file=certificate.cert_file,
        key_file=certificate.key_file,
    )
    PynetdicomSender().check(peer)


def test_nothing_older_than_tls_1_2_is_spoken(authority: FakeAuthority) -> None:
    import ssl

    from dcm_processor_service.dicom_network.dimse.tls import client_context

    peer = Peer(name="PACS", ae_title="PACS", host="127.0.0.1", port=104, tls=True, ca_file=authority.ca_file)
    context = client_context(peer)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
