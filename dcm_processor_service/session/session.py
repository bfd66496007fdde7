"""The session of one job, with its facades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.session.data import Data
from dcm_processor_service.session.files import Files
from dcm_processor_service.session.jobs import CurrentJob
from dcm_processor_service.session.network.peers import Peers

if TYPE_CHECKING:
    from collections.abc import Callable

    from dcm_processor_service.models import Job, StoredFile
    from dcm_processor_service.session.data import AsyncData
    from dcm_processor_service.session.files import AsyncFiles
    from dcm_processor_service.session.images.dicom import Dicom
    from dcm_processor_service.session.images.dicom_async import AsyncDicom
    from dcm_processor_service.session.jobs import AsyncCurrentJob, AsyncJobs
    from dcm_processor_service.session.network.peers import AsyncPeers
    from dcm_processor_service.session.reporting import AsyncReporting

__all__ = ["AsyncSession", "Session"]


class AsyncSession:
    """The session of a job, for asynchronous callbacks: ``await session.data.get(…)`` and so on.

    Example:
        >>> import asyncio
        >>> from dcm_processor_service.testing import fake_async_context
        >>> async def measure(session: AsyncSession) -> float:
        ...     await session.data.set("volume_ml", 12.5)
        ...     return await session.data.get("volume_ml", float)
        >>> asyncio.run(measure(fake_async_context().session))
        12.5
    """

    job: AsyncCurrentJob
    data: AsyncData
    files: AsyncFiles
    peers: AsyncPeers

    def __init__(
        self,
        *,
        job: AsyncCurrentJob,
        jobs: AsyncJobs,
        data: AsyncData,
        files: AsyncFiles,
        peers: AsyncPeers,
        dicom: Callable[[], AsyncDicom],
        reporting: Callable[[], AsyncReporting],
    ) -> None:
        self.job = job
        self.data = data
        self.files = files
        self.peers = peers
        self._make_dicom = dicom
        self._jobs = jobs
        self._reporting = reporting

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"

    @property
    def id(self) -> str:
        """The platform's id of the session."""
        return self.job.session_id

    @property
    def dicom(self) -> AsyncDicom:
        """The images; made at the first use, because many jobs need none."""
        return self._make_dicom()

    async def jobs(self, name: str | None = None) -> list[Job]:
        """Lists the session's jobs, oldest first; only those named ``name`` if it is given."""
        return await self._jobs.list(name)

    async def report(self, name: str = "report.html", *, show_patient: bool = False) -> StoredFile:
        """Stores a page about this job so far; see :meth:`Session.report`."""
        return await self._reporting().report(name, show_patient=show_patient)


class Session:
    """The session of a job, as a callback uses it.

    ``data`` holds named values, ``files`` named files, ``peers`` the DICOM peers, ``dicom`` the images. Several threads
    may use it at once, and so may a forked child.

    Example:
        >>> from dcm_processor_service.testing import fake_context
        >>> session = fake_context().session
        >>> session.data["finding"] = {"volume_ml": 12.5}
        >>> session.data.keys()
        ['finding']
    """

    job: CurrentJob
    data: Data
    files: Files
    peers: Peers

    def __init__(self, session: AsyncSession) -> None:
        self._async = session
        self.job = CurrentJob(session.job)
        self.data = Data(session.data)
        self.files = Files(session.files)
        self.peers = Peers(session.peers)
        self._dicom: Dicom | None = None

    def __repr__(self) -> str:
        return f"Session({self.id})"

    @property
    def id(self) -> str:
        """The platform's id of the session."""
        return self._async.id

    @property
    def dicom(self) -> Dicom:
        """The images; made at the first use, because many jobs need none."""
        if self._dicom is None:
            from dcm_processor_service.session.images.dicom import Dicom

            self._dicom = Dicom(self._async.dicom)
        return self._dicom

    def jobs(self, name: str | None = None) -> list[Job]:
        """Lists the session's jobs, oldest first; only those named ``name`` if it is given."""
        return run_inline(self._async.jobs(name))

    def report(self, name: str = "report.html", *, show_patient: bool = False) -> StoredFile:
        """Stores a page about this job so far as a session file; replaces an earlier one.

        It shows the subject, data, files with contact sheets (labels as outlines over the scan, with names, colours and
        ml), derived objects, sendings with the peer and the result of each instance, the time and peak memory of steps,
        and in a worker the log. The page needs no script and no network. The names of labels come from the file's
        metadata (``files.save(…, metadata={"labels": {1: "liver"}})``).

        Args:
            name: The name of the session file.
            show_patient: Whether the page shows name, id, birth date and sex of the patient. If not, no text on the
                page contains a patient attribute of the headers; text burned into pixels stays.

        Raises:
            JobNotFoundError: The job has no document.

        Example:
            >>> from dcm_processor_service.testing import fake_context, synthetic_series
            >>> ctx = fake_context(series=synthetic_series(slices=3))
            >>> ctx.session.data["volume_ml"] = 12.5
            >>> stored = ctx.session.report()
            >>> stored.name, stored.content_type, b"volume_ml" in ctx.session.files.read("report.html")
            ('report.html', 'text/html', True)
        """
        return run_inline(self._async.report(name, show_patient=show_patient))
