"""The clean-up after a session, as the platform's worker runs it: it takes what the session covered, and no more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

from tests.integration.platform.application import DEVICE, Application, Document
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeApplication = Callable[[Path], Application]

pytestmark = pytest.mark.mongodb

IMAGES = ("dicomfiles.files", "dicomfiles.chunks", "patients", "studies", "series")
NOTHING = dict.fromkeys((*IMAGES, "sessions"), 0)


@pytest.fixture
def ours(make_application: MakeApplication, platform_python: Path) -> Application:
    return make_application(platform_python)


@pytest.fixture
def predecessors(make_application: MakeApplication, predecessor_python: Path) -> Application:
    return make_application(predecessor_python)


class Scanner:
    """Sends images of two series."""

    def __init__(self, application: Application, scan_folder: Path) -> None:
        self._peer_id = application.add_peer("scanner", "SCANNER", free_port())
        self._application = application
        self._scans = scan_folder

    def words(self, series: str, part: slice = slice(None)) -> tuple[str, ...]:
        """Returns the arguments that make the platform take images in."""
        folder = self._application.folder
        batch = folder / f"batch-{len(list(folder.glob('batch-*')))}"
        batch.mkdir()
        for path in sorted((self._scans / series).iterdir())[part]:
            (batch / path.name).write_bytes(path.read_bytes())
        return ("ingest", self._peer_id, str(batch))

    def sends(self, series: str, part: slice = slice(None)) -> None:
        """Sends images; what is scheduled afterwards is of a later second: the platform waits for 5 at least."""
        self._application.run(*self.words(series, part))
        arrived = int(time.time())
        self._application.wait_until("the next second", lambda: int(time.time()) > arrived, timeout_s=5)


def _instances(application: Application) -> int:
    """How many images are stored, and in a series that is in a study of a patient."""
    database = application.database
    listed = 0
    for patient in database.patients.find():
        for study in _members(application, "studies", patient["Studies"]):
            for series in _members(application, "series", study["Series"]):
                files = _members(application, "dicomfiles.files", series["Instances"])
                assert len(files) == len(series["Instances"])
                listed += len(files)
    assert listed == application.count("dicomfiles.files")["dicomfiles.files"]
    return listed


def _members(application: Application, collection: str, ids: list[str]) -> list[Document]:
    return list(application.database[collection].find({"_id": {"$in": [ObjectId(one) for one in ids]}}))


def _run(application: Application, *job_ids: str, **variables: str) -> None:
    application.run("run", DEVICE, *job_ids, **variables)
    assert application.jobs(error=True) == [], application.state()


def _jobs_of(application: Application, session: int) -> list[str]:
    sessions = sorted({str(job["sessionId"]) for job in application.jobs()})
    return [str(job["_id"]) for job in application.jobs(sessionId=sessions[session])]


def _images_that_arrive_meanwhile(application: Application, scan_folder: Path) -> list[int]:
    """A series, and slices of the first series, arrive between scheduling and clean-up; then their own session."""
    scanner = Scanner(application, scan_folder)
    scanner.sends("CT5N", slice(0, 3))
    application.run("schedule", DEVICE, "--", *scanner.words("CT5N", slice(3, 5)))
    scanner.sends("CT2N")
    _run(application, *_jobs_of(application, 0))
    kept = _instances(application)
    application.run("schedule", DEVICE, "--", "run", DEVICE)
    return [kept, _instances(application)]


def _a_second_session(application: Application, scan_folder: Path) -> list[int]:
    """A second session of the same images is open when the first is cleaned up."""
    scanner = Scanner(application, scan_folder)
    scanner.sends("CT5N")
    application.run("schedule", DEVICE)
    scanner.sends("CT2N")
    application.run("schedule", DEVICE)
    assert application.count("sessions") == {"sessions": 2}
    second = _jobs_of(application, 1)
    _run(application, *_jobs_of(application, 0))
    kept = _instances(application)
    _run(application, *second)
    return [kept, _instances(application)]


def test_defect_28_images_that_arrive_meanwhile_are_kept_for_their_own_session(
    ours: Application, scan_folder: Path
) -> None:
    assert _images_that_arrive_meanwhile(ours, scan_folder) == [4, 0]
    assert ours.count(*NOTHING) == NOTHING


def test_defect_28_images_that_another_session_needs_are_kept(ours: Application, scan_folder: Path) -> None:
    assert _a_second_session(ours, scan_folder) == [7, 0]
    assert ours.count(*NOTHING) == NOTHING


def test_defect_28_is_one_of_the_predecessor(predecessors: Application, scan_folder: Path) -> None:
    assert _images_that_arrive_meanwhile(predecessors, scan_folder)[0] == 0


def _a_series_document_is_missing(application: Application, scan_folder: Path) -> Document:
    scanner = Scanner(application, scan_folder)
    application.run(*scanner.words("CT5N"))
    scanner.sends("CT2N")
    application.run("schedule", DEVICE)
    application.database.series.delete_one({})
    _run(application, *_jobs_of(application, 0))
    result: Document = application.jobs()[-1]["result"]
    return result


def test_defect_29_a_missing_document_does_not_stop_the_clean_up(ours: Application, scan_folder: Path) -> None:
    result = _a_series_document_is_missing(ours, scan_folder)
    assert "error" not in result, result
    assert ours.count("sessions", "patients", "studies", "series") == dict.fromkeys(
        ("sessions", "patients", "studies", "series"), 0
    )


def test_defect_29_is_one_of_the_predecessor(predecessors: Application, scan_folder: Path) -> None:
    result = _a_series_document_is_missing(predecessors, scan_folder)
    assert "NoneType" in result["error"]["message"]
    assert predecessors.count("sessions") == {"sessions": 1}


def test_the_clean_up_can_run_twice(ours: Application, scan_folder: Path) -> None:
    Scanner(ours, scan_folder).sends("CT2N")
    ours.run("schedule", DEVICE)
    job_ids = _jobs_of(ours, 0)
    _run(ours, *job_ids)
    ours.database.jobs.update_one({"_id": ObjectId(job_ids[-1])}, {"$set": {"done": False}, "$unset": {"result": ""}})
    _run(ours, job_ids[-1])
    assert "error" not in ours.jobs()[-1]["result"], ours.state()
    assert ours.count(*NOTHING) == NOTHING


@pytest.mark.parametrize(("policy", "images", "sessions"), [("keep", 2, 1), ("session", 2, 0), ("all", 0, 0)])
def test_the_policy_says_what_goes(
    ours: Application, scan_folder: Path, policy: str, images: int, sessions: int
) -> None:
    Scanner(ours, scan_folder).sends("CT2N")
    ours.run("schedule", DEVICE)
    _run(ours, *_jobs_of(ours, 0), **{"DCM-PROCESSOR-SERVICE-CLEANUP": policy})
    assert _instances(ours) == images
    assert ours.count("sessions") == {"sessions": sessions}
