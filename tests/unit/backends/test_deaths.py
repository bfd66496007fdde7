"""What a dead job died of, by its document and what lies beside it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bson import ObjectId

from dcm_processor_service.backends.mongo.operator.deaths import Evidence, cause_of_death
from dcm_processor_service.backends.mongo.operator.queue import Heartbeat, QueueJob, queue_job
from dcm_processor_service.backends.mongo.operator.service_code import EntryCode

NOW = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
NO_RESULT = {"message": "Error [Errno 2] No such file or directory: '/tmp/x/result.json'", "trace": "FileNotFoundError"}
PLAIN, EXITS = "def worker(): ...", "import sys\ndef worker(): sys.exit()"
MADE = "worker = entrypoint(run)"


def dead(error: Any = None, **fields: Any) -> QueueJob:
    state = {"error": True, "errorMessage": error} if error else {"inProgress": True}
    return queue_job({"_id": ObjectId(), "job_name": "segment", "startedAt": NOW, **state, **fields})


def evidence(source: str | None = PLAIN, **more: Any) -> Evidence:
    code = None if source is None else EntryCode({"__init__.py": source}, "worker")
    known: dict[str, Any] = {"kwargs": {}, "stored_something": False, "heartbeats": (), "server_started_at": None}
    return Evidence(code=code, **{**known, **more})


def error(message: str, trace: str = "") -> dict[str, str]:
    return {"message": message, "trace": trace}


@pytest.mark.parametrize(
    ("fault", "known", "causes"),
    [
        (NO_RESULT, evidence(kwargs={"headers": {"StudyID": 'a"'}}), ("quote",)),
        (NO_RESULT, evidence(kwargs={"headers": {"StudyID": "a\\"}}), ("backslash",)),
        (NO_RESULT, evidence(kwargs={"params": {"text": "a\nb"}}), ("line_break",)),
        (NO_RESULT, evidence(kwargs={"params": {"text": "a\tb"}}), ("control_character",)),
        (NO_RESULT, evidence(kwargs={"params": {'"': 1}}), ("quote",)),
        (NO_RESULT, evidence("def ("), ("syntax_error",)),
        (NO_RESULT, evidence("def run(): ..."), ("import_error",)),
        (NO_RESULT, evidence("import no_such_library\n" + PLAIN), ("import_error", "killed", "out_of_memory")),
        (NO_RESULT, evidence(EXITS), ("exit", "killed", "out_of_memory")),
        (NO_RESULT, evidence(stored_something=True), ("killed", "out_of_memory")),
        (NO_RESULT, evidence(), ("killed", "out_of_memory", "import_error")),
        (NO_RESULT, evidence(None), ("killed", "out_of_memory", "import_error", "exit")),
        (error("Error Expecting value: line 1 column 12 (char 11)"), evidence(), ("result_not_json",)),
        (error("Error Expecting value: line 1 column 1 (char 0)"), evidence(), ("killed", "out_of_memory")),
        (error("Error refused", "pymongo.errors.AutoReconnect: refused"), evidence(), ("database_restarted",)),
        (error("Error Unsafe archive entry", "RuntimeError: Unsafe"), evidence(), ("unknown",)),
        ("Error: no callback", evidence(), ("unknown",)),
        (None, evidence(), ("worker_killed", "integer_too_large", "result_too_large")),
        (None, evidence(MADE), ("worker_killed",)),
    ],
)
def test_the_documents_tell_causes_apart(fault: Any, known: Evidence, causes: tuple[str, ...]) -> None:
    assert cause_of_death(dead(fault), known).causes == causes


def test_a_worker_that_was_lost_twice_by_one_job_most_likely_met_its_result() -> None:
    job = dead(retried=[{"was": "in progress"}])
    assert cause_of_death(job, evidence()).causes[0] == "integer_too_large"


@pytest.mark.parametrize(
    ("beat_s", "restart_s", "restarted"),
    [(10, 12, True), (10, 9.5, True), (10, -60, False), (10, 4000, False)],
)
def test_a_worker_that_ended_with_mongodb_is_distinguished_from_one_that_was_killed(
    beat_s: float,
    restart_s: float,
    restarted: bool,  # noqa: FBT001  pytest passes it by name
) -> None:
    job = dead()
    beat = Heartbeat("w", ("c",), job.id, NOW + timedelta(seconds=beat_s), None)
    known = evidence(heartbeats=[beat], server_started_at=NOW + timedelta(seconds=restart_s))
    assert (cause_of_death(job, known).causes[0] == "database_restarted") is restarted


def test_no_sentence_holds_what_the_platform_recorded_of_a_patient() -> None:
    secret = "Doe^Jane"
    known = evidence(kwargs={"headers": {"Metadata": {"PatientName": f'{secret}"'}}})
    for fault in (NO_RESULT, error(f"Error {secret}", f"ValueError: {secret}"), f"Error {secret}"):
        assert secret not in cause_of_death(dead(fault), known).sentence
