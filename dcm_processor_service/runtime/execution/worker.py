"""Turns callbacks into entries for the platform's worker.

The worker imports the service's module, calls its entry with keyword arguments, and writes the returned value as JSON
into a file that the queue stores. ``worker = entrypoint(run)`` turns ``run`` into such an entry.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dcm_processor_service.env_vars import (
    get_db_info,
    get_job_event,
    get_job_id,
    get_job_name,
    get_peer_id,
    get_session_id,
    read_variables,
)
from dcm_processor_service.errors import CallbackFailedError, ConfigurationError, UnsupportedValueError
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.execution.callbacks import CALLBACK_ATTRIBUTE
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED
from dcm_processor_service.runtime.execution.job_process import job_process
from dcm_processor_service.runtime.execution.memory import memory_watched
from dcm_processor_service.runtime.execution.memory_notes import noting
from dcm_processor_service.runtime.execution.mounts import mounted_folders
from dcm_processor_service.runtime.execution.result_file import worker_result
from dcm_processor_service.runtime.execution.results import readable
from dcm_processor_service.runtime.execution.runner import left_process, run_callback
from dcm_processor_service.runtime.execution.time_limit import last_words, process_ends_at
from dcm_processor_service.runtime.logs.printed_errors import formatted, printable
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.runtime.stores import job_of_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from dcm_processor_service.models import Job
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.runtime.execution.result_file import WorkerResult
    from dcm_processor_service.runtime.execution.runner import CallbackOutcome
    from dcm_processor_service.runtime.execution.time_limit import TimeLimit

__all__ = ["entrypoint", "run_for_worker"]

T = TypeVar("T")

RESULT_BYTES = 8 * 1024 * 1024
"""The most bytes of a result. The queue stores it inside the job's document, which may have at most 16 MiB; if it did
not fit, the process of the queue would end."""


def entrypoint(function: CallbackFunction) -> Callable[..., Any]:
    """Turns a callback into an entry: a function that the platform's worker can call.

    The context comes from the environment, and from the worker's arguments where the environment lacks a value; the
    arguments ``params``, ``added_params`` and ``headers`` become ``ctx.job``. Other arguments are ignored. A param that
    the callback's own model does not know is refused if the model forbids it, or else named in a warning in the job's
    log (:mod:`~dcm_processor_service.runtime.execution.params`). The value that the callback returns becomes
    plain JSON. An error that it raises reaches the worker with traceback and cause; ``sys.exit`` becomes an error that
    names the exit code. After SIGTERM, the process ends with code 143 when the callback has returned.

    The ``timeout`` of the job's document is enforced: when it is reached, ``ctx.cancelled`` becomes True, and after a
    grace (``DCM_PROCESSOR_SERVICE_GRACE_S``) the process is ended, even if the callback still runs. If the process
    is ended or killed, for example for lack of memory, the worker finds a result that says so, and the session goes on.

    An entry of the 0.0.1 API, ``def worker(session_id, job_name, headers, params, added_params, **kwargs)``, needs
    none of this and works beside it.

    Args:
        function: A callback, blocking or ``async def``. The command ``run`` accepts the callback and the entry alike.

    Example:
        >>> from dcm_processor_service import RuntimeContext
        >>> def run(ctx: RuntimeContext) -> dict[str, float]:
        ...     return {"threshold": ctx.job.params["threshold"]}
        >>> worker = entrypoint(run)
        >>> worker(session_id="5" * 24, job_id="1" * 24, params={"threshold": 0.5}, db_provider="memory")
        {'threshold': 0.5}
    """

    def entry(*_positional: Any, **arguments: Any) -> Any:
        result = worker_result()
        with nullcontext() if result is None else result.promised():
            try:
                outcome = run_callback(
                    function,
                    lambda: _settings(arguments),
                    job=_job(arguments),
                    own_process=True,
                    ended_by=partial(_ended, result),
                )
            except SystemExit as leaving:
                raise left_process(leaving) from leaving
            if outcome.exit_code == EXIT_CANCELLED:
                raise SystemExit(EXIT_CANCELLED)
            if outcome.error is not None:
                raise _for_worker(outcome)
            return _storable(outcome.result)

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(entry, name, getattr(function, name, None) or getattr(entry, name))
    setattr(entry, CALLBACK_ATTRIBUTE, function)
    return entry


def _ended(result: WorkerResult | None, limit: TimeLimit) -> AbstractContextManager[None]:
    """Returns the context manager that ends the process after the time limit, and before that writes the result file.

    Without a result file, it only ends the process.
    """
    if result is None:
        return process_ends_at(limit)
    return last_words(result.path, result.after(limit), limit, result.promise_text())


def run_for_worker(work: Callable[[Container], T], arguments: Mapping[str, Any]) -> T:
    """Runs work of this package's own, such as a hook, in the container of the job that a worker's arguments name.

    Raises:
        ConfigurationError: Neither environment nor arguments name the store, session or job.
        SystemExit: SIGTERM came during the work; raised after it, with code 143.
    """
    container = Container(settings=_settings(arguments))
    job = _job(arguments)
    result = worker_result()
    with nullcontext() if result is None else result.promised():
        done = _run_hook(work, container, job)
        if container.cancellation().requested:
            raise SystemExit(EXIT_CANCELLED)
        return done


def _run_hook(work: Callable[[Container], T], container: Container, job: Job | None) -> T:
    with ExitStack() as stack:
        stack.enter_context(opened(container))
        stack.enter_context(job_process(container))
        stack.enter_context(memory_watched(container.log(), noting(container)))
        if job is not None:
            container.current_job().preset(job)
        try:
            return work(container)
        except Exception as error:
            shown = printable(error, container.scrubber())
            if shown is error:
                raise
            raise shown from None


def _settings(arguments: Mapping[str, Any]) -> RuntimeSettings:
    """Returns the environment's settings; values that the environment lacks are taken from the arguments.

    Raises:
        ConfigurationError: A value is missing or malformed, or environment and arguments name different sessions or
            jobs.
    """
    job = _job(arguments)
    provider, url, name = get_db_info()
    headers = arguments.get("headers")
    given = read_variables(("session_dir", "data_dir"))
    values: dict[str, tuple[Any, Any]] = {
        "db_provider": (provider, arguments.get("db_provider")),
        "db_url": (url, arguments.get("db_url")),
        "db_name": (name, arguments.get("db_name")),
        "session_id": (get_session_id(), job.session_id if job else None),
        "job_id": (get_job_id(), job.id if job else None),
        "job_name": (get_job_name(), arguments.get("job_name")),
        "job_event": (get_job_event(), arguments.get("event")),
        "peer_id": (get_peer_id(), headers.get("PeerUID") if isinstance(headers, dict) else None),
        **{name: (given.get(name), folder) for name, folder in mounted_folders(arguments).items()},
    }
    for field in ("session_id", "job_id"):
        here, there = values[field]
        if here and there and here.lower() != str(there).lower():
            raise ConfigurationError(
                f"the environment and the worker's arguments name different values for {field.replace('_', ' ')}: "
                f"{here} and {there}; start the entry in the environment of its own job"
            )
    return RuntimeSettings(**{field: there for field, (here, there) in values.items() if not here and there})


def _job(arguments: Mapping[str, Any]) -> Job | None:
    return job_of_arguments(arguments) if arguments else None


def _for_worker(outcome: CallbackOutcome) -> BaseException:
    """Returns the error for the worker's record: the callback's own, unless its text holds patient values."""
    error = outcome.cause or CallbackFailedError("the callback failed")
    shown = formatted(error)
    if outcome.traceback_text in {"", shown} and readable(shown) == shown:
        return error
    replacement = CallbackFailedError(f"{readable(str(outcome.error))}\n\n{readable(outcome.traceback_text)}")
    replacement.__suppress_context__ = True
    return replacement


def _storable(result: Any) -> Any:
    """Returns a result that fits into the job's document.

    Raises:
        UnsupportedValueError: The result is too large.
    """
    size_bytes = len(json.dumps(result))
    if size_bytes > RESULT_BYTES:
        raise UnsupportedValueError(
            f"the callback returned {size_bytes} bytes of JSON, and a job keeps at most {RESULT_BYTES}; store it with "
            "session.files.save(name, value), and return its name"
        )
    return result
