"""What a callback is given: the validated environment of its job, and the session bound to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr

from dcm_processor_service.env_vars import RuntimeSettings
from dcm_processor_service.errors import ConfigurationError

if TYPE_CHECKING:
    from typing_extensions import Self

    from dcm_processor_service.jobs import AsyncCurrentJob, CurrentJob
    from dcm_processor_service.session import AsyncSession, Session

__all__ = ["AsyncRuntimeContext", "RuntimeContext"]

_UNBOUND = (
    "this context has no session: it was made from the environment alone; in a service the runner gives you a bound "
    "one, in a test fake_context() does, elsewhere Container().context() does"
)


def _values(settings: RuntimeSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in RuntimeSettings.model_fields}


class RuntimeContext(RuntimeSettings):
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

    @classmethod
    def bind(cls, settings: RuntimeSettings, session: Session) -> Self:
        """Gives a context of these settings that is bound to a session."""
        context = cls(**_values(settings))
        context._session = session
        return context

    @property
    def session(self) -> Session:
        """The four facades: ``data``, ``files``, ``peers``, ``dicom``.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        if self._session is None:
            raise ConfigurationError(_UNBOUND)
        return self._session

    @property
    def job(self) -> CurrentJob:
        """The job: id, name, event, service name, and from its document params, added_params and headers."""
        return self.session.job


class AsyncRuntimeContext(RuntimeSettings):
    """The argument of an asynchronous callback: ``async def run(ctx: AsyncRuntimeContext)``."""

    _session: AsyncSession | None = PrivateAttr(default=None)

    @classmethod
    def bind(cls, settings: RuntimeSettings, session: AsyncSession) -> Self:
        """Gives a context of these settings that is bound to a session."""
        context = cls(**_values(settings))
        context._session = session
        return context

    @property
    def session(self) -> AsyncSession:
        """The four facades: ``data``, ``files``, ``peers``, ``dicom``; their methods are awaited.

        Raises:
            ConfigurationError: The context was made from the environment alone.
        """
        if self._session is None:
            raise ConfigurationError(_UNBOUND)
        return self._session

    @property
    def job(self) -> AsyncCurrentJob:
        """The job: id, name, event, service name, and ``await job.read()`` for its document."""
        return self.session.job
