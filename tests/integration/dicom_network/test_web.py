from __future__ import annotations

import base64
import gzip
import logging
import socket
import ssl
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.errors import ConfigurationError, FindError, PeerUnreachableError, SendRejectedError
from dcm_processor_service.models import BearerToken, FindQuery, Outcome, Peer, SendOptions
from tests.archives import make_authority
from tests.integration.dicom_network.stow_server import Answer, StowService, running_stow_service, store_response
from tests.scripted_peer import PATIENCE_S
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dcm_processor_service.dicom_network.sender import PynetdicomSender
    from dcm_processor_service.models import SendReport
    from dcm_processor_service.testing.fake_certificates import Certificate, FakeAuthority

UNCHECKED = SendOptions(check=False)


@pytest.fixture
def service() -> Iterator[StowService]:
    with running_stow_service() as running:
        yield running


def outcomes(report: SendReport) -> list[str]:
    return [record.outcome.value for record in report.records]


def http(status: int, **headers: str) -> Callable[[list[str]], Answer]:
    return lambda _uids: (status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def test_files_go_as_they_lie_and_datasets_encoded(
    sender: PynetdicomSender, service: StowService, tmp_path: Path
) -> None:
    compressed = get_testdata_file("693_J2KR.dcm")
    assert isinstance(compressed, str)
    write_series(tmp_path, 2)
    report = sender.send([tmp_path, compressed, make_ct(9)], service.peer)
    assert outcomes(report) == ["stored"] * 4
    assert report.peer == f"http://localhost:{service.port}/dicom-web"
    (received,) = service.requests
    assert received == [make_ct(0), make_ct(1), dcmread(compressed), make_ct(9)]
    assert received[2].file_meta.TransferSyntaxUID == dcmread(compressed).file_meta.TransferSyntaxUID


def test_an_answer_tells_of_each_instance(sender: PynetdicomSender, service: StowService) -> None:
    service.orders.append(
        lambda uids: (202, {}, store_response({uids[0]: 0, uids[1]: 0xB007}, {uids[2]: 0xA900, uids[3]: 0x0122}))
    )
    with pytest.raises(SendRejectedError, match="2 of 4 instances") as caught:
        sender.send([make_ct(number) for number in range(4)], service.peer)
    assert caught.value.report is not None
    assert outcomes(caught.value.report) == ["stored", "stored_with_warning", "refused", "refused"]
    assert [record.status_hex for record in caught.value.report.records] == ["0000", "B007", "A900", "0122"]
    assert len(service.requests) == 1


def test_an_instance_that_was_made_anew_under_its_uid_goes_again(
    sender: PynetdicomSender, service: StowService
) -> None:
    datasets = [make_ct(0), make_ct(1)]
    first = sender.send(datasets, service.peer)
    acknowledged = {record.sop_instance_uid: record for record in first.records}
    assert sender.send(datasets, service.peer, acknowledged=acknowledged).records == first.records
    datasets[1].SeriesDescription = "another"
    assert sender.send(datasets, service.peer, acknowledged=acknowledged).records[0] == first.records[0]
    assert service.requests == [[make_ct(0), make_ct(1)], [datasets[1]]]


def test_an_answer_in_xml_acknowledges_what_it_names(service: StowService, sender: PynetdicomSender) -> None:
    """Some services cannot answer in JSON, even if that is requested."""

    def in_xml(uids: list[str]) -> tuple[int, dict[str, str], bytes]:
        items = "".join(
            f'<Item><DicomAttribute tag="00081155" vr="UI"><Value number="1">{uid}</Value></DicomAttribute></Item>'
            for uid in uids
        )
        told = f'<DicomAttribute tag="00081199" vr="SQ">{items}</DicomAttribute>'
        content = gzip.compress(f"<NativeDicomModel>{told}</NativeDicomModel>".encode())
        return 200, {"Content-Type": "application/dicom+xml", "Content-Encoding": "gzip"}, content

    service.orders.append(in_xml)
    report = sender.send([make_ct(0), make_ct(1)], service.peer)
    assert report.ok
    assert [record.outcome for record in report.records] == [Outcome.STORED] * 2
    assert len(service.requests) == 1


def test_all_failed_is_an_answer_too(sender: PynetdicomSender, service: StowService) -> None:
    service.orders.append(lambda uids: (409, {}, store_response({}, dict.fromkeys(uids, 0xC000))))
    assert outcomes(sender.send([make_ct(0), make_ct(1)], service.peer, options=UNCHECKED)) == ["refused"] * 2


def test_another_attempt_sends_the_whole_body_again(
    sender: PynetdicomSender, service: StowService, pauses: list[float], tmp_path: Path
) -> None:
    service.orders += [http(503), http(503, Retry_After="7")]
    write_series(tmp_path, 3, rows=700)
    report = sender.send(tmp_path, service.peer)
    assert outcomes(report) == ["stored"] * 3
    assert {record.attempts for record in report.records} == {3}
    assert service.requests == [[make_ct(number, rows=700) for number in range(3)]] * 3
    assert pauses == [0.5, 7.0]


def test_a_lack_of_resources_is_tried_again_alone(sender: PynetdicomSender, service: StowService) -> None:
    service.orders.append(lambda uids: (202, {}, store_response({uids[0]: 0}, {uids[1]: 0xA700})))
    report = sender.send([make_ct(0), make_ct(1)], service.peer)
    assert outcomes(report) == ["stored"] * 2
    assert [len(request) for request in service.requests] == [2, 1]


@pytest.mark.parametrize("status", [201, 203, 206, 299])
def test_any_success_that_names_the_instances_acknowledges_them(
    sender: PynetdicomSender, service: StowService, status: int
) -> None:
    service.orders.append(lambda uids: (status, {}, store_response({uids[0]: 0}, {uids[1]: 0x0110})))
    report = sender.send([make_ct(0), make_ct(1)], service.peer, options=UNCHECKED)
    assert [record.outcome for record in report.records] == [Outcome.STORED, Outcome.REFUSED]
    assert len(service.requests) == 1


def test_success_without_a_word_acknowledges_nothing(sender: PynetdicomSender, service: StowService) -> None:
    service.orders += [http(200)] * 3
    with pytest.raises(PeerUnreachableError, match="acknowledges nothing") as caught:
        sender.send(make_ct(), service.peer)
    assert caught.value.report is not None
    assert outcomes(caught.value.report) == ["failed"]


def test_an_answer_in_a_broken_encoding_acknowledges_nothing(sender: PynetdicomSender, service: StowService) -> None:
    service.orders += [lambda _uids: (200, {"Content-Encoding": "gzip"}, b"garbage")] * 3
    with pytest.raises(PeerUnreachableError, match="DecodingError"):
        sender.send(make_ct(), service.peer)


def test_what_the_answer_leaves_out_is_sent_again(sender: PynetdicomSender, service: StowService) -> None:
    service.orders.append(lambda uids: (200, {}, store_response({uids[0]: 0})))
    service.orders.append(lambda uids: (409, {}, store_response({}, {uids[0]: 0x0111})))
    report = sender.send([make_ct(0), make_ct(1)], service.peer)
    assert outcomes(report) == ["stored", "stored_with_warning"]
    assert report.records[1].meaning == "stored by an earlier attempt"


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "wants credentials"), (403, "does not allow"), (405, "no STOW-RS"), (301, "has moved")]
)
def test_a_hopeless_answer_ends_the_sending(
    sender: PynetdicomSender, service: StowService, pauses: list[float], status: int, reason: str
) -> None:
    service.orders.append(http(status, Location="http://localhost:1/"))
    with pytest.raises(PeerUnreachableError, match=reason) as caught:
        sender.send([make_ct(0), make_ct(1)], service.peer)
    assert not caught.value.retryable
    assert not pauses
    assert len(service.requests) == 1


