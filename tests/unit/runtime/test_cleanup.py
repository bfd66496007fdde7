"""What goes at the end of a session, and what stays: every rule of the clean-up, over memory."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import permutations

import pytest

from dcm_processor_service.backends.memory import MemoryStore
from dcm_processor_service.errors import SessionNotFoundError
from dcm_processor_service.models import (
    CleanupPolicy,
    CleanupReport,
    Instance,
    Patient,
    RemovedImages,
    SeriesRecord,
    SessionRecord,
    StoredFile,
    Study,
)
from dcm_processor_service.ports import JobKey
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.runtime.session_lifecycle import clean_up_session, prepare_session

NOW = datetime(2024, 2, 29, 12, 0, 0, tzinfo=timezone.utc)
OWN, OTHER, PATIENT = "5e" * 12, "6f" * 12, "70" * 12
SERIES = ("a1" * 12, "a2" * 12)


def before(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def store() -> MemoryStore:
    """One session of one patient: two series of two instances, data and files of two sessions."""
    made = MemoryStore()
    made.sessions[OWN] = SessionRecord(id=OWN, patient_id=PATIENT, created_at=NOW)
    made.subjects[PATIENT] = Patient(id=PATIENT, study_ids=("s1",))
    made.subjects["s1"] = Study(id="s1", series_ids=SERIES)
    for series_id in SERIES:
        made.subjects[series_id] = SeriesRecord(id=series_id)
        for number in (1, 2):
            arrive(made, series_id, f"{series_id}-{number}", before(30))
    for session_id in (OWN, OTHER):
        for job_id in ("j1", "j2"):
            key = JobKey(session_id, job_id)
            made.values[key, "a"] = 1
            made.files[key, "f"] = (StoredFile(id="x", job_id=job_id, name="f", size_bytes=1), b"x")
    return made


def arrive(store: MemoryStore, series_id: str, instance_id: str, moment: datetime) -> None:
    store.instances[instance_id] = (Instance(id=instance_id), b"")
    store.arrived_at[instance_id] = moment
    store.series_instances.setdefault(series_id, []).append(instance_id)


def clean_up(store: MemoryStore, policy: CleanupPolicy = "all", session_id: str = OWN) -> CleanupReport:
    return run_inline(clean_up_session(store.backend().sessions, session_id, policy))


def test_the_open_sessions_of_a_patient_are_listed_oldest_first(store: MemoryStore) -> None:
    times = {"a1" * 12: after(5), "a2" * 12: before(5), "a3" * 12: before(50)}
    for session_id, moment in times.items():
        store.sessions[session_id] = SessionRecord(id=session_id, patient_id=PATIENT, created_at=moment)
    store.sessions[OTHER] = SessionRecord(id=OTHER, patient_id="71" * 12, created_at=NOW)
    listed = [session.id for session in run_inline(store.backend().sessions.of_patient(PATIENT))]
    assert listed == ["a3" * 12, "a2" * 12, OWN, "a1" * 12]


def test_all_goes_and_is_counted(store: MemoryStore) -> None:
    report = clean_up(store)
    assert (report.data, report.files, report.sessions) == (2, 2, 1)
    assert report.images == RemovedImages(instances=4, series=2, studies=1, patients=1)
    assert (store.subjects, store.instances, store.sessions) == ({}, {}, {})
    assert {key.session_id for key, _name in (*store.values, *store.files)} == {OTHER}


def test_with_session_the_images_stay(store: MemoryStore) -> None:
    report = clean_up(store, "session")
    assert (report.data, report.files, report.sessions) == (2, 2, 1)
    assert report.images == RemovedImages()
    assert len(store.instances) == 4
    assert store.sessions == {}


def test_with_keep_everything_stays(store: MemoryStore) -> None:
    assert clean_up(store, "keep") == CleanupReport(session_id=OWN, policy="keep")
    assert (len(store.values), len(store.files), len(store.instances), len(store.sessions)) == (4, 4, 4, 1)


def test_it_can_be_run_again(store: MemoryStore) -> None:
    clean_up(store)
    assert clean_up(store) == CleanupReport(session_id=OWN, policy="all")


def test_data_of_a_session_whose_document_is_gone_goes(store: MemoryStore) -> None:
    report = clean_up(store, session_id=OTHER)
    assert (report.data, report.files, report.sessions) == (2, 2, 0)
    assert len(store.instances) == 4


@pytest.mark.parametrize("moment", [NOW, after(0.001), after(60)])
def test_what_arrived_since_the_session_was_made_stays(store: MemoryStore, moment: datetime) -> None:
    arrive(store, SERIES[0], "late", moment)
    report = clean_up(store)
    assert report.images == RemovedImages(instances=4, series=1, kept_instances=1)
    assert list(store.instances) == ["late"]
    assert set(store.subjects) == {PATIENT, "s1", SERIES[0]}
    assert store.series_instances[SERIES[0]] == ["late"]


def test_what_a_later_session_needs_stays_for_it(store: MemoryStore) -> None:
    arrive(store, SERIES[0], "late", after(5))
    store.sessions[OTHER] = SessionRecord(id=OTHER, patient_id=PATIENT, created_at=after(30))
    report = clean_up(store)
    assert report.images == RemovedImages(kept_instances=5)
    assert len(store.instances) == 5
    last = clean_up(store, session_id=OTHER)
    assert last.images == RemovedImages(instances=5, series=2, studies=1, patients=1)
    assert store.subjects == {}


def test_what_an_earlier_session_still_needs_stays_for_it(store: MemoryStore) -> None:
    store.sessions[OTHER] = SessionRecord(id=OTHER, patient_id=PATIENT, created_at=after(30))
    arrive(store, SERIES[1], "between", after(5))
    report = clean_up(store, session_id=OTHER)
    assert report.images == RemovedImages(instances=1, kept_instances=4)
    assert "between" not in store.instances
    assert clean_up(store).images == RemovedImages(instances=4, series=2, studies=1, patients=1)


def test_a_session_made_at_the_same_moment_keeps_all(store: MemoryStore) -> None:
    store.sessions[OTHER] = SessionRecord(id=OTHER, patient_id=PATIENT, created_at=NOW)
    assert clean_up(store).images.instances == 0
    assert clean_up(store, session_id=OTHER).images.instances == 4


@pytest.mark.parametrize("order", list(permutations(("early", "middle", "late"))))
def test_of_three_open_sessions_each_keeps_what_it_needs_whichever_is_closed_first(
    store: MemoryStore, order: tuple[str, ...]
) -> None:
    made = {"early": before(20), "middle": NOW, "late": after(20)}
    arrived = {"all": before(30), "two": before(10), "only the last": NOW, "the last": after(10), "none": after(20)}
    store.sessions.clear()
    store.series_instances.clear()
    store.instances.clear()
    store.arrived_at.clear()
    for name, created_at in made.items():
        store.sessions[name] = SessionRecord(id=name, patient_id=PATIENT, created_at=created_at)
    for instance_id, arrived_at in arrived.items():
        arrive(store, SERIES[0], instance_id, arrived_at)
    for number, closed in enumerate(order, 1):
        report = clean_up(store, session_id=closed)
        needed_until = max((made[name] for name in order[number:]), default=None)
        kept = [one for one, at in arrived.items() if one == "none" or (needed_until and at < needed_until)]
        assert list(store.instances) == kept
        assert report.images.kept_instances == len(kept)
        assert report.sessions == 1
    assert set(store.subjects) == {PATIENT, "s1", SERIES[0]}


def test_two_other_sessions_of_another_time_and_patient_are_distinguished(store: MemoryStore) -> None:
    store.sessions["7f" * 12] = SessionRecord(id="7f" * 12, patient_id=PATIENT, created_at=before(60))
    store.sessions[OTHER] = SessionRecord(id=OTHER, patient_id="71" * 12, created_at=after(60))
    report = clean_up(store)
    assert report.images == RemovedImages(instances=4, series=2, studies=1, patients=1)
    assert set(store.sessions) == {OTHER, "7f" * 12}


def test_a_session_of_another_patient_keeps_nothing(store: MemoryStore) -> None:
    store.sessions[OTHER] = SessionRecord(id=OTHER, patient_id="71" * 12, created_at=after(30))
    assert clean_up(store).images.instances == 4


@pytest.mark.parametrize("missing", [PATIENT, "s1", *SERIES])
def test_a_missing_document_is_passed_over(store: MemoryStore, missing: str) -> None:
    del store.subjects[missing]
    report = clean_up(store)
    assert report.sessions == 1
    assert store.sessions == {}
    if missing in SERIES:
        assert report.images == RemovedImages(instances=4, series=1, studies=1, patients=1)


def test_a_session_without_a_patient_is_cleaned_up(store: MemoryStore) -> None:
    store.sessions[OWN] = SessionRecord(id=OWN, created_at=NOW)
    assert clean_up(store).images == RemovedImages()
    assert store.sessions == {}


def test_a_session_is_made_ready_when_it_is_there(store: MemoryStore) -> None:
    assert run_inline(prepare_session(store.backend().sessions, OWN)) == []
    with pytest.raises(SessionNotFoundError, match="DCM-PROCESSOR-SERVICE-SESSION-ID"):
        run_inline(prepare_session(store.backend().sessions, OTHER))
