"""Runs a callback in a container, and describes its end as an outcome with an exit code."""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_RETRYABLE,
    CallbackFailedError,
    CallbackSignatureError,
    ConfigurationError,
    DcmProcessorError,
    JobTimeoutError,
    StoreError,
    StoreUnavailableError,
)
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import AsyncContainer, Container, opened
from dcm_processor_service.runtime.execution.callbacks import Callback, inspect_callback
from dcm_processor_service.runtime.execution.cancellation import EXIT_CANCELLED, Cancellation
from dcm_processor_service.runtime.execution.forgotten_awaits import forgotten_awaits
from dcm_processor_service.runtime.execution.job_process import job_process
from dcm_processor_service.runtime.execution.memory import memory_watched
from dcm_processor_service.runtime.execution.memory_notes import noting
from dcm_processor_service.runtime.execution.params import unknown_params, validated_params
from dcm_processor_service.runtime.execution.results import json_safe, readable
from dcm_processor_service.runtime.execution.time_limit import TimeLimit
from dcm_processor_service.runtime.logs.printed_errors import formatted, own_frames, scrub_error
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.session.peak_memory import peak_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from dcm_processor_service.models import Job
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.runtime.logs.job_log import JobLog
    from dcm_processor_service.runtime.settings import RuntimeSettings

__all__ = ["CallbackOutcome", "call", "left_process", "run_callback"]


@dataclass(frozen=True)
class CallbackOutcome:
    """How a run ended."""

    exit_code: int
    duration_s: float
    result: Any = None
    error: DcmProcessorError | None = None
    traceback_text: str = ""
    """Traceback of the error, without patient attributes of the session."""

    own_frames_text: str = ""
    """The same traceback with only the frames of the user's own code."""

    peak_memory_bytes: int | None = None
    """The most resident memory that the process has had by then; None where the system does not report it."""

    error_type: str = ""
    """Name of the error's type, for an outcome from another process, which comes without its cause."""

    @property
    def ok(self) -> bool:
        """Whether there was no error; the exit code shows whether the callback returned because it was asked to end."""
        return self.error is None

    @property
    def cause(self) -> BaseException | None:
        """The error that the callback raised, or because of which it could not be started."""
        return (self.error.__cause__ or self.error) if isinstance(self.error, CallbackFailedError) else self.error

    def as_portable(self) -> dict[str, Any]:
        """Returns the outcome as plain JSON for another process: the error's text, without its cause."""
        of_callback = isinstance(self.error, CallbackFailedError)
        head = {"exit_code": self.exit_code, "duration_s": self.duration_s, "of_callback": of_callback}
        return {**head, **self.as_json(), "own_frames": self.own_frames_text}

    @classmethod
    def of_portable(cls, portable: Mapping[str, Any]) -> CallbackOutcome:
        """Returns the outcome that :meth:`as_portable` described."""
        if "error" not in portable:
            return cls(
                portable["exit_code"],
                portable["duration_s"],
                result=portable["result"],
                peak_memory_bytes=portable["peak_memory_bytes"],
            )
        fault = portable["error"]
        error = (CallbackFailedError if portable["of_callback"] else ConfigurationError)(fault["message"])
        return cls(
            portable["exit_code"],
            portable["duration_s"],
            error=error,
            traceback_text=fault["traceback"],
            own_frames_text=portable["own_frames"],
            peak_memory_bytes=portable["peak_memory_bytes"],
            error_type=fault["type"],
        )

    def as_json(self) -> dict[str, Any]:
        """Returns a worker's record: the result, or the error with its traceback, and time and memory."""
        took = {"duration_s": round(self.duration_s, 3), "peak_memory_bytes": self.peak_memory_bytes}
        if self.error is None:
            return {"result": self.result, **took}
        return {
            "error": {
                "type": self.error_type or type(self.cause).__name__,
                "message": readable(str(self.error)),
                "traceback": readable(self.traceback_text or formatted(self.cause)),
                "retryable": self.exit_code == EXIT_RETRYABLE,
            },
            **took,
        }


def left_process(leaving: SystemExit) -> CallbackFailedError:
    """Returns the error of a callback that called ``sys.exit``, which would end its process without a result."""
    error = CallbackFailedError(
        f"the callback ended the process: SystemExit: {leaving.code}; return, or raise an error"
    )
    error.__cause__ = leaving
    return error