@pytest.mark.parametrize("associations", [1, 2])
def test_a_token_that_cannot_be_renewed_ends_the_sending_with_its_report(
    sender: PynetdicomSender, service: StowService, tmp_path: Path, associations: int
) -> None:
    (tmp_path / "token").write_text("good", encoding="utf-8")
    peer = service.peer.model_copy(
        update={"auth": BearerToken(file=str(tmp_path / "token")), "max_request_bytes": 1 << 20}
    )

    def expires(_uids: list[str]) -> Answer:
        (tmp_path / "token").write_text("", encoding="utf-8")
        return 401, {}, b""

    service.orders += [lambda uids: (200, {}, store_response(dict.fromkeys(uids, 0))), expires]
    options = SendOptions(associations=associations)
    with pytest.raises(PeerUnreachableError, match=r"the token for the peer .* is empty") as caught:
        sender.send([make_ct(number, rows=600) for number in range(3)], peer, options=options)
    assert caught.value.report is not None
    assert 0 < outcomes(caught.value.report).count("stored") < 3
    with pytest.raises(ConfigurationError, match="is empty"):
        sender.send(make_ct(), peer)


def test_what_is_given_twice_far_apart_is_stored_by_its_first(sender: PynetdicomSender, service: StowService) -> None:
    service.orders.append(lambda uids: (200, {}, store_response(dict.fromkeys(uids, 0))))
    service.orders.append(lambda uids: (409, {}, store_response({}, dict.fromkeys(uids, 0x0111))))
    peer = service.peer.model_copy(update={"max_request_bytes": 1 << 20})
    large = make_ct(rows=800)
    report = sender.send([large, large], peer)
    assert outcomes(report) == ["stored", "stored_with_warning"]
    assert report.records[1].meaning == "stored before, because it was given twice"


