"""Copies a session of the platform's database into a workspace, where its jobs run as they ran in the platform.

It reads the platform's database and never writes to it. It copies what the platform's jobs see: the patient's images in
their order of arrival, the jobs with their params, and what each job stored. It does not copy the platform's peers, so
that a run here sends nothing to a hospital's archive by accident.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dcm_processor_service.disk import exists, file_faults, private_folder, write_whole
from dcm_processor_service.errors import (
    ConfigurationError,
    SessionNotFoundError,
    StoredFileNotFoundError,
    StoredValueError,
    UnreadableFileError,
)
from dcm_processor_service.local.pulling.burned_in import burned_in_doubt
from dcm_processor_service.local.pulling.headers import HeaderCleaner
from dcm_processor_service.local.pulling.job_outputs import OutputCopy
from dcm_processor_service.local.pulling.pulled_session import PulledSession
from dcm_processor_service.local.pulling.reading import read_dataset, said
from dcm_processor_service.local.pulling.report import LeftBehind, PullReport
from dcm_processor_service.local.pulling.substitution import Substitution
from dcm_processor_service.local.workspace import job_id_of, session_id_of
from dcm_processor_service.models import Patient, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.models.platform_ids import is_platform_id, platform_id
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.session.images.catalogue import ATTRIBUTES, Catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.local.pulling.confidentiality_profile import Kept
    from dcm_processor_service.local.workspace import Workspace
    from dcm_processor_service.models import Instance, Job
    from dcm_processor_service.ports import Backend
    from dcm_processor_service.runtime.settings import RuntimeSettings
    from dcm_processor_service.session.functions import ImagingFunctions
    from dcm_processor_service.session.images.catalogue import Filed

__all__ = ["PullOptions", "pull_session"]

_FOLDER = "pulled"


@dataclass(frozen=True)
class PullOptions:
    """The options of a pull: what is copied, and how."""

    identified: bool = False
    """Whether everything is copied as it is, with the patient's identity."""

    only_headers: bool = False
    with_files: bool = False
    kept: tuple[Kept, ...] = ()


def pull_session(
    session_id: str,
    place: Workspace,
    settings: RuntimeSettings,
    options: PullOptions,
    advance: Callable[[int], None] = lambda _total: None,
) -> PullReport:
    """Copies a session of the platform's database into a new workspace.

    Args:
        session_id: Id of the session in the platform, 24 hexadecimal digits.
        place: A workspace that is not there yet, or an empty folder.
        settings: Settings that name the platform's database.
        options: What is copied.
        advance: Function that is called once for each instance, with the number of all instances.

    Raises:
        SessionNotFoundError: There is no such session.
        ConfigurationError: The workspace is not empty, or the profile's library is not installed.
        StoreUnavailableError: The database cannot be reached; the workspace is empty again.
    """
    if not is_platform_id(session_id):
        raise SessionNotFoundError(f"{session_id[:40]!r} is not an id of a session, which has 24 hex digits")
    _require_empty(place.folder)
    with opened(Container(settings=settings)) as source, opened(Container(settings=place.settings())) as target:
        pull = _Pull(session_id.lower(), place, source.backend(), target, options)
        try:
            return run_inline(pull.run(advance))
        except BaseException:
            target.shutdown_resources()
            _empty(place.folder)
            raise


def _require_empty(folder: Path) -> None:
    with file_faults(folder, "read"):
        if exists(folder) and any(folder.iterdir()):
            raise ConfigurationError(
                f"{str(folder)!r} is not empty; a session is pulled into a workspace of its own: name another with "
                "--workspace, or remove this one"
            )


def _empty(folder: Path) -> None:
    with suppress(OSError):
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@dataclass
class _Images:
    """The patient's images as the platform lists them."""

    patient: Patient
    series: list[tuple[SeriesRecord, list[Instance]]] = field(default_factory=list)
    studies: list[Study] = field(default_factory=list)

    @property
    def subjects(self) -> Iterator[Patient | Study | SeriesRecord]:
        yield self.patient
        yield from self.studies
        yield from (one for one, _instances in self.series)


