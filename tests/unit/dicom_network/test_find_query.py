"""The query to a peer, and the choice of the answers that match it."""

from __future__ import annotations

from datetime import date, time
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import Dataset
from pydicom.datadict import dictionary_VR

from dcm_processor_service.dicom_network.dimse.query import (
    decoded_identifier,
    encoded_identifier,
    is_temporary,
    query_status,
)
from dcm_processor_service.dicom_network.retrieval.answers import found_records
from dcm_processor_service.dicom_network.retrieval.keys import KEYWORDS, identifier, is_text, parameters
from dcm_processor_service.errors import ConfigurationError
from dcm_processor_service.models import FindQuery, FoundInstance, FoundSeries, FoundStudy

if TYPE_CHECKING:
    from dcm_processor_service.models import FindKeys, FindLevel

SECRET = "Geheim4711"


def query(level: FindLevel = "study", **keys: Any) -> FindQuery:
    return FindQuery.of(level, keys)  # type: ignore[arg-type]  # what is wrong on purpose is not a FindKeys


def answer(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in {"StudyInstanceUID": "1.2.3", **values}.items():
        if keyword.endswith("Date"):
            dataset.add_new(keyword, "LO", value)  # whatever it is
        else:
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (date(2024, 1, 31), "20240131"),
        ("20240131", "20240131"),
        ((date(2024, 1, 1), date(2024, 1, 31)), "20240101-20240131"),
        ((date(2024, 1, 1), None), "20240101-"),
        ((None, date(2024, 1, 31)), "-20240131"),
        ("-20240131", "-20240131"),
    ],
)
def test_a_date_or_range_is_written_as_dicom_writes_it(given: Any, written: str) -> None:
    assert identifier(query(study_date=given)).StudyDate == written


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"study_date": "2024-01-31"}, "study_date is not a date"),
        ({"study_date": "20241301"}, "study_date is not a date"),
        ({"study_date": "2024010120240131"}, "study_date is not a date"),
        ({"study_date": "-"}, "study_date is not a date"),
        ({"study_date": ""}, "study_date is not a date"),
        ({"study_date": (date(2024, 2, 1), date(2024, 1, 1))}, "ends before it begins"),
        ({"study_date": (None, None)}, "without a first and a last day"),
        ({"patient_id": f"{SECRET}\\x"}, "patient_id holds a backslash"),
        ({"patient_id": f"{SECRET}\n"}, "patient_id holds a backslash or a control character"),
        ({"patient_id": " "}, "or nothing"),
        ({"patient_name": SECRET * 10}, "patient_name is longer than 64 characters"),
        ({"patient_birth_date": SECRET}, "patient_birth_date is not a date"),
        ({"modality": "ct"}, "modality is not a code"),
        ({"study_instance_uid": "1.2.*"}, "study_instance_uid is not a UID"),
        ({"study_instance_uid": []}, "study_instance_uid is not a UID"),
        ({"limit": 0}, "limit"),
        ({"patientid": SECRET}, "find has no key 'patientid'; did you mean 'patient_id'?"),
    ],
)
def test_a_malformed_key_is_refused_by_name_and_not_quoted(keys: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        query(**keys)
    assert named in str(caught.value)
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"


def test_no_repr_shows_a_value_of_the_patient() -> None:
    keys: FindKeys = {"patient_id": SECRET, "patient_name": SECRET, "accession_number": SECRET}
    shown = repr(FindQuery.of("study", keys))
    told = answer(PatientID=SECRET, PatientName=SECRET, StudyDescription=SECRET, StudyDate="19790131")
    shown += repr(found_records([told], FindQuery()))
    assert "1.2.3" in shown
    assert SECRET not in shown
    assert "1979" not in shown


@pytest.mark.parametrize(
    ("name", "character_set"), [("Doe^Jane", None), ("Müller^Jörg", "ISO_IR 100"), ("山田^太郎", "ISO_IR 192")]
)
@pytest.mark.parametrize("implicit", [True, False])
def test_a_name_reaches_the_peer_in_a_character_set_that_holds_it(
    name: str, character_set: str | None, *, implicit: bool
) -> None:
    made = identifier(query(patient_name=name))
    assert made.get("SpecificCharacterSet") == character_set
    encoded = b"".join(encoded_identifier(made, implicit=implicit)(1000))
    assert str(decoded_identifier(encoded, implicit=implicit).PatientName) == name


@pytest.mark.parametrize(
    ("character_set", "name"),
    [("ISO_IR 100", "Müller^Jörg"), ("ISO_IR 192", "Łukasz^山田"), (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎")],
)
def test_a_name_of_an_answer_is_read_by_the_character_set_of_the_answer(character_set: Any, name: str) -> None:
    told = answer(SpecificCharacterSet=character_set, PatientName=name)
    encoded = b"".join(encoded_identifier(told, implicit=True)(1000))
    (found,) = found_records([decoded_identifier(encoded, implicit=True)], FindQuery())
    assert found.patient_name == name


@pytest.mark.parametrize(
    ("keys", "told", "kept"),
    [
        ({"patient_id": "4711"}, {"PatientID": "4711 "}, True),
        ({"patient_id": "4711"}, {"PatientID": "4712"}, False),
        ({"patient_id": "4711"}, {}, True),
        ({"patient_id": "47*"}, {"PatientID": "4712"}, True),
        ({"patient_id": "471?"}, {"PatientID": "47123"}, False),
        ({"patient_id": "4.11"}, {"PatientID": "4711"}, False),
        ({"study_date": "20240101-20240131"}, {"StudyDate": "20240115"}, True),
        ({"study_date": "20240101-20240131"}, {"StudyDate": "20240201"}, False),
        ({"study_date": "20240101-"}, {"StudyDate": "20250101"}, True),
        ({"study_date": "-20240131"}, {"StudyDate": "20240131"}, True),
        ({"study_date": "20240131"}, {"StudyDate": "20240130"}, False),
        ({"study_date": "20240131"}, {"StudyDate": "2024.01.31"}, True),
        ({"modality": "CT"}, {"ModalitiesInStudy": ["SR", "CT"]}, True),
        ({"modality": "CT"}, {"ModalitiesInStudy": ["SR", "MR"]}, False),
        ({"study_instance_uid": ["1.2.3", "1.2.4"]}, {}, True),
        ({"study_instance_uid": ["1.2.4"]}, {}, False),
        ({"study_description": "HEAD*"}, {"StudyDescription": "Head and neck"}, True),
        ({"patient_name": "Mueller*"}, {"PatientName": "Müller^Jörg"}, True),
    ],
)
def test_an_answer_that_contradicts_what_was_asked_is_left_out(
    keys: dict[str, Any], told: dict[str, Any], *, kept: bool
) -> None:
    assert bool(found_records([answer(**told)], query(**keys))) is kept


def test_everything_that_a_peer_tells_of_a_study_is_typed() -> None:
    told = answer(
        PatientBirthDate="19790131",
        StudyDate="20240131",
        StudyTime="101502.25",
        ModalitiesInStudy=["CT", "SR"],
        SOPClassesInStudy="1.2.840.10008.5.1.4.1.1.2",
        NumberOfStudyRelatedSeries="3",
        NumberOfStudyRelatedInstances="301",
    )
    (study,) = found_records([told], FindQuery())
    assert isinstance(study, FoundStudy)
    assert study.patient_birth_date == date(1979, 1, 31)
    assert str(study.study_time) == "10:15:02.250000"
    assert (study.modalities, study.series_count, study.instance_count) == (("CT", "SR"), 3, 301)
    assert study.sop_class_uids == ("1.2.840.10008.5.1.4.1.1.2",)


@pytest.mark.parametrize(("written", "read"), [("20241301", None), ("", None), ("1979.01.31", date(1979, 1, 31))])
def test_a_malformed_date_is_read_as_none(written: str, read: date | None) -> None:
    assert found_records([answer(StudyDate=written)], FindQuery())[0].study_date == read


ABOVE: dict[str, Any] = {
    "PatientID": " 4711 ",
    "IssuerOfPatientID": "HERE",
    "PatientName": "DOE^JANE",
    "PatientBirthDate": "19790131",
    "PatientSex": "F",
    "StudyDate": "20240131",
    "StudyTime": "1015",
}
TOLD: dict[str, Any] = {
    "patient_id": "4711",
    "issuer_of_patient_id": "HERE",
    "patient_name": "DOE^JANE",
    "patient_birth_date": date(1979, 1, 31),
    "patient_sex": "F",
    "study_instance_uid": "1.2.3",
    "study_date": date(2024, 1, 31),
    "study_time": time(10, 15),
}


def test_every_attribute_that_a_peer_tells_of_a_study_a_series_or_an_instance_is_in_its_record() -> None:
    study = answer(
        **ABOVE,
        AccessionNumber="A1",
        StudyDescription="Thorax",
        ModalitiesInStudy=["CT", "SR"],
        SOPClassesInStudy=["1.2.840"],
        NumberOfStudyRelatedSeries=3,
        NumberOfStudyRelatedInstances=301,
    )
    assert found_records([study], query()) == [
        FoundStudy(
            **TOLD,
            accession_number="A1",
            description="Thorax",
            modalities=("CT", "SR"),
            sop_class_uids=("1.2.840",),
            series_count=3,
            instance_count=301,
        )
    ]
    series = answer(
        **ABOVE,
        SeriesInstanceUID="1.2.3.4",
        Modality="CT",
        SeriesNumber=5,
        SeriesDescription="Axial",
        BodyPartExamined="CHEST",
        NumberOfSeriesRelatedInstances=60,
    )
    below: dict[str, Any] = {**TOLD, "series_instance_uid": "1.2.3.4"}
    assert found_records([series], query("series")) == [
        FoundSeries(**below, modality="CT", number=5, description="Axial", body_part="CHEST", instance_count=60)
    ]
    instance = answer(
        **ABOVE, SeriesInstanceUID="1.2.3.4", SOPInstanceUID="1.9", SOPClassUID="1.2.840", InstanceNumber=7
    )
    assert found_records([instance], query("instance")) == [
        FoundInstance(**below, sop_instance_uid="1.9", sop_class_uid="1.2.840", number=7)
    ]


def test_a_repeated_answer_is_one_record_and_one_without_uids_is_left_out() -> None:
    nameless = Dataset()
    nameless.PatientID = "4711"
    assert len(found_records([answer(), answer(), nameless], FindQuery())) == 1


def test_a_series_without_the_uid_of_its_study_has_the_one_that_was_asked_for() -> None:
    told = answer(SeriesInstanceUID="1.2.3.4", StudyInstanceUID=None)
    (found,) = found_records([told], query("series", study_instance_uid="1.2.3"))
    assert isinstance(found, FoundSeries)
    assert found.study_instance_uid == "1.2.3"


@pytest.mark.parametrize("keyword", sorted({keyword for found in KEYWORDS.values() for keyword in found}))
def test_texts_alone_are_matched_with_wildcards(keyword: str) -> None:
    assert is_text(keyword) == (dictionary_VR(keyword) not in {"UI", "DA"})


@pytest.mark.parametrize(
    ("status", "said", "temporary"),
    [
        (0xA700, "the peer is out of resources; try again later", True),
        (0xA701, "the peer lacks the resources to count what matches; try again later", True),
        (0xA702, "the peer lacks the resources to send what matches; try again later", True),
        (0x0213, "the peer is at the limit of a resource", True),
        (0xA801, "the peer does not know our AE title as a destination", False),
        (0xA900, "the peer does not support these keys", False),
        (0xB000, "the peer could not send everything", False),
        (0xFE00, "the peer cancelled the request", False),
        (0x0122, "the peer does not support this request", False),
        (0xBFFF, "stored, with a warning that only this peer defines", False),
        (0xC000, "the peer is unable to process it; see the peer's log", False),
        (0xCFFF, "the peer is unable to process it; see the peer's log", False),
        (0xD000, "a status that the standard does not define", False),
    ],
)
def test_a_status_of_a_query_has_a_meaning_and_may_be_temporary(status: int, said: str, *, temporary: bool) -> None:
    assert (query_status(status), is_temporary(status)) == (said, temporary)
    assert not is_temporary(None)


def test_web_parameters_are_escaped_and_address_what_is_above() -> None:
    path, asked = parameters(query("series", study_instance_uid="1.2.3", modality="CT", patient_id="a&b=c*"))
    assert path == "studies/1.2.3/series"
    assert asked.startswith("PatientID=a%26b%3Dc*&Modality=CT&includefield=")
    path, asked = parameters(query("instance", study_instance_uid="1.2", series_instance_uid=["1.3", "1.4"]))
    assert path == "studies/1.2/instances"
    assert asked.startswith("SeriesInstanceUID=1.3,1.4&")
