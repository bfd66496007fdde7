"""A session in the platform's database: real slices with a patient planted in every kind of place, jobs, results."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from bson import ObjectId
from gridfs import GridFS
from pydicom import Dataset, dcmread
from pydicom.uid import UID
from pymongo import MongoClient

from dcm_processor_service import Container, RuntimeSettings, opened
from dcm_processor_service.local.workspace import sample_folder
from tests.mongod import remove_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymongo.database import Database

MADE = datetime(2026, 3, 1, tzinfo=timezone.utc)
PATIENT = {
    "PatientName": "Zwetschgenbaum^Ottilie^Mechthild",
    "PatientID": "MRN-7788-4411",
    "PatientBirthDate": "19430217",
    "PatientAddress": "Lindenallee 17, 04109 Altstadt",
    "PatientTelephoneNumbers": "+49-341-5550173",
    "OtherPatientNames": "Quittenfeld^Ottilie",
    "PatientMotherBirthName": "Haselwarter^Kunigunde",
    "PatientComments": "Allergikerin, Station Enzian 4",
    "AccessionNumber": "ACC-90210-77",
    "ReferringPhysicianName": "Brombeermann^Xaver",
    "PerformingPhysicianName": "Schlehenhofer^Iris",
    "OperatorsName": "Wacholderer^Till",
    "StudyID": "ST-55512",
    "InstitutionName": "Klinikum Rosenthal-West",
    "InstitutionAddress": "Am Weiher 3, Rosenthal",
    "StationName": "CTROSENTHAL2",
    "StudyDescription": "CT Zwetschgenbaum Kontrolle",
    "SeriesDescription": "axial MRN-7788-4411",
    "ProtocolName": "ROSENTHAL_THORAX_OTTILIE",
    "AdmittingDiagnosesDescription": "Verdacht auf Morbus Zwetschgenbaum",
    "ImageComments": "mit Frau Ottilie besprochen",
    "RequestedProcedureDescription": "bitte Frau Zwetschgenbaum vorziehen",
    "MedicalRecordLocator": "ARCHIV-REGAL-9917",
    "AdmissionID": "ADM-660066",
    "DeviceSerialNumber": "SN-ROSENTHAL-31",
    "Occupation": "Harfenbauerin",
    "EthnicGroup": "HELVETISCH",
    "PatientReligiousPreference": "Quaekerin",
    "CurrentPatientLocation": "Zimmer Edelweiss 12",
    "ConvolutionKernel": "OTTILIE",
    "ManufacturerModelName": "Scanner des Brombeermann",
    "DerivationDescription": "aus Akte ACC-90210-77",
}
NESTED = {
    "PatientID": "NESTED-44-MRN",
    "PatientName": "Mirabellinger^Veit",
    "RequestedProcedureID": "RQ-818181",
    "ScheduledProcedureStepDescription": "Nested Mirabellinger",
}
PRIVATE = ["PRIVATE-TEXT-Pfirsichau", "Privatus^Nektarine", "PRIVAT-BYTES-Sanddorn"]
UIDS = {"StudyInstanceUID": "1.2.826.0.1.77.4411.1", "FrameOfReferenceUID": "1.2.826.0.1.77.4411.3"}
SERIES_UID = "1.2.826.0.1.77.4411.2"
STUDY_DATE, LATER = "20260211", "20260216"
NAME_IN_VALUES = "Ottilie Zwetschgenbaum"

PLANTED = [
    *(part for value in PATIENT.values() if value for part in [value] if value != "OTTILIE"),
    *("Zwetschgenbaum", "Ottilie", "Mechthild", "Quittenfeld", "Brombeermann", "Kunigunde", "Mirabellinger"),
    *(value for value in NESTED.values() if value),
    *PRIVATE,
    *UIDS.values(),
    *(SERIES_UID, STUDY_DATE, "2026-02-11", LATER, "1943-02-17"),
]
"""Whatever of these stands anywhere in a workspace is a patient's value that was left there."""


