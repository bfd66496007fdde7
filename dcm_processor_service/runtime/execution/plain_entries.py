"""Enforces the limits of an entry of the 0.0.1 API, from its first call of a function of this package."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from dcm_processor_service.errors import DcmProcessorError
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.execution.memory import memory_watched
from dcm_processor_service.runtime.execution.memory_notes import noting
from dcm_processor_service.runtime.execution.result_file import worker_result
from dcm_processor_service.runtime.execution.time_limit import TimeLimit, last_words

if TYPE_CHECKING:
    from dcm_processor_service.runtime.container import Container

__all__ = ["limits_kept"]

_log = logging.getLogger(__name__)


def limits_kept(container: Container) -> ExitStack:
    """Enforces the limits of this process's job, if the process runs a ``main.py`` of the platform's worker.

    If the process is killed, the worker finds a result that says so; if memory runs short, the session gets a
    record of that. The ``timeout`` of the job's document, counted from now, and a grace are enforced as for an entry
    made by ``entrypoint``. Closing the returned stack ends all this.
    """
    kept = ExitStack()
    result = worker_result()
    if result is None:
        return kept
    result.promise()
    kept.enter_context(memory_watched(container.log(), noting(container)))
    limit_s = _stored_limit_s(container)
    if limit_s is not None:
        limit = TimeLimit(limit_s, container.settings().grace_s, time.monotonic())
        kept.enter_context(last_words(result.path, result.after(limit), limit, result.promise_text()))
    return kept


def _stored_limit_s(container: Container) -> float | None:
    try:
        job = run_inline(container.job_repository().find(container.settings().job_id))
    except DcmProcessorError as error:
        _log.warning("the job's time limit is not known, so it is not enforced: %s", type(error).__name__)
        return None
    return job.timeout_s if job else None
