"""Pure functions for job documents, as the scheduler and the queue write them, and our model of a job.

The queue records a job whose callback raised as done, with the error in its result, and a job whose process died as
``error``, not done. Jobs of pre- and post-services have neither name nor event. Heartbeats of workers are in the
same collection.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from bson import ObjectId
from pydantic import TypeAdapter, ValidationError

from dcm_processor_service.backends.mongo.documents import (
    Document,
    either,
    id_text,
    id_texts,
    mapping,
    plain,
    subject,
    subject_fields,
    utc,
)
from dcm_processor_service.backends.mongo.readable import readable
from dcm_processor_service.codec import check_text, modelled
from dcm_processor_service.errors import StoredValueError, UnsupportedValueError
from dcm_processor_service.models import Job, JobEvent, JobOutput, JobState, Patient, Study, SubjectLevel
from dcm_processor_service.models.durations import duration_s
from dcm_processor_service.models.generated_script import unescaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dcm_processor_service.models import SeriesRecord

__all__ = [
    "OLDEST_FIRST",
    "PROJECTION",
    "job",
    "job_query",
    "jobs_query",
    "outputs",
    "progress_change",
    "readable_jobs",
    "values_query",
]

OLDEST_FIRST = [("createdAt", 1), ("_id", 1)]

PROJECTION = {"result.result": 0, "errorMessage.trace": 0}
"""The projection that leaves out large, unused fields."""

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SUBJECT_ID = "data.kwargs.headers._id"
_NO_HEARTBEAT = {"is_worker": {"$ne": True}}
_LEVEL_OF_MEMBERS = {
    "Instances": SubjectLevel.SERIES,
    "Series": SubjectLevel.STUDY,
    "Studies": SubjectLevel.PATIENT,
}
_FULL_PERCENT = 100
_CHECKED_AT_ONCE = 10
"""How many outputs one check reads: in larger groups, the garbage collector runs more often.

If one output of a group is malformed, the whole group is checked again, one output at a time.
"""
_SPELLED = {"name": "job_name", "params": "data.kwargs.params", "added_params": "data.kwargs.added_params"}
_EVENTS = {event.value: event for event in JobEvent}


def job_query(job_id: str) -> Document:
    """Returns the query for one job."""
    return {"_id": either(job_id), **_NO_HEARTBEAT}


def jobs_query(
    session_id: str,
    name: str | None = None,
    ids: Sequence[str] | None = None,
    near: Patient | Study | SeriesRecord | None = None,
) -> Document:
    """Returns the query for the jobs of a session; the other arguments, if given, select among these jobs.

    ``near`` selects the jobs whose subject may be the given one, contain it, or belong to it.
    """
    # each branch of the query repeats these conditions, so that each can use an index
    only: Document = {} if name is None else {"job_name": check_text(name, "name of a job")}
    if ids is not None:
        only["_id"] = either(*ids)
    of_session = either(session_id)
    branches = [
        {field: of_session, **only, **place}
        for field in ("sessionId", "session_id")
        for place in ([{}] if near is None else _near(near))
    ]
    return {"$or": branches, **_NO_HEARTBEAT}


def _near(subject: Patient | Study | SeriesRecord) -> list[Document]:
    """Returns the conditions for jobs whose subject may be this one, above it, or below it.

    The scheduler's event gives the level of a job. At this subject's level, the job's subject must be the same; at the
    level below, it must be one of its members, if it lists them. A job without a subject may be about any subject.
    """
    same = {event: [subject.id] for event in JobEvent if event.level == subject.level}
    if isinstance(subject, (Patient, Study)) and subject.child_ids:
        below = SubjectLevel.STUDY if isinstance(subject, Patient) else SubjectLevel.SERIES
        same |= {event: list(subject.child_ids) for event in JobEvent if event.level == below}
    conditions: list[Document] = [{"job_event": {"$nin": [event.value for event in same]}}]
    for event, ids in same.items():
        of_event = {"job_event": event.value}
        conditions.append({**of_event, _SUBJECT_ID: {"$in": [*either(*ids)["$in"], None, ""]}})
        conditions.append({**of_event, _SUBJECT_ID: {"$type": "object"}})  # {"$oid": …}
    return conditions


def progress_change(percent: int, message: str) -> Document:
    """Returns the update that sets a job's progress."""
    return {"$set": {"progress": percent, "progressMessage": message}, "$currentDate": {"lastProgressAt": True}}


