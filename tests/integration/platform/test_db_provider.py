"""Data both ways: what the platform's own access to the database writes is read here, and the other way round."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId, json_util
from pydicom import dcmread

from dcm_processor_service.runtime.container import Container, opened
from dcm_processor_service.runtime.settings import RuntimeSettings
from tests.integration.platform.application import DEVICE, Application
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.session.session import Session

    MakeApplication = Callable[[Path], Application]

pytestmark = pytest.mark.mongodb

HERE = Path(__file__).resolve().parent
SERVICE = HERE / "services" / "function_api"
VALUES = {
    "text": "ä\u2028",
    "number": 1.5,
    "large": 2**62,
    "yes": True,
    "none": None,
    "list": [1, [2, {"deep": "er"}]],
    "empty": {},
    "bytes": b"\x00\xff",
    "moment": datetime(2024, 2, 29, 12, 30, 15, 250_000, tzinfo=timezone.utc),
}
SIZES_BYTES = (0, 1, 255 * 1024, 255 * 1024 + 1, 3 * 1024 * 1024 + 7)


class Provider:
    """The platform's ``DBManager``, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], database: str) -> None:
        self._process = process
        self._database = database

    def call(self, method: str, **arguments: Any) -> Any:
        """Calls a method; gives its result."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        requests.write(json_util.dumps([self._database, method, arguments]) + "\n")
        requests.flush()
        line = answers.readline()
        assert line, f"{method} failed: {self._process.communicate()[1]}"
        return json_util.loads(line)

    def of(self, database: str) -> Provider:
        """The same for another database."""
        return Provider(self._process, database)


@pytest.fixture(scope="module")
def application(make_application: MakeApplication, platform_python: Path, scan_folder: Path) -> Application:
    """Two series that the platform has ingested and scheduled: five jobs, none run."""
    made = make_application(platform_python)
    flat = made.folder / "flat"
    flat.mkdir()
    for path in scan_folder.glob("*/*"):
        (flat / f"{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    job = {"events": ["stable-series"], "registryEntry": "every", "timeout": "10m", "params": {"threshold": 0.5}}
    made.add_service(
        "function-api",
        SERVICE,
        [
            {"jobName": "producer", "workerEntry": "producer", **job},
            {"jobName": "suite", "workerEntry": "suite", "dependsOn": ["producer"], **job},
        ],
    )
    made.run("ingest", made.add_peer("scanner", "SCANNER", free_port()), str(flat), "--", "schedule", DEVICE)
    return made


@pytest.fixture(scope="module")
def provider(application: Application) -> Iterator[Provider]:
    with subprocess.Popen(
        [str(application.python), str(HERE / "provide.py"), application.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=application.variables(),
    ) as process:
        yield Provider(process, application.name)
        process.communicate(timeout=60)  # it ends with its input


def _job_ids(application: Application, name: str) -> list[str]:
    return [str(job["_id"]) for job in application.jobs(job_name=name)]


@pytest.fixture
def session(application: Application) -> Iterator[Session]:
    """Our session, as the second series' last job has it."""
    (document,) = list(application.database.sessions.find())
    settings = RuntimeSettings.without_environment(
        db_provider="mongodb",
        db_url=application.url,
        db_name=application.name,
        session_id=str(document["_id"]),
        job_id=_job_ids(application, "suite")[-1],
        job_name="suite",
        job_event="stable-series",
        peer_id=document["peer_id"],
    )
    with opened(Container(settings=settings)) as container:
        yield container.session()


@pytest.mark.parametrize("kind", VALUES)
def test_we_read_data_that_the_platform_wrote(session: Session, provider: Provider, kind: str) -> None:
    # in a list, since bytes alone stand for a file in a call
    provider.call("set_session_data", job_id=session.job.id, name="theirs", value=[VALUES[kind]])
    assert session.data["theirs"] == [VALUES[kind]]


@pytest.mark.parametrize("kind", VALUES)
def test_the_platform_reads_data_that_we_wrote(session: Session, provider: Provider, kind: str) -> None:
    session.data["ours"] = VALUES[kind]
    found = provider.call("get_session_data", job_id=session.job.id, name="ours")["value"]
    assert (found.replace(tzinfo=timezone.utc) if isinstance(found, datetime) else found) == VALUES[kind]
    assert provider.call("has_session_data", job_id=session.job.id, name="ours") is True


def test_either_replaces_and_removes_what_the_other_wrote(session: Session, provider: Provider) -> None:
    key = {"job_id": session.job.id, "name": "shared"}
    session.data["shared"] = "ours"
    assert provider.call("set_session_data", **key, value="theirs") == 1
    assert session.data["shared"] == "theirs"
    session.data["shared"] = "ours again"
    assert provider.call("get_session_data", **key)["value"] == "ours again"
    assert provider.call("remove_session_data", **key) == 1
    assert "shared" not in session.data
    provider.call("set_session_data", **key, value="theirs")
    assert session.data.delete("shared")
    assert provider.call("get_session_data", **key) is None


