"""The clean-up after a session, as the platform's worker runs it: it takes what the session covered, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.platform.application import DEVICE, Application, Document, free_port

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
    """Sends one of the two series, or parts of it."""

    def __init__(self, application: Application, scan_folder: Path) -> None:
        self._peer_id = application.add_peer("scanner", "SCANNER", free_port())
        self._folder = application.folder
        self._scans = scan_folder

    def sends(self, series: str, part: slice = slice(None)) -> tuple[str, ...]:
        """Gives the words that have the platform take the images in."""
        batch = self._folder / f"batch-{len(list(self._folder.glob('batch-*')))}"
        batch.mkdir()
        for path in sorted((self._scans / series).iterdir())[part]:
            (batch / path.name).write_bytes(path.read_bytes())
        return ("ingest", self._peer_id, str(batch))


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
    from bson import ObjectId

    return list(application.database[collection].find({"_id": {"$in": [ObjectId(one) for one in ids]}}))


def _run(application: Application, *job_ids: str, **variables: str) -> None:
    application.run("run", DEVICE, *job_ids, **variables)
    assert application.jobs(error=True) == [], application.state()


def _jobs_of(application: Application, session: int) -> list[str]:
    sessions = sorted({str(job["sessionId"]) for job in application.jobs()})
    return [str(job["_id"]) for job in application.jobs(sessionId=sessions[session])]


def _images_that_arrive_meanwhile(application: Application, scan_folder: Path) -> list[int]:
    """A series, and a slice of the first series, arrive between scheduling and clean-up; then their own session."""
    scanner = Scanner(application, scan_folder)
    application.run(
        *(*scanner.sends("CT5N", slice(0, 3)), "--", "schedule", DEVICE, "--"),
        *(*scanner.sends("CT5N", slice(3, 5)), "--", *scanner.sends("CT2N")),
    )
    _run(application, *_jobs_of(application, 0))
    kept = _instances(application)
    application.run("schedule", DEVICE, "--", "run", DEVICE)
    return [kept, _instances(application)]


def _a_second_session(application: Application, scan_folder: Path) -> list[int]:
    """A second session of the same images is open when the first is cleaned up."""
    scanner = Scanner(application, scan_folder)
    application.run(
        *(*scanner.sends("CT5N"), "--", "schedule", DEVICE, "--", *scanner.sends("CT2N"), "--", "schedule", DEVICE),
    )
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
    application.run(*scanner.sends("CT5N"), "--", *scanner.sends("CT2N"), "--", "schedule", DEVICE)
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
    ours.run(*Scanner(ours, scan_folder).sends("CT2N"), "--", "schedule", DEVICE)
    job_ids = _jobs_of(ours, 0)
    _run(ours, *job_ids)
    for _again in range(2):
        ours.database.jobs.update_many({}, {"$set": {"done": False, "attempts": 0}, "$unset": {"result": ""}})
        _run(ours, *job_ids)
        assert all("error" not in job["result"] for job in ours.jobs()), ours.state()
    assert ours.count(*NOTHING) == NOTHING


@pytest.mark.parametrize(("policy", "images", "sessions"), [("keep", 2, 1), ("session", 2, 0), ("all", 0, 0)])
def test_the_policy_says_what_goes(
    ours: Application, scan_folder: Path, policy: str, images: int, sessions: int
) -> None:
    ours.run(*Scanner(ours, scan_folder).sends("CT2N"), "--", "schedule", DEVICE)
    _run(ours, *_jobs_of(ours, 0), **{"DCM-PROCESSOR-SERVICE-CLEANUP": policy})
    assert _instances(ours) == images
    assert ours.count("sessions") == {"sessions": sessions}
