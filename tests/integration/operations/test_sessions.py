"""Sessions of a real database in every state: listed, explained, run again, swept."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pymongo.monitoring import CommandListener

from dcm_processor_service import explain_session, list_sessions, retry_session, sweep_sessions
from dcm_processor_service.backends.mongo.job_documents import job as read_job
from dcm_processor_service.errors import (
    AmbiguousJobError,
    JobNotFoundError,
    RetryRefusedError,
    SessionNotFoundError,
    SessionsLockedError,
)
from dcm_processor_service.operations import sweeping
from tests.integration.operations.conftest import CHANNEL, DIED, DONE, LONG_AGO, LOST, NOW, Made, Platform

if TYPE_CHECKING:
    from dcm_processor_service import SessionSummary, SweepReport

pytestmark = pytest.mark.mongodb

WEEK = timedelta(days=7)
IMAGES = ("patients", "studies", "series", "dicomfiles.files", "dicomfiles.chunks")
OF_SESSIONS = ("sessions", "sessiondata", "sessionfiles.files", "sessionfiles.chunks")


def listed(platform: Platform, made: Made) -> SessionSummary:
    (found,) = [one for one in list_sessions(settings=platform.settings) if one.id == made.id]
    return found


def sweep(platform: Platform, **how: Any) -> SweepReport:
    return sweep_sessions(WEEK, settings=platform.settings, **how)


def swept(report: SweepReport) -> set[str]:
    return {one.session_id for one in report.swept}


@pytest.mark.parametrize(
    ("jobs", "state", "waits_for"),
    [
        ({"segment": DIED}, "stuck", "segment (stable-series, series 1.2.3), which died"),
        ({"segment": LOST}, "stuck", "segment (stable-series, series 1.2.3), which died"),
        ({"segment": {"attempts": 1}}, "stuck", "segment (stable-series, series 1.2.3), which died"),
        ({"segment": {}}, "waiting", f"no worker of the channel {CHANNEL} gives a sign"),
        ({"segment": DONE}, "waiting", "a worker to take post-service"),
        ({"segment": LOST | {"startedAt": NOW}}, "running", "the end of segment"),
        ({"segment": LOST | {"lastProgressAt": NOW}}, "running", "the end of segment"),
        ({"segment": DONE, "post": False}, "stuck", "jobs that the scheduler never made"),
        ({"segment": DONE, "post": False, "at": NOW}, "waiting", "the scheduler"),
    ],
)
def test_the_state_of_a_session_follows_from_its_jobs(
    platform: Platform, jobs: dict[str, Any], state: str, waits_for: str
) -> None:
    made = platform.session(**jobs)
    found = listed(platform, made)
    assert found.state == state
    assert waits_for in found.waits_for


def test_a_session_whose_last_job_is_done_has_ended_and_one_sentence_says_why_it_stays(platform: Platform) -> None:
    made = platform.session(segment=DONE)
    platform.database.jobs.update_one({"_id": made.jobs["post_services"]}, {"$set": DONE})
    assert listed(platform, made).state == "ended"
    assert "clean-up" in explain_session(made.id, settings=platform.settings).sentence


def test_only_a_fresh_heartbeat_of_the_very_job_makes_it_alive(platform: Platform) -> None:
    made = platform.session(segment=LOST)
    platform.heartbeat(made.jobs["segment"], at=LONG_AGO)
    platform.heartbeat(ObjectId())
    platform.heartbeat()
    assert listed(platform, made).state == "stuck"
    platform.heartbeat(made.jobs["segment"])
    assert listed(platform, made).state == "running"


def test_a_worker_that_polls_rarely_is_given_longer_before_its_job_counts_as_lost(platform: Platform) -> None:
    now = datetime.now(timezone.utc)
    made = platform.session(segment=LOST | {"startedAt": now - timedelta(minutes=4)})
    platform.heartbeat(made.jobs["segment"], at=now - timedelta(minutes=4))
    assert listed(platform, made).state == "stuck"
    expires = {"$set": {"expireAt": now - timedelta(minutes=4) + timedelta(seconds=10 + 20)}}
    platform.database.jobs.update_one({"is_worker": True}, expires)
    assert listed(platform, made).state == "running"
    platform.database.jobs.update_one({"is_worker": True}, {"$set": {"current_job_id": ObjectId()}})
    assert listed(platform, made).state == "running"  # it was started since the last beat


def test_what_a_session_holds_is_reported_in_bytes_whatever_type_its_ids_have(platform: Platform) -> None:
    made = platform.session(segment=DIED)
    platform.database.sessiondata.insert_one({"session_id": made.id, "value": "x" * 1000})
    held = listed(platform, made).held
    assert (held.files, held.images) == (500, 2000)
    assert 1000 < held.data < 1400
    assert held.total == held.data + 2500


def test_sessions_are_listed_oldest_first_with_equal_digests_for_one_patient(platform: Platform) -> None:
    later, earlier = platform.session(at=NOW, segment=DIED), platform.session(segment=DIED)
    (patient,) = platform.database.sessions.find({"_id": ObjectId(earlier.id)})
    same = {"$set": {"patient_id": str(patient["patient_id"])}}
    platform.database.sessions.update_one({"_id": ObjectId(later.id)}, same)
    found = list_sessions(settings=platform.settings)
    assert [one.id for one in found] == [earlier.id, later.id]
    assert len({one.patient for one in found}) == 1
    assert str(patient["patient_id"]) not in repr(found)


def test_a_diagnosis_names_the_job_its_cause_and_what_waits_for_it(platform: Platform) -> None:
    platform.install("import os\ndef worker(**_):\n    os._exit(1)\n")
    made = platform.session(segment={**DIED, "startedAt": LONG_AGO}, measure={}, report={})
    found = explain_session(made.id, settings=platform.settings)
    (death,) = found.deaths
    assert (death.job, death.cause, death.service, death.subject_uid) == ("segment", "exit", "liver", "1.2.3")
    assert death.holds_back == tuple(str(made.jobs[name]) for name in ("measure", "report", "post_services"))
    assert "holds back 3 jobs" in found.sentence
    assert "Doe" not in repr(found)


def test_code_that_was_installed_after_a_job_died_is_no_evidence(platform: Platform) -> None:
    platform.install("def (")
    made = platform.session(segment={**DIED, "startedAt": LONG_AGO})
    assert explain_session(made.id, settings=platform.settings).deaths[0].cause == "syntax_error"
    platform.database["componentfiles.files"].update_many({}, {"$set": {"uploadDate": NOW}})
    assert not explain_session(made.id, settings=platform.settings).deaths[0].certain


def test_a_job_that_had_stored_something_was_killed(platform: Platform) -> None:
    made = platform.session(segment=DIED)
    stored = {"session_id": ObjectId(made.id), "job_id": made.jobs["segment"], "name": "a", "value": 1}
    platform.database.sessiondata.insert_one(stored)
    (death,) = explain_session(made.id, settings=platform.settings).deaths
    assert death.causes == ("killed", "out_of_memory")


def test_a_session_that_is_not_there_is_reported(platform: Platform) -> None:
    for asked in (explain_session, retry_session):
        with pytest.raises(SessionNotFoundError):
            asked("5e" * 12, settings=platform.settings)


@pytest.mark.parametrize("state", [DIED, LOST, {"attempts": 1}])
@pytest.mark.parametrize("by", ["", "name", "id"])
def test_a_retry_makes_a_dead_job_as_the_queue_takes_it(platform: Platform, state: dict[str, Any], by: str) -> None:
    made = platform.session(segment=state, measure={})
    job_id = made.jobs["segment"]
    named = {"": "", "name": "segment", "id": str(job_id)}[by]
    (retried,) = retry_session(made.id, named, settings=platform.settings).jobs
    assert (retried.job_id, retried.released) == (str(job_id), 2)
    document = platform.job(job_id)
    # what mqas looks for when it looks for a job
    wanted = {"inProgress": False, "done": False, "error": False, "attempts": 0}
    assert {name: document[name] for name in wanted} == wanted
    assert not {"errorMessage", "lastErrorAt", "startedAt"} & document.keys()
    assert listed(platform, made).state == "waiting"
    assert platform.job(made.jobs["measure"])["attempts"] == 0


def test_a_header_that_ended_the_script_is_escaped_for_the_worker_and_read_as_it_was(platform: Platform) -> None:
    made = platform.session(segment=DIED)
    described = {
        "data.kwargs.headers.Metadata.StudyDescription": 'the "best" \\ one',
        "data.kwargs.params.pattern": r"a\b",  # survives by chance, as something else
    }
    platform.database.jobs.update_one({"_id": made.jobs["segment"]}, {"$set": described})
    assert explain_session(made.id, settings=platform.settings).deaths[0].causes == ("quote", "backslash")
    retry_session(made.id, settings=platform.settings)
    document = platform.job(made.jobs["segment"])
    assert document["data"]["kwargs"]["headers"]["Metadata"]["StudyDescription"] == r"the \"best\" \\ one"
    job = read_job(document)
    assert job.params["pattern"] == r"a\b"
    assert document["data"]["kwargs"]["params"]["pattern"] == r"a\\b"
    subject = job.subject
    assert subject is not None
    assert subject.metadata == {"PatientName": "Doe^Jane", "StudyDescription": 'the "best" \\ one'}


def test_a_job_that_would_die_again_of_its_arguments_is_not_retried(platform: Platform) -> None:
    made = platform.session(segment=DIED)
    platform.database.jobs.update_one({"_id": made.jobs["segment"]}, {"$set": {"data.kwargs.db_url": 'a"b'}})
    with pytest.raises(RetryRefusedError, match="db_url holds a quotation mark"):
        retry_session(made.id, settings=platform.settings)
    assert platform.job(made.jobs["segment"])["error"]


def test_only_a_dead_job_is_retried(platform: Platform) -> None:
    made = platform.session(segment=DONE, measure=LOST | {"startedAt": NOW}, report={})
    for name, reason in (("segment", "is done"), ("measure", "is in progress"), ("report", "waits for its turn")):
        with pytest.raises(RetryRefusedError, match=reason):
            retry_session(made.id, name, settings=platform.settings)
    with pytest.raises(RetryRefusedError, match="no job of the session"):
        retry_session(made.id, settings=platform.settings)
    with pytest.raises(JobNotFoundError, match="no job 'other'"):
        retry_session(made.id, "other", settings=platform.settings)


def test_a_name_of_several_dead_jobs_is_refused_with_their_ids(platform: Platform) -> None:
    made = platform.session(segment=DIED, measure=DIED)
    platform.database.jobs.update_many({"job_name": "measure"}, {"$set": {"job_name": "segment"}})
    with pytest.raises(AmbiguousJobError, match=str(made.jobs["measure"])):
        retry_session(made.id, "segment", settings=platform.settings)


def test_a_sweep_removes_in_batches_what_is_dead_for_long_and_leaves_everything_else(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 2)
    gone = [platform.session(segment=DIED), platform.session(segment=LOST), platform.session(pre=False, post=False)]
    running, waiting = platform.session(segment=LOST), platform.session(segment={})
    young = platform.session(segment=DIED | {"lastErrorAt": NOW})
    platform.heartbeat(running.jobs["segment"])
    report = sweep(platform)
    assert swept(report) == {made.id for made in gone}
    reasons = {one.session_id: one.reason for one in report.left}
    assert (reasons[running.id], reasons[waiting.id]) == ("it is running", "it is waiting")
    assert reasons[young.id].startswith("it is stuck for ")
    assert platform.count(*OF_SESSIONS) == dict.fromkeys(OF_SESSIONS, 3)
    assert platform.count(*IMAGES) == dict.fromkeys(IMAGES[:3], 3) | dict.fromkeys(IMAGES[3:], 6)


def test_a_second_sweep_removes_nothing_more(platform: Platform) -> None:
    made = platform.session(segment=DIED)
    assert swept(sweep(platform)) == {made.id}
    after = platform.count(*IMAGES, *OF_SESSIONS, "jobs", "sessionaudit")
    assert swept(sweep(platform)) == set()
    assert platform.count(*IMAGES, *OF_SESSIONS, "jobs", "sessionaudit") == after
    assert platform.count(*IMAGES, *OF_SESSIONS) == dict.fromkeys((*IMAGES, *OF_SESSIONS), 0)


def test_swept_jobs_keep_what_ran_and_nothing_of_the_patient(platform: Platform) -> None:
    made = platform.session(segment=DIED)
    sweep(platform)
    jobs = list(platform.database.jobs.find())
    assert {job["_id"] for job in jobs} == {*made.jobs.values()}
    assert "Doe" not in repr(jobs)
    (entry,) = platform.database.sessionaudit.find()
    assert (entry["action"], entry["session_id"], entry["policy"]) == ("sweep", made.id, "all")
    assert entry["held"]["images"] == 2000
    assert "Doe" not in repr(entry)


def test_a_dry_run_tells_the_same_and_writes_nothing(platform: Platform) -> None:
    platform.session(segment=DIED)
    before = {name: list(platform.database[name].find()) for name in platform.database.list_collection_names()}
    looked = sweep(platform, dry_run=True)
    assert before == {name: list(platform.database[name].find()) for name in platform.database.list_collection_names()}
    assert swept(looked) == swept(sweep(platform))
    assert looked.freed_bytes > 2500


@pytest.mark.parametrize(("policy", "images", "sessions"), [("keep", 2, 1), ("session", 2, 0), ("all", 0, 0)])
def test_the_policy_says_what_goes(platform: Platform, policy: Any, images: int, sessions: int) -> None:
    platform.session(segment=DIED)
    sweep(platform, policy=policy)
    assert platform.count("dicomfiles.files", "sessions") == {"dicomfiles.files": images, "sessions": sessions}


def test_images_that_a_live_session_of_the_patient_needs_stay(platform: Platform) -> None:
    dead, live = platform.session(segment=DIED), platform.session(at=NOW, segment=LOST | {"startedAt": NOW})
    (patient,) = platform.database.sessions.find({"_id": ObjectId(dead.id)})
    own = {"$set": {"patient_id": patient["patient_id"]}}
    platform.database.sessions.update_one({"_id": ObjectId(live.id)}, own)
    (one,) = sweep(platform).swept
    assert one.removed is not None
    assert (one.removed.images.instances, one.removed.images.kept_instances) == (0, 2)


def test_an_interrupted_sweep_is_finished_by_the_next_and_its_jobs_are_not_retried(platform: Platform) -> None:
    made = platform.session(segment=DIED, measure={})
    ids = [made.jobs[name] for name in ("segment", "measure", "post_services")]
    platform.database.jobs.update_many({"_id": {"$in": ids}}, {"$set": {"swept": True, "attempts": 1}})
    platform.database["dicomfiles.chunks"].delete_one({})
    with pytest.raises(RetryRefusedError, match="a sweep has begun"):
        retry_session(made.id, settings=platform.settings)
    assert [death.job for death in explain_session(made.id, settings=platform.settings).deaths] == ["segment"]
    assert swept(sweep(platform)) == {made.id}
    assert platform.count(*IMAGES, *OF_SESSIONS) == dict.fromkeys((*IMAGES, *OF_SESSIONS), 0)


@pytest.mark.parametrize("until", [NOW, LONG_AGO])
def test_one_sweeps_or_retries_at_a_time_until_the_lease_of_a_dead_one_ends(
    platform: Platform, until: datetime
) -> None:
    made = platform.session(segment=DIED)
    platform.database.leases.insert_one({"_id": "sessions", "holder": "another", "until": until})
    if until == NOW:
        for work in (lambda: sweep(platform), lambda: retry_session(made.id, settings=platform.settings)):
            with pytest.raises(SessionsLockedError) as raised:
                work()
            assert raised.value.retryable
        assert platform.count("sessions") == {"sessions": 1}
        assert swept(sweep(platform, dry_run=True)) == {made.id}
    else:
        assert swept(sweep(platform)) == {made.id}
        assert platform.count("leases") == {"leases": 0}


class Interloper(CommandListener):
    """A worker that takes a job at the time when a sweep has begun to fence its session."""

    def __init__(self, platform: Platform, job_id: ObjectId) -> None:
        self._platform, self._job_id, self.came = platform, job_id, False

    def started(self, event: Any) -> None:
        if event.command_name == "update" and event.command["update"] == "jobs" and not self.came:
            self.came = True
            taken = {"$set": {"inProgress": True, "error": False, "startedAt": NOW + timedelta(seconds=1)}}
            self._platform.database.jobs.update_one({"_id": self._job_id}, taken)

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...


def test_a_session_that_comes_to_life_while_it_is_fenced_is_given_back(platform: Platform) -> None:
    from pymongo.monitoring import _LISTENERS, register

    made = platform.session(segment=DIED, measure={})
    interloper = Interloper(platform, made.jobs["segment"])
    register(interloper)
    try:
        report = sweep(platform)
    finally:
        _LISTENERS.command_listeners.remove(interloper)
    assert interloper.came
    assert {one.session_id: one.reason for one in report.left} == {
        made.id: "a job of it was started or ended meanwhile"
    }
    measure = platform.job(made.jobs["measure"])
    assert (measure["attempts"], "swept" in measure) == (0, False)
    assert platform.count("sessions", "dicomfiles.files") == {"sessions": 1, "dicomfiles.files": 2}
