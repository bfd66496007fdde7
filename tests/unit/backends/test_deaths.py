"""The cause of a dead job, from its document and further evidence."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bson import ObjectId

from dcm_processor_service.backends.mongo.operator.deaths import Evidence, cause_of_death, cause_of_early_end
from dcm_processor_service.backends.mongo.operator.queue import Heartbeat, QueueJob, queue_job
from dcm_processor_service.backends.mongo.operator.service_code import EntryCode
from dcm_processor_service.memory_records import MemoryRecord

NOW = datetime(2024, 2, 29, 12, tzinfo=timezone.utc)
NO_RESULT = {"message": "Error [Errno 2] No such file or directory: '/tmp/x/result.json'", "trace": "FileNotFoundError"}
PLAIN, EXITS = "def worker(): ...", "import sys\ndef worker(): sys.exit()"
SHORT = MemoryRecord(95, 100, NOW)
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
        (NO_RESULT, evidence(memory=SHORT), ("out_of_memory", "killed")),
        (NO_RESULT, evidence(None, memory=SHORT), ("out_of_memory", "killed")),
        (NO_RESULT, evidence(EXITS, memory=SHORT), ("out_of_memory", "exit", "killed")),
        (NO_RESULT, evidence(EXITS + "\n" + MADE, memory=SHORT), ("out_of_memory", "killed")),
        (NO_RESULT, evidence("def (", memory=SHORT), ("syntax_error",)),
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
def test_the_documents_distinguish_the_causes_of_a_death(fault: Any, known: Evidence, causes: tuple[str, ...]) -> None:
    assert cause_of_death(dead(fault), known).causes == causes


@pytest.mark.parametrize(
    ("left_behind", "memory", "causes"),
    [
        ("ProcessEnded: the process of the job ended before its callback returned", None, ("killed", "out_of_memory")),
        ("ProcessEnded: the process of the job ended before its callback returned", SHORT, ("out_of_memory", "killed")),
        ("ProcessEnded: the job was asked to end (SIGTERM) before it was done", SHORT, ("asked_to_end",)),
        ("JobTimeoutError: the job reached its time limit", SHORT, ("timed_out",)),
    ],
)
def test_a_result_that_was_left_for_a_process_tells_how_it_ended(
    left_behind: str, memory: MemoryRecord | None, causes: tuple[str, ...]
) -> None:
    verdict = cause_of_early_end(left_behind, memory)
    assert verdict.causes == causes


def test_memory_that_ran_short_once_is_no_proof_of_what_ended_the_process() -> None:
    early = cause_of_early_end("ProcessEnded: ended", SHORT)
    for verdict in (cause_of_death(dead(NO_RESULT), evidence(EXITS, memory=SHORT)), early):
        assert verdict.sentence.startswith("memory ran out, most likely: 95 of the 100 bytes of its limit were in use")
        assert "if it lived on for long after that, it ended " in verdict.sentence
        assert "raise the limit" in verdict.sentence
    assert "by sys.exit" in cause_of_death(dead(NO_RESULT), evidence(EXITS, memory=SHORT)).sentence


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], "95", {}, {"used_bytes": 1}, {"used_bytes": "1", "limit_bytes": 2, "at_s": 3}),
        *({"used_bytes": -1, "limit_bytes": 2, "at_s": 3}, {"used_bytes": 1, "limit_bytes": 2, "at_s": 10**30}),
    ],
)
def test_a_malformed_record_of_memory_is_read_as_none(value: object) -> None:
    assert MemoryRecord.of(value) is None


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
