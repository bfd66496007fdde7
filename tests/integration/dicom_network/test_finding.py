"""What a peer answers to C-FIND and QIDO-RS, and how wrong answers are treated."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.dicom_network.retrieval.retriever import DicomRetriever
from dcm_processor_service.errors import FindError, FindIncompleteError, PeerUnreachableError
from dcm_processor_service.models import FindQuery, FoundInstance, FoundSeries, FoundStudy, Peer
from dcm_processor_service.testing import FakePacs, Faults
from tests.integration.dicom_network.stow_server import running_stow_service
from tests.scripted_peer import Wire, abort, answer, scripted_peer
from tests.unit.dicom_network.instances import make_ct

if TYPE_CHECKING:
    from pydicom import Dataset

OVER = pytest.mark.parametrize("web", [False, True], ids=["dimse", "web"])


def holding() -> list[Dataset]:
    """Makes two studies: one with a CT series of three slices and a report, and one with MR of another patient."""
    held = [make_ct(number) for number in range(5)]
    for dataset in held:
        dataset.StudyDate, dataset.StudyTime, dataset.PatientSex = "20240131", "1015", "F"
    held[3].SeriesInstanceUID, held[3].Modality, held[3].SOPClassUID = "1.5.1", "SR", "1.2.840.10008.5.1.4.1.1.88.33"
    held[4].StudyInstanceUID, held[4].SeriesInstanceUID, held[4].Modality = "1.6", "1.6.1", "MR"
    held[4].SpecificCharacterSet, held[4].PatientName, held[4].PatientID = "ISO_IR 192", "Łukasz^山田", "4711"
    held[4].StudyDate = "20230131"
    return held


def place(pacs: FakePacs, *, web: bool) -> Peer:
    return pacs.web_peer if web else pacs.peer


@OVER
def test_each_level_is_reported_in_its_type(*, web: bool) -> None:
    with FakePacs(holds=holding()) as pacs:
        peer = place(pacs, web=web)
        studies = DicomRetriever().find(peer, FindQuery(patient_id="TEST"))
        series = DicomRetriever().find(peer, FindQuery(level="series", patient_id="TEST", modality="CT"))
        instances = DicomRetriever().find(peer, FindQuery(level="instance", patient_id="TEST", modality="CT"))
    (study,) = studies
    assert isinstance(study, FoundStudy)
    assert (study.modalities, study.series_count, study.instance_count) == (("CT", "SR"), 2, 4)
    (one,) = series
    assert isinstance(one, FoundSeries)
    assert (one.modality, one.instance_count, one.patient_sex) == ("CT", 3, "F")
    assert {type(found) for found in instances} == {FoundInstance}
    assert sorted(getattr(found, "number", 0) for found in instances) == [1, 2, 3]


@OVER
def test_a_name_outside_latin_1_finds_and_is_found(*, web: bool) -> None:
    with FakePacs(holds=holding()) as pacs:
        (study,) = DicomRetriever().find(place(pacs, web=web), FindQuery(patient_name="Łukasz^*"))
    assert study.patient_name == "Łukasz^山田"
    assert study.study_instance_uid == "1.6"


@OVER
def test_more_answers_than_the_limit_are_refused(*, web: bool) -> None:
    with (
        FakePacs(Faults(delay_s=0.01), holds=[make_ct(number) for number in range(100)]) as pacs,
        pytest.raises(FindError, match="found more than 7; ask for less"),
    ):
        DicomRetriever().find(place(pacs, web=web), FindQuery(level="instance", patient_id="TEST", limit=7))
    assert web or pacs.cancelled == 1  # the query is cancelled (C-CANCEL), and the association stays open


def test_as_many_answers_as_the_limit_are_taken() -> None:
    with FakePacs(holds=[make_ct(number) for number in range(7)]) as pacs:
        found = DicomRetriever().find(pacs.peer, FindQuery(level="instance", patient_id="TEST", limit=7))
    assert len(found) == 7
    assert not pacs.cancelled


def test_a_web_service_that_gives_pages_is_asked_for_all_of_them() -> None:
    with FakePacs(holds=[make_ct(number) for number in range(120)]) as pacs:
        found = DicomRetriever().find(pacs.web_peer, FindQuery(level="instance", patient_id="TEST", limit=120))
    assert len(found) == 120
    assert len(pacs.queries) == 3  # the last page is empty


@OVER
def test_a_peer_that_ignores_a_key_makes_nobody_take_another_patient(*, web: bool) -> None:
    with FakePacs(Faults(ignores_keys=["PatientID", "StudyDate"]), holds=holding()) as pacs:
        peer = place(pacs, web=web)
        assert len(DicomRetriever().find(peer, FindQuery())) == 2
        (study,) = DicomRetriever().find(peer, FindQuery(patient_id="4711"))
        assert study.study_instance_uid == "1.6"
        (study,) = DicomRetriever().find(peer, FindQuery(study_date="20240101-"))
    assert study.study_instance_uid != "1.6"


def test_no_query_leaves_out_what_the_model_wants_above_its_level() -> None:
    with FakePacs(holds=holding()) as pacs:
        DicomRetriever().find(pacs.peer, FindQuery(level="instance", patient_id="TEST", modality="CT"))
    for query in pacs.queries:
        assert query.QueryRetrieveLevel == "STUDY" or query.StudyInstanceUID
        assert query.QueryRetrieveLevel != "IMAGE" or query.SeriesInstanceUID


@pytest.mark.parametrize(
    ("faults", "web", "error", "match"),
    [
        (Faults(query="fail"), False, FindIncompleteError, "A700 the peer is out of resources"),
        (Faults(query="fail"), True, FindIncompleteError, "HTTP 503"),
        (Faults(query="none"), False, FindError, "offers no query"),
        (Faults(query="none"), True, FindError, "HTTP 501"),
        (Faults(refuses_levels=["STUDY"]), False, FindError, "A900 the peer does not support these keys"),
        (Faults(reject=(1, 1, 3)), False, PeerUnreachableError, "does not know our AE title"),
    ],
)
def test_a_peer_that_does_not_answer_is_reported_with_its_reason(
    faults: Faults, error: type[Exception], match: str, *, web: bool
) -> None:
    with FakePacs(faults) as pacs, pytest.raises(error, match=match) as caught:
        DicomRetriever().find(place(pacs, web=web), FindQuery(patient_id="Geheim4711"))
    assert "Geheim4711" not in str(caught.value)


def test_a_peer_that_goes_away_midway_is_worth_another_try() -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        wire.read_request()
        wire.send(abort())

    with (
        scripted_peer(script) as scripted,
        pytest.raises(FindIncompleteError, match="aborted the association"),
    ):
        DicomRetriever().find(scripted.peer, FindQuery(patient_id="TEST"))


@OVER
def test_no_log_shows_who_is_asked_for(caplog: pytest.LogCaptureFixture, *, web: bool) -> None:
    held = holding()
    held[4].PatientBirthDate = "19790131"
    with caplog.at_level(logging.DEBUG), FakePacs(holds=held) as pacs:
        caplog.clear()
        query = FindQuery(patient_id="4711", patient_birth_date="19790131", accession_number="A" * 16)
        DicomRetriever().find(place(pacs, web=web), query)
    ours = [record.getMessage() for record in caplog.records if record.threadName == "MainThread"]
    assert not [line for line in ours if "4711" in line or "19790131" in line or "AAAA" in line]


def test_an_answer_to_another_query_is_not_used() -> None:
    def script(wire: Wire) -> None:
        wire.accept()
        request = wire.read_request()
        wire.send(answer(request, 0xFF00, kind=0x8020, message_id=9))
        wire.send(answer(request, 0x0000, kind=0x8020))

    with scripted_peer(script) as seen, pytest.raises(FindIncompleteError, match="was not asked for"):
        DicomRetriever().find(seen.peer, FindQuery(patient_id="TEST"))


@pytest.mark.parametrize("content", [b"{}", b'""', b"null", b"", b"<html/>", b"[3]", b'[{"0020000D": 1}]', b"[[]]"])
def test_what_is_no_list_of_answers_does_not_say_that_there_is_nothing(content: bytes) -> None:
    with running_stow_service() as service:
        service.told = 200, content
        with pytest.raises(FindError, match="not DICOM JSON"):
            DicomRetriever().find(service.peer, FindQuery(patient_id="TEST"))
