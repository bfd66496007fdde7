"""Sorts DICOM files into a workspace by the patient, study and series that their headers name.

The platform's server does this for its own database; this module does it for a laptop's workspace and for the fakes of
tests. It groups files as the platform does: a patient is identified by PatientID and IssuerOfPatientID, or without
these by name, birth date and sex, or without these by the study.
"""

from __future__ import annotations

import itertools
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dcm_processor_service.errors import UnreadableFileError
from dcm_processor_service.models import Instance, LeftOutFile, Patient, SeriesRecord, Study, SubjectLevel
from dcm_processor_service.models.files import DUPLICATE, NO_UIDS
from dcm_processor_service.models.network.identifying import DATES, IDS, NAMES
from dcm_processor_service.models.platform_ids import platform_id
from dcm_processor_service.models.subjects import patient_uid
from dcm_processor_service.session.images.held_contents import held_contents

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from dcm_processor_service.ports import Backend
    from dcm_processor_service.session.functions import ImagingFunctions

__all__ = ["ATTRIBUTES", "Catalogue", "Filed", "catalogue_files"]

_PATIENT_KEYWORDS = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    *sorted(keyword for keyword in NAMES | IDS | DATES if "Patient" in keyword),
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
    "SOPClassUID",
    "SeriesNumber",
    "Modality",
    "SeriesDescription",
    "BodyPartExamined",
    "Laterality",
    "ProtocolName",
    "SeriesDate",
    "SeriesTime",
    "PatientPosition",
    *sorted(keyword for keyword in NAMES | IDS | DATES if "Patient" not in keyword),
)
ATTRIBUTES = tuple(dict.fromkeys((*_PATIENT_KEYWORDS, *_STUDY_KEYWORDS, *_SERIES_KEYWORDS, "SOPInstanceUID")))
"""The attributes that decide where an instance is filed, that are kept with it, or that identify a person."""


_MOST_COMPARED = 4
"""The most instances of a UID that a further one is compared with; if it equals none of these, it counts as different.
"""


@dataclass(frozen=True)
class Filed:
    """The patients, studies and series that were filed, and the number of instances."""

    patients: tuple[Patient, ...]
    studies: tuple[Study, ...]
    series: tuple[SeriesRecord, ...]
    instance_count: int

    def as_json(self) -> dict[str, Any]:
        """Returns the result as plain JSON, for another process."""
        lists = {name: getattr(self, name) for name in ("patients", "studies", "series")}
        dumped = {name: [one.model_dump(mode="json") for one in found] for name, found in lists.items()}
        return {**dumped, "instance_count": self.instance_count}

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Filed:
        """Restores a result from the output of :meth:`as_json`."""
        return cls(
            tuple(map(Patient.model_validate, document["patients"])),
            tuple(map(Study.model_validate, document["studies"])),
            tuple(map(SeriesRecord.model_validate, document["series"])),
            document["instance_count"],
        )


