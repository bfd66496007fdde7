"""A workspace on a laptop: makes sessions and jobs from a folder of DICOM, and runs a callback as the platform does.

One folder holds everything. Ids are computed from what they identify, so a second run finds the same session and job
and replaces the job's output, and a callback of a later event reads by job name what an earlier callback stored.
"""

from __future__ import annotations

import importlib.util
import shutil
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from dcm_processor_service.codec import check_name
from dcm_processor_service.disk import private_folder, write_whole
from dcm_processor_service.env_vars import variables_set
from dcm_processor_service.errors import CallbackFailedError, ConfigurationError, InvalidNameError
from dcm_processor_service.local.placed import note_placed, remove_placed
from dcm_processor_service.local.result_sheets import sheet_names, write_sheets
from dcm_processor_service.local.zipped import is_zipped, unzipped
from dcm_processor_service.models import Job, JobEvent, JobState, Patient, Peer, SeriesRecord, StoredFile, Study
from dcm_processor_service.models.counts import counted
from dcm_processor_service.models.images.pictures import ResultPicture
from dcm_processor_service.models.platform_ids import NO_ID, file_stem, platform_id
from dcm_processor_service.models.run_report import JobReport
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.execution.results import readable
from dcm_processor_service.runtime.execution.runner import CallbackOutcome, left_process, run_callback
from dcm_processor_service.runtime.logs.scrubbing import Scrubber
from dcm_processor_service.runtime.settings import RuntimeSettings
from dcm_processor_service.session.images.catalogue import Catalogue, Filed, catalogue_files
from dcm_processor_service.session.recording import Recording
from dcm_processor_service.session.subject_labels import input_series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from typing_extensions import Required, Unpack

    from dcm_processor_service.local.chosen_store import ChosenStore
    from dcm_processor_service.runtime.execution.callbacks import CallbackFunction
    from dcm_processor_service.runtime.settings import SettingsValues
    from dcm_processor_service.session.session import Session

__all__ = ["JobValues", "LocalRun", "Workspace", "counted", "describe", "job_id_of", "sample_folder", "session_id_of"]

_SAMPLE = ("data", "test_files", "dicomdirtests", "98892001", "CT5N")


def sample_folder() -> Path:
    """Returns a folder with a real CT series of five slices, which comes with pydicom."""
    spec = importlib.util.find_spec("pydicom")
    folder = Path(next(iter(spec.submodule_search_locations or [""])) if spec else "", *_SAMPLE)
    if not folder.is_dir():
        raise ConfigurationError("this installation of pydicom has no sample scans; give a folder: --dicom DIR")
    return folder


@dataclass(frozen=True)
class LocalRun:
    """One job that ran in a workspace, and its results."""

    job: Job
    outcome: CallbackOutcome
    data: tuple[tuple[str, Any], ...]
    files: tuple[StoredFile, ...]
    folder: Path
    report: JobReport
    """Its inputs, results and sendings."""

    sheets: tuple[Path, ...] = ()
    """Contact sheets of the NIfTI files, or of the series if there are none."""

    pictures: tuple[ResultPicture, ...] = ()
    """The same contact sheets with further pictures, for a page."""

    def as_portable(self) -> dict[str, Any]:
        """Returns as JSON what only the process that ran the job knows; :meth:`Workspace.left_by` reads it."""
        pictures = [
            one.model_dump(mode="json", exclude={"png"}) | {"png": b64encode(one.png).decode("ascii")}
            for one in self.pictures
        ]
        return self.outcome.as_portable() | {
            "job_id": self.job.id,
            "sheets": {
                str(sheet.relative_to(self.folder)): b64encode(sheet.read_bytes()).decode("ascii")
                for sheet in self.sheets
            },
            "report": self.report.as_portable(),
            "pictures": pictures,
        }

    @property
    def subject_label(self) -> str:
        """The subject in words that hold no patient attribute, such as ``series CT, Thorax, 5 instances``."""
        return describe(self.job.subject)


def describe(subject: Patient | Study | SeriesRecord | None) -> str:
    """Returns a line by which people tell subjects apart, without patient attributes."""
    if isinstance(subject, SeriesRecord):
        scrubber = Scrubber()
        scrubber.learn(subject)
        return f"series {input_series(subject, scrubber.text).label}"
    if isinstance(subject, Study):
        return f"study, {len(subject.series_ids)} series"
    if isinstance(subject, Patient):
        return f"patient, {counted(len(subject.study_ids), 'study', 'studies')}"
    return "no subject"


def session_id_of(subject: Patient | Study | SeriesRecord) -> str:
    """Returns the id of the session of a subject: there is one for each patient."""
    return platform_id("session", subject.patient_uid)


