"""Files DICOM files into a workspace, under the patient, study and series that their headers name.

This is what the platform's own server does for its database; here it serves a laptop's workspace and the fakes of
tests. Files are grouped as the platform groups them: a patient by PatientID and IssuerOfPatientID, else by name, birth
date and sex, else by study.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import InvalidSeriesError
from dcm_processor_service.models import Instance, Patient, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.models.platform_ids import platform_id

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.ports import Backend
    from dcm_processor_service.session.functions import ImagingFunctions

__all__ = ["Catalogue", "Filed", "catalogue_files", "files_below"]


_PATIENT_KEYWORDS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
)
_STUDY_KEYWORDS = (
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyDescription",
    "ReferringPhysicianName",
)
_SERIES_KEYWORDS = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "Modality",
    "SeriesDescription",
    "BodyPartExamined",
    "Laterality",
    "ProtocolName",
    "SeriesDate",
    "SeriesTime",
    "PatientPosition",
)
_NO_UIDS = "no StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID"
_PACKED = {b"\x1f\x8b": "packed with gzip, unpack them first", b"PK": "packed as ZIP, unpack them first"}
_IGNORED_NAMES = frozenset({"DICOMDIR", "LICENSE", "README", "Thumbs.db", ".DS_Store"})


@dataclass(frozen=True)
class Filed:
    """What was filed."""

    patients: tuple[Patient, ...]
    studies: tuple[Study, ...]
    series: tuple[SeriesRecord, ...]
    instance_count: int


@dataclass
class Catalogue:
    """Headers sorted into patients, studies and series; filed at once when all are in."""

    findings: Counter[str] = field(default_factory=Counter)
    faulty: list[tuple[str, Path]] = field(default_factory=list)
    _patients: dict[str, dict[str, Any]] = field(default_factory=dict)
    _studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    _series: dict[str, dict[str, Any]] = field(default_factory=dict)
    _instances: dict[str, tuple[str, Instance, Path | bytes]] = field(default_factory=dict)
    _glances: dict[Hashable, str] = field(default_factory=dict)

    def reject(self, finding: str, path: Path) -> None:
        """Notes a file that is left out, and why."""
        self.findings[finding] += 1
        self.faulty.append((finding, path))

    def add(self, header: Dataset, content: Path | bytes, size_bytes: int) -> str | None:
        """Sorts one file in; gives the reason where it cannot be filed."""
        identity = self._identify(header)
        return _NO_UIDS if identity is None else self._add_instance(*identity, content, size_bytes)

    def add_file(self, path: Path, imaging: ImagingFunctions) -> str | None:
        """Sorts a file in like :meth:`add`, from a glance at it where that tells of a series that is known already.

        Raises:
            InvalidSeriesError: It is no DICOM file, or is cut off.
            OSError: It cannot be opened.
        """
        size_bytes = path.stat().st_size
        glance = imaging.glance(path)
        if glance is not None and glance.sop_instance_uid and glance.belongs_to in self._glances:
            return self._add_instance(self._glances[glance.belongs_to], glance.sop_instance_uid, path, size_bytes)
        identity = self._identify(imaging.header(path))
        if identity is None:
            return _NO_UIDS
        if glance is not None:
            self._glances[glance.belongs_to] = identity[0]
        return self._add_instance(*identity, path, size_bytes)

    def _identify(self, header: Dataset) -> tuple[str, str] | None:
        """Gives the id of the series that a header belongs to, and SOPInstanceUID; None without its UIDs."""
        uids = [_text(header, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        if not all(uids):
            return None
        study_uid, series_uid, sop_uid = uids
        return self._series_of(header, study_uid, series_uid), sop_uid

    def _add_instance(self, series_id: str, sop_uid: str, content: Path | bytes, size_bytes: int) -> str | None:
        instance_id = platform_id("instance", series_id, sop_uid)
        if instance_id in self._instances:
            return "the same instance as another file"
        self._series[series_id]["instance_ids"][instance_id] = None
        instance = Instance(id=instance_id, sop_instance_uid=sop_uid, size_bytes=size_bytes)
        self._instances[instance_id] = (series_id, instance, content)
        return None

    def _series_of(self, header: Dataset, study_uid: str, series_uid: str) -> str:
        """Gives the id of the series that a header belongs to, which is noted with its study and patient."""
        patient_uid = _patient_uid(header)
        patient_id = platform_id("patient", patient_uid)
        study_id = platform_id("study", patient_uid, study_uid)
        series_id = platform_id("series", patient_uid, study_uid, series_uid)
        if series_id in self._series:
            return series_id
        of_patient = _values(header, _PATIENT_KEYWORDS)
        of_study = of_patient | _values(header, _STUDY_KEYWORDS)
        self._series[series_id] = {
            "id": series_id,
            "patient_uid": patient_uid,
            "study_instance_uid": study_uid,
            "series_instance_uid": series_uid,
            "metadata": of_study | _values(header, _SERIES_KEYWORDS),
            "instance_ids": {},
        }
        study = self._studies.setdefault(
            study_id,
            {
                "id": study_id,
                "patient_uid": patient_uid,
                "study_instance_uid": study_uid,
                "metadata": of_study,
                "series_ids": {},
            },
        )
        study["series_ids"][series_id] = None
        patient = self._patients.setdefault(
            patient_id, {"id": patient_id, "patient_uid": patient_uid, "metadata": of_patient, "study_ids": {}}
        )
        patient["study_ids"][study_id] = None
        return series_id

    def series_files(self) -> dict[str, list[Path]]:
        """Gives the files of each series by SeriesInstanceUID, in the order in which they were found."""
        found: dict[str, list[Path]] = {}
        for series_id, _instance, content in self._instances.values():
            if not isinstance(content, bytes):
                found.setdefault(self._series[series_id]["series_instance_uid"], []).append(content)
        return found

    async def file_into(self, backend: Backend) -> Filed:
        """Files everything; what the store holds already is kept and added to.

        Raises:
            ConfigurationError: The platform fills this store.
        """
        workspace = backend.fillable()
        patients = [Patient(**await _merged(backend, SubjectLevel.PATIENT, row)) for row in self._patients.values()]
        studies = [Study(**await _merged(backend, SubjectLevel.STUDY, row)) for row in self._studies.values()]
        series = [SeriesRecord(**await _merged(backend, SubjectLevel.SERIES, row)) for row in self._series.values()]
        subjects: tuple[Patient | Study | SeriesRecord, ...] = (*patients, *studies, *series)
        for subject in subjects:
            await workspace.add_subject(subject)
        for series_id, instance, content in self._instances.values():
            await workspace.add_instance(series_id, instance, content)
        return Filed(tuple(patients), tuple(studies), tuple(series), len(self._instances))


async def _merged(backend: Backend, level: SubjectLevel, row: dict[str, Any]) -> dict[str, Any]:
    """Adds to a subject's values the members that the store knows of already."""
    known = await backend.dicom.find(level, row["id"])
    members = next(key for key in row if key.endswith("_ids"))
    return row | {members: tuple(dict.fromkeys((*getattr(known, members, ()), *row[members])))}


