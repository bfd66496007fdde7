"""Runs a callback in a container, and maps how it ended to an outcome with an exit code."""

from __future__ import annotations

import asyncio
import inspect
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from dcm_processor_service.callbacks import Callback, inspect_callback, validated_params
from dcm_processor_service.container import AsyncContainer, Container, opened
from dcm_processor_service.errors import CallbackFailedError, CallbackSignatureError, DcmProcessorError
from dcm_processor_service.results import json_safe, readable

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.callbacks import CallbackFunction
    from dcm_processor_service.env_vars import RuntimeSettings
    from dcm_processor_service.models import Job

__all__ = ["Outcome", "run_callback"]

EXIT_DONE = 0
EXIT_CALLBACK_FAILED = 1
EXIT_CONFIGURATION = 2
EXIT_RETRYABLE = 3


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    exit_code: int
    duration_s: float
    result: Any = None
    error: DcmProcessorError | None = None

    @property
    def ok(self) -> bool:
        """Whether the callback returned."""
        return self.error is None

    def as_json(self) -> dict[str, Any]:
        """Gives what a worker records: the result, or the error with its traceback."""
        if self.error is None:
            return {"result": self.result}
        cause = self.error.__cause__ if isinstance(self.error, CallbackFailedError) else self.error
        return {
            "error": {
                "type": type(cause).__name__,
                "message": readable(str(self.error)),
                "traceback": readable("".join(traceback.format_exception(cause))) if cause else "",
                "retryable": self.exit_code == EXIT_RETRYABLE,
            }
        }


def run_callback(
    function: CallbackFunction,
    settings: Callable[[], RuntimeSettings] | RuntimeSettings | None = None,
    *,
    job: Job | None = None,
    customise: Callable[[Container], None] | None = None,
) -> Outcome:
    """Runs a callback as a job: validates it, makes its container, injects, and closes what was opened.

    Args:
        function: The callback; blocking ones run on this thread without an event loop, ``async def`` ones in one.
        settings: The job's settings; read from the environment when not given.
        job: The job's document, when it is at hand; read from the store when not given.
        customise: Overrides providers of the container before anything is used.

    Returns:
        The outcome. Errors of the callback and of the configuration are in it, not raised; KeyboardInterrupt and
        SystemExit pass.
    """
    started = time.perf_counter()
    in_callback = False

    def entering() -> None:
        nonlocal in_callback
        in_callback = True

    try:
        callback = inspect_callback(function)
        result = _run(callback, settings, job, customise, entering)
    except Exception as error:  # noqa: BLE001  whatever a callback raises is an outcome, with its cause kept
        failure, exit_code = _classify(error, in_callback=in_callback)
        return Outcome(exit_code, time.perf_counter() - started, error=failure)
    return Outcome(EXIT_DONE, time.perf_counter() - started, result=json_safe(result))


def _classify(error: Exception, *, in_callback: bool) -> tuple[DcmProcessorError, int]:
    if not in_callback and isinstance(error, DcmProcessorError):
        return error, error.exit_code
    retryable = isinstance(error, DcmProcessorError) and error.retryable
    what = "the callback failed" if in_callback else "the callback could not be started"
    failure = CallbackFailedError(f"{what}: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure, EXIT_RETRYABLE if retryable else EXIT_CALLBACK_FAILED


def _run(
    callback: Callback,
    settings: Callable[[], RuntimeSettings] | RuntimeSettings | None,
    job: Job | None,
    customise: Callable[[Container], None] | None,
    entering: Callable[[], None],
) -> Any:
    container = AsyncContainer() if callback.colour == "async" else Container()
    if settings is not None:
        container.settings.override(settings() if callable(settings) else settings)
    if customise is not None:
        customise(container)
    if callback.colour == "async":
        return asyncio.run(_run_async(callback, container, job, entering))
    with opened(container):
        current = container.session().job
        if job is not None:
            current.preset(job)
        document = current.read() if _wants_params(callback) else None
        arguments = _arguments(callback, container, document)
        entering()
        result = callback.function(**arguments)
        if inspect.iscoroutine(result):
            result.close()
            raise CallbackSignatureError(
                f"{callback.name} gave a coroutine, so it has not run; write async def, also in a decorator around it"
            )
        return result


async def _run_async(callback: Callback, container: Container, job: Job | None, entering: Callable[[], None]) -> Any:
    with opened(container):
        current = container.current_job()
        if job is not None:
            current.preset(job)
        document = await current.read() if _wants_params(callback) else None
        arguments = _arguments(callback, container, document)
        entering()
        return await callback.function(**arguments)


def _wants_params(callback: Callback) -> bool:
    return any(want not in {"context", "session"} for _name, want in callback.wants)


def _arguments(callback: Callback, container: Container, document: Job | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, want in callback.wants:
        if isinstance(want, type) and issubclass(want, BaseModel):
            arguments[name] = validated_params(want, document.params if document else {}, container.settings().job_name)
        else:
            arguments[name] = container.context() if want == "context" else container.session()
    return arguments