class _Pull:
    """Copies one session; keeps a record of what could not be copied."""

    def __init__(
        self, session_id: str, place: Workspace, source: Backend, target: Container, options: PullOptions
    ) -> None:
        self._session_id = session_id
        self._place = place
        self._source = source
        self._target: Backend = target.backend()
        self._imaging: ImagingFunctions = target.imaging()
        self._options = options
        self._to = Substitution()
        self._cleaner = None if options.identified else HeaderCleaner(self._to, options.kept)
        self._left: list[LeftBehind] = []
        self._burned_in: dict[str, None] = {}
        self._outputs = OutputCopy(
            self._source, self._target, self._to, self._cleaner, options.with_files, options.only_headers
        )

    async def run(self, advance: Callable[[int], None]) -> PullReport:
        images = await self._images()
        jobs = [one for one in await self._source.jobs.list(self._session_id) if one.name]
        await self._learn(images, jobs)
        filed = await self._bring_images(images, advance)
        subjects = self._learn_ids(images, filed)
        local_jobs = self._local_jobs(jobs, subjects)
        for job, local in local_jobs:
            self._to.learn_id(job.id, local.id)
            await self._outputs.learn(JobKey(self._session_id, job.id))
        data, files, brought = await self._bring_outputs(local_jobs)
        PulledSession(filed, tuple(brought)).write(self._place.folder)
        return PullReport(
            workspace=str(self._place.folder),
            session_id=session_id_of(filed.patients[0]),
            deidentified=self._cleaner is not None,
            only_headers=self._options.only_headers,
            **{level: len(getattr(filed, level)) for level in ("patients", "studies", "series")},
            instances=filed.instance_count,
            jobs=tuple(one.name for one in brought),
            data=data,
            files=files,
            left_behind=tuple(self._left),
            burned_in=tuple(self._burned_in),
        )

    async def _images(self) -> _Images:
        """Lists the patient's images.

        Raises:
            SessionNotFoundError: There is no such session, or its images are gone.
        """
        record = await self._source.sessions.find(self._session_id)
        patient = await self._source.dicom.find(SubjectLevel.PATIENT, record.patient_id) if record else None
        if not isinstance(patient, Patient):
            raise SessionNotFoundError(
                f"there is no session {self._session_id}, or its images are gone: the platform removes both when the "
                "last job has ended; sessions list shows those that there are"
            )
        found = _Images(patient)
        for study in await self._source.dicom.children(patient):
            assert isinstance(study, Study)
            found.studies.append(study)
            for series in await self._source.dicom.children(study):
                assert isinstance(series, SeriesRecord)
                found.series.append((series, await self._source.dicom.instances(series)))
        return found

    async def _learn(self, images: _Images, jobs: Sequence[Job]) -> None:
        """Learns every value of the patient from all headers, before anything is written."""
        if self._cleaner is None:
            return
        for subject in (*images.subjects, *(one.subject for one in jobs if one.subject)):
            self._to.learn_subject(subject)
        for _series, instances in images.series:
            done = 0
            while done < len(instances):
                try:
                    async for _instance, head in self._source.dicom.fetch_heads(instances[done:]):
                        done += 1
                        with suppress(UnreadableFileError):
                            self._cleaner.learn(read_dataset(_content(head), header_alone=True))
                except (StoredFileNotFoundError, StoredValueError):  # reported when it is copied
                    done += 1

    async def _bring_images(self, images: _Images, advance: Callable[[int], None]) -> Filed:
        """Copies the images into the workspace; notes those that cannot be copied."""
        catalogue = Catalogue()
        total = sum(len(instances) for _series, instances in images.series)
        for number, (series, instances) in enumerate(images.series, 1):
            folder = private_folder(self._place.folder, _FOLDER, f"series-{number}")
            done = 0
            while done < len(instances):
                try:
                    async for _one, content in self._source.dicom.fetch(instances[done:]):
                        done += 1
                        self._bring(_content(content), folder / f"{done:05}.dcm", series, catalogue)
                        advance(total)
                except UnreadableFileError as error:
                    self._leave(f"instance {done} of series {number}", error.reason)
                except (StoredFileNotFoundError, StoredValueError):
                    done += 1
                    self._leave(f"instance {done} of series {number}", "its file is not there, or not complete")
        filed = await catalogue.file_into(self._target)
        if not filed.series:
            raise SessionNotFoundError(f"no image of the session {self._session_id} can be read, so nothing can run")
        return filed

    def _leave(self, what: str, reason: str, *, faulty: bool = True) -> None:
        self._left.append(LeftBehind(what=what, reason=reason, faulty=faulty))

    def _bring(self, content: bytes, path: Path, series: SeriesRecord, catalogue: Catalogue) -> None:
        """Writes one instance and adds it to the catalogue.

        Raises:
            UnreadableFileError: It cannot be read, cleaned or filed.
        """
        dataset = read_dataset(content)
        doubt = burned_in_doubt(dataset)
        uid = series.series_instance_uid or next(iter(said(dataset, "SeriesInstanceUID")), "")
        if self._cleaner is not None:
            self._cleaner.learn(dataset)
            content = self._cleaner.cleaned(dataset, header_alone=self._options.only_headers)
        if doubt and not self._options.only_headers:
            self._burned_in[self._uid(uid)] = None
        with write_whole(path, private=True) as file:
            file.write(content)
        try:
            self._file(path, series, catalogue)
        except UnreadableFileError:
            path.unlink()
            raise

    def _file(self, path: Path, series: SeriesRecord, catalogue: Catalogue) -> None:
        """Adds an instance to the series in which the platform lists it, even if its header names another series."""
        uids = {"StudyInstanceUID": series.study_instance_uid, "SeriesInstanceUID": series.series_instance_uid}
        attributes = self._imaging.attributes(path, ATTRIBUTES)
        placed = {name: self._uid(uid) or attributes.get(name, "") for name, uid in uids.items()}
        catalogue.add({**attributes, **placed}, path, path.stat().st_size)

    def _uid(self, uid: str) -> str:
        return self._to.uid(uid) if self._cleaner else uid

    def _learn_ids(self, images: _Images, filed: Filed) -> dict[str, Patient | Study | SeriesRecord]:
        """Learns the local id for each id of the platform; returns local subjects by the platform's id."""
        patient = filed.patients[0]
        by_uid: dict[str, Patient | Study | SeriesRecord] = {one.uid: one for one in filed.studies}
        by_uid |= {one.uid: one for one in filed.series}
        found: dict[str, Patient | Study | SeriesRecord] = {}
        for subject in images.subjects:
            local = patient if isinstance(subject, Patient) else by_uid.get(self._uid(subject.uid))
            if local is not None:
                found[subject.id] = local
                self._to.learn_id(subject.id, local.id)
        for series, instances in images.series:
            for instance in instances if series.id in found else ():
                local_id = platform_id("instance", found[series.id].id, self._uid(instance.sop_instance_uid))
                self._to.learn_id(instance.id, local_id)
        self._to.learn_id(images.patient.patient_uid, patient.patient_uid)
        self._to.learn_id(self._session_id, session_id_of(patient))
        return found

    def _local_jobs(
        self, jobs: Sequence[Job], subjects: dict[str, Patient | Study | SeriesRecord]
    ) -> list[tuple[Job, Job]]:
        """Returns each job of the platform with the local job that replaces it."""
        found: dict[str, tuple[Job, Job]] = {}
        for job in jobs:
            subject = subjects.get(job.subject.id) if job.subject else None
            if subject is None:
                self._leave(f"job {job.name} ({job.id})", "its patient, study or series was not copied")
                continue
            job_id = job_id_of(subject, job.name)
            if job_id in found:
                reason = "an earlier job of this name is about the same patient, study or series, and was copied"
                self._leave(f"job {job.name} ({job.id})", reason)
                continue
            local = job.model_copy(update={"id": job_id, "session_id": session_id_of(subject), "subject": subject})
            found[job_id] = (job, local)
        return list(found.values())

    async def _bring_outputs(self, jobs: list[tuple[Job, Job]]) -> tuple[int, int, list[Job]]:
        here = {job.id: local.id for job, local in jobs}
        workspace = self._target.fillable()
        data = files = 0
        brought = []
        for job, local in jobs:
            clean = self._to.value if self._cleaner else (lambda value: value)
            document = local.model_copy(
                update={
                    "depends_on": tuple(here[one] for one in job.depends_on if one in here),
                    "params": clean(job.params),
                    "added_params": clean(job.added_params),
                    "error_message": clean(job.error_message),
                    "progress_message": clean(job.progress_message),
                    "created_at": job.created_at if self._options.identified else None,
                }
            )
            await workspace.add_job(document)
            key, local_key = JobKey(self._session_id, job.id), JobKey(local.session_id, local.id)
            data += await self._outputs.data(key, local_key)
            count, left = await self._outputs.files(key, local_key)
            files += count
            self._left += [one.model_copy(update={"what": f"{one.what} of the job {job.name}"}) for one in left]
            brought.append(document)
        return data, files, brought


def _content(found: Path | bytes) -> bytes:
    return found if isinstance(found, bytes) else found.read_bytes()