@pytest.mark.parametrize("size_bytes", SIZES_BYTES)
def test_we_read_files_that_the_platform_wrote(session: Session, provider: Provider, size_bytes: int) -> None:
    content, name = _content(size_bytes), f"theirs-{size_bytes}.bin"
    more = {"meta": {"colour": "blue"}, "ext": ".bin", "content_type": "application/x-test"}
    provider.call("upload_session_file", job_id=session.job.id, file=content, name=name, **more)
    assert session.files.read(name) == content
    stored = session.files.info(name)
    assert (stored.size_bytes, stored.content_type) == (size_bytes, "application/x-test")
    assert stored.metadata == {"colour": "blue"}
    assert name in [one.name for one in session.files.list()]


@pytest.mark.parametrize("size_bytes", SIZES_BYTES)
def test_the_platform_reads_files_that_we_wrote(session: Session, provider: Provider, size_bytes: int) -> None:
    content, name = _content(size_bytes), f"ours-{size_bytes}.bin"
    session.files.put(name, content, metadata={"colour": "blue"}, content_type="application/x-test")
    query = {"session_id": ObjectId(session.id), "job_id": ObjectId(session.job.id), "name": name}
    document = provider.call("db.find_one_file", bucket="sessionfiles", params={"query": query})
    assert document["length"] == size_bytes
    assert document["contentType"] == "application/x-test"
    assert document["metadata"]["colour"] == "blue"
    assert provider.call("db.download_file", bucket="sessionfiles", id=document["_id"]) == content


def test_either_replaces_files_of_the_other(session: Session, provider: Provider) -> None:
    key = {"job_id": session.job.id, "name": "shared.txt"}
    session.files.put("shared.txt", b"ours")
    provider.call("upload_session_file", **key, file=b"theirs, over ours")
    assert session.files.read("shared.txt") == b"theirs, over ours"
    session.files.put("shared.txt", b"ours, over theirs")
    assert session.files.read("shared.txt") == b"ours, over theirs"
    provider.call("upload_session_file", **key, file=b"theirs again")
    assert session.files.read("shared.txt") == b"theirs again"
    assert session.files.delete("shared.txt")
    assert not session.files.has("shared.txt")


def test_we_read_series_that_the_platform_ingested(session: Session, scan_folder: Path) -> None:
    sent = {str(one.SOPInstanceUID): one for one in map(dcmread, scan_folder.glob("*/*"))}
    series = session.dicom.get_series()
    found = list(series.datasets())
    assert len(found) == series.instance_count()
    for dataset in found:
        assert dataset == sent[str(dataset.SOPInstanceUID)]
    assert [one.name for one in session.peers.list()] == ["scanner"]
    assert session.peers.current().ae_title == "SCANNER"
    assert session.job.params == {"threshold": 0.5}


@pytest.mark.parametrize("field", ["sessionId", "session_id"])
@pytest.mark.parametrize("kind", [ObjectId, str])
def test_ids_of_either_type_and_spelling_are_found(
    application: Application, session: Session, field: str, kind: Callable[[str], Any]
) -> None:
    other = ObjectId()
    job = {"_id": other, field: kind(session.id), "job_name": f"other-{other}", "done": True, "item_type": "other"}
    application.database.jobs.insert_one(job)
    owner = {"session_id": kind(session.id), "job_id": kind(str(other))}
    application.database.sessiondata.insert_one({**owner, "name": "value", "value": 7})
    name = f"other-{other}"
    assert session.data.get("value", job=name) == 7
    assert [one.value for one in session.data.collect("value", job=name).values()] == [7]


def test_the_clean_up_of_the_platform_removes_what_we_wrote(
    make_application: MakeApplication, platform_python: Path, provider: Provider
) -> None:
    made = make_application(platform_python)
    session_id = str(made.database.sessions.insert_one({"patient_id": ObjectId(), "peer_id": "x"}).inserted_id)
    job_id = str(made.database.jobs.insert_one({"sessionId": session_id, "item_type": "queue"}).inserted_id)
    settings = RuntimeSettings.without_environment(
        db_provider="mongodb", db_url=made.url, db_name=made.name, session_id=session_id, job_id=job_id
    )
    with opened(Container(settings=settings)) as container:
        ours = container.session()
        ours.data["value"] = VALUES
        ours.data.increment("counter")
        ours.files.put("large.bin", _content(SIZES_BYTES[-1]))
        ours.files.put("empty.bin", b"")
        ours.files.put("replaced.bin", b"old")
        ours.files.put("replaced.bin", b"new")
        ours.files.put("deleted.bin", b"x")
        ours.files.delete("deleted.bin")
    collections = ("sessiondata", "sessionfiles.files", "sessionfiles.chunks")
    assert all(made.count(*collections).values())
    provider.of(made.name).call("clean_up_sesssion", session_id=session_id)
    assert made.count(*collections, "sessions") == dict.fromkeys((*collections, "sessions"), 0)


def _content(size_bytes: int) -> bytes:
    return bytes(range(256)) * (size_bytes // 256) + bytes(range(size_bytes % 256))
