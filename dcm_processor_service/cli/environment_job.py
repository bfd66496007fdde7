"""Runs the job that the environment names, without typer, which takes longer to load than a small job runs.

The callback runs in a child process where possible, so that the result line is written even if that process is killed;
the child loads nearly all of this package, and the parent little. The standard output holds the result alone; the
standard error has a line of JSON at the start and one at the end, beside the lines of the job's log.
"""

from __future__ import annotations

import gc
import json
import time
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dcm_processor_service.cli.lines import print_error_line, result_channel
from dcm_processor_service.env_vars import read_variables
from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.models.platform_ids import is_platform_id
from dcm_processor_service.runtime.execution.supervision import Child, supervised
from dcm_processor_service.runtime.logs.terminal_text import visible_json

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dcm_processor_service.runtime.execution.time_limit import TimeLimit

__all__ = ["run_job"]


def run_job(callback: str) -> int:
    """Runs a callback as the job that the environment names, and prints its result; returns the exit code."""
    emit = result_channel()
    began_s = time.monotonic()
    job = _job_of_environment()
    _log("the job has started", job, callback=callback, version=version("dcm-processor-service"))
    ended = supervised(lambda child: _run(callback, child))
    record = ended.record
    error = record.get("error")
    if error:
        print_error_line(f"error: {error['message']}")
    took = {"duration_s": round(time.monotonic() - began_s, 3), "peak_memory_bytes": record.get("peak_memory_bytes")}
    level = "error" if ended.exit_code else "info"
    _log(
        "the job has ended", job, level=level, exit_code=ended.exit_code, error=error["type"] if error else None, **took
    )
    emit(record)
    return ended.exit_code


def _run(callback: str, child: Child) -> tuple[dict[str, Any], int]:
    """Runs the callback; returns the record and the exit code."""
    gc.disable()
    from dcm_processor_service.runtime.execution.callbacks import find_callback
    from dcm_processor_service.runtime.execution.runner import CallbackOutcome, left_process, run_callback
    from dcm_processor_service.runtime.execution.time_limit import process_ends_at

    if child.is_apart:
        gc.freeze()  # modules stay loaded: to search them for garbage again and again would take a fifth of the time
    gc.enable()

    def ended_by(limit: TimeLimit) -> AbstractContextManager[None]:
        """Tells the parent the time limit; returns a context manager that ends this process after the grace period."""
        child.announce(limit)
        return process_ends_at(limit)

    try:
        outcome = run_callback(find_callback(callback), own_process=True, ended_by=ended_by if child.is_apart else None)
    except DcmProcessorError as error:
        outcome = CallbackOutcome(error.exit_code, 0.0, error=error)
    except SystemExit as leaving:  # without this, there would be no result line, as if the job had not ended
        left = left_process(leaving)
        outcome = CallbackOutcome(left.exit_code, 0.0, error=left)
    return outcome.as_json(), outcome.exit_code


def _job_of_environment() -> dict[str, str]:
    """Returns session, job, event and service as the environment names them; leaves out what is missing or faulty."""
    fields = {"session": "session_id", "job": "job_id", "event": "job_event", "service": "service_name"}
    try:
        found = read_variables(fields.values())
    except DcmProcessorError:  # the run of the callback reports it
        found = {}
    job = {name: found.get(field, "") for name, field in fields.items()}
    return {
        name: value
        for name, value in job.items()
        if isinstance(value, str) and (name in {"event", "service"} or is_platform_id(value))
    }


def _log(message: str, job: dict[str, str], *, level: str = "info", **more: Any) -> None:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    line = {
        "time": now,
        "level": level,
        "logger": "dcm_processor_service.exec",
        "message": message,
        **job,
        **more,
    }
    print_error_line(visible_json(json.dumps(line, ensure_ascii=False)))
