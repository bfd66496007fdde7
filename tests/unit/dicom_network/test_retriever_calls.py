"""A fetch from a peer with a URL, over prepared answers: how long it waits, where it asks, and what it reports."""

from __future__ import annotations

from contextlib import contextmanager
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.dicom_network.retrieval import retriever as module
from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.errors import FetchError, FetchIncompleteError
from dcm_processor_service.models import FetchOptions, FetchRecord, FoundInstance, Peer, SendOptions
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PEER = Peer(name="WEB", ae_title="WEB", host="127.0.0.1", port=9, url="http://127.0.0.1:9/dicom-web", timeout_s=7)
CT = make_ct()
FOUND = FoundInstance(
    study_instance_uid=str(CT.StudyInstanceUID),
    series_instance_uid=str(CT.SeriesInstanceUID),
    sop_instance_uid=str(CT.SOPInstanceUID),
    patient_id="TEST",
)


class Web:
    """A fake client of a web service with prepared answers: an HTTP status, and whether an instance comes with it."""

    where = "http://127.0.0.1:9/dicom-web"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.paths: list[str] = []
        self.pauses: list[float] = []
        self.waits: list[SendOptions] = []
        self.closed = 0
        monkeypatch.setattr(module, "web_client", self._made)

    def _made(self, peer: Peer, options: SendOptions) -> Web:
        assert peer == PEER
        self.waits.append(options)
        return self

    @contextmanager
    def stream(self, path: str, headers: dict[str, str]) -> Iterator[tuple[Any, Iterator[bytes]]]:
        assert headers["Accept"] == 'multipart/related; type="application/dicom"; transfer-syntax=*'
        self.paths.append(path)
        status, told = self.answers.pop(0)
        content = BytesIO()
        CT.save_as(content, enforce_file_format=True)
        parts = b"--mark\r\nContent-Type: application/dicom\r\n\r\n" + content.getvalue() + b"\r\n--mark--"
        kind = {"Content-Type": "multipart/related; boundary=mark"}
        yield SimpleNamespace(status_code=status, headers=kind | told), iter([parts])

    def close(self) -> None:
        self.closed += 1

    def fetch(self, folder: Path, **options: Any) -> tuple[Any, list[FetchRecord]]:
        told: list[FetchRecord] = []
        retriever = DicomRetriever("OURS", pause=self.pauses.append)
        chosen = FetchOptions(backoff_s=0.5, **options)
        return retriever.fetch([FOUND], PEER, folder, options=chosen, on_record=told.append), told


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(monkeypatch)


def test_a_busy_service_is_asked_again_after_as_long_as_it_says(web: Web, tmp_path: Path) -> None:
    web.answers = [(503, {"Retry-After": "3"}), (200, {})]
    report, told = web.fetch(tmp_path)
    assert (report.ok, report.method, report.peer) == (True, "WADO-RS", web.where)
    assert told == list(report.records)
    assert web.pauses == [3.0, 0.5]
    assert (web.closed, [one.dimse_timeout_s for one in web.waits]) == (1, [7])
    uids = FOUND.study_instance_uid, FOUND.series_instance_uid, FOUND.sop_instance_uid
    assert web.paths == ["studies/{}/series/{}/instances/{}".format(*uids)] * 2


@pytest.mark.parametrize(("status", "kind"), [(503, FetchIncompleteError), (404, FetchError)])
def test_what_did_not_come_is_an_error_with_the_report(
    status: int, kind: type[FetchError], web: Web, tmp_path: Path
) -> None:
    web.answers = [(status, {})] * 2
    with pytest.raises(FetchError) as caught:
        web.fetch(tmp_path, attempts=2)
    assert type(caught.value) is kind
    assert caught.value.report is not None
    (record,) = caught.value.report.records
    assert (record.sop_instance_uid, record.retryable) == (FOUND.sop_instance_uid, status == 503)
    assert f"HTTP {status}" in record.meaning
    web.answers = [(status, {})] * 2
    assert not web.fetch(tmp_path, attempts=2, check=False)[0].ok
    assert web.closed == 2
