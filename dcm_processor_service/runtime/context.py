"""The context of a callback: the validated environment of its job, and the session bound to it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import PrivateAttr
from pydantic_settings import SettingsConfigDict

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.runtime.data_cache import cached_data_dir
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from typing_extensions import Self, Unpack

    from dcm_processor_service.runtime.execution.cancellation import Cancellation
    from dcm_processor_service.runtime.logs.job_log import JobLog
    from dcm_processor_service.runtime.progress import AsyncProgress, Progress
    from dcm_processor_service.runtime.settings import SettingsValues
    from dcm_processor_service.runtime.steps.running import AsyncStep, Step
    from dcm_processor_service.runtime.steps.tools import StepTools
    from dcm_processor_service.session.jobs import AsyncCurrentJob, CurrentJob
    from dcm_processor_service.session.session import AsyncSession, Session

__all__ = ["AsyncRuntimeContext", "RuntimeContext"]

T = TypeVar("T")

_UNBOUND = (
    "this context has no session: it was made from the environment alone; in a service the runner gives you a bound "
    "one, in a test fake_context() does, elsewhere Container().context() does"
)


def _values(settings: RuntimeSettings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in RuntimeSettings.model_fields}
    data_dir = cached_data_dir(settings.data_dir, settings.data_cache, settings.data_cache_bytes)
    return {**values, "data_dir": data_dir}


class _Context(RuntimeSettings):
    """The common part of the contexts of both modes."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        defer_build=True
    )  # most processes use one mode only

    _log: JobLog | None = PrivateAttr(default=None)
    _cancellation: Cancellation | None = PrivateAttr(default=None)

    @property
    def log(self) -> JobLog:
        """The job's log: ``ctx.log.info("segmented", volume_ml=12.5)``; each line names session, job and service.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._log)

    @property
    def cancelled(self) -> bool:
        """Whether the job should end; if so, the callback should finish its step and return.

        True when the process was asked to end (SIGTERM; its exit code is then 143), and when the job's time limit is
        reached. A job that reads this after the limit and returns fails with :class:`~.errors.JobTimeoutError`, since
        its result may be incomplete; the process of a job that does not return within ``grace_s`` is ended.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._cancellation).requested

    @property
    def deadline(self) -> datetime | None:
        """When the job's time limit is reached, in UTC; None where the manifest sets no ``timeout``.

        The limit is counted from the call of the runner by a monotonic clock. This datetime is computed from it and
        from the present time of the machine.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._cancellation).deadline

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the job's time limit, 0.0 from then on; None where the manifest sets no ``timeout``.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._cancellation).remaining_s


def _bound(part: T | None) -> T:
    if part is None:
        raise ConfigurationError(_UNBOUND)
    return part


class RuntimeContext(_Context):
    """The frozen, validated environment of a job, with its session: the argument of a blocking callback.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> def run(ctx: RuntimeContext) -> float:
        ...     ctx.session.data["volume_ml"] = 12.5
        ...     return ctx.session.data["volume_ml"]
        >>> run(fake_context())
        12.5
    """

    if TYPE_CHECKING:  # values that are left out come from the environment

        def __init__(self, **values: Unpack[SettingsValues]) -> None: ...

    _session: Session | None = PrivateAttr(default=None)
    _progress: Progress | None = PrivateAttr(default=None)
    _steps: StepTools | None = PrivateAttr(default=None)

    @classmethod
    def bind(
        cls,
        settings: RuntimeSettings,
        session: Session,
        progress: Progress,
        log: JobLog,
        cancellation: Cancellation,
        steps: StepTools,
    ) -> Self:
        """Returns a context of these settings that is bound to a session."""
        context = cls(**_values(settings))
        context._session, context._progress = session, progress
        context._log, context._cancellation, context._steps = log, cancellation, steps
        return context

    @property
    def session(self) -> Session:
        """The four facades: ``data``, ``files``, ``peers``, ``dicom``.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._session)

    @property
    def job(self) -> CurrentJob:
        """The job: id, name, event, service name, and from its document params, added_params and headers."""
        return self.session.job

    @property
    def progress(self) -> Progress:
        """Tells the queue and its viewers how far the job is: ``ctx.progress(0.4, "segmenting")``.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._progress)

    def step(self, name: str, inputs: Mapping[str, object] | None = None, *, code: str | None = None) -> Step:
        """Returns a part of this job that happens once, as :class:`Step` explains: ``with ctx.step("x") as step``.

        Args:
            name: Name of the step.
            inputs: What the step depends on, by name: values that session data can hold, arrays, a series (by the UIDs
                and contents of its instances), paths (by content), stored files. With other inputs it is another step.
            code: Version of the step's code; by default a digest of the source file that calls this method.

        Raises:
            InvalidNameError: The name is not allowed.
            ConfigurationError: The context was made from the environment alone.
            UnsupportedValueError: An input is of another type. The ``with`` statement raises this error.
            StepBusyError: Another run of this job, which is alive, is doing the step. The ``with`` statement raises
                this error.
        """
        from dcm_processor_service.runtime.steps.running import Step

        caller = sys._getframe(1).f_code.co_filename  # noqa: SLF001
        return Step(_step(self._steps, name, inputs, code, caller))


class AsyncRuntimeContext(_Context):
    """The argument of an asynchronous callback: ``async def run(ctx: AsyncRuntimeContext)``.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def run(ctx: AsyncRuntimeContext) -> float:
        ...     await ctx.session.data.set("volume_ml", 12.5)
        ...     return await ctx.session.data.get("volume_ml", float)
        >>> asyncio.run(run(fake_async_context()))
        12.5
    """

    if TYPE_CHECKING:  # values that are left out come from the environment

        def __init__(self, **values: Unpack[SettingsValues]) -> None: ...

    _session: AsyncSession | None = PrivateAttr(default=None)
    _progress: AsyncProgress | None = PrivateAttr(default=None)
    _steps: StepTools | None = PrivateAttr(default=None)

    @classmethod
    def bind(
        cls,
        settings: RuntimeSettings,
        session: AsyncSession,
        progress: AsyncProgress,
        log: JobLog,
        cancellation: Cancellation,
        steps: StepTools,
    ) -> Self:
        """Returns a context of these settings that is bound to a session."""
        context = cls(**_values(settings))
        context._session, context._progress = session, progress
        context._log, context._cancellation, context._steps = log, cancellation, steps
        return context

    @property
    def session(self) -> AsyncSession:
        """The four facades: ``data``, ``files``, ``peers``, ``dicom``; their methods are awaited.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._session)

    @property
    def job(self) -> AsyncCurrentJob:
        """The job: id, name, event, service name, and ``await job.read()`` for its document."""
        return self.session.job

    @property
    def progress(self) -> AsyncProgress:
        """Tells the queue and its viewers how far the job is: ``await ctx.progress(0.4, "segmenting")``.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._progress)

    def step(self, name: str, inputs: Mapping[str, object] | None = None, *, code: str | None = None) -> AsyncStep:
        """Returns a part of this job that happens once: ``async with ctx.step("segment") as step``.

        Takes the arguments of :meth:`RuntimeContext.step` and raises the same errors.
        """
        caller = sys._getframe(1).f_code.co_filename  # noqa: SLF001
        return _step(self._steps, name, inputs, code, caller)


def _step(
    tools: StepTools | None, name: str, inputs: Mapping[str, object] | None, code: str | None, caller: str
) -> AsyncStep:
    """Returns a step; imports the modules of steps at the first call, because most jobs have no steps."""
    from dcm_processor_service.runtime.steps.inputs import code_version
    from dcm_processor_service.runtime.steps.running import AsyncStep

    return AsyncStep(_bound(tools), name, inputs or {}, code_version(caller) if code is None else code)
