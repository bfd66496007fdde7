"""Each way to die in which the platform leaves a session for ever: named, run again or swept; a live one is let be."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId
from pydicom import dcmread
from pydicom.uid import generate_uid

from dcm_processor_service import RuntimeSettings, explain_session, list_sessions, retry_session, sweep_sessions
from dcm_processor_service.models.platform_ids import NO_ID
from tests.command_line import Ran, run_here
from tests.faults.mongo.servers import Mongod, running_standalone
from tests.integration.platform.application import DEVICE, Application, Document
from tests.memory_group import kills_in, memory_group
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dcm_processor_service import RetryReport, SessionDiagnosis, SessionSummary, SweepReport

pytestmark = pytest.mark.mongodb

SERVICE = Path(__file__).resolve().parent / "services" / "deaths"
SECRETS = ("Doe^Jane", "ID-4711", 'the "best" one', "Friday", "shoulder")
COMMENTS = {"backslash": r"shoulder \ arm", "line_break": "since Friday\r\nagain"}
DESCRIPTION = 'the "best" one'

IN_ONE_RUN = {
    "quote": "calm",
    "backslash": "calm",
    "line_break": "calm",
    "import_error": "calm",
    "syntax_error": "calm",
    "killed": "killed",
    "out_of_memory": "starved",
    "exit": "leaves",
    "result_not_json": "no_json",
}
ENDS_THE_QUEUE = {"integer_too_large": "huge_integer", "result_too_large": "huge_text"}
WAYS = {**IN_ONE_RUN, **ENDS_THE_QUEUE, "worker_killed": "waits", "database_restarted": "waits"}
STARVED_BYTES = 64 << 20
LEFT_OPEN = {"killed", "out_of_memory", "exit", "worker_killed", "integer_too_large", "result_too_large"}
"""The documents leave more than one cause possible."""
NOTHING = dict.fromkeys(
    ("sessions", "patients", "studies", "series", "dicomfiles.files", "dicomfiles.chunks", "sessiondata"), 0
) | dict.fromkeys(("sessionfiles.files", "sessionfiles.chunks"), 0)


@dataclass
class Story:
    """What happened, in this order."""

    application: Application
    sessions: dict[str, str] = field(default_factory=dict)
    listed: list[SessionSummary] = field(default_factory=list)
    why: SessionDiagnosis | None = None
    printed: list[Ran] = field(default_factory=list)
    cured: RetryReport | None = None
    cured_results: dict[str, Any] = field(default_factory=dict)
    looked: SweepReport | None = None
    swept: SweepReport | None = None
    swept_again: SweepReport | None = None
    live_before: list[Any] = field(default_factory=list)
    live_after: list[Any] = field(default_factory=list)
    left_of_doomed: list[Document] = field(default_factory=list)
    left_at_the_end: dict[str, int] = field(default_factory=dict)
    kernel_kills: int | None = None
    """How many processes the kernel ended for lack of memory; None where nobody may limit it."""


class Platform:
    """The platform at work on three patients: of one every job dies, of one a job is killed once, one lives."""

    def __init__(self, application: Application, server: Mongod, memory_group: Path | None) -> None:
        self.application = application
        self.memory_group = memory_group
        self.server = server
        self.folder = application.folder
        self.settings = RuntimeSettings.without_environment(
            db_provider="mongodb", db_url=application.url, db_name=application.name, session_id=NO_ID, job_id=NO_ID
        )
        self.variables: Mapping[str, str] = {
            "DCM_PROCESSOR_SERVICE_DB_PROVIDER": "mongodb",
            "DCM_PROCESSOR_SERVICE_DB_URL": application.url,
            "DCM_PROCESSOR_SERVICE_DB_NAME": application.name,
        }

    @property
    def params(self) -> dict[str, str]:
        """Of every job: where its files are, and the control group whose memory runs out, where one can be made."""
        return {"folder": str(self.folder), "memory_group": str(self.memory_group or "")}

    def add_services(self) -> None:
        job = {"events": ["stable-series"], "registryEntry": "named", "params": self.params}
        broken = {"import_error": "import no_such_library\n\n", "syntax_error": "def (\n\n"}
        entries = {**WAYS, "killed_once": "killed_once", "live": "waits"}
        self.application.add_service(
            "deaths",
            SERVICE,
            [{"jobName": name, "workerEntry": entry, **job} for name, entry in entries.items() if name not in broken],
        )
        for name, line in broken.items():
            folder = self.folder / name
            (folder / "module").mkdir(parents=True)
            (folder / "module" / "__init__.py").write_text(f"{line}def calm(**_): return 1\n")
            (folder / "registry").symlink_to(SERVICE / "registry")
            self.application.add_service(name, folder, [{"jobName": name, "workerEntry": "calm", **job}])

    def send(self, scan: Path) -> None:
        """Sends a series for each job, of three patients."""
        folder = self.folder / "scans"
        folder.mkdir()
        studies = {name: generate_uid() for name in ("doomed", "retried", "live")}
        for number, way in enumerate(["killed", *sorted(WAYS.keys() - {"killed"}), "killed_once", "live"]):
            patient = {"killed_once": "retried", "live": "live"}.get(way, "doomed")
            slice_ = dcmread(scan)
            slice_.PatientName, slice_.PatientID = "Doe^Jane", f"ID-4711-{patient}"
            slice_.StudyInstanceUID, slice_.SeriesInstanceUID = studies[patient], generate_uid()
            slice_.SOPInstanceUID = slice_.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            slice_.ProtocolName = way
            slice_.SeriesDescription = DESCRIPTION if way == "quote" else "calm"
            slice_.PatientComments = COMMENTS.get(way, "")
            slice_.save_as(folder / f"{number:02}.dcm")
        peer_id = self.application.add_peer("scanner", "SCANNER", free_port())
        self.application.run("ingest", peer_id, str(folder))
        arrived = int(time.time())  # a session is of a later second than its images: the platform waits for 5 at least
        self.application.wait_until("the next second", lambda: int(time.time()) > arrived, timeout_s=5)
        self.application.run("schedule", DEVICE)

    def job(self, name: str) -> Document:
        (found,) = self.application.jobs(job_name=name)
        return found

    def run(self, *jobs: Document) -> None:
        self.application.run("run", DEVICE, *(str(job["_id"]) for job in jobs))

    def let_die(self) -> None:
        """Has each job die as it does."""
        services = [job for job in self.application.jobs() if "job_name" not in job]
        before = [job for job in services if job["data"]["function_name"].endswith("pre_services")]
        self.run(*before, *(self.job(name) for name in (*IN_ONE_RUN, "killed_once")))
        for name, error in (("integer_too_large", "OverflowError"), ("result_too_large", "DocumentTooLarge")):
            with pytest.raises(AssertionError, match=error):
                self.run(self.job(name))
        self.start_worker_on("worker_killed")
        self.application.kill("worker")
        self.start_worker_on("database_restarted")
        self.server.process.terminate()
        self.server.process.wait()
        (self.folder / "database_restarted-may-end").touch()  # a worker minds when it records the end of a job
        self.application.wait_for_end("worker", timeout_s=180)
        self.server.start()
        self.start_worker_on("live")

    def start_worker_on(self, name: str) -> None:
        """Starts a worker that takes this job first; waits until its heartbeat says so."""
        job_id = self.job(name)["_id"]
        jobs = self.application.database.jobs
        jobs.update_many({"priority": {"$gt": 0}}, {"$set": {"priority": 0}})
        jobs.update_one({"_id": job_id}, {"$set": {"priority": 1}})
        self.application.start("worker", DEVICE)
        beat = {"is_worker": True, "current_job_id": job_id}
        self.application.wait_until(f"a worker runs {name}", lambda: jobs.count_documents(beat) == 1, timeout_s=120)

    def let_time_pass(self) -> None:
        """Dates what the dead have left a minute and more back, and the start of the live job an hour."""
        jobs = self.application.database.jobs
        lost = [self.job(name)["_id"] for name in ("worker_killed", "database_restarted", *ENDS_THE_QUEUE)]
        for query, seconds in (
            ({"$or": [{"_id": {"$in": lost}}, {"current_job_id": {"$in": lost}}]}, 65),
            ({"_id": self.job("live")["_id"]}, 3600),
        ):
            for name in ("startedAt", "updatedAt", "expireAt"):
                back = {"$subtract": [f"${name}", seconds * 1000]}
                jobs.update_many({**query, name: {"$exists": True}}, [{"$set": {name: back}}])

    def documents_of(self, session_id: str) -> list[Any]:
        """All that the platform has of a session and its images, but for what the running job changes."""
        database = self.application.database
        (session,) = database.sessions.find({"_id": ObjectId(session_id)})
        patient = database.patients.find_one({"_id": session["patient_id"]}) or {}
        uid = {"PatientUID": patient["PatientUID"]}
        files = {"metadata.PatientID": patient["Metadata"]["PatientID"]}
        return [
            *(session, patient, *database.studies.find(uid), *database.series.find(uid)),
            *database["dicomfiles.files"].find(files),
            *database.jobs.find({"sessionId": session_id}),
        ]

    def finish(self) -> None:
        """Runs what a retry has released, then lets the live job end."""
        self.run(self.job("killed_once"))
        (post,) = (
            job
            for job in self.application.jobs(sessionId=self.job("killed_once")["sessionId"])
            if job["data"]["function_name"].endswith("post_services")
        )
        self.run(post)
        (self.folder / "live-may-end").touch()
        self.application.wait_until(
            "the live session ends", lambda: self.application.count("sessions") == {"sessions": 0}, timeout_s=180
        )


def tell(platform: Platform, story: Story) -> None:
    """Looks, cures, sweeps and ends."""
    names = {"doomed": "killed", "retried": "killed_once", "live": "live"}
    story.sessions = {name: str(platform.job(job)["sessionId"]) for name, job in names.items()}
    doomed, settings = story.sessions["doomed"], platform.settings
    story.listed, story.why = list_sessions(settings=settings), explain_session(doomed, settings=settings)
    for words in (["list"], ["list", "--json"], ["why", doomed], ["why", doomed, "--json"]):
        story.printed.append(run_here("sessions", *words, variables=platform.variables))
    retry_session(story.sessions["retried"], "killed_once", settings=settings)
    story.live_before = platform.documents_of(story.sessions["live"])
    for way in ("quote", "backslash", "line_break"):
        story.cured = retry_session(doomed, way, settings=settings)
    platform.run(*(platform.job(way) for way in ("quote", "backslash", "line_break")))
    story.cured_results = {way: platform.job(way).get("result") for way in ("quote", "backslash", "line_break")}
    story.looked = sweep_sessions(timedelta(), dry_run=True, settings=settings)
    story.printed.append(
        run_here("sessions", "sweep", "--older-than", "0s", "--dry-run", "--json", variables=platform.variables)
    )
    story.swept = sweep_sessions(timedelta(), settings=settings)
    story.swept_again = sweep_sessions(timedelta(), settings=settings)
    story.live_after = platform.documents_of(story.sessions["live"])
    story.left_of_doomed = platform.application.jobs(sessionId=doomed)
    platform.finish()
    story.left_at_the_end = platform.application.count(*NOTHING)


@pytest.fixture(scope="module")
def story(platform_python: Path, scan_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with running_standalone() as server, memory_group(STARVED_BYTES) as group:
        url = f"{server.url}&serverSelectionTimeoutMS=2000"
        application = Application(platform_python, url, "never_ends", tmp_path_factory.mktemp("platform"))
        with application.running():
            platform = Platform(application, server, group)
            platform.add_services()
            platform.send(next(iter(sorted((scan_folder / "CT2N").iterdir()))))
            platform.let_die()
            platform.let_time_pass()
            told = Story(application)
            tell(platform, told)
            told.kernel_kills = None if group is None else kills_in(group)
            yield told


@pytest.mark.parametrize("way", WAYS)
def test_why_names_what_killed_the_job(story: Story, way: str) -> None:
    assert story.why is not None
    (death,) = (one for one in story.why.deaths if one.job == way)
    assert way in death.causes, death
    assert death.cause == way or way in LEFT_OPEN, death
    assert death.holds_back


def test_memory_really_ran_out(story: Story) -> None:
    if story.kernel_kills is None:
        pytest.skip("this machine lets nobody but its own system limit memory; the job was ended by SIGKILL instead")
    assert story.kernel_kills == 1


def test_a_live_session_is_running_and_a_dead_one_stuck(story: Story) -> None:
    states = {one.id: one.state for one in story.listed}
    assert states == {
        story.sessions["doomed"]: "stuck",
        story.sessions["retried"]: "stuck",
        story.sessions["live"]: "running",
    }
    assert all(one.held.images > 0 for one in story.listed)


def test_a_header_that_ended_the_script_arrives_after_a_retry(story: Story) -> None:
    texts = {way: result["result"] for way, result in story.cured_results.items()}
    assert texts["quote"]["SeriesDescription"] == DESCRIPTION
    assert texts["backslash"]["PatientComments"] == COMMENTS["backslash"]
    assert texts["line_break"]["PatientComments"] == COMMENTS["line_break"]


def test_a_dry_run_names_what_a_sweep_removes_and_a_second_sweep_finds_nothing(story: Story) -> None:
    assert story.looked is not None
    assert story.swept is not None
    assert story.swept_again is not None
    assert [one.session_id for one in story.looked.swept] == [story.sessions["doomed"]]
    (swept,) = story.swept.swept
    assert swept.session_id == story.sessions["doomed"]
    assert swept.removed is not None
    assert swept.removed.images.instances == len(WAYS)
    assert {one.session_id: one.reason for one in story.swept.left} == {
        story.sessions["retried"]: "it is waiting",
        story.sessions["live"]: "it is running",
    }
    assert story.swept_again.swept == ()


def test_a_live_session_beside_a_sweep_is_untouched(story: Story) -> None:
    assert story.live_before == story.live_after
    assert any(job.get("inProgress") for job in story.live_after)


def test_nothing_of_a_patient_is_left(story: Story) -> None:
    assert story.left_at_the_end == NOTHING
    assert story.left_of_doomed
    for job in story.left_of_doomed:
        assert not any(secret in repr(job) for secret in SECRETS), job["_id"]


def test_every_sweep_and_retry_left_a_trace_for_an_audit(story: Story) -> None:
    entries = list(story.application.database.sessionaudit.find())
    assert [entry["action"] for entry in entries] == ["retry"] * 4 + ["sweep"]
    assert all(entry["by"] and entry["at"] for entry in entries)


def test_the_commands_print_states_and_causes_and_no_patient(story: Story) -> None:
    table, rows, sentence, record, dry_run = story.printed
    assert all(ran.code == 0 for ran in story.printed), story.printed
    assert "stuck" in table.stdout
    assert {json.loads(line)["state"] for line in rows.stdout.splitlines()} == {"stuck", "running"}
    assert "holds back" in sentence.stdout
    assert {death["job"] for death in json.loads(record.stdout)["deaths"]} == {*WAYS}
    assert json.loads(dry_run.stdout)["freed_bytes"] > 0
    for ran in story.printed:
        assert not any(secret in ran.stdout + ran.stderr for secret in SECRETS)