def job_id_of(subject: Patient | Study | SeriesRecord, job_name: str) -> str:
    """Returns the id of a subject's job, which is the same in every run."""
    return platform_id("job", session_id_of(subject), job_name, subject.level, subject.id)


class JobValues(TypedDict, total=False):
    """A job as a manifest, or a command, describes it."""

    job_name: Required[str]
    params: Required[dict[str, Any]]
    service_name: str
    service_version: str
    added_params: dict[str, Any]
    depends_on: tuple[str, ...] | None
    """Ids of the jobs before it; None for all jobs that ran for the subject and for those below it."""


def _job(subject: Patient | Study | SeriesRecord, values: JobValues) -> Job:
    """Returns the document of a job that runs.

    Raises:
        ConfigurationError: The job's name cannot be the name of a folder.
    """
    name = values["job_name"]
    try:
        check_name(name, "job")
    except InvalidNameError as error:
        raise ConfigurationError(f"{error}; choose one with --job-name, or in the service's manifest") from error
    return Job(
        id=job_id_of(subject, name),
        session_id=session_id_of(subject),
        name=name,
        event=JobEvent.of(subject),
        service_name=values.get("service_name", "local"),
        state=JobState.RUNNING,
        subject=subject,
        params=values["params"],
        added_params=values.get("added_params", {}),
        depends_on=values.get("depends_on") or (),
        created_at=datetime.now(timezone.utc),
    )


