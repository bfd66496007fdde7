"""Pure functions that find the cause of a dead job, as far as the documents show it.

The worker keeps neither the exit status of a job's process nor its output, so a killed process, a failed import and an
exit leave the same document: no result file. They are distinguished by the job's arguments, from which its script was
generated, by the code of its service, and by whether the job stored anything before it ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from dcm_processor_service.models.generated_script import IN_A_NAME, fault_sentence, faults_below

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dcm_processor_service.backends.mongo.operator.queue import Heartbeat, QueueJob
    from dcm_processor_service.backends.mongo.operator.service_code import EntryCode
    from dcm_processor_service.memory_records import MemoryRecord
    from dcm_processor_service.models import DeathCause

__all__ = ["EARLY_END", "Evidence", "Postmortem", "cause_of_death", "cause_of_early_end"]

EARLY_END = r"^(ProcessEnded|JobTimeoutError): "
"""The start of a traceback that this package wrote in place of a result; other tracebacks may hold patient data."""

RESTART_GAP = timedelta(minutes=15)
"""If a worker's last sign came at most this long before MongoDB's start, the worker died because MongoDB ended."""

_SECOND = timedelta(seconds=1)
"""MongoDB reports its start in whole seconds."""

_NO_RESULT = "result.json"
_STORE_FAULTS = re.compile(
    r"\bpymongo\.errors\.(AutoReconnect|ServerSelectionTimeoutError|NetworkTimeout|ConnectionFailure|NotPrimaryError)"
)
_NO_JSON = re.compile(r"json\.decoder\.JSONDecodeError|^Error (Expecting|Extra data|Unterminated|Invalid)")
_EMPTY_FILE = "char 0)"
_CLASS_OF_ERROR = re.compile(r"^([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt))\b", re.MULTILINE)
_CAUSE_OF_CHARACTER: dict[str, DeathCause] = {
    "a quotation mark": "quote",
    "a backslash": "backslash",
    "a line break": "line_break",
    "a control character": "control_character",
}


@dataclass(frozen=True)
class Evidence:
    """The evidence besides the job's document."""

    kwargs: dict[str, Any]
    """The arguments of the worker's generated script; they hold patient data, which must not get into a result."""
    code: EntryCode | None
    """The service's code; None if it is gone, or was installed after the job started."""
    stored_something: bool
    """Whether the job stored data, a file or its progress, so that its callback had begun."""
    heartbeats: Sequence[Heartbeat]
    server_started_at: datetime | None
    memory: MemoryRecord | None = None
    """The record that memory ran short in this run; None if it did not, or if this package was not running then."""


class Postmortem(NamedTuple):
    """The possible causes of a job's death, and a sentence about them."""

    causes: tuple[DeathCause, ...]
    sentence: str


def cause_of_death(job: QueueJob, evidence: Evidence) -> Postmortem:
    """Returns the causes that fit the documents, the most likely first."""
    if job.in_progress and not job.error:
        return _explain_lost_worker(job, evidence)
    if _STORE_FAULTS.search(job.error_trace):
        return Postmortem(("database_restarted",), "MongoDB did not answer while the worker prepared the job")
    if _NO_JSON.search(job.error_trace or job.error_text):
        if job.error_text.rstrip().endswith(_EMPTY_FILE):
            return Postmortem(
                ("killed", "out_of_memory"), "its result file is empty: killed while it wrote, or the disk is full"
            )
        return Postmortem(
            ("result_not_json",),
            "what it returned is not JSON, such as an array, a date or an ObjectId; return plain values, or make the "
            "entry with entrypoint()",
        )
    if _NO_RESULT in job.error_text:
        return _no_result(evidence)
    classes = _CLASS_OF_ERROR.findall(job.error_trace)
    what = f" ({classes[-1]})" if classes else ""
    return Postmortem(("unknown",), f"the worker could not start it{what}; see the platform's log")


