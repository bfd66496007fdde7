from __future__ import annotations

import base64
import logging
import ssl
from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from dcm_processor_service.errors import ConfigurationError, PeerUnreachableError, SendRejectedError
from dcm_processor_service.models import SendOptions
from tests.archives import make_authority
from tests.integration.dicom_network.stow_server import Answer, StowService, running_stow_service, store_response
from tests.unit.dicom_network.instances import make_ct, write_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dcm_processor_service.dicom_network.sender import PynetdicomSender
    from dcm_processor_service.models import SendReport

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


def test_a_wrong_path_is_told(sender: PynetdicomSender, service: StowService) -> None:
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
    assert report.records[1].meaning == "the peer does not take this transfer syntax"
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


def test_nobody_there_is_an_error(sender: PynetdicomSender, pauses: list[float]) -> None:
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
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody listens there
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
def test_an_address_that_is_none_of_the_web_is_told(sender: PynetdicomSender, service: StowService, url: str) -> None:
    with pytest.raises(ConfigurationError, match="URL of the node 'WEB'"):
        sender.send(make_ct(), service.peer.model_copy(update={"url": url}))