class Workspace:
    """A folder with an embedded store, or a folder for results only, beside a database.

    Args:
        folder: The folder of the results and of the embedded store.
        store: A database in place of the embedded store, which other machines reach as well.
    """

    def __init__(self, folder: Path, store: ChosenStore | None = None) -> None:
        self.folder = folder
        self.store = store

    def settings(self, **values: Unpack[SettingsValues]) -> RuntimeSettings:
        """Returns settings that name this workspace's store, and no job unless ``values`` name one."""
        embedded: SettingsValues = {"db_provider": "sqlite", "db_url": str(self.folder)}
        store: SettingsValues = {**(self.store.settings() if self.store else embedded), "workspace": self.folder}
        of_no_job: SettingsValues = {"session_id": NO_ID, "job_id": NO_ID}
        merged: SettingsValues = {**of_no_job, **values, **store}
        return RuntimeSettings.without_environment(**merged)

    def ingest(
        self, sources: Sequence[Path], advance: Callable[[int], None] = lambda _total: None
    ) -> tuple[Filed, Catalogue]:
        """Adds the DICOM files below some folders to the store; returns what was added, and what was left out.

        The files stay where they are. A zip file is unpacked into the workspace.

        Files in this workspace itself, such as results of an earlier run, are not scans, unless a folder inside of it
        is named. It calls ``advance`` once for each file, with the number of all files.
        """
        with opened(Container(settings=self.settings())) as container:
            imaging = container.imaging()
            folders = [unzipped(one, self.folder / "unzipped") if is_zipped(one) else one for one in sources]
            files = [file for folder in folders for file in imaging.files_below(folder, self.folder)]
            catalogue = catalogue_files(files, imaging, lambda: advance(len(files)))
            return run_inline(catalogue.file_into(container.backend(), folders)), catalogue

    def add_peer(self, peer: Peer) -> None:
        """Adds a DICOM peer that jobs may send to."""
        with opened(Container(settings=self.settings())) as container:
            run_inline(container.workspace_repository().add_peer(peer))

    def run(
        self,
        function: CallbackFunction,
        subject: Patient | Study | SeriesRecord,
        *,
        filed: Filed,
        peer: Peer | None = None,
        preview: bool = True,
        data_dir: Path | None = None,
        **values: Unpack[JobValues],
    ) -> LocalRun:
        """Runs a callback as the job of one subject, and writes the job's files into the folder of its results.

        With ``preview``, contact sheets lie beside them. Logs, errors and ``sys.exit`` are handled as by a worker.
        As with the docker worker, ``ctx.session_dir`` is a folder that is empty when the job begins; what the job
        leaves there stays, below ``session-folders``.

        Raises:
            ConfigurationError: The job's name cannot be the name of a folder.
        """
        job = self._file_job(_job(subject, values), filed if values.get("depends_on") is None else None)
        settings = self.settings(
            session_id=job.session_id,
            job_id=job.id,
            job_name=job.name,
            job_event=job.event,
            service_name=job.service_name,
            service_version=values.get("service_version", "0"),
            peer_id=peer.id if peer else None,
            session_dir=self._session_folder(job),
            data_dir=data_dir,
        )
        folder = self._results_folder(job, subject)
        self._clear(settings, folder)
        prepare = _preparation(subject, filed, Recording())
        outcome = self._run(function, settings, job, prepare)
        finished = job.model_copy(
            update={
                "state": JobState.DONE if outcome.ok else JobState.FAILED,
                "error_message": "" if outcome.error is None else readable(str(outcome.error)),
                "progress_percent": 100 if outcome.ok else 0,
            }
        )
        with opened(Container(settings=settings)) as container:
            prepare(container)
            run_inline(container.workspace_repository().add_job(finished))
            session = container.session()
            files = tuple(session.files.list())
            names = [stored.name for stored in files]
            if self.store is not None:  # the next run may be on another machine
                note_placed(folder, [*names, *sheet_names(names)])
            for name in names:
                _write_result(session, name, folder)
            reporting = container.reporting()
            report = _with_outcome(run_inline(reporting.collect()), outcome, reporting.plain(outcome.result))
            pictures = run_inline(reporting.pictures(folder=folder)) if preview else {}
            sheets = write_sheets(pictures, names, folder)
            data = tuple(session.data.items())
            return LocalRun(finished, outcome, data, files, folder, report, sheets, tuple(pictures.values()))

    def _session_folder(self, job: Job) -> Path:
        """Makes an empty folder, which replaces the folder that the docker worker mounts."""
        folder = private_folder(self.folder, "session-folders", job.id)
        shutil.rmtree(folder)
        return private_folder(self.folder, "session-folders", job.id)

    def left_by(self, subject: Patient | Study | SeriesRecord, portable: Mapping[str, Any]) -> LocalRun:
        """Returns the results of a job that another process ran for this workspace.

        Args:
            subject: The job's subject.
            portable: The result of :meth:`LocalRun.as_portable` in that process.
        """
        job_id, report = portable["job_id"], JobReport.model_validate(portable["report"])
        with opened(Container(settings=self.settings(session_id=session_id_of(subject), job_id=job_id))) as container:
            session = container.session()
            job = session.job.read()
            folder, files = self._results_folder(job, subject), tuple(session.files.list())
            if self.store is not None:  # the process may have run on another machine, with a folder of its own
                folder = self._emptied(job, subject)
                _fill_results(session, [stored.name for stored in files], portable["sheets"], folder)
            return LocalRun(
                job,
                CallbackOutcome.of_portable(portable),
                tuple(session.data.items()),
                files,
                folder,
                report.model_copy(update={"patient": run_inline(container.reporting().patient())}),
                tuple(folder / name for name in portable["sheets"]),
                tuple(ResultPicture(**one | {"png": b64decode(one["png"])}) for one in portable["pictures"]),
            )

    def _results_folder(self, job: Job, subject: Patient | Study | SeriesRecord) -> Path:
        of_subject = f"{subject.level}-{file_stem(subject.id)[:8]}"
        return private_folder(self.folder, "results", *job.name.split("/"), of_subject)

    def _emptied(self, job: Job, subject: Patient | Study | SeriesRecord) -> Path:
        """Returns the folder of a job that another machine ran, without what an earlier run placed there."""
        folder = self._results_folder(job, subject)
        remove_placed(folder)
        return folder

    def fail(
        self,
        subject: Patient | Study | SeriesRecord,
        message: str,
        exit_code: int,
        *,
        begun: bool = True,
        **values: Unpack[JobValues],
    ) -> LocalRun:
        """Records that a job was ended early, so that what it left is not read as its output.

        A job that may have begun has removed the results of an earlier run; if it has not begun, these stay.
        """
        job = _job(subject, values).model_copy(update={"state": JobState.FAILED, "error_message": message})
        outcome = CallbackOutcome(exit_code, 0.0, error=CallbackFailedError(message))
        job = self._file_job(job, None)
        if begun and self.store is not None:
            self._emptied(job, subject)
        settings = self.settings(
            session_id=job.session_id, job_id=job.id, service_version=values.get("service_version", "0")
        )
        with opened(Container(settings=settings)) as container:
            report = _with_outcome(run_inline(container.reporting().collect()), outcome, None)
        return LocalRun(job, outcome, (), (), self.folder, report)

    @staticmethod
    def _run(
        function: CallbackFunction, settings: RuntimeSettings, job: Job, prepare: Callable[[Container], None]
    ) -> CallbackOutcome:
        """Runs the callback as a worker does, in a process that is the job's own as long as it runs."""
        try:
            with variables_set(_worker_variables(settings)):
                return run_callback(function, settings, job=job, customise=prepare, own_process=True)
        except SystemExit as leaving:
            error = left_process(leaving)
            return CallbackOutcome(error.exit_code, 0.0, error=error)

    def _clear(self, settings: RuntimeSettings, folder: Path) -> None:
        """Removes the results of an earlier run of the job, so that they are not taken for this run's."""
        with opened(Container(settings=settings)) as container:
            session = container.session()
            for name in session.data:
                session.data.delete(name)
            names = [stored.name for stored in session.files.list()]
            for name in (*names, *sheet_names(names)):
                _place(folder, name).unlink(missing_ok=True)
            for name in names:
                session.files.delete(name)

    def _file_job(self, job: Job, filed: Filed | None) -> Job:
        """Stores a job; with ``filed`` it depends on all jobs that ran for its subject and for those below it."""
        with opened(Container(settings=self.settings())) as container:
            if filed is not None and job.subject is not None:
                below = set(_ids_below(job.subject, filed))
                others = run_inline(container.job_repository().list(job.session_id))
                ids = (one.id for one in others if one.id != job.id and one.subject and one.subject.id in below)
                job = job.model_copy(update={"depends_on": tuple(ids)})
            run_inline(container.workspace_repository().add_job(job))
        return job

    def jobs_of(self, subject: Patient | Study | SeriesRecord) -> list[Job]:
        """Lists the jobs that were run for a subject."""
        with opened(Container(settings=self.settings())) as container:
            jobs = run_inline(container.job_repository().list(session_id_of(subject)))
        return [job for job in jobs if job.subject and job.subject.id == subject.id]

    def forget_jobs(self, job_ids: Iterable[str]) -> None:
        """Removes jobs of an earlier run that this run does not have, so that their output is not read."""
        with opened(Container(settings=self.settings())) as container:
            for job_id in job_ids:
                run_inline(container.workspace_repository().remove_job(job_id))


