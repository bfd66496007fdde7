"""A name or id must be text: no store is given a database operator in its place."""

from __future__ import annotations

import io
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.errors import InvalidNameError, JobNotFoundError
from dcm_processor_service.models import FoundSeries, Peer, SeriesRecord, SubjectLevel
from dcm_processor_service.ports import JobKey, NewFile
from dcm_processor_service.testing.contracts.store import JOB_ID, SESSION_ID

if TYPE_CHECKING:
    from dcm_processor_service.testing.contracts import StoreUnderTest

HOSTILE: list[Any] = [{"$gt": ""}, {"$ne": None}, {"$oid": "1" * 24}, ["PACS"], re.compile("."), b"PACS", 7, True]
FOUND = FoundSeries(patient_id="1", study_instance_uid="1.2", series_instance_uid="1.2.3")
KEY = JobKey(SESSION_ID, JOB_ID)
SAID = r"the (id|name|id or UID|id or name|name of a (peer|job)) must be text, not a \w+; give it as a str"
"""The errors that a store may raise for it."""


@pytest.fixture(params=HOSTILE, ids=str)
def hostile(request: pytest.FixtureRequest) -> Any:
    return request.param


def fill(store: StoreUnderTest) -> None:
    """Adds documents that an operator would find."""
    store.seed.peer(Peer(id="b" * 24, name="PACS", ae_title="OTHER", host="other-hospital.example", port=104))
    store.seed.subject(SeriesRecord(id="1" * 24, series_instance_uid="1.2"))


async def accepted(call: Any, said: str = "") -> str:
    """Returns the calls that did not refuse, or with another error; awaits all of them."""
    try:
        await call
    except InvalidNameError as error:
        return "" if re.match(said, str(error)) else f"{call.__qualname__}: {error}"
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        return f"{call.__qualname__}: {error!r}"
    return str(call.__qualname__)


async def test_facades_refuse_an_operator_as_a_name_or_id(store: StoreUnderTest, hostile: Any) -> None:
    fill(store)
    session = store.session()
    await session.data.set("value", 1)
    calls: list[Any] = [
        session.peers.get(hostile),
        session.peers.echo(hostile),
        session.peers.probe(hostile),
        session.dicom.get_series(hostile),
        session.dicom.send([], hostile),
        session.dicom.check([], hostile),
        session.dicom.fetch([FOUND], hostile),
        session.jobs(hostile),
        session.data.get(hostile),
        session.data.set(hostile, 1),
        session.data.has(hostile),
        session.data.delete(hostile),
        session.data.increment(hostile),
        session.data.compare_and_set(hostile, 1, 2),
        session.data.collect(hostile, job="own"),
        session.data.collect("value", job=hostile),
        session.files.put(hostile, b""),
        session.files.read(hostile),
        session.files.info(hostile),
        session.files.has(hostile),
        session.files.delete(hostile),
    ]
    assert [name for call in calls if (name := await accepted(call))] == []
    for read in (session.data.get("value", job=hostile), session.files.list(job=hostile)):
        with pytest.raises(JobNotFoundError, match="is not a job"):
            await read


async def test_repositories_refuse_an_operator_as_a_name_or_id(store: StoreUnderTest, hostile: Any) -> None:
    fill(store)
    backend = store.container().backend()
    now = datetime.now(timezone.utc)
    calls: list[Any] = [
        backend.data.find(KEY, hostile),
        backend.data.put(KEY, hostile, 1),
        backend.data.increment(KEY, hostile, 1),
        backend.data.delete(KEY, hostile),
        backend.files.put(KEY, hostile, io.BytesIO(), NewFile("text/plain", {})),
        backend.files.find(KEY, hostile),
        backend.files.fetch(KEY, hostile, io.BytesIO()),
        backend.files.delete(KEY, hostile),
        backend.jobs.find(hostile),
        backend.jobs.collect(hostile, "own", "value"),
        backend.jobs.collect(SESSION_ID, hostile, "value"),
        backend.jobs.collect(SESSION_ID, "own", hostile),
        backend.jobs.list(hostile),
        backend.jobs.list(SESSION_ID, hostile),
        backend.jobs.list(SESSION_ID, None, [hostile]),
        backend.jobs.set_progress(hostile, 5, ""),
        backend.peers.get(hostile),
        backend.peers.find(hostile),
        *(backend.dicom.find(level, hostile) for level in SubjectLevel),
        backend.sessions.find(hostile),
        backend.sessions.of_patient(hostile),
        *(backend.sessions.remove(hostile, part) for part in ("data", "files", "session")),
        backend.sessions.remove_images(hostile, None, now),
    ]
    if backend.documents is not None:
        calls += [
            backend.documents.set_value(KEY, hostile, 1),
            backend.documents.file(KEY, hostile),
            backend.documents.peer(name=hostile),
            backend.documents.peer(peer_id=hostile),
        ]
    assert [name for call in calls if (name := await accepted(call, SAID))] == []


def test_a_job_key_accepts_only_text(hostile: Any) -> None:
    with pytest.raises(InvalidNameError, match="id of a session must be text"):
        JobKey(hostile, JOB_ID)
    with pytest.raises(InvalidNameError, match="id of a job must be text"):
        JobKey(SESSION_ID, hostile)