def run_callback(
    function: CallbackFunction,
    settings: Callable[[], RuntimeSettings] | RuntimeSettings | None = None,
    *,
    job: Job | None = None,
    customise: Callable[[Container], None] | None = None,
    own_process: bool = False,
    ended_by: Callable[[TimeLimit], AbstractContextManager[None]] | None = None,
) -> CallbackOutcome:
    """Runs a callback as a job: checks it, makes its container, passes its arguments, and closes the container.

    Args:
        function: The callback; a blocking one runs in this thread without an event loop, an ``async def`` one in a new
            event loop.
        settings: The job's settings; read from the environment when not given.
        job: The job's document, when it is at hand; read from the store when not given.
        customise: Overrides providers of the container before anything is used.
        own_process: Whether this process runs this job alone, so that its logging and its handling of SIGTERM may be
            set up for the job while it runs.
        ended_by: Returns the context manager that ends the process when the job's time limit and a grace are over.
            A worker gives it; then memory is watched, too. Without it, the callback can read the time limit, but
            nothing enforces it.

    Returns:
        The outcome. Errors of the callback and of the configuration are in it, not raised; KeyboardInterrupt is raised,
        and so is SystemExit, except after SIGTERM. After SIGTERM, the exit code is 143 in every case. A callback that
        asked whether to stop, learned that its time is over, and returned, counts as failed, because its result may be
        incomplete. A callback that never asked, and returned within the grace, counts as done.
    """
    started = time.monotonic()
    run = _Run(job, customise, own_process, ended_by)
    result: Any = None
    failure: DcmProcessorError | None = None
    exit_code, text, own = EXIT_DONE, "", ""
    try:
        callback = inspect_callback(function)
        result = json_safe(run.run(callback, settings))
        failure, exit_code = run.timed_out()
    except SystemExit as leaving:
        scrub_error(leaving, run.scrubber)
        if not run.cancellation.signalled:
            raise
        failure = left_process(leaving)
    except Exception as error:  # noqa: BLE001  whatever a callback raises is an outcome, with its cause kept
        scrub_error(error, run.scrubber)
        failure, exit_code = _classify(error, run.scrubber, in_callback=run.in_callback)
        text, own = run.scrubber.text(formatted(error)), run.scrubber.text(own_frames(error))
    except BaseException as stopped:  # KeyboardInterrupt, or an ExceptionGroup that holds one
        scrub_error(stopped, run.scrubber)
        raise
    if run.cancellation.signalled:
        exit_code = EXIT_CANCELLED
    duration_s = time.monotonic() - started
    return CallbackOutcome(exit_code, duration_s, result, failure, text, own, peak_memory_bytes())


def _classify(error: Exception, scrubber: Scrubber, *, in_callback: bool) -> tuple[DcmProcessorError, int]:
    if not in_callback and isinstance(error, DcmProcessorError):
        return error, error.exit_code
    retryable = isinstance(error, DcmProcessorError) and error.retryable
    what = "the callback failed" if in_callback else "the callback could not be started"
    failure = CallbackFailedError(scrubber.text(f"{what}: {type(error).__name__}: {error}"))
    failure.__cause__ = error
    return failure, EXIT_RETRYABLE if retryable else EXIT_FAILED