def values_query(session_id: str, jobs: Sequence[Document], data_name: str) -> Document:
    """Returns the query for the values of some jobs under a name, with ids as ObjectId or as text."""
    ids = [job["_id"] for job in jobs]
    binary = [job_id for job_id in ids if isinstance(job_id, ObjectId)]  # most ids are ObjectIds, which need no parsing
    others = [id_text(job_id) for job_id in ids if not isinstance(job_id, ObjectId)]
    return {
        "session_id": either(session_id),
        "job_id": {"$in": [*binary, *map(str, binary), *either(*others)["$in"]]},
        "name": check_text(data_name, "name"),
    }


def outputs(jobs: list[Document], values: Iterable[Document], data_name: str) -> list[JobOutput]:
    """Joins jobs with their values under a name; an output says why its job or value cannot be read.

    Empties ``jobs`` on the way, so that each document is freed early; the garbage collector has a third less work.
    """
    by_job: dict[str, Document] = {}
    for row in values:
        by_job.setdefault(id_text(row["job_id"]), row)  # keeps the value that an ordinary read finds first
    what = f"the data {data_name!r}"
    found: list[JobOutput] = []
    jobs.reverse()
    while jobs:
        found += _outputs([jobs.pop() for _ in jobs[:_CHECKED_AT_ONCE]], by_job, what)
    return found


def _outputs(jobs: Sequence[Document], by_job: Mapping[str, Document], what: str) -> list[JobOutput]:
    found: list[Document] = []
    try:
        for one in jobs:
            found.append(_output_fields(one, by_job, what))  # noqa: PERF401  after an error, the items so far are used
        return _checker().validate_python(found)
    except (StoredValueError, ValidationError):
        pairs = itertools.zip_longest(jobs, (fields["job"] for fields in found))
        return [_output(one, by_job, what, fields) for one, fields in pairs]


@functools.cache
def _checker() -> TypeAdapter[list[JobOutput]]:
    return TypeAdapter(list[JobOutput])


def _output_fields(document: Document, by_job: Mapping[str, Document], what: str) -> Document:
    """Returns the fields of an output, which are not checked yet."""
    fields = _fields(document)
    row = by_job.get(fields["id"])
    if row is None:
        return {"job": fields, "found": False}
    return {"job": fields, "found": True, "value": plain(row.get("value"), what)}


def _output(document: Document, by_job: Mapping[str, Document], what: str, fields: Document | None) -> JobOutput:
    """Reads one output; its ``problem`` says which part cannot be read."""
    problem, value, found = "", None, False
    try:
        about = job(document, fields)
    except StoredValueError as error:
        problem = str(error)
        state, _message = _outcome(document)
        about = Job(id=id_text(document["_id"]), session_id=id_text(document.get("sessionId")), state=state)
    row = by_job.get(about.id)
    if row is not None:
        try:
            value = plain(row.get("value"), what)
            found = True
        except StoredValueError as error:
            problem = str(error)
    return JobOutput(job=about, found=found, value=value, problem=problem)


def readable_jobs(rows: Iterable[Document]) -> list[Job]:
    """Reads job documents; leaves out malformed ones, whose subject is unknown."""
    return [found for _row, found in readable(rows, job, "the session's jobs")]


