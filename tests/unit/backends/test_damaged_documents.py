"""Malformed documents raise errors of this package, which do not quote the stored values."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId, Regex, decode, encode

from dcm_processor_service.backends.mongo import documents, job_documents
from dcm_processor_service.errors import InvalidNameError, StoredValueError
from dcm_processor_service.imaging.headers.folder import text_attributes
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.models import Job, Peer, Study, SubjectLevel
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.session.images.catalogue import ATTRIBUTES, Catalogue
from dcm_processor_service.testing import synthetic_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ODD: tuple[Any, ...] = (None, 5, -1.5, "SECRET", b"\xff", [5], [[1]], {"$oid": 5}, {"a": {1: 2}}, Regex("("), True)
SESSION_ID, JOB_ID = "5" * 24, "1" * 24
DOCUMENTS: dict[str, tuple[Callable[[dict[str, Any]], object], list[str]]] = {
    "file": (
        documents.stored_file,
        ["metadata", "metadata.name", "metadata.job_id", "metadata.sha256", "filename", "length", "contentType"],
    ),
    "peer": (documents.peer, ["name", "aet", "calling_aet", "host", "port", "tls", "cert_file", "url"]),
    "series": (
        lambda document: documents.subject(SubjectLevel.SERIES, document),
        ["PatientUID", "Metadata", "Instances", "SeriesInstanceUID", "StudyInstanceUID"],
    ),
    "patient": (lambda document: documents.subject(SubjectLevel.PATIENT, document), ["Studies", "Metadata"]),
    "instance": (
        lambda document: documents.instance("a" * 24, document),
        ["metadata", "metadata.SOPInstanceUID", "length"],
    ),
    "job": (
        job_documents.job,
        [
            *("data", "data.kwargs", "data.kwargs.params", "data.kwargs.added_params", "data.kwargs.headers"),
            *("job_event", "job_name", "sessionId", "progress", "progressMessage", "depends_on", "createdAt"),
            *("error", "errorMessage", "result", "result.error", "service_name"),
        ],
    ),
}


@pytest.mark.parametrize(
    ("kind", "place"), [(kind, place) for kind, (_, places) in DOCUMENTS.items() for place in places]
)
def test_an_odd_value_in_a_document_is_read_or_told_without_the_value(kind: str, place: str) -> None:
    read, _ = DOCUMENTS[kind]
    *above, field = place.split(".")
    refusals: list[str] = []
    for value in ODD:
        document: dict[str, Any] = {"_id": ObjectId(), "name": "A", "aet": "A", "host": "h", "port": 104, "length": 1}
        inner = document
        for part in above:
            inner = inner.setdefault(part, {})
        inner[field] = value
        try:
            read(document)
        except StoredValueError as error:
            refusals.append(str(error))
    assert not [refusal for refusal in refusals if "SECRET" in refusal]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[tuple[Container, sqlite3.Connection]]:
    """An embedded store with one row of each kind, and a connection that can damage them."""
    place = Workspace(tmp_path / "work")
    catalogue = Catalogue()
    path = tmp_path / "a.dcm"
    (dataset,) = synthetic_series(slices=1)
    dataset.save_as(path, enforce_file_format=True)
    catalogue.add(text_attributes(dataset, ATTRIBUTES), path, 1)
    place.add_peer(Peer(name="PACS", ae_title="PACS", host="localhost", port=104, id="9" * 24))
    with opened(Container(settings=place.settings(session_id=SESSION_ID, job_id=JOB_ID))) as container:
        run_inline(catalogue.file_into(container.backend()))
        job = Job(id=JOB_ID, session_id=SESSION_ID, name="segment")
        run_inline(container.workspace_repository().add_job(job))
        session = container.session()
        session.data["value"] = 1
        session.files.put("file", b"content")
        connection = sqlite3.connect(place.folder / "workspace.sqlite3", isolation_level=None)
        try:
            yield container, connection
        finally:
            connection.close()


READS: dict[str, tuple[str, str, Callable[[Container], object]]] = {
    "a value": ("data", "value", lambda one: one.session().data.get("value")),
    "all values": ("data", "value", lambda one: one.session().data.items()),
    "a sum": ("data", "value", lambda one: one.session().data.increment("value")),
    "a comparison": ("data", "value", lambda one: one.session().data.compare_and_set("value", 1, 2)),
    "a file": ("files", "document", lambda one: one.session().files.read("file")),
    "what is known of a file": ("files", "document", lambda one: one.session().files.info("file")),
    "all files": ("files", "document", lambda one: one.session().files.list()),
    "the job": ("jobs", "document", lambda one: one.session().job.read()),
    "all jobs": ("jobs", "document", lambda one: one.session().jobs()),
    "the session": ("jobs", "document", lambda one: run_inline(one.session_repository().find(SESSION_ID))),
    "a peer": ("peers", "document", lambda one: one.session().peers.get("PACS")),
    "all peers": ("peers", "document", lambda one: one.session().peers.list()),
    "a series": (
        "subjects",
        "document",
        lambda one: run_inline(one.dicom_repository().find(SubjectLevel.SERIES, "1.2.826.0.1.3680043.8.498.1.1")),
    ),
}


DAMAGES = (
    "",
    "{",
    "[" * 100_000,
    '{"$bytes":5}',
    '{"$bytes":"a"}',
    '{"$date_ms":1e300}',
    '{"$float":"x"}',
    b"\xff\xfe",
)


@pytest.mark.parametrize("read", READS)
def test_damaged_rows_of_the_embedded_store_are_reported_as_such(
    workspace: tuple[Container, sqlite3.Connection], read: str
) -> None:
    container, connection = workspace
    table, column, work = READS[read]
    for damage in DAMAGES:
        connection.execute(f"UPDATE {table} SET {column} = ?", (damage,))
        with pytest.raises(StoredValueError):
            work(container)


@pytest.mark.parametrize(("table", "column"), [("jobs", "document"), ("data", "value")])
def test_one_damaged_row_of_the_embedded_store_takes_no_other_output_away(
    workspace: tuple[Container, sqlite3.Connection], table: str, column: str
) -> None:
    container, connection = workspace
    job_id = "job_id" if table == "data" else "id"
    run_inline(container.workspace_repository().add_job(Job(id="8" * 24, session_id=SESSION_ID, name="segment")))
    whole = run_inline(container.job_repository().collect(SESSION_ID, "segment", "value"))
    assert len(whole) == 2
    for damage in DAMAGES:
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {job_id} = ?", (damage, whole[0].job.id))
        first, *others = run_inline(container.job_repository().collect(SESSION_ID, "segment", "value"))
        assert first.job.id == whole[0].job.id
        assert first.problem
        assert (first.found, first.value) == ((False, None) if table == "data" else (whole[0].found, whole[0].value))
        assert others == whole[1:]


def test_a_damaged_list_of_members_is_reported_as_such(workspace: tuple[Container, sqlite3.Connection]) -> None:
    container, connection = workspace
    connection.execute("UPDATE subjects SET document = '{'")
    with pytest.raises(StoredValueError, match="holds a damaged document"):
        run_inline(container.dicom_repository().parent(Study(id="a" * 24)))


@pytest.mark.parametrize(
    "read",
    [
        lambda one: one.session().peers.get("\ud800"),
        lambda one: one.session().data.collect("value", job="\ud800"),
        lambda one: run_inline(one.dicom_repository().find(SubjectLevel.SERIES, "\ud800")),
        lambda one: run_inline(one.backend().data.find(JobKey("\ud800", JOB_ID), "value")),
    ],
)
def test_a_lone_surrogate_is_refused_by_the_embedded_store(
    workspace: tuple[Container, sqlite3.Connection], read: Callable[[Container], object]
) -> None:
    with pytest.raises(InvalidNameError, match="lone surrogates"):
        read(workspace[0])


def test_texts_that_are_no_text_stay_apart_and_are_refused() -> None:
    damaged = [encode({"PatientUID": "@@@"}).replace(b"@@@", text) for text in (b"M\xfc\xfc", b"M\xf6\xf6")]
    uids = [decode(one, codec_options=documents.LENIENT_CODEC)["PatientUID"] for one in damaged]
    assert uids[0] != uids[1]
    for uid in uids:
        with pytest.raises(StoredValueError, match="not UTF-8"):
            documents.plain(uid, "the value")
