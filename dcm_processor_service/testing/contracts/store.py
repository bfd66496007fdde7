"""The store under test: one backend in one mode, the seeder that fills it, and the runner of its tests."""

from __future__ import annotations

import asyncio
import functools
import inspect
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dcm_processor_service.models import Job
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import AsyncContainer, Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from dcm_processor_service.models import Instance, Patient, Peer, SeriesRecord, Study
    from dcm_processor_service.ports import Backend, Mode
    from dcm_processor_service.runtime.settings import SettingsValues
    from dcm_processor_service.session.session import AsyncSession

__all__ = ["JOB_ID", "SESSION_ID", "Contract", "Seeder", "StoreUnderTest", "WorkspaceSeeder", "store_under_test"]

SESSION_ID = "5e55" + "0" * 20
JOB_ID = "a0b0" + "0" * 20


class Seeder(Protocol):
    """Fills a store as the platform does, before a session reads it."""

    def job(self, job: Job) -> None:
        """Stores a job."""

    def peer(self, peer: Peer) -> None:
        """Stores a DICOM peer."""

    def subject(self, subject: Patient | Study | SeriesRecord) -> None:
        """Stores a patient, study or series."""

    def instance(self, series_id: str, instance: Instance, content: bytes) -> None:
        """Stores the DICOM file of an instance, as the last one of its series."""


class StoreUnderTest:
    """One backend in one mode.

    Args:
        settings: The settings of the backend: ``db_provider``, and ``db_url`` and ``db_name`` if it needs them.
        mode: ``async`` runs the tests in an event loop, ``blocking`` without one.
        seeder: Fills the store.
        shared: The one backend of all sessions, if stored values do not outlive their container.
    """

    def __init__(self, settings: SettingsValues, *, mode: Mode, seeder: Seeder, shared: Backend | None = None) -> None:
        self.mode = mode
        self._settings = settings
        self.seed = seeder
        self.shared = shared
        self._stack = ExitStack()

    def run(self, test: Coroutine[Any, Any, None]) -> None:
        """Runs a test: in an event loop in the async mode, otherwise without one."""
        if self.mode == "async":
            asyncio.run(test)
        else:
            run_inline(test)

    def container(
        self,
        job_id: str = JOB_ID,
        *,
        session_id: str = SESSION_ID,
        peer_id: str | None = None,
        service_name: str = "",
        service_version: str = "0",
    ) -> Container:
        """Returns an open container of one job, which :meth:`close` closes."""
        made = AsyncContainer() if self.mode == "async" else Container()
        container: Container = self._stack.enter_context(opened(made))
        of_the_job: SettingsValues = {
            "session_id": session_id,
            "job_id": job_id,
            "peer_id": peer_id,
            "service_name": service_name,
            "service_version": service_version,
        }
        values: SettingsValues = {**self._settings, **of_the_job}
        container.settings.override(RuntimeSettings.without_environment(**values))
        if self.shared is not None:
            container.backend.override(self.shared)
        return container

    def session(
        self,
        job_id: str = JOB_ID,
        *,
        session_id: str = SESSION_ID,
        peer_id: str | None = None,
        service_name: str = "",
        service_version: str = "0",
    ) -> AsyncSession:
        """Returns the session of one job."""
        container = self.container(
            job_id,
            session_id=session_id,
            peer_id=peer_id,
            service_name=service_name,
            service_version=service_version,
        )
        session: AsyncSession = container.async_session()
        return session

    def close(self) -> None:
        """Closes every container."""
        self._stack.close()


class WorkspaceSeeder:
    """Fills a store through its own workspace repository.

    Args:
        backend: A blocking backend whose ``workspace`` is set.
        folder: The folder for the DICOM files; None passes them to the repository as bytes.

    Raises:
        ConfigurationError: The backend has no workspace repository; give a seeder of your own.
    """

    def __init__(self, backend: Backend, folder: Path | None = None) -> None:
        self._workspace = backend.fillable()
        self._folder = folder

    def job(self, job: Job) -> None:
        """Stores a job."""
        run_inline(self._workspace.add_job(job))

    def peer(self, peer: Peer) -> None:
        """Stores a DICOM peer."""
        run_inline(self._workspace.add_peer(peer))

    def subject(self, subject: Patient | Study | SeriesRecord) -> None:
        """Stores a patient, study or series."""
        run_inline(self._workspace.add_subject(subject))

    def instance(self, series_id: str, instance: Instance, content: bytes) -> None:
        """Stores the DICOM file of an instance."""
        if self._folder is None:
            run_inline(self._workspace.add_instance(series_id, instance, content))
            return
        path = self._folder / f"{instance.id}.dcm"
        path.write_bytes(content)
        run_inline(self._workspace.add_instance(series_id, instance, path))


@contextmanager
def store_under_test(
    settings: SettingsValues,
    *,
    mode: Mode = "blocking",
    seeder: Seeder | None = None,
    shared: Backend | None = None,
    folder: Path | None = None,
) -> Iterator[StoreUnderTest]:
    """Opens a store for one test, and stores the job of its sessions; closes everything at the end.

    Args:
        settings: The settings of the backend: ``db_provider``, and ``db_url`` and ``db_name`` if it needs them. The
            store must be empty: give every test a place of its own.
        mode: ``async`` runs the tests in an event loop, ``blocking`` without one.
        seeder: Fills the store; None uses the store's workspace repository, opened a second time in blocking mode.
        shared: The one backend of all sessions, if stored values do not outlive their container.
        folder: The folder for the DICOM files of the workspace; None passes them to its repository as bytes.

    Example:
        >>> from dcm_processor_service.testing import MemoryStore
        >>> with store_under_test({"db_provider": "memory"}, shared=MemoryStore().backend()) as store:
        ...     store.container().session().data.keys()
        []
    """
    with ExitStack() as stack:
        if seeder is None:
            seeder = WorkspaceSeeder(shared or stack.enter_context(_opened_backend(settings)), folder)
        store = StoreUnderTest(settings, mode=mode, seeder=seeder, shared=shared)
        stack.callback(store.close)
        store.seed.job(Job(id=JOB_ID, session_id=SESSION_ID, name="own"))
        yield store


@contextmanager
def _opened_backend(settings: SettingsValues) -> Iterator[Backend]:
    of_no_job: SettingsValues = {"session_id": SESSION_ID, "job_id": JOB_ID}
    values: SettingsValues = {**of_no_job, **settings}
    with opened(Container(settings=RuntimeSettings.without_environment(**values))) as container:
        yield container.backend()


class Contract:
    """The tests of one part of a store; each takes the fixture ``store``, a :class:`StoreUnderTest`.

    They are written as ``async def`` and run by the store under test, so that no plug-in of pytest is needed.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for name, test in [*vars(cls).items()]:
            if name.startswith("test_") and inspect.iscoroutinefunction(test):
                setattr(cls, name, _run_by_its_store(test))


def _run_by_its_store(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(self: Contract, /, *, store: StoreUnderTest, **fixtures: Any) -> None:
        store.run(test(self, store=store, **fixtures))

    return run
