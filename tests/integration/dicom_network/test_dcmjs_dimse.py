"""Instances that are sent to an archive in JavaScript (dcmjs-dimse) and fetched again have their original values."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.dicom_network.sender import PynetdicomSender
from dcm_processor_service.errors import FetchError
from dcm_processor_service.models import FetchOptions, FindQuery, FoundSeries, Outcome, Peer, SendOptions
from tests.archives import waited_for
from tests.node_packages import DCMJS_DIMSE, node, node_modules
from tests.ports import free_port
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom import Dataset

SCRIPT = Path(__file__).with_name("dcmjs_archive.js")
OURS = "OURS"
COUNT = 4
PLAIN = frozenset({ExplicitVRLittleEndian, ImplicitVRLittleEndian})
FILES = ("MR_small.dcm", "SC_rgb.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm", "rtplan.dcm", "test-SR.dcm")
# the archive stores text in UTF-8 and without padding
NOT_COMPARED = frozenset({"SpecificCharacterSet", "DataSetTrailingPadding"})


class Archive:
    """The archive as a peer, and our port to which a C-MOVE may go."""

    def __init__(self, port: int, ours: int) -> None:
        self.peer = Peer(name="DCMJS", ae_title="DCMJS", host="127.0.0.1", port=port)
        self.listen: dict[str, Any] = {"method": "c-move", "listen_host": "127.0.0.1", "listen_port": ours}


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    modules = node_modules(DCMJS_DIMSE)
    port, ours, log = free_port(), free_port(), tmp_path / "dcmjs.log"
    command = [node(), str(SCRIPT), str(port), OURS, str(ours)]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env={"NODE_PATH": str(modules)}) as process,
    ):
        try:
            waited_for(port, process, log)
            yield Archive(port, ours)
        finally:
            process.kill()


def series() -> list[Dataset]:
    return [make_ct(number) for number in range(COUNT)]


def values(dataset: Dataset) -> dict[str, Any]:
    """Returns all values: numbers as numbers (the archive rewrites them), text without padding, pixels as bytes."""
    found: dict[str, Any] = {}
    for element in dataset:
        if element.tag.is_private or element.tag.element == 0 or element.keyword in NOT_COMPARED:
            continue
        many = [element.value] if element.VM == 1 else list(element.value or [])
        if element.VR == "SQ":
            found[element.keyword] = [values(item) for item in element.value]
        elif element.keyword == "PixelData" and dataset[element.tag].is_undefined_length:
            found[element.keyword] = list(generate_frames(element.value, number_of_frames=1))
        elif isinstance(element.value, bytes):
            found[element.keyword] = element.value.rstrip(b"\0")
        elif element.VR in {"DS", "IS"}:
            found[element.keyword] = [float(one) for one in many]
        else:
            found[element.keyword] = [str(one).rstrip() for one in many if one != ""]
    return found


def test_it_is_there_and_holds_what_was_sent(archive: Archive) -> None:
    sender = PynetdicomSender(OURS)
    assert sender.echo(archive.peer).ok
    report = sender.send(series(), archive.peer, options=SendOptions(verify=True))
    assert report.count(Outcome.VERIFIED) == COUNT
    assert all(context.accepted for context in sender.probe(archive.peer))
    (found,) = DicomRetriever(OURS).find(archive.peer, FindQuery(level="series", patient_id="TEST"))
    assert isinstance(found, FoundSeries)
    assert (found.series_instance_uid, found.modality) == (make_ct().SeriesInstanceUID, "CT")
    assert DicomRetriever(OURS).find(archive.peer, FindQuery(patient_id="NOBODY")) == []


@pytest.mark.parametrize("way", ["C-GET", "C-MOVE"])
@pytest.mark.parametrize("name", FILES)
def test_what_comes_back_has_the_values_that_went(archive: Archive, name: str, way: str, tmp_path: Path) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    sent = dcmread(path)
    assert PynetdicomSender(OURS).send(path, archive.peer).ok
    options = FetchOptions(**(archive.listen if way == "C-MOVE" else {"method": "c-get"}))
    retriever = DicomRetriever(OURS)
    found = retriever.find(archive.peer, FindQuery(study_instance_uid=str(sent.StudyInstanceUID)))
    report = retriever.fetch(found, archive.peer, tmp_path / "fetched", options=options)
    assert (report.method, report.fetched) == (way, 1)
    came = dcmread(report.records[0].path)
    syntax = sent.file_meta.TransferSyntaxUID
    assert came.file_meta.TransferSyntaxUID in ({syntax} if syntax.is_compressed else PLAIN)
    assert values(came) == values(sent)


def test_a_series_comes_whole_by_both_ways(archive: Archive, tmp_path: Path) -> None:
    assert PynetdicomSender(OURS).send(series(), archive.peer).ok
    retriever = DicomRetriever(OURS)
    found = retriever.find(archive.peer, FindQuery(patient_id="TEST"))
    for options in (FetchOptions(), FetchOptions(**archive.listen)):
        assert retriever.fetch(found, archive.peer, tmp_path / options.method, options=options).fetched == COUNT


def test_a_title_that_it_does_not_know_is_reported(archive: Archive, tmp_path: Path) -> None:
    assert PynetdicomSender(OURS).send(series(), archive.peer).ok
    retriever = DicomRetriever("STRANGER")
    found = retriever.find(archive.peer, FindQuery(patient_id="TEST"))
    with pytest.raises(FetchError, match="A801 the peer does not know our AE title"):
        retriever.fetch(found, archive.peer, tmp_path / "fetched", options=FetchOptions(**archive.listen))
