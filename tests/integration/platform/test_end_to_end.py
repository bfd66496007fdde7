"""One patient's way through the real platform, from C-STORE to the clean-up, with our package in its environments."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE

from tests.integration.platform.application import DEVICE, Application
from tests.integration.platform.archive import listening_archive
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydicom import Dataset

    Document = dict[str, Any]

pytestmark = pytest.mark.mongodb

SERVICE = Path(__file__).resolve().parent / "services" / "lifecycle"
SCANNER, LISTENER, ARCHIVE = "SCANNER", "PLATFORM", "ARCHIVE"
SESSION_S = 90
CLEANED = (
    *("sessiondata", "sessionfiles.files", "sessionfiles.chunks", "dicomfiles.files", "dicomfiles.chunks"),
    *("patients", "studies", "series", "sessions"),
)


def _job(name: str, event: str, **more: Any) -> Document:
    return {
        "jobName": name,
        "description": "",
        "events": [event],
        "registryEntry": "every",
        "workerEntry": name,
        "timeout": "10m",
        "params": {},
        **more,
    }


MANIFEST = [
    _job("measure", "stable-series", params={"factor": 2}),
    _job("legacy", "stable-series", registryEntry="only_the_larger", dependsOn=["measure"], sortPosition=2),
    _job("summarise", "stable-study", worker="lean", params={"threshold": 0.5}),
    _job("report", "stable-patient"),
]


@dataclass(frozen=True)
class Session:
    """What is left of a session after its last job."""

    jobs: list[Document]
    received: list[Dataset]
    callers: list[tuple[str, str]]
    left_behind: dict[str, int]
    indexes: dict[str, list[list[str]]]
    peer_id: str
    sent: Sequence[Dataset]
    logs: str

    def named(self, name: str) -> list[Document]:
        """The jobs of one name."""
        return [job for job in self.jobs if job.get("job_name") == name]

    def result(self, name: str) -> Document:
        """What the only job of one name returned."""
        (job,) = self.named(name)
        return _returned(job)


def _returned(job: Document) -> Document:
    assert "result" in job["result"], job["result"].get("error", {}).get("traceback")
    returned: Document = job["result"]["result"]
    return returned


@pytest.fixture(scope="module")
def session(
    make_application: Callable[[Path], Application], platform_python: Path, job_python: Path, scan_folder: Path
) -> Iterator[Session]:
    application = make_application(platform_python)
    port = free_port()
    slices = _two_series(scan_folder)
    with listening_archive(ARCHIVE) as archive:
        peer_id = application.add_peer(
            "scanner", SCANNER, free_port(), whitelist_aet=[SCANNER], whitelist_ip=["127.0.0.1"]
        )
        application.add_peer("archive", ARCHIVE, archive.port, whitelist_aet=[], whitelist_ip=[])
        application.add_node("listener", LISTENER, port)
        application.add_worker("lean", job_python)
        application.add_setting("is_initialized_app", "yes")
        application.add_service("lifecycle", SERVICE, MANIFEST)
        application.start("listener", LISTENER, str(port))
        application.start("scheduler", DEVICE)
        application.start("worker", DEVICE)
        application.wait_for_port(port, timeout_s=120)
        _send(slices, port)
        application.wait_until("a session is made", lambda: bool(application.jobs()), timeout_s=180)
        application.wait_until("every job has ended", lambda: _ended(application), SESSION_S)
        yield Session(
            jobs=application.jobs(),
            received=archive.datasets,
            callers=archive.callers,
            left_behind=application.count(*CLEANED),
            indexes=_indexes(application),
            peer_id=peer_id,
            sent=slices,
            logs=application.logs(),
        )


def _two_series(scan_folder: Path) -> list[Dataset]:
    """Three slices and two, each a volume: one scanned series in two, since the study's other series is a localizer."""
    slices: list[Dataset] = [dcmread(path) for path in (scan_folder / "CT5N").iterdir()]
    slices.sort(key=lambda dataset: float(dataset.ImagePositionPatient[2]))
    for dataset in slices[3:]:
        dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID}.1"
    return slices


def _send(slices: Sequence[Dataset], port: int) -> None:
    entity = AE(SCANNER)
    entity.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title=LISTENER)
    assert association.is_established
    try:
        statuses = [association.send_c_store(dataset).Status for dataset in slices]
    finally:
        association.release()
    assert statuses == [0x0000] * len(slices)


def _ended(application: Application) -> bool:
    jobs = application.jobs()
    failed = [job for job in jobs if job["error"]]
    assert not failed, f"{application.state()}\n{application.logs()}"
    return jobs[-1]["data"]["function_name"].endswith("post_services") and all(job["done"] for job in jobs)


def _indexes(application: Application) -> dict[str, list[list[str]]]:
    return {
        name: [list(index["key"]) for index in application.database[name].list_indexes()]
        for name in ("jobs", "sessiondata", "sessionfiles.files")
        if name in application.database.list_collection_names()
    }


