"""What a callback is given: the validated environment of its job, and the session bound to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import PrivateAttr

from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from typing_extensions import Self

    from dcm_processor_service.runtime.execution.cancellation import Cancellation
    from dcm_processor_service.runtime.logs.job_log import JobLog
    from dcm_processor_service.runtime.progress import AsyncProgress, Progress
    from dcm_processor_service.session.jobs import AsyncCurrentJob, CurrentJob
    from dcm_processor_service.session.session import AsyncSession, Session

__all__ = ["AsyncRuntimeContext", "RuntimeContext"]

T = TypeVar("T")

_UNBOUND = (
    "this context has no session: it was made from the environment alone; in a service the runner gives you a bound "
    "one, in a test fake_context() does, elsewhere Container().context() does"
)


def _values(settings: RuntimeSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in RuntimeSettings.model_fields}


class _Context(RuntimeSettings):
    """What contexts of both modes have."""

    _log: JobLog | None = PrivateAttr(default=None)
    _cancellation: Cancellation | None = PrivateAttr(default=None)

    @property
    def log(self) -> JobLog:
        """The job's log: ``ctx.log.info("segmented", volume_ml=12.5)``; its lines know session, job and service.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._log)

    @property
    def cancelled(self) -> bool:
        """Whether the process was asked to end (SIGTERM): finish the step, return, and it ends with exit code 143.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        return _bound(self._cancellation).requested


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

    _session: Session | None = PrivateAttr(default=None)
    _progress: Progress | None = PrivateAttr(default=None)

    @classmethod
    def bind(
        cls, settings: RuntimeSettings, session: Session, progress: Progress, log: JobLog, cancellation: Cancellation
    ) -> Self:
        """Gives a context of these settings that is bound to a session."""
        context = cls(**_values(settings))
        context._session, context._progress = session, progress
        context._log, context._cancellation = log, cancellation
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

    _session: AsyncSession | None = PrivateAttr(default=None)
    _progress: AsyncProgress | None = PrivateAttr(default=None)

    @classmethod
    def bind(
        cls,
        settings: RuntimeSettings,
        session: AsyncSession,
        progress: AsyncProgress,
        log: JobLog,
        cancellation: Cancellation,
    ) -> Self:
        """Gives a context of these settings that is bound to a session."""
        context = cls(**_values(settings))
        context._session, context._progress = session, progress
        context._log, context._cancellation = log, cancellation
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
