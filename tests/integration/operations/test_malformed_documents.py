"""Documents that no package of the platform writes: an operator's edit, a restored dump, another version."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bson import Code, DatetimeMS, Decimal128, ObjectId, encode
from bson.raw_bson import RawBSONDocument

from dcm_processor_service import explain_session, list_sessions, retry_session, sweep_sessions
from dcm_processor_service.errors import DcmProcessorError
from tests.integration.operations.conftest import DIED, DONE, LONG_AGO, NOW

if TYPE_CHECKING:
    from dcm_processor_service import SweepReport
    from tests.integration.operations.conftest import Platform

pytestmark = pytest.mark.mongodb

BEYOND = DatetimeMS(2**60)
"""A datetime that MongoDB holds and Python does not."""

ODD: list[Any] = ["", "odd", 7, float("nan"), None, [1], {}, {"$oid": "odd"}, b"\0", BEYOND, Code("x")]
FIELDS = [
    *("depends_on", "data", "data.kwargs", "data.kwargs.headers", "data.kwargs.service_id", "data.kwargs.worker_id"),
    *("data.function_name", "job_name", "job_event", "service_name", "job_worker_entry", "channel", "errorMessage"),
    *(
        "errorMessage.message",
        "errorMessage.trace",
        "attempts",
        "max_attempts",
        "createdAt",
        "startedAt",
        "lastErrorAt",
    ),
    *("completedAt", "lastProgressAt", "retried", "done", "error", "inProgress", "swept", "result", "result.error"),
]


def look(platform: Platform, *session_ids: str) -> None:
    """All that an operator does about sessions; nothing but a sentence of ours may come of it."""
    settings = platform.settings
    assert {*session_ids} <= {one.id for one in list_sessions(settings=settings)}
    for session_id in session_ids:
        assert explain_session(session_id, settings=settings).sentence
    sweep_sessions(timedelta(days=1), dry_run=True, settings=settings)


def seen_in(report: SweepReport) -> set[str]:
    return {one.session_id for one in report.swept} | {one.session_id for one in report.left}


@pytest.mark.parametrize("field", FIELDS)
def test_a_job_with_an_odd_value_is_listed_explained_and_swept(platform: Platform, field: str) -> None:
    made = [platform.session(segment=DIED, other=DONE) for _ in ODD]
    for one, value in zip(made, ODD, strict=True):
        platform.database.jobs.update_one({"_id": one.jobs["segment"]}, {"$unset": {field.partition(".")[0]: ""}})
        platform.database.jobs.update_one({"_id": one.jobs["segment"]}, {"$set": {field: value}})
    look(platform, *(one.id for one in made))
    with suppress(DcmProcessorError):
        retry_session(made[1].id, settings=platform.settings)


@pytest.mark.parametrize("field", ["patient_id", "peer_id"])
def test_a_session_with_an_odd_value_is_listed_explained_and_swept(platform: Platform, field: str) -> None:
    made = [platform.session(segment=DIED) for _ in ODD]
    for one, value in zip(made, ODD, strict=True):
        platform.database.sessions.update_one({"_id": ObjectId(one.id)}, {"$set": {field: value}})
    look(platform, *(one.id for one in made))


@pytest.mark.parametrize("field", ["queues", "current_job_id", "updatedAt", "expireAt"])
def test_a_heartbeat_with_an_odd_value_harms_nobody(platform: Platform, field: str) -> None:
    made = platform.session(segment=DIED)
    beat = {"is_worker": True, "queues": ["device-1"], "updatedAt": LONG_AGO}
    platform.database.jobs.insert_many([{**beat, field: value} for value in ODD])
    look(platform, made.id)


@pytest.mark.parametrize(
    ("collection", "field"),
    [
        *(("patients", "Studies"), ("studies", "Series"), ("series", "Instances"), ("patients", "PatientUID")),
        *(("series", "StudyInstanceUID"), ("patients", "Metadata")),
    ],
)
def test_headers_with_odd_values_are_swept_or_left_with_a_reason(
    platform: Platform, collection: str, field: str
) -> None:
    made = []
    for value in ODD:
        made.append(platform.session(segment=DIED))
        newest = platform.database[collection].find_one(sort=[("_id", -1)])
        assert newest is not None
        platform.database[collection].update_one({"_id": newest["_id"]}, {"$set": {field: value}})
    look(platform, *(one.id for one in made))
    report = sweep_sessions(timedelta(days=1), settings=platform.settings)
    assert {one.id for one in made} == seen_in(report)
    told = {one.id: value is None or isinstance(value, list) for one, value in zip(made, ODD, strict=True)}
    if field in {"Studies", "Series", "Instances"}:  # what images are below it is not known, so nothing goes
        assert {one.session_id for one in report.swept} == {one for one, known in told.items() if known}
        assert all("set it right" in one.reason for one in report.left)
    else:
        assert not report.left


def test_half_a_session_is_swept(platform: Platform) -> None:
    for gone in ("patients", "studies", "series", "dicomfiles.files", "dicomfiles.chunks", "sessiondata"):
        made = platform.session(segment=DIED)
        platform.database[gone].delete_many({})
        look(platform, made.id)
        report = sweep_sessions(timedelta(), settings=platform.settings)
        assert made.id in seen_in(report), gone


@pytest.mark.parametrize("bucket", ["dicomfiles.files", "sessionfiles.files"])
@pytest.mark.parametrize("field", ["length", "uploadDate"])
def test_a_file_with_an_odd_value_is_swept_with_its_session(platform: Platform, bucket: str, field: str) -> None:
    odd = [*ODD, -5, float("inf"), Decimal128("NaN"), Decimal128("1E6000"), 2**62]
    made = []
    for value in odd:
        made.append(platform.session(segment=DIED))
        newest = platform.database[bucket].find_one(sort=[("_id", -1)])
        assert newest is not None
        platform.database[bucket].update_one({"_id": newest["_id"]}, {"$set": {field: value}})
    look(platform, *(one.id for one in made))
    report = sweep_sessions(timedelta(days=1), settings=platform.settings)
    assert {one.session_id for one in report.swept} == {one.id for one in made}
    assert all(0 <= one.held.total < 2**31 for one in report.swept)
    left = platform.count("sessions", "sessionfiles.files", "sessionfiles.chunks", "dicomfiles.chunks")
    assert left == dict.fromkeys(left, 0)


@pytest.mark.parametrize("collection", ["sessions", "jobs"])
def test_a_text_that_is_no_text_hides_no_session(platform: Platform, collection: str) -> None:
    good, made = platform.session(segment=DIED), platform.session(segment=DIED)
    document_id = ObjectId(made.id) if collection == "sessions" else made.jobs["segment"]
    document = platform.database[collection].find_one_and_delete({"_id": document_id})
    assert document is not None
    damaged = encode({**document, "peer_id": "@@@@", "service_name": "@@@@"}).replace(b"@@@@", b"\xff\xfe\xc0\x80")
    platform.database[collection].insert_one(RawBSONDocument(damaged))
    look(platform, good.id, made.id)
    assert seen_in(sweep_sessions(timedelta(days=1), settings=platform.settings)) == {good.id, made.id}


@pytest.mark.parametrize("until", [None, "tomorrow", 7, BEYOND, NOW + timedelta(days=3)])
def test_a_lease_that_no_sweep_made_blocks_none(platform: Platform, until: Any) -> None:
    made = platform.session(segment=DIED)
    platform.database.leases.insert_one({"_id": "sessions", "holder": "another", "until": until})
    assert seen_in(sweep_sessions(timedelta(days=1), settings=platform.settings)) == {made.id}
    assert platform.count("leases") == {"leases": 0}