def test_every_job_of_the_session_is_done_and_none_failed(session: Session) -> None:
    functions = [job["data"]["function_name"].rpartition(".")[2] for job in session.jobs]
    assert functions == ["pre_services", *["controller"] * 5, "post_services"]
    names = Counter(job["job_name"] for job in session.jobs[1:-1])
    assert names == {"measure": 2, "legacy": 1, "summarise": 1, "report": 1}
    for job in session.jobs:
        assert job["done"]
        assert not job["error"]
        assert "error" not in job["result"], job["result"]


def test_pre_services_make_the_indexes_that_the_session_needs(session: Session) -> None:
    assert any(keys[0] in {"sessionId", "session_id"} for keys in session.indexes["jobs"])
    assert ["session_id", "job_id", "name"] in session.indexes["sessiondata"]
    assert ["metadata.session_id", "metadata.job_id", "metadata.name"] in session.indexes["sessionfiles.files"]


def test_a_job_runs_for_each_series_and_the_registry_may_decline(session: Session) -> None:
    measured = [_returned(job) for job in session.named("measure")]
    by_uid = {one["series_instance_uid"]: one for one in measured}
    expected: dict[str, list[float]] = {}
    for dataset in session.sent:
        expected.setdefault(str(dataset.SeriesInstanceUID), []).append(float(dataset.pixel_array.mean()))
    assert by_uid.keys() == expected.keys()
    for uid, means in expected.items():
        mean = sum(means) / len(means)
        assert by_uid[uid]["instance_count"] == len(means)
        assert by_uid[uid]["mean"] == pytest.approx(mean)
        assert by_uid[uid]["scaled"] == pytest.approx(2 * mean)
        assert by_uid[uid]["told_by_registry"].startswith("measure of ")
    assert len(session.named("legacy")) == 1


def test_what_a_callback_returns_is_stored_as_json(session: Session) -> None:
    for job in session.named("measure"):
        returned = _returned(job)
        assert returned["huge"] == str(2**80)
        assert returned["path"] == "volume.nii.gz"
        assert returned["mean_array"] == [pytest.approx(returned["mean"])]
        assert returned["measured_at"].startswith("20")


def test_an_entry_in_the_old_style_reads_the_job_it_depends_on(session: Session) -> None:
    legacy = session.result("legacy")
    larger = max(
        {str(dataset.SeriesInstanceUID) for dataset in session.sent},
        key=lambda uid: sum(str(dataset.SeriesInstanceUID) == uid for dataset in session.sent),
    )
    assert legacy["series"] == larger
    assert legacy["event"] == "stable-series"
    assert legacy["job_name"] == "legacy"
    assert legacy["added"] == ["legacy", "measure"]
    assert legacy["session_id"] == session.jobs[0]["sessionId"]
    assert legacy["volume_is_gzip"] is True
    assert legacy["note_is_there"] is True


def test_the_study_reads_the_series_jobs_by_name_in_an_environment_without_the_platform(
    session: Session, job_python: Path
) -> None:
    summary = session.result("summarise")
    measured = {
        job["result"]["result"]["series_instance_uid"]: job["result"]["result"] for job in session.named("measure")
    }
    assert summary["means"] == {uid: pytest.approx(one["mean"]) for uid, one in measured.items()}
    assert summary["volumes"] == {uid: [16, 16, one["instance_count"]] for uid, one in measured.items()}
    assert summary["ambiguous"] == "2 jobs of that name"
    assert summary["from_legacy"]["instances"] == max(one["instance_count"] for one in measured.values())
    assert summary["note"] == "written by the old style"
    assert summary["params"] == {"threshold": 0.5}
    assert summary["session_is_that_of_arguments"] is True
    assert Path(summary["python"]) == job_python


def test_the_patient_job_sends_results_back_to_the_archive(session: Session) -> None:
    larger = max(_returned(job)["instance_count"] for job in session.named("measure"))
    report = session.result("report")
    assert report == {"statuses": [0x0000], "ok": True, "stored": larger}
    modalities = sorted(str(dataset.Modality) for dataset in session.received)
    assert len(session.received) == larger + 1
    assert sum(str(dataset.SOPClassUID) == "1.2.840.10008.5.1.4.1.1.104.1" for dataset in session.received) == 1
    assert modalities.count("CT") == larger
    sent = {str(dataset.SOPInstanceUID) for dataset in session.sent}
    assert sent.isdisjoint(str(dataset.SOPInstanceUID) for dataset in session.received)
    assert {str(dataset.StudyInstanceUID) for dataset in session.received} == {str(session.sent[0].StudyInstanceUID)}
    called = {called for _calling, called in session.callers}
    calling = {calling for calling, _called in session.callers}
    assert called == {ARCHIVE}
    assert ARCHIVE not in calling


def test_the_clean_up_leaves_nothing_but_the_jobs(session: Session) -> None:
    assert session.left_behind == dict.fromkeys(CLEANED, 0)
    assert session.jobs


def test_progress_stands_where_the_queue_and_its_viewers_look(session: Session) -> None:
    (job,) = session.named("report")
    assert job["progress"] == 100
    assert job["progressMessage"] == "report sent"


def test_no_patient_attribute_is_in_the_logs(session: Session) -> None:
    patient = session.sent[0]
    assert "sent to the archive" in session.logs
    assert "another.library" in session.logs
    for part in str(patient.PatientName).split("^"):
        assert part
        assert part not in session.logs
    assert str(patient.PatientID) not in session.logs