def test_a_wrong_path_is_reported(sender: PynetdicomSender, service: StowService) -> None:
    peer = service.peer.model_copy(update={"url": f"http://localhost:{service.port}/wrong"})
    with pytest.raises(PeerUnreachableError, match="no STOW-RS service at this URL"):
        sender.send(make_ct(), peer)


def test_too_much_at_once_is_halved(sender: PynetdicomSender, service: StowService) -> None:
    service.orders += [http(413), http(413), lambda uids: (200, {}, store_response({uids[0]: 0})), http(413)]
    report = sender.send([make_ct(number) for number in range(4)], service.peer, options=UNCHECKED)
    assert [len(request) for request in service.requests] == [4, 2, 1, 1, 2]
    assert outcomes(report) == ["stored", "refused", "stored", "stored"]
    assert report.records[1].meaning == "the peer refused the request with HTTP 413"


def test_a_refused_syntax_is_converted(sender: PynetdicomSender, service: StowService) -> None:
    path = get_testdata_file("MR_small_RLE.dcm")
    assert isinstance(path, str)
    service.orders.append(lambda uids: (409, {}, store_response({}, {uids[0]: 0xC122})))
    (record,) = sender.send(path, service.peer).records
    assert (record.transfer_syntax_uid, record.transcoded_from) == (ExplicitVRLittleEndian, "1.2.840.10008.1.2.5")
    assert (service.requests[1][0].pixel_array == dcmread(path).pixel_array).all()


def test_without_transcoding_a_refused_syntax_is_refused_and_the_others_stored(
    sender: PynetdicomSender, service: StowService
) -> None:
    path = get_testdata_file("MR_small_RLE.dcm")
    assert isinstance(path, str)
    service.orders.append(lambda uids: (202, {}, store_response({uids[0]: 0}, {uids[1]: 0xC122})))
    options = UNCHECKED.model_copy(update={"transcode": False})
    report = sender.send([make_ct(), path], service.peer, options=options)
    assert outcomes(report) == ["stored", "refused"]
    assert report.records[1].meaning == "the peer does not accept this transfer syntax"
    assert report.transcoded == 0
    assert len(service.requests) == 1


def test_groups_share_the_work(sender: PynetdicomSender, service: StowService) -> None:
    series = (make_ct(number) for number in range(250))
    assert sender.send(series, service.peer, options=SendOptions(associations=2)).ok
    assert sorted(len(request) for request in service.requests) == [50, 100, 100]


def test_unreadable_items_do_not_stop_the_others(
    sender: PynetdicomSender, service: StowService, tmp_path: Path
) -> None:
    report = sender.send([tmp_path / "absent", make_ct()], service.peer, options=UNCHECKED)
    assert outcomes(report) == ["failed", "stored"]


