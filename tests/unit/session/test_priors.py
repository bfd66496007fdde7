"""The choice of the studies of an archive that are earlier ones of the job's patient."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import pytest

from dcm_processor_service.errors import ConfigurationError, PatientMismatchError
from dcm_processor_service.models import FoundStudy
from dcm_processor_service.session.network.priors import PatientKeys, PriorsWanted, choose_priors, start_of

OURS = {
    "PatientID": "4711",
    "IssuerOfPatientID": "HOSPITAL",
    "PatientBirthDate": "19790131",
    "PatientSex": "F",
}


def wanted(**values: Any) -> PriorsWanted:
    defaults = {
        "identity": PatientKeys.of(OURS),
        "own_study_uids": frozenset({"1.1"}),
        "before": datetime(2025, 6, 1, 12),  # noqa: DTZ001  as headers write it
        "modality": "",
        "most": None,
        "limit": 100,
        "from_": None,
    }
    return PriorsWanted(**{**defaults, **values})


def study(uid: str = "1.2", **values: Any) -> FoundStudy:
    defaults = {"patient_id": "4711", "study_date": date(2024, 1, 1)}
    return FoundStudy(study_instance_uid=uid, **{**defaults, **values})


def chosen(*studies: FoundStudy, **values: Any) -> list[str]:
    return [one.study_instance_uid for one in choose_priors(studies, wanted(**values))[0]]


def test_the_newest_comes_first() -> None:
    years = [study(f"1.{year}", study_date=date(year, 1, 1)) for year in (2020, 2023, 2021)]
    assert chosen(*years) == ["1.2023", "1.2021", "1.2020"]


def test_of_one_day_the_latest_comes_first_and_one_without_a_time_last() -> None:
    hours = {"1.9": time(9), "1.0": None, "1.18": time(18), "1.12": time(12, 30)}
    assert chosen(*(study(uid, study_time=hour) for uid, hour in hours.items())) == ["1.18", "1.12", "1.9", "1.0"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"study_date": None}, "does not state its date"),
        ({"study_date": date(2025, 6, 2)}, "it is later"),
        ({"study_date": date(2025, 6, 1)}, "no time shows"),
        ({"study_date": date(2025, 6, 1), "study_time": time(13)}, "not earlier"),
        ({"patient_id": "4712"}, "another PatientID"),
        ({"patient_id": ""}, "or none"),
        ({"issuer_of_patient_id": "CLINIC"}, "IssuerOfPatientID"),
        ({"issuer_of_patient_id": "CLINIC", "patient_sex": "M"}, "IssuerOfPatientID"),
    ],
)
def test_a_study_that_is_no_prior_is_passed_over_with_a_reason(values: dict[str, Any], reason: str) -> None:
    found, passed_over = choose_priors([study(**values)], wanted())
    assert not found
    assert reason in passed_over["1.2"]


@pytest.mark.parametrize(
    ("ours", "theirs", "named"),
    [
        ({"PatientID": "M\ufffdller"}, {"patient_id": "M\ufffdller"}, "PatientID"),
        ({"IssuerOfPatientID": "\ufffdrzte"}, {"issuer_of_patient_id": "\ufffdrzte"}, "IssuerOfPatientID"),
    ],
)
def test_ids_that_could_not_be_decoded_are_never_of_one_patient(
    ours: dict[str, str], theirs: dict[str, str], named: str
) -> None:
    identity = PatientKeys.of(OURS | ours)
    found, passed_over = choose_priors([study(**theirs)], wanted(identity=identity))
    assert not found
    assert "another PatientID" in passed_over["1.2"]
    assert identity.contradictions(identity) == [named]


def test_the_study_of_the_job_is_no_prior() -> None:
    assert chosen(study("1.1")) == []


def test_an_earlier_study_of_the_same_day_counts_by_its_time() -> None:
    assert chosen(study(study_date=date(2025, 6, 1), study_time=time(11, 59))) == ["1.2"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"patient_birth_date": date(1980, 1, 31)}, "PatientBirthDate"),
        ({"patient_sex": "M"}, "PatientSex"),
        ({"issuer_of_patient_id": "HOSPITAL", "patient_sex": "M"}, "PatientSex"),
    ],
)
def test_a_study_of_the_id_and_of_another_person_is_refused_without_a_value(values: dict[str, Any], named: str) -> None:
    with pytest.raises(PatientMismatchError, match=rf"1\.2 \({named}\)") as caught:
        chosen(study(**values), study("1.3"))
    assert not any(value in str(caught.value) for value in (*OURS.values(), "1980") if len(value) > 1)


@pytest.mark.parametrize("values", [{"patient_sex": "O"}, {"patient_sex": ""}, {"issuer_of_patient_id": ""}])
def test_an_attribute_that_a_peer_leaves_out_contradicts_nothing(values: dict[str, Any]) -> None:
    assert chosen(study(**values)) == ["1.2"]


@pytest.mark.parametrize(
    ("studies", "before", "start"),
    [
        ([{"StudyDate": "20250601", "StudyTime": "101500.25"}], None, (2025, 6, 1, 10, 15)),
        ([{"StudyDate": "2025.06.01"}], None, (2025, 6, 1)),
        ([{"StudyDate": "20250601", "StudyTime": "nonsense"}], None, (2025, 6, 1)),
        ([{"StudyDate": "20240601"}, {"StudyDate": "20250601"}, {}], None, (2025, 6, 1)),
        ([], date(2024, 1, 1), (2024, 1, 1)),
        ([{"StudyDate": "20250601"}], datetime(2024, 1, 1, 9), (2024, 1, 1, 9)),  # noqa: DTZ001
    ],
)
def test_priors_are_earlier_than_what_is_given_or_the_latest_study(
    studies: list[dict[str, str]], before: date | None, start: tuple[int, int, int]
) -> None:
    assert start_of(studies, before) == datetime(*start)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("written", "start"),
    [
        ("101530", (10, 15, 30)),
        ("1015", (10, 15, 0)),
        ("10", (10, 0, 0)),
        ("101530.25", (10, 15, 30)),
        ("10:15:30", (10, 15, 30)),
        ("", (0, 0, 0)),
        ("99", (0, 0, 0)),
        ("noon", (0, 0, 0)),
    ],
)
def test_a_study_begins_at_its_time_as_far_as_that_is_written(written: str, start: tuple[int, int, int]) -> None:
    for day in ("20250601", "2025.06.01", "2025-06-01"):
        begun = start_of([{"StudyDate": day, "StudyTime": written}], None)
        assert begun == datetime(2025, 6, 1, *start)  # noqa: DTZ001


def test_without_any_date_the_day_must_be_given() -> None:
    with pytest.raises(ConfigurationError, match="give before="):
        start_of([{}], None)
