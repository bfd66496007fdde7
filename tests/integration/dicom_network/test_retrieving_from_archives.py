"""Instances that are fetched from real archives are those that were sent, in every transfer syntax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.models import FetchOptions, FindQuery, FoundSeries, FoundStudy
from tests.archives import Orthanc, make_authority, running_dcmqrscp, running_orthanc
from tests.integration.dicom_network.test_archives import assert_same, by_uid, data_files
from tests.ports import free_port
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

    from dcm_processor_service.models import FetchReport, Peer

PORT = free_port()
LISTENING = FetchOptions(method="c-move", listen_host="127.0.0.1", listen_port=PORT)
RETRIEVER = DicomRetriever("OURS")


def series_of(count: int) -> list[Dataset]:
    made = [make_ct(number, rows=64) for number in range(count)]
    for dataset in made:
        dataset.StudyDate, dataset.StudyTime = "20240131", "101502"
        dataset.PatientBirthDate, dataset.PatientSex = "19790131", "F"
        dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 100", "Müller^Jörg"
    return made


def fetched(report: FetchReport) -> dict[str, Dataset]:
    return {record.sop_instance_uid: dcmread(record.path) for record in report.records}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    ours = {"AET": "OURS", "Host": "127.0.0.1", "Port": PORT}
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), DicomModalities={"ours": ours}) as archive:
        assert PynetdicomSender("OURS").send([*data_files(), *series_of(5)], archive.peer).ok
        yield archive


def place(orthanc: Orthanc, way: str) -> Peer:
    url = f"{orthanc.url}/dicom-web" if way == "WADO-RS" else None
    return orthanc.peer.model_copy(update={"url": url})


@pytest.mark.parametrize("way", ["C-GET", "C-MOVE", "WADO-RS"])
def test_all_that_orthanc_holds_comes_back_as_it_was_sent(orthanc: Orthanc, way: str, tmp_path: Path) -> None:
    peer = place(orthanc, way)
    found = RETRIEVER.find(peer, FindQuery())
    report = RETRIEVER.fetch(found, peer, tmp_path, options=LISTENING if way == "C-MOVE" else FetchOptions())
    assert (report.method, report.ok) == (way, True)
    assert_same({**by_uid(data_files()), **{str(one.SOPInstanceUID): one for one in series_of(5)}}, fetched(report))


@pytest.mark.parametrize("way", ["C-GET", "WADO-RS"])
def test_orthanc_is_asked_at_each_level(orthanc: Orthanc, way: str) -> None:
    peer = place(orthanc, way)
    (study,) = RETRIEVER.find(peer, FindQuery(patient_id="TEST", study_date="20240101-20240201", modality="CT"))
    assert isinstance(study, FoundStudy)
    assert (study.modalities, study.series_count, study.instance_count) == (("CT",), 1, 5)
    assert (study.patient_name, str(study.patient_birth_date)) == ("Müller^Jörg", "1979-01-31")
    name = (
        "M*ller*" if way == "WADO-RS" else "Müller*"
    )  # Orthanc's DICOMweb plug-in finds nothing by letters outside ASCII
    (series,) = RETRIEVER.find(peer, FindQuery(level="series", patient_name=name))
    assert isinstance(series, FoundSeries)
    assert (series.modality, series.instance_count, series.patient_sex) == ("CT", 5, "F")
    assert len(RETRIEVER.find(peer, FindQuery(level="instance", patient_id="TEST"))) == 5
    assert not RETRIEVER.find(peer, FindQuery(patient_id="TEST", study_date="20240201-"))


@pytest.mark.parametrize("way", ["C-GET", "C-MOVE", "WADO-RS"])
def test_certain_instances_alone_come_from_orthanc(orthanc: Orthanc, way: str, tmp_path: Path) -> None:
    peer = place(orthanc, way)
    some = RETRIEVER.find(peer, FindQuery(level="instance", patient_id="TEST"))[1:4]
    report = RETRIEVER.fetch(some, peer, tmp_path, options=LISTENING if way == "C-MOVE" else FetchOptions())
    assert report.ok
    assert set(fetched(report)) == {getattr(one, "sop_instance_uid", "") for one in some}


def test_orthanc_over_tls(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    ours = authority.issue("ours")
    with running_orthanc(tmp_path, authority=authority, certificate=authority.issue("orthanc")) as archive:
        peer = archive.peer.model_copy(update={"cert_file": ours.cert_file, "key_file": ours.key_file})
        assert PynetdicomSender("OURS").send(series_of(3), peer).ok
        report = RETRIEVER.fetch(RETRIEVER.find(peer, FindQuery()), peer, tmp_path / "fetched")
    assert_same({str(one.SOPInstanceUID): one for one in series_of(3)}, fetched(report))


@pytest.fixture(scope="module")
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    with running_dcmqrscp(tmp_path_factory.mktemp("dcmqrscp"), {"OURS": PORT}) as peer:
        compressed = [path for path in data_files() if path.name == "693_J2KR.dcm"]
        assert PynetdicomSender("OURS").send([*series_of(5), *compressed], peer).ok
        yield peer


@pytest.mark.parametrize("way", ["C-GET", "C-MOVE"])
def test_all_that_dcmqrscp_holds_comes_back_with_its_values(dcmqrscp: Peer, way: str, tmp_path: Path) -> None:
    found = RETRIEVER.find(dcmqrscp, FindQuery())
    report = RETRIEVER.fetch(found, dcmqrscp, tmp_path, options=LISTENING if way == "C-MOVE" else FetchOptions())
    assert (report.method, report.ok) == (way, True)
    sent = {str(one.SOPInstanceUID): one for one in series_of(5)}
    came = fetched(report)
    assert set(sent) < set(came)
    for uid, dataset in came.items():
        assert (
            dataset.file_meta.TransferSyntaxUID != JPEG2000Lossless
        )  # dcmqrscp accepts and sends only uncompressed instances
        if uid in sent:
            assert (dataset.pixel_array == sent[uid].pixel_array).all()
            assert str(dataset.PatientName) == "Müller^Jörg"


def test_dcmqrscp_is_asked_level_by_level(dcmqrscp: Peer) -> None:
    (series,) = RETRIEVER.find(dcmqrscp, FindQuery(level="series", patient_id="TEST", modality="CT"))
    assert isinstance(series, FoundSeries)
    assert (series.patient_id, series.modality) == ("TEST", "CT")
    assert len(RETRIEVER.find(dcmqrscp, FindQuery(level="instance", patient_id="TEST"))) == 5
    assert not RETRIEVER.find(dcmqrscp, FindQuery(patient_id="TEST", study_date="20250101-"))
