"""What a workspace remembers of a pulled session, and which jobs run of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.errors import ConfigurationError, JobNotFoundError
from dcm_processor_service.local.pulling.pulled_session import PULLED_NAME, PulledSession, pulled_session
from dcm_processor_service.local.service.running import CallbackSource, ServiceRun
from dcm_processor_service.local.workspace import Workspace
from dcm_processor_service.models import Job, JobEvent, Patient, SeriesRecord, Study
from dcm_processor_service.session.images.catalogue import Filed

if TYPE_CHECKING:
    from pathlib import Path

SERIES = [SeriesRecord(id=digit * 24, series_instance_uid=f"1.2.{digit}", patient_uid="p") for digit in "12"]
STUDY = Study(id="3" * 24, study_instance_uid="1.2", series_ids=tuple(one.id for one in SERIES), patient_uid="p")
PATIENT = Patient(id="4" * 24, patient_uid="p", study_ids=(STUDY.id,))


def job(number: int, name: str, subject: SeriesRecord | Study, *depends_on: int) -> Job:
    return Job(
        id=f"{number:024}",
        session_id="5" * 24,
        name=name,
        event=JobEvent.of(subject),
        service_name="lung",
        subject=subject,
        params={"threshold": number},
        added_params={name: {"seen": number}},
        depends_on=tuple(f"{one:024}" for one in depends_on),
    )


@pytest.fixture
def session() -> PulledSession:
    jobs = (
        job(2, "measure", SERIES[0], 1),
        job(1, "segment", SERIES[0]),
        job(3, "segment", SERIES[1]),
        job(4, "summary", STUDY, 1, 2, 3),
    )
    return PulledSession(Filed((PATIENT,), (STUDY,), tuple(SERIES), 2), jobs)


def planned(session: PulledSession, *names: str, event: JobEvent | None = None) -> list[list[tuple[str, ...]]]:
    levels = session.plan(names, event, {})
    return [[tuple(one.name for one in plan.jobs) for plan in plans] for plans in levels]


def test_jobs_run_level_by_level_each_after_those_it_depends_on(session: PulledSession) -> None:
    everything = planned(session, "segment", "measure", "summary")
    assert everything == [[("segment", "measure"), ("segment",)], [("summary",)], []]


def test_one_name_or_one_event_can_be_chosen(session: PulledSession) -> None:
    assert planned(session, "measure") == [[("measure",)], [], []]
    assert planned(session, "segment", "summary", event=JobEvent.STABLE_STUDY) == [[], [("summary",)], []]


def test_a_job_has_the_platforms_params_and_dependencies_and_those_that_are_given_go_before(
    session: PulledSession,
) -> None:
    ((plan,), _studies, _patients) = session.plan(["measure"], None, {"measure": {"threshold": 9, "more": 1}})
    (one,) = plan.jobs
    assert one.params == {"threshold": 9, "more": 1}
    assert one.added_params == {"measure": {"seen": 2}}
    assert (one.depends_on, one.service_name) == ((f"{1:024}",), "lung")


def test_a_name_that_the_session_had_not_is_reported_with_those_it_had(session: PulledSession) -> None:
    with pytest.raises(JobNotFoundError, match="it has: measure, segment, summary"):
        session.plan(["liver"], None, {})


def test_jobs_that_wait_for_each_other_run_all_the_same() -> None:
    jobs = (job(1, "a", SERIES[0], 2), job(2, "b", SERIES[0], 1))
    session = PulledSession(Filed((PATIENT,), (STUDY,), tuple(SERIES), 2), jobs)
    assert planned(session, "a", "b") == [[("a", "b")], [], []]


def test_what_is_written_is_read_again(session: PulledSession, tmp_path: Path) -> None:
    assert pulled_session(tmp_path) is None
    session.write(tmp_path)
    assert pulled_session(tmp_path) == session
    assert (tmp_path / PULLED_NAME).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", "{}", '{"filed": {}, "jobs": []}', "[]"])
def test_a_record_that_is_damaged_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / PULLED_NAME).write_text(text)
    with pytest.raises(ConfigurationError, match="pull the session again"):
        pulled_session(tmp_path)


def test_a_process_of_its_own_gives_a_job_what_the_platform_gave(session: PulledSession, tmp_path: Path) -> None:
    code = tmp_path / "measure.py"
    code.write_text("from dcm_processor_service import RuntimeContext\ndef run(ctx: RuntimeContext): ...\n")
    source = CallbackSource(f"{code}:run", "measure", JobEvent.STABLE_SERIES)
    run = ServiceRun(source, source.load(), Workspace(tmp_path / "work"), session.filed, pulled=True)
    ((plan,), *_others) = session.plan(["measure"], None, {})
    again, told = ServiceRun.of_request(json.loads(json.dumps(run._request(plan))))
    values = again._job_values(told.jobs[0])
    assert (values["depends_on"], values["service_name"], values["params"]) == ((f"{1:024}",), "lung", {"threshold": 2})
