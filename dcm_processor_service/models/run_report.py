"""The record of a run, from which ``run.json`` and the page ``report.html`` are made.

The fields that go into JSON hold no value of the patient. Lists are in an order that is the same in a second run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from dcm_processor_service.models.jobs import JobEvent
from dcm_processor_service.models.log_lines import LogLine
from dcm_processor_service.models.network.sending import SendReport
from dcm_processor_service.models.steps import StepRecord

__all__ = ["DerivedObject", "InputSeries", "JobReport", "OutputFile", "OutputValue", "RunReport"]


class _Part(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    def for_page(self) -> dict[str, Any]:
        """Returns the fields that are for the page alone."""
        return {name: getattr(self, name) for name, field in type(self).model_fields.items() if field.exclude}


class InputSeries(_Part):
    """A series that a job was about.

    Example:
        >>> InputSeries(series_instance_uid="1.2.3", modality="CT", instance_count=60).label
        'CT, 60 instances'
    """

    series_instance_uid: str
    study_instance_uid: str = ""
    modality: str = ""
    instance_count: int = 0
    sha256: str = Field(
        default="", description="Digest of UIDs and contents of all instances; see DicomSeries.checksum"
    )
    description: str = Field(default="", exclude=True, description="SeriesDescription, for the page alone")
    date: str = Field(default="", exclude=True, description="SeriesDate or StudyDate, for the page alone")
    body_part: str = Field(default="", exclude=True, description="BodyPartExamined, for the page alone")

    @property
    def label(self) -> str:
        """A line by which people tell series apart: modality, description, date, and the number of instances."""
        count = f"{self.instance_count} instance{'' if self.instance_count == 1 else 's'}"
        return ", ".join(part for part in (self.modality, self.description, self.date, count) if part)


class OutputValue(_Part):
    """A value that a job left in ``session.data``.

    Example:
        >>> OutputValue(name="volume_ml", value=12.5, sha256="…").value
        12.5
    """

    name: str
    value: Any = Field(default=None, description="As JSON, without patient attributes; None where it is left out")
    size_characters: int = Field(default=0, description="Length of its JSON; beyond 4096 the value is left out")
    sha256: str = Field(description="Digest of its JSON with sorted keys, without patient attributes")


class OutputFile(_Part):
    """A file that a job left in ``session.files``.

    Example:
        >>> OutputFile(name="mask.nii.gz", size_bytes=1024, sha256=None).name
        'mask.nii.gz'
    """

    name: str
    size_bytes: int
    content_type: str = ""
    sha256: str | None = Field(default=None, description="Digest of its content")


class DerivedObject(_Part):
    """A DICOM object that a job made.

    Example:
        >>> DerivedObject(sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4", sop_instance_uid="1.2.3").segments
        ()
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str = ""
    modality: str = ""
    digest: str = Field(default="", description="Digest of all that it holds except the time when it was made")
    segments: tuple[str, ...] = Field(default=(), description="Labels of a segmentation's segments")
    kind: str = Field(default="", exclude=True, description="Name of the SOP class, for the page alone")
    description: str = Field(default="", exclude=True, description="SeriesDescription, for the page alone")


class JobReport(_Part):
    """The inputs and outputs of one job, and how it ended.

    Example:
        >>> JobReport(job_id="1" * 24, job_name="segment", session_id="5" * 24).ok
        True
    """

    job_id: str
    job_name: str
    session_id: str
    event: JobEvent | None = None
    service_name: str = ""
    service_version: str = ""
    subject_level: Literal["patient", "study", "series", ""] = ""
    subject_id: str = Field(default="", description="The platform's id of the job's subject")
    inputs: tuple[InputSeries, ...] = Field(default=(), description="By SeriesInstanceUID")
    params: dict[str, Any] = Field(default_factory=dict, description="As JSON, without patient attributes")
    started_at: datetime | None = Field(default=None, description="UTC, by the clock of the machine that ran it")
    exit_code: int = Field(default=0, description="0 done, 1 failed, 2 configuration, 3 retryable, 143 asked to end")
    error: str = Field(default="", description="Type and message; empty when it is done")
    traceback: str = ""
    result: Any = Field(default=None, description="What the callback returned, without patient attributes")
    duration_s: float = 0.0
    peak_memory_bytes: int | None = Field(
        default=None,
        description="The most resident memory that the process had until the job ended, earlier jobs included",
    )
    data: tuple[OutputValue, ...] = Field(default=(), description="By name")
    files: tuple[OutputFile, ...] = Field(default=(), description="By name")
    derived: tuple[DerivedObject, ...] = Field(default=(), description="In the order in which they were made")
    sent: tuple[SendReport, ...] = Field(default=(), description="In order; paths of files are left out")
    steps: tuple[StepRecord, ...] = Field(default=(), description="In the order in which they ended")
    log: tuple[LogLine, ...] = Field(default=(), description="The last 1000 lines")
    patient: dict[str, str] = Field(
        default_factory=dict, exclude=True, repr=False, description="For a page that shows the patient"
    )

    @property
    def ok(self) -> bool:
        """Whether the job ended without an error."""
        return not self.error

    @property
    def label(self) -> str:
        """The job's subject, without patient attributes."""
        if len(self.inputs) == 1:
            above = self.subject_level if self.subject_level in {"patient", "study"} else ""
            return f"{above} of {self.inputs[0].label}" if above else self.inputs[0].label
        return f"{self.subject_level or 'no subject'}, {len(self.inputs)} series"

    def as_portable(self) -> dict[str, Any]:
        """Returns this report as JSON for the process that makes the page, which reads it by ``model_validate``.

        It has the fields for the page alone, except the patient's, which that process has in its own store.
        """
        plain = self.model_dump(mode="json")
        for name in ("inputs", "derived"):
            plain[name] = [one | part.for_page() for one, part in zip(plain[name], getattr(self, name), strict=True)]
        return plain


class RunReport(_Part):
    """All jobs of one run: the content of ``run.json``.

    Example:
        >>> report = RunReport(versions={"numpy": "2.0"}, jobs=())
        >>> RunReport.model_validate_json(report.model_dump_json()) == report
        True
    """

    format: Literal["dcm-processor-service run 1"] = "dcm-processor-service run 1"
    versions: dict[str, str] = Field(description="Of Python, the operating system and the packages, by name")
    jobs: tuple[JobReport, ...] = Field(description="In the order in which they ran")