def _text(header: Dataset, keyword: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings quote values, which may be a patient's
        value = header.get(keyword)
    return "" if value is None else str(value).strip()


def _values(header: Dataset, keywords: Iterable[str]) -> dict[str, str]:
    found = {keyword: _text(header, keyword) for keyword in keywords}
    return {keyword: value for keyword, value in found.items() if value}


def _patient_uid(header: Dataset) -> str:
    patient_id, issuer = _text(header, "PatientID"), _text(header, "IssuerOfPatientID")
    name = _text(header, "PatientName")
    if patient_id:
        identity = "::".join(filter(None, (patient_id, issuer)))
    elif name:
        identity = "::".join(filter(None, (name, _text(header, "PatientBirthDate"), _text(header, "PatientSex"))))
    else:
        identity = _text(header, "StudyInstanceUID")
    return hashlib.sha256(identity.encode()).hexdigest()


def files_below(folder: Path) -> list[Path]:
    """Lists the files below a folder at any depth, in order, without hidden ones and those that are never DICOM.

    A link that leads nowhere is listed, so that it is missed where it is read and not lost in silence.
    """
    if folder.is_file():
        return [folder]
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.is_file() or (path.is_symlink() and not path.exists()))
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.name not in _IGNORED_NAMES
    )


def _what_else(path: Path) -> str:
    """Says what a file is that is not readable as DICOM, where there is something to do about it."""
    try:
        with path.open("rb") as file:
            begins = file.read(2)
    except OSError:
        return "cannot be opened"
    return _PACKED.get(begins, "not readable as DICOM")


def catalogue_files(
    paths: Iterable[Path], imaging: ImagingFunctions, advance: Callable[[], None] = lambda: None
) -> Catalogue:
    """Reads the headers of files and sorts them; what is left out is noted, never lost in silence."""
    catalogue = Catalogue()
    for path in paths:
        try:
            reason = catalogue.add_file(path, imaging)
        except InvalidSeriesError:
            reason = _what_else(path)
        except OSError:
            reason = "cannot be opened"
        if reason:
            catalogue.reject(reason, path)
        advance()
    return catalogue
