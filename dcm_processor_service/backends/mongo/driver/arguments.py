"""The keyword arguments that the platform's worker passes to an entry: pieces of the job's document.

Where the platform's own packages are installed beside the entry, ids are ObjectIds and times are datetimes without a
zone, in UTC. Where they are not, both come as parsed Extended JSON: ``{"$oid": …}``, ``{"$date": …}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from bson.errors import BSONError
from bson.json_util import JSONOptions, object_hook

from dcm_processor_service.backends.mongo.documents import id_text
from dcm_processor_service.backends.mongo.job_documents import job
from dcm_processor_service.errors import StoredValueError

if TYPE_CHECKING:
    from dcm_processor_service.models import Job

__all__ = ["job_of_arguments"]

_OPTIONS: JSONOptions = JSONOptions(tz_aware=True, tzinfo=timezone.utc)


def job_of_arguments(arguments: Mapping[str, Any]) -> Job | None:
    """Returns the job that the arguments describe, without dependencies; None if they name no job.

    Raises:
        StoredValueError: A part of the arguments is malformed.
    """
    try:
        kwargs = _decoded(dict(arguments))
    except RecursionError as error:
        raise StoredValueError(
            "the arguments of the job are nested deeper than Python can follow; flatten its params"
        ) from error
    job_id = id_text(kwargs.get("job_id"))
    if not job_id:
        return None
    document = {
        "_id": job_id,
        "sessionId": id_text(kwargs.get("session_id")),
        "job_name": kwargs.get("job_name"),
        "job_event": kwargs.get("event"),
        "inProgress": True,
        "data": {"kwargs": kwargs},
    }
    return job(document)


def _decoded(value: Any) -> Any:
    if isinstance(value, Mapping):
        if any(str(key).startswith("$") for key in value):
            return _extended(dict(value))
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_decoded(item) for item in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    return value


def _extended(value: dict[str, Any]) -> Any:
    """Reads one value of Extended JSON; returns a value that only looks like it unchanged."""
    try:
        return object_hook(value, _OPTIONS)
    except (BSONError, ArithmeticError, TypeError, ValueError):
        return value