@dataclass
class Catalogue:
    """Instances sorted into patients, studies and series, which :meth:`file_into` stores together."""

    left_out: list[LeftOutFile] = field(default_factory=list)
    _patients: dict[str, dict[str, Any]] = field(default_factory=dict)
    _studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    _series: dict[str, dict[str, Any]] = field(default_factory=dict)
    _instances: dict[str, tuple[str, Instance, Path | bytes]] = field(default_factory=dict)
    _glances: dict[Hashable, str] = field(default_factory=dict)
    _is_same: Callable[[Path, Path], bool] = lambda _one, _other: True

    def add(self, attributes: Mapping[str, str], content: Path | bytes, size_bytes: int) -> None:
        """Adds one instance, by its ``ATTRIBUTES``.

        Raises:
            UnreadableFileError: The instance cannot be filed.
        """
        self._add_instance(self._identify(attributes), attributes["SOPInstanceUID"], content, size_bytes)

    def add_file(self, path: Path, imaging: ImagingFunctions) -> None:
        """Adds a file as :meth:`add` does; reads only its UIDs if its series is known already.

        Raises:
            UnreadableFileError: It is not a DICOM instance, is damaged, or cannot be opened or filed.
        """
        glance = imaging.glance(path)
        if not glance.sop_instance_uid:
            raise UnreadableFileError(NO_UIDS)
        if glance.belongs_to not in self._glances:
            self._glances[glance.belongs_to] = self._identify(imaging.attributes(path, ATTRIBUTES))
        series_id, sop_uid = self._glances[glance.belongs_to], glance.sop_instance_uid
        self._is_same = imaging.is_same_instance
        self._add_instance(series_id, sop_uid, path, glance.size_bytes)

    def _identify(self, attributes: Mapping[str, str]) -> str:
        """Returns the id of the series that an instance belongs to."""
        if not all(attributes.get(uid) for uid in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")):
            raise UnreadableFileError(NO_UIDS)
        return self._series_of(attributes)

    def _add_instance(self, series_id: str, sop_uid: str, content: Path | bytes, size_bytes: int) -> None:
        """Records an instance; two that differ but have the same UID are both kept, so that reading them raises."""
        for number, instance_id in enumerate(_ids_for(series_id, sop_uid)):
            if instance_id not in self._instances:
                break
            known = self._instances[instance_id][2]
            if isinstance(known, bytes) or isinstance(content, bytes):
                raise UnreadableFileError(DUPLICATE, faulty=False)
            if number < _MOST_COMPARED and self._is_same(known, content):
                raise UnreadableFileError(DUPLICATE, faulty=False)
        instance = Instance(id=instance_id, sop_instance_uid=sop_uid, size_bytes=size_bytes)
        self._record(series_id, instance, content)

    def _record(self, series_id: str, instance: Instance, content: Path | bytes) -> None:
        self._series[series_id]["instance_ids"][instance.id] = None
        self._instances[instance.id] = (series_id, instance, content)

    def _series_of(self, attributes: Mapping[str, str]) -> str:
        """Returns the id of the series that an instance belongs to; records the series, its study and its patient."""
        patient = patient_uid(attributes)
        study_uid, series_uid = attributes["StudyInstanceUID"], attributes["SeriesInstanceUID"]
        patient_id = platform_id("patient", patient)
        study_id = platform_id("study", patient, study_uid)
        series_id = platform_id("series", patient, study_uid, series_uid)
        if series_id in self._series:
            return series_id
        of_patient = _chosen(attributes, _PATIENT_KEYWORDS)
        of_study = of_patient | _chosen(attributes, _STUDY_KEYWORDS)
        self._series[series_id] = {
            "id": series_id,
            "patient_uid": patient,
            "study_instance_uid": study_uid,
            "series_instance_uid": series_uid,
            "metadata": of_study | _chosen(attributes, _SERIES_KEYWORDS),
            "instance_ids": {},
        }
        study = self._studies.setdefault(
            study_id,
            {
                "id": study_id,
                "patient_uid": patient,
                "study_instance_uid": study_uid,
                "metadata": of_study,
                "series_ids": {},
            },
        )
        study["series_ids"][series_id] = None
        known = self._patients.setdefault(
            patient_id, {"id": patient_id, "patient_uid": patient, "metadata": of_patient, "study_ids": {}}
        )
        known["study_ids"][study_id] = None
        return series_id

    def series_files(self) -> dict[str, list[Path]]:
        """Returns the files of each series by SeriesInstanceUID, in the order in which they were found."""
        found: dict[str, list[Path]] = {}
        for series_id, _instance, content in self._instances.values():
            if not isinstance(content, bytes):
                found.setdefault(self._series[series_id]["series_instance_uid"], []).append(content)
        return found

    async def file_into(self, backend: Backend, folders: Sequence[Path] = ()) -> Filed:
        """Files all instances into the store, in addition to those that it holds already.

        If ``folders`` are given, a file keeps the id that the store has for it. A file that differs from a stored
        instance of the same UID is filed beside that instance, as long as the instance's content or file still exists.
        A stored instance is forgotten if its file no longer exists below ``folders`` and another file of its UID is
        filed now.

        Raises:
            ConfigurationError: Only the platform fills this store.
        """
        workspace = backend.fillable()
        find, level = backend.dicom.find, SubjectLevel
        patients = [Patient(**_merged(await find(level.PATIENT, one), row)) for one, row in self._patients.items()]
        studies = [Study(**_merged(await find(level.STUDY, one), row)) for one, row in self._studies.items()]
        series = []
        for one, row in self._series.items():
            known = await find(level.SERIES, one)
            if folders and isinstance(known, SeriesRecord):
                known = await self._agree(backend, known, folders)
            series.append(SeriesRecord(**_merged(known, row)))
        subjects: tuple[Patient | Study | SeriesRecord, ...] = (*patients, *studies, *series)
        for subject in subjects:
            await workspace.add_subject(subject)
        for series_id, instance, content in self._instances.values():
            await workspace.add_instance(series_id, instance, content)
        return Filed(tuple(patients), tuple(studies), tuple(series), len(self._instances))

    async def _agree(self, backend: Backend, known: SeriesRecord, folders: Sequence[Path]) -> SeriesRecord:
        """Compares the instances of a series with stored ones of the same UIDs; forgets stored ones without a file.

        Returns:
            The series as the store has it after that.
        """
        members = self._series[known.id]["instance_ids"]
        files: dict[str, list[Path]] = {}
        for _series, instance, content in map(self._instances.__getitem__, members):
            files.setdefault(instance.sop_instance_uid, []).extend([] if isinstance(content, bytes) else [content])
        stored = [one for one in await backend.dicom.instances(known) if one.sop_instance_uid in files]
        with ExitStack() as scratch:
            held = await held_contents(backend, stored, files, scratch)
            uids = {one.id: one.sop_instance_uid for one in stored}
            self._keep_ids(known.id, held, await backend.fillable().paths(stored), uids)
        others = [one for one in stored if one.id not in members]
        lost = await backend.fillable().forget_lost(others, folders) if others else []
        if lost:
            known = known.model_copy(update={"instance_ids": tuple(x for x in known.instance_ids if x not in lost)})
            await backend.fillable().add_subject(known)
        return known

    def _keep_ids(
        self, series_id: str, held: Mapping[str, Path], places: Mapping[str, Path], uids: Mapping[str, str]
    ) -> None:
        """Chooses the ids of a series' instances again, so that none takes the id of a stored one that differs."""
        stored = {**places, **held}  # held wins: the file at the stored path may have changed since
        members = self._series[series_id]["instance_ids"]
        filed = [self._instances.pop(one) for one in members]
        members.clear()
        same, placed = (
            {os.path.abspath(path): one for one, path in each.items()}  # noqa: PTH100  does not follow links
            for each in (held, places)
        )
        for _series, instance, content in filed:
            place = "" if isinstance(content, bytes) else os.path.abspath(content)  # noqa: PTH100
            own = same.get(place) or placed.get(place)
            if own and own in held and uids[own] != instance.sop_instance_uid:  # another image is stored under this id
                own = None
            for instance_id in itertools.chain([own] if own else (), _ids_for(series_id, instance.sop_instance_uid)):
                if instance_id in members:
                    continue
                other = stored.get(instance_id)
                if other is None or isinstance(content, bytes) or instance_id == own or self._is_same(other, content):
                    self._record(series_id, instance.model_copy(update={"id": instance_id}), content)
                    break


def _ids_for(series_id: str, sop_uid: str) -> Iterator[str]:
    """Yields the ids for instances of one UID: the usual id, then one for each further instance that differs."""
    yield platform_id("instance", series_id, sop_uid)
    for number in itertools.count(2):
        yield platform_id("instance", series_id, sop_uid, f"another {number}")


def _merged(known: Patient | Study | SeriesRecord | None, row: dict[str, Any]) -> dict[str, Any]:
    """Returns a subject's values; its members come after those that the store has already."""
    members = next(key for key in row if key.endswith("_ids"))
    return row | {members: tuple(dict.fromkeys((*getattr(known, members, ()), *row[members])))}


def _chosen(attributes: Mapping[str, str], keywords: Iterable[str]) -> dict[str, str]:
    return {keyword: attributes[keyword] for keyword in keywords if attributes.get(keyword)}


def catalogue_files(
    files: Iterable[Path | LeftOutFile], imaging: ImagingFunctions, advance: Callable[[], None] = lambda: None
) -> Catalogue:
    """Reads the headers of files and sorts them; records each file that is left out, with the reason."""
    catalogue = Catalogue()
    for file in files:
        if isinstance(file, LeftOutFile):
            catalogue.left_out.append(file)
        else:
            try:
                catalogue.add_file(file, imaging)
            except UnreadableFileError as error:
                catalogue.left_out.append(LeftOutFile.at(file, error.reason, faulty=error.faulty))
        advance()
    return catalogue