def job(document: Document, fields: Document | None = None) -> Job:
    """Reads a job's document; ``fields`` are those of the document, if they were read before."""
    fields = fields or _fields(document)
    try:
        return Job.model_validate(fields)  # checks the job and its subject together
    except ValidationError:
        # checks the subject by itself, so that the error says whether the job or its subject is wrong
        return modelled(Job, _what(document), {**fields, "subject": _checked_subject(document)}, _SPELLED)


def _what(document: Document) -> str:
    return f"the job {id_text(document['_id'])}"


def _kwargs(document: Document) -> Mapping[str, Any]:
    """Returns the arguments of the job's callback."""
    kwargs = mapping(mapping(document.get("data")).get("kwargs"))
    if document.get("scriptEscaped"):  # a retry has escaped them for the worker's generated script
        kwargs = {**kwargs, **{part: unescaped(kwargs.get(part)) for part in ("headers", "params", "added_params")}}
    return kwargs


def _fields(document: Document) -> Document:
    """Returns the fields of a job, which are not checked yet."""
    kwargs = _kwargs(document)
    event = _event(document.get("job_event"))
    state, error_message = _outcome(document)
    return {
        "id": id_text(document["_id"]),
        "session_id": id_text(document.get("sessionId") or document.get("session_id") or kwargs.get("session_id")),
        "name": document.get("job_name") or "",
        "event": event,
        "service_name": document.get("service_name") or "",
        "state": state,
        "error_message": error_message,
        "progress_percent": _percent(progress) if (progress := document.get("progress")) else 0,
        "progress_message": str(message) if (message := document.get("progressMessage")) else "",
        "depends_on": id_texts(jobs) if (jobs := document.get("depends_on")) else (),
        "subject": _subject(mapping(kwargs.get("headers")), event, subject_fields),
        "params": plain(params, _what(document)) if (params := kwargs.get("params")) else {},
        "added_params": plain(added, _what(document)) if (added := kwargs.get("added_params")) else {},
        "created_at": utc(document.get("createdAt")),
        "timeout_s": _timeout_s(document),
    }


def _timeout_s(document: Document) -> float | None:
    """Reads the time limit, in any form that a manifest may have; logs one that cannot be read, and returns None."""
    limit = document.get("job_timeout")
    if limit is None:
        return None
    try:
        return duration_s(limit if isinstance(limit, (str, int, float)) else None)
    except UnsupportedValueError as error:
        _log.warning("the timeout of %s is ignored: %s", _what(document), error)
        return None


def _event(text: object) -> JobEvent | None:
    return _EVENTS.get(text) if type(text) is str else None


def _outcome(document: Document) -> tuple[JobState, str]:
    if document.get("error"):
        return JobState.FAILED, _message(document.get("errorMessage"))
    result = mapping(document.get("result"))
    if "error" in result:
        return JobState.FAILED, _message(result["error"])
    if document.get("done"):
        return JobState.DONE, ""
    return (JobState.RUNNING if document.get("inProgress") else JobState.WAITING), ""


def _message(fault: object) -> str:
    return str(mapping(fault).get("message") or "") if isinstance(fault, Mapping) else str(fault or "")


def _percent(progress: object) -> int:
    if isinstance(progress, (int, float)) and 0 <= progress <= _FULL_PERCENT:
        return int(progress)
    return 0


def _checked_subject(document: Document) -> Patient | Study | SeriesRecord | None:
    headers = mapping(_kwargs(document).get("headers"))
    return _subject(headers, _event(document.get("job_event")), subject)


def _subject(
    headers: Mapping[str, Any], event: JobEvent | None, read: Callable[[SubjectLevel, Mapping[str, Any]], T]
) -> T | None:
    """Reads the subject; its level follows from the members that the document lists, or else from the event."""
    if not headers.get("_id"):
        return None
    for members, level in _LEVEL_OF_MEMBERS.items():
        if members in headers:
            return read(level, headers)
    return None if event is None else read(event.level, headers)
