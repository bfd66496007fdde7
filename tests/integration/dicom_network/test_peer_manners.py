"""What the fields of a peer require is respected by all functions, and can be found out by asking the peer."""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless

from dcm_processor_service.backends.mongo import documents
from dcm_processor_service.dicom_network.dimse import proposing
from dcm_processor_service.dicom_network.dimse.answer_times import AnswerTimes, time_outs
from dcm_processor_service.dicom_network.dimse.pinning import fingerprint
from dcm_processor_service.dicom_network.manners import suited_to
from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import DcmProcessorError, PeerUnreachableError
from dcm_processor_service.models import FindQuery, FoundSeries, Peer, SendOptions, Verdict
from dcm_processor_service.testing.fake_pacs import FakePacs, Faults
from tests.archives import make_authority
from tests.integration.dicom_network.stow_server import running_stow_service
from tests.scripted_peer import answer, scripted_peer, stores
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dcm_processor_service.testing.fake_certificates import Certificate, FakeAuthority
    from tests.scripted_peer import Script, Wire

PLACE = {"name": "PACS", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
RLE = str(RLELossless)
C_ECHO_RSP = 0x8030


def asking(peer: Peer, **fields: object) -> Peer:
    """Returns the peer with values in its fields, which are checked."""
    return Peer.model_validate(peer.model_dump() | fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transfer_syntax_uid", "1.2.840.10008.1.2.4.50"),  # the instance cannot be converted to it without loss
        ("timeout_s", 0),
        ("connection_timeout_s", -1),
        ("max_associations", 33),
        ("max_pdu_bytes", 100),
        ("max_request_bytes", 10),
        ("tls_server_name", ""),
        ("certificate_sha256", "ab:cd"),
        ("certificate_sha256", "g" * 64),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Peer.model_validate(PLACE | {field: value})


def test_a_fingerprint_is_read_as_openssl_prints_it() -> None:
    printed = ":".join(["AB"] * 32)
    assert Peer.model_validate(PLACE | {"certificate_sha256": printed}).certificate_sha256 == "ab" * 32


def test_a_document_of_the_platform_may_hold_every_field() -> None:
    wanted = asking(
        Peer.model_validate(PLACE),
        transfer_syntax_uid=RLE,
        timeout_s=5.0,
        connection_timeout_s=2.0,
        max_associations=2,
        max_pdu_bytes=16_384,
        max_request_bytes=1 << 21,
        tls_server_name="pacs.example",
        certificate_sha256="ab" * 32,
        id="b" * 24,
    )
    document = wanted.model_dump(exclude_none=True) | {"_id": "b" * 24, "aet": "PACS"}
    assert documents.peer(document) == wanted


@pytest.mark.parametrize(
    ("named", "of_peer", "ours", "expected"),
    [({}, None, None, 60), ({}, None, 7, 7), ({}, 5, 7, 5), ({"dimse_timeout_s": 3}, 5, 7, 3)],
)
def test_options_go_before_the_peer_and_the_peer_before_our_own_timeout(
    named: dict[str, float], of_peer: float | None, ours: float | None, expected: float
) -> None:
    peer = asking(Peer.model_validate(PLACE), timeout_s=of_peer)
    assert suited_to(peer, SendOptions.model_validate(named), ours).dimse_timeout_s == expected


ACTIVITIES: dict[str, Callable[[Peer], object]] = {
    "send": lambda peer: PynetdicomSender().send(make_ct(), peer, options=SendOptions(attempts=1)),
    "check": lambda peer: PynetdicomSender().check_sending(make_ct(), peer),
    "probe": lambda peer: PynetdicomSender().probe(peer),
    "propose": lambda peer: PynetdicomSender().propose(peer),
    "find": lambda peer: DicomRetriever().find(peer, FindQuery(level="study")),
    "fetch": lambda peer: DicomRetriever().fetch(
        [FoundSeries(study_instance_uid="1.2", series_instance_uid="1.3")],
        peer,
        folder=None,  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_a_silent_peer_is_waited_for_as_long_as_it_says(activity: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = asking(Peer.model_validate(PLACE), port=silent.getsockname()[1], timeout_s=0.1)
        with pytest.raises(PeerUnreachableError, match="no answer to the association request"):
            ACTIVITIES[activity](peer)
        assert "no answer" in PynetdicomSender().echo(peer).reason


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_associations_are_opened_than_the_peer_bears(tmp_path: Path, most: int) -> None:
    write_series(tmp_path, 12)
    with FakePacs(Faults(delay_s=0.01)) as pacs:
        peer = asking(pacs.peer, max_associations=most)
        assert PynetdicomSender().send(tmp_path, peer, options=SendOptions(associations=6)).ok
        assert len(pacs.titles) <= most


def test_no_longer_pdu_is_sent_than_the_peer_bears() -> None:
    with scripted_peer(stores()) as seen:
        assert PynetdicomSender().send(make_ct(rows=128), asking(seen.peer, max_pdu_bytes=4096)).ok
    assert max(length for wire in seen.wires for request in wire.requests for length in request.pdu_lengths) == 4096


def test_instances_go_in_the_syntax_that_the_peer_prefers_where_that_can_be_had() -> None:
    plain, compressed = make_ct(), dcmread(str(get_testdata_file("693_J2KR.dcm")))
    report = dcmread(str(get_testdata_file("test-SR.dcm")))
    with FakePacs() as pacs:
        peer = asking(pacs.peer, transfer_syntax_uid=RLE)
        sent = PynetdicomSender().send([plain, compressed, report], peer)
        check = PynetdicomSender().check_sending([plain, compressed, report], peer)
        held = {str(dataset.SOPInstanceUID): dataset for dataset in pacs.datasets()}
    assert [record.transfer_syntax_uid for record in sent.records] == [RLE, JPEG2000Lossless, ExplicitVRLittleEndian]
    assert (held[plain.SOPInstanceUID].pixel_array == plain.pixel_array).all()
    assert [record.verdict for record in check.records] == [Verdict.CONVERTED, Verdict.AS_IT_IS, Verdict.AS_IT_IS]
    assert [record.transfer_syntax_uid for record in check.records] == [
        record.transfer_syntax_uid for record in sent.records
    ]


@pytest.mark.parametrize(
    ("faults", "transcode"), [(Faults(accept_syntaxes=[ExplicitVRLittleEndian]), True), (None, False)]
)
def test_a_preference_is_no_demand(faults: Faults | None, transcode: bool) -> None:  # noqa: FBT001
    with FakePacs(faults) as pacs:
        peer = asking(pacs.peer, transfer_syntax_uid=RLE)
        (record,) = PynetdicomSender().send(make_ct(), peer, options=SendOptions(transcode=transcode)).records
    assert record.transfer_syntax_uid == ExplicitVRLittleEndian
    assert not record.transcoded_from


def test_a_dicomweb_service_gets_its_syntax_in_requests_no_longer_than_it_bears() -> None:
    with running_stow_service() as service:
        peer = asking(service.peer, transfer_syntax_uid=RLE, max_request_bytes=1 << 20)
        series = [make_ct(number, rows=600) for number in range(3)]
        report = dcmread(str(get_testdata_file("test-SR.dcm")))
        sent = PynetdicomSender().send([*series, report], peer)
    assert [record.transfer_syntax_uid for record in sent.records] == [RLE] * 3 + [ExplicitVRLittleEndian]
    assert len(service.requests) > 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> FakeAuthority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def elsewhere(authority: FakeAuthority) -> Certificate:
    return authority.issue("elsewhere", ["pacs.example"])


def pin_of(certificate: Certificate) -> str:
    """Returns the fingerprint of the certificate in a file."""
    with open(certificate.cert_file, encoding="ascii") as file:  # noqa: PTH123
        return fingerprint(ssl.PEM_cert_to_DER_cert(file.read()))


def talks(peer: Peer) -> bool:
    """Returns whether C-ECHO, sending, a probe and a search succeed at a peer."""
    sender, options = PynetdicomSender(), SendOptions(attempts=1)
    return (
        sender.echo(peer).ok
        and sender.send(make_ct(), peer, options=options).ok
        and len(sender.probe(peer)) > 0
        and DicomRetriever().find(peer, FindQuery(level="study")) is not None
    )


def test_a_certificate_is_verified_for_the_name_that_it_is_for(
    authority: FakeAuthority, elsewhere: Certificate
) -> None:
    with FakePacs(tls=True, authority=authority, certificate=elsewhere) as pacs:
        assert talks(asking(pacs.peer, tls_server_name="pacs.example"))
        assert "host name check" in PynetdicomSender().echo(asking(pacs.peer, tls_server_name="other.example")).reason


def test_a_pinned_certificate_needs_neither_authority_nor_name(
    authority: FakeAuthority, elsewhere: Certificate
) -> None:
    with FakePacs(tls=True, authority=authority, certificate=elsewhere) as pacs:
        assert talks(asking(pacs.peer, ca_file=None, certificate_sha256=pin_of(elsewhere)))


def test_another_certificate_than_the_pinned_one_gets_nothing(authority: FakeAuthority) -> None:
    with FakePacs(tls=True, authority=authority) as pacs:
        for ca_file in (None, authority.ca_file):
            peer = asking(pacs.peer, ca_file=ca_file, certificate_sha256="ab" * 32)
            with pytest.raises(
                PeerUnreachableError, match="fingerprint check: its certificate has the SHA-256"
            ) as caught:
                PynetdicomSender().send(make_ct(), peer)
            assert not caught.value.retryable
        assert not pacs.titles


def test_beside_an_authority_a_fingerprint_takes_the_place_of_nothing(
    authority: FakeAuthority, elsewhere: Certificate
) -> None:
    with FakePacs(tls=True, authority=authority, certificate=elsewhere) as pacs:
        assert "host name" in PynetdicomSender().echo(asking(pacs.peer, certificate_sha256=pin_of(elsewhere))).reason


def test_name_and_fingerprint_hold_for_dicomweb(authority: FakeAuthority, elsewhere: Certificate) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(elsewhere.cert_file, elsewhere.key_file)
    with running_stow_service(context) as service:
        for fields in (
            {"ca_file": authority.ca_file, "tls_server_name": "pacs.example"},
            {"certificate_sha256": pin_of(elsewhere)},
        ):
            assert PynetdicomSender().send(make_ct(), asking(service.peer, **fields)).ok
        with pytest.raises(DcmProcessorError, match="fingerprint check"):
            PynetdicomSender().send(make_ct(), asking(service.peer, certificate_sha256="ab" * 32))
        assert len(service.requests) == 2


def test_the_syntax_and_the_associations_that_a_peer_bears_are_proposed() -> None:
    faults = Faults(accept_syntaxes=[RLE, ExplicitVRLittleEndian, ImplicitVRLittleEndian], most_associations=2)
    with FakePacs(faults) as pacs:
        proposal = PynetdicomSender().propose(pacs.peer)
    with FakePacs(faults) as same:
        again = PynetdicomSender().propose(asking(same.peer, transfer_syntax_uid=RLE, max_associations=2))
    assert proposal.peer == asking(pacs.peer, transfer_syntax_uid=RLE, max_associations=2)
    assert [reason.partition("=")[0] for reason in proposal.reasons] == ["transfer_syntax_uid", "max_associations"]
    assert again.reasons == ()
    assert [note.partition(" ")[0] for note in again.notes] == ["calling_ae_title", "timeout_s", "connection_timeout_s"]
    assert "the present 30 s leave room" in again.notes[1]


def slow(delay_s: float, *, at: str) -> Script:
    """Runs a peer that takes long to accept an association, or to answer a C-ECHO."""

    def script(wire: Wire) -> None:
        if at == "association":
            time.sleep(delay_s)
        wire.accept()
        request = wire.read_request()
        if at == "echo":
            time.sleep(delay_s)
        wire.send(answer(request, kind=C_ECHO_RSP))

    return script


@pytest.mark.parametrize("at", ["association", "echo"])
def test_a_time_out_that_leaves_room_is_proposed_for_a_slow_peer(at: str) -> None:
    held = SendOptions(acse_timeout_s=3, dimse_timeout_s=4, network_timeout_s=5, connection_timeout_s=60)
    with scripted_peer(slow(0.7, at=at)) as script:
        proposal = PynetdicomSender().propose(asking(script.peer, max_associations=4), options=held)
        again = PynetdicomSender().propose(proposal.peer)
    assert proposal.peer.timeout_s is not None
    assert proposal.peer.timeout_s >= 7
    assert proposal.peer.connection_timeout_s is None
    assert any(reason.startswith("timeout_s=") for reason in proposal.reasons)
    assert again.peer.timeout_s is not None
    assert again.peer.timeout_s >= proposal.peer.timeout_s


def test_no_shorter_time_out_is_proposed_than_the_one_that_holds() -> None:
    with scripted_peer(slow(0.0, at="echo")) as script:
        proposal = PynetdicomSender().propose(asking(script.peer, timeout_s=600, connection_timeout_s=90))
    assert (proposal.peer.timeout_s, proposal.peer.connection_timeout_s) == (600, 90)
    assert any("the present 600 s leave room" in note for note in proposal.notes)


def test_a_peer_that_answers_no_echo_is_given_more_time() -> None:
    def silent(wire: Wire) -> None:
        wire.accept()
        wire.read_request()
        time.sleep(1.0)

    held = SendOptions(dimse_timeout_s=0.5)
    with scripted_peer(silent) as script:
        proposal = PynetdicomSender().propose(script.peer, options=held)
    assert proposal.peer.timeout_s == 60
    assert any("left a C-ECHO without an answer" in reason for reason in proposal.reasons)


@pytest.mark.parametrize(("measured_s", "value"), [(0.9, None), (1.1, 15.0), (40.0, 400.0)])
def test_the_time_out_of_a_connection_is_proposed_apart(measured_s: float, value: float | None) -> None:
    proposed = time_outs(AnswerTimes(connect_s=measured_s), SendOptions())
    assert proposed["connection_timeout_s"].value == value
    assert proposed["timeout_s"].value is None


@pytest.mark.parametrize("kept", [RLE, None])
@pytest.mark.parametrize("most", [4, 1, None])
def test_what_the_peer_shows_no_preference_for_stays_as_it_is_set(
    monkeypatch: pytest.MonkeyPatch, kept: str | None, most: int | None
) -> None:
    seen = proposing._Seen(AnswerTimes(), None, most or 4)
    monkeypatch.setattr(proposing, "_preference_and_room", lambda *_arguments: seen)
    peer = asking(Peer.model_validate(PLACE), transfer_syntax_uid=kept, max_associations=most)
    proposal = PynetdicomSender().propose(peer)
    assert (proposal.peer, proposal.reasons) == (peer, ())


def test_the_name_of_a_good_certificate_is_proposed(authority: FakeAuthority, elsewhere: Certificate) -> None:
    with FakePacs(tls=True, authority=authority, certificate=elsewhere) as pacs:
        proposal = PynetdicomSender().propose(pacs.peer)
    assert proposal.peer.tls_server_name == "pacs.example"
    assert proposal.peer.certificate_sha256 is None


def test_the_fingerprint_of_a_certificate_that_nobody_vouches_for_is_proposed_to_be_compared(
    authority: FakeAuthority, elsewhere: Certificate
) -> None:
    with FakePacs(tls=True, authority=authority, certificate=elsewhere) as pacs:
        proposal = PynetdicomSender().propose(asking(pacs.peer, ca_file=None))
        assert talks(proposal.peer)
    assert proposal.peer.certificate_sha256 == pin_of(elsewhere)
    assert "compare the fingerprint" in proposal.reasons[0]