@dataclass
class Session:
    """What stands in the database."""

    database: Database[dict[str, Any]]
    url: str
    id: str = ""
    series: str = ""
    jobs: dict[str, ObjectId] = field(default_factory=dict)
    sops: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{self.database.name}"))

    def settings(self, job: str) -> RuntimeSettings:
        """Of a job of the platform's."""
        return RuntimeSettings.without_environment(
            db_provider="mongodb",
            db_url=self.url,
            db_name=self.database.name,
            session_id=self.id,
            job_id=str(self.jobs[job]),
            job_name=job,
            job_event="stable-series",
            service_name="lung",
            durability="fast",
        )

    def store(self, job: str, data: dict[str, Any], files: dict[str, bytes]) -> None:
        """Stores what a job left, as a job does."""
        with opened(Container(settings=self.settings(job))) as container:
            for name, value in data.items():
                container.session().data[name] = value
            for name, content in files.items():
                container.session().files.put(name, content)

    def fingerprint(self) -> Any:
        return self.database.command("dbHash")["collections"]


def planted(path: Path, number: int) -> Dataset:
    """One slice, with the patient in every kind of place."""
    dataset = dcmread(path)
    for keyword, value in PATIENT.items():
        if value:
            setattr(dataset, keyword, value)
    for keyword, value in UIDS.items():
        setattr(dataset, keyword, value)
    dataset.SeriesInstanceUID = SERIES_UID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{SERIES_UID}.{number}")
    dataset.StudyDate = dataset.SeriesDate = STUDY_DATE
    dataset.AcquisitionDate, dataset.AcquisitionDateTime = LATER, f"{LATER}101500"
    item = Dataset()
    for keyword, value in NESTED.items():
        if value:
            setattr(item, keyword, value)
    dataset.RequestAttributesSequence = [item]
    other = Dataset()
    other.PatientID, other.PatientName = NESTED["PatientID"], NESTED["PatientName"]
    other.ReferencedSOPInstanceUID, other.ReferencedSOPClassUID = f"{SERIES_UID}.1", dataset.SOPClassUID
    dataset.ReferencedImageSequence = [other]
    block = dataset.private_block(0x0099, "ROSENTHAL", create=True)
    block.add_new(1, "LO", PRIVATE[0])
    block.add_new(2, "PN", PRIVATE[1])
    block.add_new(3, "UN", PRIVATE[2].encode())
    dataset.file_meta.SourceApplicationEntityTitle = "ROSENTHAL"
    dataset.preamble = b"Zwetschgenbaum".ljust(128, b"\0")
    return dataset


def made_session(database: Database[dict[str, Any]], url: str) -> Session:
    """A session of one series, three jobs (segment, measure, broken) and what the first two stored."""
    made = Session(database, url)
    bucket = GridFS(database, "dicomfiles")
    instances = []
    for number, path in enumerate(sorted(sample_folder().iterdir()), 1):
        dataset, buffer = planted(path, number), BytesIO()
        dataset.save_as(buffer)
        metadata = {"SOPInstanceUID": dataset.SOPInstanceUID, "PatientName": PATIENT["PatientName"]}
        instances.append(str(bucket.put(buffer.getvalue(), filename=f"{uuid.uuid4().hex}.dcm", metadata=metadata)))
        made.sops.append(dataset.SOPInstanceUID)
    metadata = {key: value for key, value in PATIENT.items() if value} | {"Modality": "CT", "StudyDate": STUDY_DATE}
    of_all = {"PatientUID": uuid.uuid4().hex * 2, "PeerUID": str(ObjectId()), "Metadata": metadata}
    series = {**of_all, "StudyInstanceUID": UIDS["StudyInstanceUID"], "SeriesInstanceUID": SERIES_UID}
    series["Instances"] = instances
    series_id = database.series.insert_one(series).inserted_id
    study = {**of_all, "StudyInstanceUID": UIDS["StudyInstanceUID"], "Series": [str(series_id)]}
    study_id = database.studies.insert_one(study).inserted_id
    patient_id = database.patients.insert_one({**of_all, "Studies": [str(study_id)], "Scheduled": True}).inserted_id
    record = {"patient_id": patient_id, "peer_id": of_all["PeerUID"]}
    made.id, made.series = str(database.sessions.insert_one(record).inserted_id), str(series_id)
    for name in ("pre_services", "segment", "measure", "broken"):
        _add_job(made, name, series)
    _add_outputs(made)
    return made