def _no_result(evidence: Evidence) -> Postmortem:
    """Returns the causes for a process that ended without a result."""
    faults = list(faults_below(evidence.kwargs))
    if faults:
        causes = dict.fromkeys(_CAUSE_OF_CHARACTER[fault.character.removesuffix(IN_A_NAME)] for fault in faults)
        return Postmortem(
            tuple(causes), f"{fault_sentence(faults)}, which ends the script that the worker generates for the job"
        )
    code = evidence.code
    if code and code.syntax_error:
        return Postmortem(("syntax_error",), f"its service's code has a syntax error ({code.syntax_error})")
    if code and code.missing:
        return Postmortem(("import_error",), f"its service's code cannot be imported: there is no {code.missing}")
    may_exit = code.may_exit if code and not code.is_entrypoint else ""
    if evidence.memory:
        return _starved(evidence.memory, may_exit)
    if may_exit:
        return Postmortem(
            ("exit", "killed", "out_of_memory"),
            f"its process ended without a result, as it does by {may_exit}, or when it is killed",
        )
    if evidence.stored_something:
        return Postmortem(
            ("killed", "out_of_memory"),
            "its process was killed after the callback had begun: by a person or a program, or because memory ran out",
        )
    if code and code.unknown_library:
        return Postmortem(
            ("import_error", "killed", "out_of_memory"),
            f"its process ended without a result; its service's code imports {code.unknown_library}, which is not "
            "installed here, and perhaps not at the worker",
        )
    if code:
        return Postmortem(
            ("killed", "out_of_memory", "import_error"),
            "its process ended without a result: killed by a person or a program, or because memory ran out, or a "
            "library of its service is broken",
        )
    return Postmortem(
        ("killed", "out_of_memory", "import_error", "exit"),
        "its process ended without a result, and the code that it ran is not in the database any more",
    )


def _starved(memory: MemoryRecord, may_exit: str = "") -> Postmortem:
    """Returns the causes for a process that ended some time after memory ran short.

    Args:
        memory: The record that memory ran short in that run.
        may_exit: The call in the service's code that ends a process; empty if there is none.
    """
    otherwise = f"by {may_exit}, or killed for another reason" if may_exit else "for another reason"
    return Postmortem(
        ("out_of_memory", "exit", "killed") if may_exit else ("out_of_memory", "killed"),
        f"memory ran out, most likely: {memory.used_bytes} of the {memory.limit_bytes} bytes of its limit were in use "
        f"at {memory.at:%H:%M:%S} UTC (if it lived on for long after that, it ended {otherwise}); raise the limit, or "
        "hold fewer volumes at once",
    )


def cause_of_early_end(left_behind: str, memory: MemoryRecord | None) -> Postmortem:
    """Returns why a job's process ended before its callback returned.

    Args:
        left_behind: The traceback that this package wrote in place of a result; it matches :data:`EARLY_END`.
        memory: The record that memory ran short in that run.
    """
    if left_behind.startswith("JobTimeoutError"):
        return Postmortem(("timed_out",), "it was ended at its time limit")
    if "SIGTERM" in left_behind:
        return Postmortem(("asked_to_end",), "it was asked to end (SIGTERM) before it was done")
    if memory:
        return _starved(memory)
    return Postmortem(
        ("killed", "out_of_memory"),
        "its process was killed: by a person or a program, by a crash of a library, or because memory ran out faster "
        "than it could be noticed",
    )


def _explain_lost_worker(job: QueueJob, evidence: Evidence) -> Postmortem:
    """Returns the causes for a job that stays in progress because its worker is gone."""
    started_at, server_started_at = job.dates.get("startedAt"), evidence.server_started_at
    own = [beat for beat in evidence.heartbeats if beat.job_id == job.id and beat.beat_at]
    last_beat = max((beat.beat_at for beat in own if beat.beat_at), default=None)
    if (
        started_at
        and server_started_at
        and last_beat
        and started_at < server_started_at
        and -_SECOND <= server_started_at - last_beat < RESTART_GAP
    ):
        return Postmortem(
            ("database_restarted", "worker_killed"),
            "MongoDB was restarted while it ran, and its worker has given no sign since",
        )
    if evidence.code and evidence.code.is_entrypoint:
        return Postmortem(("worker_killed",), "the queue's worker ended while it ran, and gives no sign any more")
    if job.lost_before:
        return Postmortem(
            ("integer_too_large", "result_too_large", "worker_killed"),
            f"the queue's worker ended with it {job.lost_before + 1} times: most likely what it returns cannot be "
            "stored, an integer beyond 64 bits or more than 16 MiB",
        )
    return Postmortem(
        ("worker_killed", "integer_too_large", "result_too_large"),
        "the queue's worker ended while it ran: killed, or by a result that cannot be stored, which is an integer "
        "beyond 64 bits or more than 16 MiB",
    )
