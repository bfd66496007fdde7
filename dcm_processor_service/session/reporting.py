"""``session.report()``: a job's inputs, results and sendings, as a page and as typed values."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dcm_processor_service.codec import check_name
from dcm_processor_service.errors import DicomError, SeriesNotFoundError
from dcm_processor_service.models.run_report import JobReport, OutputFile, OutputValue, RunReport
from dcm_processor_service.reporting.run_page import run_page
from dcm_processor_service.reporting.versions import versions
from dcm_processor_service.session.images.series_async import materialise
from dcm_processor_service.session.peak_memory import peak_memory_bytes
from dcm_processor_service.session.subject_labels import input_series, patient_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dcm_processor_service.models import DerivedObject, Patient, SendReport, SeriesRecord, StoredFile, Study
    from dcm_processor_service.models.images.pictures import ResultPicture
    from dcm_processor_service.models.run_report import InputSeries
    from dcm_processor_service.ports import DicomRepository
    from dcm_processor_service.session.data import AsyncData
    from dcm_processor_service.session.files import AsyncFiles
    from dcm_processor_service.session.images.dicom_async import AsyncDicom
    from dcm_processor_service.session.images.series_async import AsyncDicomSeries, SeriesTools
    from dcm_processor_service.session.jobs import AsyncCurrentJob
    from dcm_processor_service.session.recording import Recording

__all__ = ["AsyncReporting", "drawable"]

_LONGEST_VALUE = 4096
_MOST_PICTURES = 12
_FEW_FILES = 8
_DRAWABLE = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg")


def drawable(name: str) -> bool:
    """Returns whether a file of this name may become a picture."""
    return name.lower().endswith(_DRAWABLE)


@dataclass(frozen=True)
class AsyncReporting:
    """Makes the report of a job from its records and its output."""

    job: AsyncCurrentJob
    data: AsyncData
    files: AsyncFiles
    dicom: AsyncDicom
    repository: DicomRepository
    tools: SeriesTools
    recording: Recording
    plain: Callable[[Any], Any]
    """Turns a value into JSON values without patient attributes."""

    service_version: str = "0"

    async def report(self, name: str, *, show_patient: bool) -> StoredFile:
        """Stores the page; see :meth:`Session.report`."""
        check_name(name, "file")
        job = await self.collect(leave_out=name)
        drawn = await self.pictures(leave_out=name)
        page = run_page(
            RunReport(versions=versions(), jobs=(job,)), {job.job_id: list(drawn.values())}, show_patient=show_patient
        )
        return await self.files.put(name, page.encode(), content_type="text/html")

    async def collect(self, *, leave_out: str = "") -> JobReport:
        """Returns the job's inputs and results so far, except the file ``leave_out``, an earlier report."""
        document = await self.job.read()
        subject, kept = document.subject, self.recording
        return JobReport(
            job_id=document.id,
            job_name=self.job.name or document.name,
            session_id=document.session_id,
            event=self.job.event or document.event,
            service_name=self.job.service_name or document.service_name,
            service_version=self.service_version,
            subject_level=subject.level if subject else "",
            subject_id=subject.id if subject else "",
            inputs=tuple([await self._input(series) for series in await self._series()]),
            params=self.plain(document.params),
            started_at=kept.started_at,
            duration_s=round(time.perf_counter() - kept.started_s, 3),
            peak_memory_bytes=peak_memory_bytes(),
            data=tuple(self._value(name, value) for name, value in sorted(await self.data.items())),
            files=tuple(self._file(stored) for stored in await self.files.list() if stored.name != leave_out),
            derived=tuple(self._derived(one) for one in kept.derived),
            sent=tuple(self._sent(report) for report in kept.sent),
            steps=kept.steps,
            log=kept.log,
            patient=await self.patient(),
        )

    async def patient(self) -> dict[str, str]:
        """Returns name, id, birth date and sex of the patient, for a page that shows them."""
        return patient_facts(await self._with_patient((await self.job.read()).subject))

    async def pictures(self, *, leave_out: str = "", folder: Path | None = None) -> dict[str, ResultPicture]:
        """Draws contact sheets of the job's files and segmentations, or of the subject's series if there are none.

        Returns:
            The pictures, by name of the file, SOPInstanceUID of the segmentation or SeriesInstanceUID.

        Args:
            leave_out: A file that is not drawn.
            folder: The folder that has the files already; if not given, they are fetched from the store.
        """
        listed = [stored for stored in await self.files.list() if drawable(stored.name) and stored.name != leave_out]
        drawn = await self._drawn(listed[:_MOST_PICTURES], folder) if listed else {}
        if not any(one.legend for one in drawn.values()):
            drawn |= await self._segmentations()
        if not drawn:
            for series in (await self._series())[:_MOST_PICTURES]:
                picture = await self._scan(series)
                if picture is not None:
                    drawn[series.series_instance_uid] = picture
        return {name: one if one.shows == "series" else self._cleaned(one) for name, one in drawn.items()}

    async def _drawn(self, listed: list[StoredFile], folder: Path | None) -> dict[str, ResultPicture]:
        below = await self._series()
        with self.tools.scratch.temporary() as place:
            paths: dict[str, tuple[Path, Mapping[int, str]]] = {}
            for number, stored in enumerate(listed):
                path = place / str(number) if folder is None else folder / stored.name
                if folder is None:
                    await self.files.get(stored.name, path)
                paths[stored.name] = (path, _label_names(stored.metadata))
            scan = await self._files_of(below[0]) if len(below) == 1 else []
            draw = self.tools.imaging().pictures_of_results
            found = await self.tools.offload(lambda: list(draw(paths, scan)))
        return {name: picture for name, picture in zip(paths, found, strict=True) if picture is not None}

    async def _segmentations(self) -> dict[str, ResultPicture]:
        """Draws segmentations that the job derived, each over the series that it refers to."""
        below = {series.series_instance_uid: series for series in await self._series()}
        drawn = {}
        for dataset in self.recording.segmentations[:_MOST_PICTURES]:
            source = next((one.SeriesInstanceUID for one in dataset.get("ReferencedSeriesSequence") or ()), "")
            if source in below:
                paths = await self._files_of(below[source])
                draw = partial(self.tools.imaging().picture_of_segmentation, dataset, paths)
                picture = await self.tools.offload(draw)
                if picture is not None:
                    drawn[f"{dataset.SOPInstanceUID}"] = picture
        return drawn

    async def _files_of(self, series: AsyncDicomSeries) -> list[Path]:
        try:
            return await materialise(series.info, await series.instances(), self.repository, self.tools)
        except DicomError:  # the job has reported the error itself
            return []

    async def _scan(self, series: AsyncDicomSeries) -> ResultPicture | None:
        """Draws a few instances, spread over the series, because reading all would take as long as the job."""
        try:
            instances = await series.instances()
            step = max(1, len(instances) // _FEW_FILES)
            few = instances[step // 2 :: step][:_FEW_FILES]
            paths = await materialise(series.info, few, self.repository, self.tools)
            draw = partial(self.tools.imaging().picture_of_scan, paths, len(instances))
            return await self.tools.offload(draw)
        except DicomError:  # there is nothing to show
            return None

    async def _series(self) -> list[AsyncDicomSeries]:
        try:
            found = await self.dicom.series()
        except SeriesNotFoundError:
            return []
        return sorted(found, key=lambda series: series.series_instance_uid)

    async def _input(self, series: AsyncDicomSeries) -> InputSeries:
        instances = await series.instances()
        checksum = await series.checksum() if instances else ""
        return input_series(series.info, self.plain, sha256=checksum, count=len(instances))

    async def _with_patient(
        self, subject: Patient | Study | SeriesRecord | None
    ) -> Patient | Study | SeriesRecord | None:
        """Returns the subject if its headers have the patient's attributes, or else the patient, whose headers do."""
        if subject is None or patient_facts(subject):
            return subject
        try:
            return await self.dicom.patient()
        except SeriesNotFoundError:
            return subject

    def _cleaned(self, picture: ResultPicture) -> ResultPicture:
        legend = [entry.model_copy(update={"name": self.plain(entry.name)}) for entry in picture.legend]
        return picture.model_copy(update={"name": self.plain(picture.name), "legend": tuple(legend)})

    def _derived(self, made: DerivedObject) -> DerivedObject:
        cleaned = {"description": self.plain(made.description), "segments": tuple(self.plain(list(made.segments)))}
        return made.model_copy(update=cleaned)

    def _sent(self, report: SendReport) -> SendReport:
        """Removes patient attributes from the answers of peers; scrubs each distinct sentence once."""
        said = {meaning: self.plain(meaning) for meaning in {record.meaning for record in report.records}}
        records = [record.model_copy(update={"meaning": said[record.meaning]}) for record in report.records]
        return report.model_copy(update={"records": tuple(records), "unmet": tuple(self.plain(list(report.unmet)))})

    def _value(self, name: str, value: object) -> OutputValue:
        shown = self.plain(value)
        text = json.dumps(shown, ensure_ascii=False, sort_keys=True)
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        kept = shown if len(text) <= _LONGEST_VALUE else None
        return OutputValue(name=self.plain(name), value=kept, size_characters=len(text), sha256=digest)

    def _file(self, stored: StoredFile) -> OutputFile:
        return OutputFile(
            name=self.plain(stored.name),
            size_bytes=stored.size_bytes,
            content_type=stored.content_type,
            sha256=stored.sha256,
        )


def _label_names(metadata: Mapping[str, Any]) -> dict[int, str]:
    """Returns the names of labels that a file was stored with: ``metadata={"labels": {1: "liver"}}``."""
    given = metadata.get("labels")
    if not isinstance(given, dict):
        return {}
    return {int(key): str(name) for key, name in given.items() if str(key).isdecimal()}