def add_second_series(made: Session) -> None:
    """Adds another series to the study, its own job segment, and a job of the study after both."""
    series = made.database.series.find_one({})
    study = made.database.studies.find_one({})
    assert series is not None
    assert study is not None
    dataset, buffer = planted(min(sample_folder().iterdir()), 1), BytesIO()
    dataset.SeriesInstanceUID = f"{SERIES_UID}.99"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{SERIES_UID}.99.1")
    dataset.save_as(buffer)
    metadata = {"SOPInstanceUID": dataset.SOPInstanceUID}
    instance = GridFS(made.database, "dicomfiles").put(buffer.getvalue(), filename="b.dcm", metadata=metadata)
    series |= {"_id": ObjectId(), "SeriesInstanceUID": dataset.SeriesInstanceUID, "Instances": [str(instance)]}
    made.database.series.insert_one(series)
    made.database.studies.update_one({}, {"$push": {"Series": str(series["_id"])}})
    first = made.jobs["segment"]
    _add_job(made, "segment", series)
    made.store("segment", {"volume_ml": 7.5}, {})
    study["Series"].append(str(series["_id"]))
    made.jobs["first segment"] = first
    _add_job(made, "summary", study)


def _add_job(made: Session, name: str, headers: dict[str, Any]) -> None:
    kwargs: dict[str, Any] = {"headers": headers, "params": {"threshold": 40, "note": NAME_IN_VALUES}}
    kwargs["added_params"] = {name: {"seen": PATIENT["PatientID"]}}
    document: dict[str, Any] = {
        "sessionId": made.id,
        "item_type": "queue",
        "data": {"function_name": "controller", "kwargs": kwargs},
        "depends_on": list(made.jobs.values()),
        "done": True,
        "createdAt": MADE,
    }
    if name != "pre_services":
        event = "stable-study" if "Series" in headers else "stable-series"
        document |= {"job_name": name, "job_event": event, "service_name": "lung"}
    if name == "broken":
        document["result"] = {"error": {"message": f"cannot read {NAME_IN_VALUES}", "traceback": ""}}
    made.jobs[name] = made.database.jobs.insert_one(document).inserted_id


def _add_outputs(made: Session) -> None:
    report = f"Report of {NAME_IN_VALUES}, born 1943-02-17, {PATIENT['PatientID']}, seen 2026-02-11, {SERIES_UID}.2\n"
    segment = {
        "volume_ml": 12.5,
        "labels": ["liver", "lung"],
        "whose": {"name": NAME_IN_VALUES, "born": PATIENT["PatientBirthDate"], PATIENT["PatientID"]: 1},
        f"of {SERIES_UID}": {"instances": made.sops, "series": made.series},
        f"seen {PATIENT['PatientID']}": datetime(2026, 2, 11, 9, tzinfo=timezone.utc),
        "raw": f"bytes of {NAME_IN_VALUES}".encode(),
    }
    derived = BytesIO()
    planted(min(sample_folder().iterdir()), 77).save_as(derived)
    files = {
        "report.txt": report.encode(),
        f"{PATIENT['PatientID']}/zwetschgenbaum.json": json.dumps({"who": NAME_IN_VALUES, "uid": SERIES_UID}).encode(),
        "slice.dcm": derived.getvalue(),
        "mask.bin": b"\0\1\2 Zwetschgenbaum",
    }
    made.store("segment", segment, files)
    made.store("measure", {"mean": 3.0}, {})


@pytest.fixture
def database(mongo_url: str) -> Iterator[Database[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongo_url, tz_aware=True) as client:
        database = client[f"pulling_{uuid.uuid4().hex[:12]}"]
        yield database
        remove_database(database)


@pytest.fixture
def session(database: Database[dict[str, Any]], mongo_url: str) -> Session:
    return made_session(database, mongo_url)
