"""Outputs of many jobs are read in one pass; a malformed job among them changes nothing of the others."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from bson import ObjectId

from dcm_processor_service.backends.mongo.documents import utc
from dcm_processor_service.backends.mongo.job_documents import outputs

SESSION = ObjectId()


def job(**changes: Any) -> dict[str, Any]:
    return {"_id": ObjectId(), "sessionId": SESSION, "job_name": "segment", "job_event": "series:new", **changes}


def test_a_malformed_job_is_named_and_the_others_are_read_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    odd, good = job(job_timeout="soon"), job()
    malformed = job(data={"kwargs": {"params": ["no", "mapping"]}})
    values = [{"job_id": one["_id"], "value": number} for number, one in enumerate((odd, malformed, good))]
    found = outputs([odd, malformed, good], values, "volume_ml")
    assert [(one.job.id, one.found, one.value) for one in found] == [
        (str(one["_id"]), True, number) for number, one in enumerate((odd, malformed, good))
    ]
    assert [bool(one.problem) for one in found] == [False, True, False]
    assert str(malformed["_id"]) in found[1].problem
    assert [record.getMessage().startswith(f"the timeout of the job {odd['_id']}") for record in caplog.records] == [
        True
    ]


@pytest.mark.parametrize("field", ["min", "max"])
def test_naive_datetimes_become_aware_to_the_microsecond_and_at_both_ends_of_the_calendar(field: str) -> None:
    stored: datetime = getattr(datetime, field)
    assert utc(stored) == stored.replace(tzinfo=timezone.utc)
    assert utc(stored).isoformat() == f"{stored.isoformat()}+00:00"
    aware = datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert utc(aware) is aware