def test_cancelling_leaves_the_rest(sender: PynetdicomSender, service: StowService) -> None:
    report = sender.send(
        [make_ct(number) for number in range(150)],
        service.peer,
        options=UNCHECKED,
        cancelled=lambda: bool(service.requests),
    )
    assert outcomes(report) == ["stored"] * 100 + ["not_attempted"] * 50


def test_no_peer_there_is_an_error(sender: PynetdicomSender, pauses: list[float]) -> None:
    with running_stow_service() as service:
        gone = service.peer
    with pytest.raises(PeerUnreachableError, match="no connection"):
        sender.send(make_ct(), gone)
    assert pauses == [0.5, 1.0]


def test_credentials_go_with_the_request_and_nowhere_else(
    sender: PynetdicomSender, service: StowService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    peer = service.peer.model_copy(update={"url": f"http://anna:secret@localhost:{service.port}/dicom-web"})
    report = sender.send(make_ct(), peer)
    service.orders.append(http(403))
    with pytest.raises(PeerUnreachableError) as caught:
        sender.send(make_ct(), peer)
    assert service.authorizations == ["Basic " + base64.b64encode(b"anna:secret").decode()] * 2
    assert "secret" not in f"{caplog.text} {report!r} {report} {caught.value} {peer!r}"


def test_a_proxy_of_the_environment_sees_no_instance(
    sender: PynetdicomSender, service: StowService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nothing listens there
    assert sender.send(make_ct(), service.peer).ok


def test_tls_is_verified(sender: PynetdicomSender, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    for hosts, accepted in ((["localhost"], True), (["other.example"], False)):
        certificate = authority.issue(hosts[0], hosts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        with running_stow_service(context) as service:
            peer = service.peer.model_copy(update={"ca_file": authority.ca_file})
            if accepted:
                assert sender.send(make_ct(), peer).ok
            else:
                with pytest.raises(PeerUnreachableError, match="host name check"):
                    sender.send(make_ct(), peer)


@pytest.mark.parametrize(
    "url", ["ftp://localhost/", "localhost:80", "http://", "http://[::1", "http://a..b/", "http://a/\ud800"]
)
def test_an_address_that_is_none_of_the_web_is_reported(
    sender: PynetdicomSender, service: StowService, url: str
) -> None:
    with pytest.raises(ConfigurationError, match="URL of the peer 'WEB'"):
        sender.send(make_ct(), service.peer.model_copy(update={"url": url}))


def test_halving_costs_no_attempt(sender: PynetdicomSender, service: StowService) -> None:
    service.orders += [http(413), http(413), http(413), http(503), http(503)]
    report = sender.send([make_ct(number) for number in range(8)], service.peer)
    assert report.ok
    assert [len(request) for request in service.requests] == [8, 4, 2, 1, 1, 1, 1, 2, 4]


@pytest.mark.parametrize("attempts", [1, 3])
def test_one_busy_answer_does_not_end_the_sending(
    sender: PynetdicomSender, service: StowService, attempts: int
) -> None:
    service.orders.append(http(503))
    series = [make_ct(number) for number in range(150)]
    report = sender.send(series, service.peer, options=SendOptions(check=False, attempts=attempts))
    assert report.stored == (50 if attempts == 1 else 150)
    assert report.retryable == (attempts == 1)


def test_busy_answers_in_a_row_end_the_sending(sender: PynetdicomSender, service: StowService) -> None:
    service.orders += [http(503)] * 10
    series = [make_ct(number) for number in range(450)]
    with pytest.raises(PeerUnreachableError, match="HTTP 503") as caught:
        sender.send(series, service.peer, options=SendOptions(attempts=1))
    assert len(service.requests) == 3
    assert caught.value.report is not None
    assert caught.value.report.count(Outcome.NOT_ATTEMPTED) == 150


def test_an_instance_that_the_server_fails_at_is_isolated(sender: PynetdicomSender, service: StowService) -> None:
    bad = str(make_ct(5).SOPInstanceUID)

    def answer(uids: list[str]) -> Answer:
        return (500, {}, b"") if bad in uids else (200, {}, store_response(dict.fromkeys(uids, 0)))

    service.orders += [answer] * 60
    report = sender.send([make_ct(number) for number in range(16)], service.peer, options=UNCHECKED)
    assert outcomes(report) == ["stored"] * 5 + ["failed"] + ["stored"] * 10
    assert report.records[5].retryable


def test_a_server_that_fails_at_everything_is_not_asked_for_each(
    sender: PynetdicomSender, service: StowService
) -> None:
    service.orders += [http(500)] * 200
    with pytest.raises(PeerUnreachableError, match="HTTP 500") as caught:
        sender.send([make_ct(number) for number in range(64)], service.peer)
    assert caught.value.report is not None
    assert [record.attempts > 0 for record in caught.value.report.records] == [True] * 64
    assert len(service.requests) < 40


def test_a_date_to_try_again_at_is_waited_for(
    sender: PynetdicomSender, service: StowService, pauses: list[float]
) -> None:
    at = datetime.now(timezone.utc) + timedelta(seconds=600)
    service.orders += [http(503, Retry_After=format_datetime(at, usegmt=True)), http(503, Retry_After="nonsense")]
    assert sender.send(make_ct(), service.peer, options=SendOptions(backoff_limit_s=3600)).ok
    assert 590 < pauses[0] <= 600
    assert pauses[1] == 1.0


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (407, "proxy on the way"),
        (410, "any more"),
        (411, "drops the length"),
        (415, "application/dicom"),
        (501, "no STOW-RS service"),
    ],
)
def test_what_fewer_instances_cannot_help_is_not_halved(
    sender: PynetdicomSender, service: StowService, status: int, reason: str
) -> None:
    service.orders += [http(status)] * 20
    with pytest.raises(PeerUnreachableError, match=reason) as caught:
        sender.send([make_ct(number) for number in range(4)], service.peer)
    assert not caught.value.retryable
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [204, 507])
def test_what_may_pass_is_tried_again_and_not_halved(
    sender: PynetdicomSender, service: StowService, status: int
) -> None:
    service.orders += [http(status)] * 20
    with pytest.raises(PeerUnreachableError, match=f"HTTP {status}") as caught:
        sender.send([make_ct(number) for number in range(4)], service.peer)
    assert caught.value.retryable
    assert [len(request) for request in service.requests] == [4, 4, 4]


def test_a_token_in_the_url_goes_with_the_request_and_nowhere_else(
    sender: PynetdicomSender, service: StowService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    peer = service.peer.model_copy(
        update={"url": f"http://localhost:{service.port}/dicom-web?token=s3cr3t&tenant=a%20b"}
    )
    report = sender.send(make_ct(), peer, options=SendOptions(verify=True, check=False))
    service.orders.append(http(403))
    with pytest.raises(PeerUnreachableError) as caught:
        sender.send(make_ct(), peer)
    assert report.stored == 1
    assert [path.partition("?")[2] for path in service.paths if "token" in path and "limit" not in path] == [
        "token=s3cr3t&tenant=a%20b"
    ] * 2
    assert all("token=s3cr3t" in path for path in service.paths)
    assert "s3cr3t" not in f"{caplog.text} {report!r} {report} {caught.value} {peer!r}"


@pytest.mark.parametrize("in_headers", [True, False])
def test_an_answer_that_trickles_in_is_waited_for_no_longer_than_asked(
    sender: PynetdicomSender, *, in_headers: bool
) -> None:
    ended = threading.Event()

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.settimeout(PATIENCE_S)
            while b"--\r\n" not in connection.recv(1 << 16)[-8:]:
                pass
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
            connection.sendall(head if in_headers else head + b"\r\n")
            while not ended.wait(0.02):
                connection.sendall(b"X-More: 1\r\n" if in_headers else b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        peer = Peer(name="WEB", ae_title="WEB", host="localhost", port=80, url=url)
        options = SendOptions(check=False, attempts=1, dimse_timeout_s=0.3)
        try:
            report = sender.send(make_ct(), peer, options=options)
        finally:
            ended.set()
            thread.join()
    assert outcomes(report) == ["failed"]
    assert report.records[0].meaning == "the peer did not answer in time"


def test_a_duplicate_that_another_sending_of_ours_brought_is_stored(
    sender: PynetdicomSender, service: StowService
) -> None:
    asked: list[str] = []
    begun: list[list[str]] = []

    def ours(uid: str) -> bool:
        asked.append(uid)
        return uid == str(make_ct(0).SOPInstanceUID)

    service.orders.append(lambda uids: (409, {}, store_response({}, dict.fromkeys(uids, 0x0111))))
    report = sender.send(
        [make_ct(0), make_ct(1)],
        service.peer,
        options=UNCHECKED,
        may_hold=ours,
        on_begin=lambda uids: begun.append(list(uids)),
    )
    assert outcomes(report) == ["stored_with_warning", "refused"]
    assert "verify it" in report.records[0].meaning
    assert asked == begun[0]


CONTRADICTIONS: dict[str, Callable[[str], Answer]] = {
    "in both lists": lambda uid: (202, {}, store_response({uid: 0}, {uid: 0xC000})),
    "stored, with the code of a failure": lambda uid: (200, {}, store_response({uid: 0xA700})),
    "stored, by a request of which nothing is": lambda uid: (409, {}, store_response({uid: 0})),
}


@pytest.mark.parametrize("told", CONTRADICTIONS)
def test_an_answer_that_contradicts_itself_acknowledges_nothing(
    sender: PynetdicomSender, service: StowService, told: str
) -> None:
    service.orders += [lambda uids: CONTRADICTIONS[told](uids[0])] * 3
    report = sender.send([make_ct(0)], service.peer, options=UNCHECKED)
    assert outcomes(report) == ["failed"]
    assert report.records[0].meaning == "the peer's answer says that it is stored, and that it is not"
    assert report.retryable
    assert sender.send([make_ct(0)], service.peer).ok


def test_a_token_that_is_refused_midway_is_renewed_once(sender: PynetdicomSender, service: StowService) -> None:
    tokens = iter(["old", "new", "new"])
    peer = service.peer.model_copy(update={"auth": BearerToken(call=lambda: next(tokens))})
    service.orders.append(http(401))
    assert outcomes(sender.send([make_ct(0), make_ct(1)], peer)) == ["stored"] * 2
    assert service.authorizations == ["Bearer old", "Bearer new"]
    assert service.requests[0] == service.requests[1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> FakeAuthority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def guarded(authority: FakeAuthority) -> Iterator[StowService]:
    """Runs a service that requires a certificate of the authority from each client."""
    certificate = authority.issue("service", ["localhost"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert_file, certificate.key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    with running_stow_service(context) as service:
        service.told = 200, b"[]"
        yield service


def known_by(certificate: Certificate, authority: FakeAuthority) -> dict[str, str]:
    return {"ca_file": authority.ca_file, "cert_file": certificate.cert_file, "key_file": certificate.key_file}


def test_a_service_that_wants_a_certificate_of_ours_gets_it(
    sender: PynetdicomSender, guarded: StowService, authority: FakeAuthority
) -> None:
    ours = known_by(authority.issue("ours", ["client.example"]), authority)
    peer = guarded.peer.model_copy(update=ours)
    assert outcomes(sender.send([make_ct(0), make_ct(1)], peer)) == ["stored"] * 2
    assert DicomRetriever().find(peer, FindQuery(patient_id="TEST")) == []


def test_a_service_that_gets_no_certificate_of_ours_or_a_strange_one_gets_no_instance(
    sender: PynetdicomSender, guarded: StowService, authority: FakeAuthority, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path, "stranger").issue("ours", ["client.example"])
    for own in ({"ca_file": authority.ca_file}, known_by(stranger, authority)):
        peer = guarded.peer.model_copy(update=own)
        with pytest.raises(PeerUnreachableError, match=r"certificate|authority") as caught:
            sender.send(make_ct(), peer)
        assert not caught.value.retryable
        with pytest.raises(FindError, match=r"certificate|authority"):
            DicomRetriever().find(peer, FindQuery(patient_id="TEST"))
    assert not guarded.requests