class _Run:
    """One run of a callback; keeps the state from which :func:`run_callback` makes the outcome."""

    def __init__(
        self,
        job: Job | None,
        customise: Callable[[Container], None] | None,
        own_process: bool,  # noqa: FBT001  passed on
        ended_by: Callable[[TimeLimit], AbstractContextManager[None]] | None,
    ) -> None:
        self.began_s = time.monotonic()
        self.scrubber = Scrubber()
        self.cancellation = Cancellation()
        self.in_callback = False
        self._job = job
        self._customise = customise
        self._own_process = own_process
        self._ended_by = ended_by
        self._limit_s: float | None = None

    def run(self, callback: Callback, settings: Callable[[], RuntimeSettings] | RuntimeSettings | None) -> Any:
        """Runs the callback in a container of its mode; returns its result."""
        container = AsyncContainer() if callback.mode == "async" else Container()
        if settings is not None:
            container.settings.override(settings() if callable(settings) else settings)
        container.scrubber.override(self.scrubber)
        container.cancellation.override(self.cancellation)
        if self._customise is not None:
            self._customise(container)
        if callback.mode == "async":
            return asyncio.run(self._run_async(callback, container))
        with ExitStack() as stack:
            self._enter(stack, container)
            run_inline(self._learn_job(container))
            self._enforce_limits(stack, container)
            stack.callback(lambda: run_inline(container.async_progress().flush()))
            document = container.session().job.read() if callback.params_models else None
            return call(callback, container, document, self._entering)

    async def _run_async(self, callback: Callback, container: Container) -> Any:
        with ExitStack() as stack:
            self._enter(stack, container)
            await self._learn_job(container)
            self._enforce_limits(stack, container)
            document = await container.current_job().read() if callback.params_models else None
            arguments = _arguments(callback, container, document)
            self._entering()
            try:
                with forgotten_awaits(callback.name):
                    # inside of the block, so that a coroutine in the result that was not awaited is reported
                    return json_safe(await callback.function(**arguments))
            finally:
                await container.async_progress().flush()

    def _enter(self, stack: ExitStack, container: Container) -> None:
        stack.enter_context(opened(container))
        if self._own_process:
            stack.enter_context(job_process(container))

    async def _learn_job(self, container: Container) -> None:
        """Reads the job before the callback runs, because the scrubber can only remove values that it knows.

        Raises:
            StoreUnavailableError: The store does not answer: the job is tried again, even if it needs no store.
        """
        current = container.current_job()
        if self._job is not None:
            current.preset(self._job)
            self._limit_s = self._job.timeout_s
            if self._ended_by is not None and self._limit_s is None:
                self._limit_s = await self._stored_limit_s(container)
        elif self._own_process:
            try:
                self._limit_s = (await current.read()).timeout_s
            except StoreUnavailableError:
                raise
            except StoreError as error:  # a callback that needs the document raises the error when it reads it
                container.log().debug("the job's document is not known: %s", type(error).__name__)

    @staticmethod
    async def _stored_limit_s(container: Container) -> float | None:
        """Returns the time limit from the job's document; the worker's arguments do not hold it."""
        try:
            document = await container.job_repository().find(container.settings().job_id)
        except StoreError as error:  # the callback may need no store
            container.log().warning(
                "the job's time limit is not known, so it is not enforced: %s", type(error).__name__
            )
            return None
        return document.timeout_s if document else None

    def _enforce_limits(self, stack: ExitStack, container: Container) -> None:
        """Sets the callback's time limit; in a worker, ends the process after it, and watches its memory."""
        if self._limit_s is not None:
            limit = TimeLimit(self._limit_s, container.settings().grace_s, self.began_s)
            self.cancellation.limit(limit.ends_s)
            if self._ended_by is not None:
                stack.enter_context(self._ended_by(limit))
        if self._ended_by is not None:
            stack.enter_context(memory_watched(container.log(), noting(container)))
            stack.callback(self._log_time_and_memory, container.log())

    def _log_time_and_memory(self, log: JobLog) -> None:
        """Logs time and peak memory, since the platform's result file has no place for them."""
        duration_s = round(time.monotonic() - self.began_s, 3)
        log.info("the callback has ended", duration_s=duration_s, peak_memory_bytes=peak_memory_bytes())

    def timed_out(self) -> tuple[DcmProcessorError | None, int]:
        """Returns the failure of a callback that saw its time limit and returned, with its exit code."""
        if not self.cancellation.saw_limit or self.cancellation.signalled:
            return None, EXIT_DONE
        failure = JobTimeoutError(
            f"the callback returned when it saw that its time limit of {self._limit_s:g} s was reached, so its result "
            "may be incomplete; give the job a longer timeout in the manifest"
        )
        return failure, failure.exit_code

    def _entering(self) -> None:
        self.in_callback = True


def call(
    callback: Callback, container: Container, document: Job | None, entering: Callable[[], None] = lambda: None
) -> Any:
    """Calls a blocking callback with its arguments.

    Raises:
        CallbackSignatureError: The callback returned a coroutine.
        ConfigurationError: The job's params do not fit the callback's model.
    """
    arguments = _arguments(callback, container, document)
    entering()
    result = callback.function(**arguments)
    if inspect.iscoroutine(result):
        result.close()
        raise CallbackSignatureError(
            f"{callback.name} returned a coroutine, so it has not run; write async def, also in a decorator around it"
        )
    return result


def _arguments(callback: Callback, container: Container, document: Job | None) -> dict[str, Any]:
    params = document.params if document else {}
    arguments: dict[str, Any] = {}
    for name, want in callback.wants:
        if isinstance(want, type):
            arguments[name] = validated_params(want, params, container.settings().job_name)
        else:
            arguments[name] = container.context() if want == "context" else container.session()
    for sentence in unknown_params(callback.params_models, params):
        container.log().warning("%s (in the params of this job; it is ignored)", sentence)
    return arguments