def _worker_variables(settings: RuntimeSettings) -> dict[str, str]:
    """Returns the nine values that a worker sets, by field."""
    fields = ("db_provider", "db_name", "session_id", "job_id", "job_name", "service_name", "peer_id")
    values = {field: getattr(settings, field) or "" for field in fields}
    event = settings.job_event.value if settings.job_event else ""
    return {**values, "db_url": settings.db_url.get_secret_value(), "job_event": event}


def _preparation(
    subject: Patient | Study | SeriesRecord, filed: Filed, recording: Recording
) -> Callable[[Container], None]:
    """Returns a function that gives each container of a job the same recording and the same scrubber."""
    below = set(_ids_below(subject, filed))
    known: list[Scrubber] = []

    def prepare(container: Container) -> None:
        container.recording.override(recording)
        if known:
            container.scrubber.override(known[0])
            return
        known.append(container.scrubber())
        for study in filed.studies:
            container.scrubber().learn(study if study.id in below else None)
        for series in filed.series:
            container.scrubber().learn(series if series.id in below else None)

    return prepare


def _with_outcome(report: JobReport, outcome: CallbackOutcome, result: Any) -> JobReport:
    """Adds the callback's outcome and result, without patient attributes."""
    ended: dict[str, Any] = {"exit_code": outcome.exit_code, "duration_s": round(outcome.duration_s, 3)}
    if outcome.error is not None:
        error = outcome.as_json()["error"]
        ended |= {"error": f"{error['type']}: {error['message']}", "traceback": error["traceback"]}
    return report.model_copy(update={**ended, "result": result})


def _place(folder: Path, name: str) -> Path:
    """Returns the path of a job's file, whose name may have parts; no part leads out of the folder."""
    *parts, own = check_name(name, "file").split("/")
    return private_folder(folder, *parts) / own


def _write_result(session: Session, name: str, folder: Path) -> None:
    with session.files.open(name) as content, write_whole(_place(folder, name), private=True) as file:
        shutil.copyfileobj(content, file)


def _fill_results(session: Session, names: Sequence[str], sheets: Mapping[str, str], folder: Path) -> None:
    """Writes into a folder what a job has stored, and its contact sheets."""
    note_placed(folder, [*names, *sheets])
    for name in names:
        _write_result(session, name, folder)
    for name, png in sheets.items():
        with write_whole(_place(folder, name), private=True) as file:
            file.write(b64decode(png))


def _ids_below(subject: Patient | Study | SeriesRecord, filed: Filed) -> Iterator[str]:
    """Yields the ids of the subject and of everything under it, whose jobs a job of its level waits for."""
    yield subject.id
    if isinstance(subject, Study):
        yield from subject.series_ids
    if isinstance(subject, Patient):
        yield from subject.study_ids
        for study in filed.studies:
            if study.id in subject.study_ids:
                yield from study.series_ids
