"""``run --on dask://… --store mongodb://…``: workers that share a database with this machine, and no folder of it."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

from dcm_processor_service.local.service.cluster import Cluster
from dcm_processor_service.local.service.cluster_store import code_checksum
from dcm_processor_service.local.service.subject_process import ProcessEnd
from tests.command_line import Ran, run_here
from tests.dask_cluster import running_cluster
from tests.integration.cli.test_exec import HEAD, write
from tests.service_folders import job, write_service
from tests.unit.local.test_ingest import make_series, save

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dcm_processor_service.local.chosen_store import ChosenStore

MEASURE = HEAD + (
    "import shutil\n"
    "def run(ctx: RuntimeContext):\n"
    "    shutil.rmtree('scans', ignore_errors=True)  # what it reads comes out of the database\n"
    "    series = ctx.session.dicom.get_series()\n"
    "    count = sum(1 for _one in series.datasets())\n"
    "    ctx.session.data['count'] = count\n"
    "    ctx.session.files.put('out/count.txt', str(count).encode())\n"
    "    return {'count': count, 'session_dir': str(ctx.session_dir)}\n"
)
SUM = HEAD + (
    "def run(ctx: RuntimeContext):\n"
    "    found = ctx.session.data.collect('count', job='measure')\n"
    "    return sum(one.value for one in found.values())\n"
)
MODULE = HEAD + (
    "from dcm_processor_service import entrypoint\n"
    "def run(ctx: RuntimeContext):\n"
    "    count = ctx.session.dicom.get_series().instance_count()\n"
    "    ctx.session.files.put('count.txt', str(count).encode())\n"
    "measure = entrypoint(run)\n"
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_cluster() as found:
        yield found


@pytest.fixture
def database(mongo_url: str) -> Iterator[str]:
    """The URL of a database that nobody has filled."""
    name = f"workspace_{uuid.uuid4().hex[:12]}"
    yield f"{mongo_url.partition('/?')[0].rstrip('/')}/{name}"
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.drop_database(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Scans of two series, which differ in their number of slices."""
    for number in (2, 3):
        save(make_series(number, slices=number), tmp_path / "scans")
    return tmp_path


def run(folder: Path, *arguments: str, scans: str = "scans") -> Ran:
    common = ("--dicom", scans, "--json", "--workspace", "w", "--job-name", "measure")
    return run_here("run", "callback.py", *common, *arguments, folder=folder)


def told(ran: Ran) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_workers_read_and_write_the_database_alone_and_the_parent_writes_the_page(
    folder: Path, url: str, database: str
) -> None:
    write(folder, MEASURE)
    ran = run(folder, "--on", url, "--store", database)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert sorted(one["data"]["count"] for one in told(ran)) == [2, 3]
    assert not (folder / "scans").exists()
    assert sorted(one.read_text() for one in (folder / "w").rglob("count.txt")) == ["2", "3"]
    assert len([*(folder / "w").rglob("*.preview.png")]) == 2
    assert not [*(folder / "w").rglob("*.sqlite3")]
    assert not any(one["result"]["session_dir"].startswith(str(folder)) for one in told(ran))
    record = json.loads((folder / "w" / "run.json").read_text())
    assert [len(job["files"]) for job in record["jobs"]] == [1, 1]
    assert "data:image/png" in (folder / "w" / "report.html").read_text()
    for number in (2, 3):
        save(make_series(number, slices=number), folder / "scans")
    write(folder, SUM)
    summed = run_here(
        *("run", "callback.py", "--dicom", "scans", "--json", "--workspace", "w", "--event", "stable-patient"),
        *("--on", url, "--store", database),
        folder=folder,
    )
    assert [one["result"] for one in told(summed)] == [5], summed.stderr


@pytest.mark.parametrize("how", [(), ("--workers", "2")], ids=["one process", "two processes"])
def test_a_database_is_a_workspace_without_a_cluster_too(folder: Path, database: str, how: tuple[str, ...]) -> None:
    write(folder, MEASURE)
    ran = run(folder, "--store", database, *how)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert sorted(one["data"]["count"] for one in told(ran)) == [2, 3]


def test_a_second_run_replaces_the_results_of_the_first(folder: Path, url: str, database: str) -> None:
    write(folder, MEASURE.replace("scans'", "no such folder'"))
    first = run(folder, "--on", url, "--store", database)
    write(folder, MEASURE.replace("scans'", "no such folder'").replace("out/count.txt", "again.txt"))
    second = run(folder, "--on", url, "--store", database)
    assert (first.code, second.code) == (0, 0), second.stderr
    assert not [*(folder / "w").rglob("count.txt")]
    assert len([*(folder / "w").rglob("again.txt")]) == 2


def counts(folder: Path) -> list[str]:
    return sorted(one.read_text() for one in (folder / "w").rglob("count.txt"))


def stored_counts(mongo_url: str, database: str) -> int:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        return client[database.rpartition("/")[2]].sessiondata.count_documents({"name": "count"})


def test_subjects_that_are_never_begun_keep_their_earlier_results(
    folder: Path, url: str, database: str, mongo_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, MEASURE.replace("scans'", "no such folder'"))
    run(folder, "--on", url, "--store", database)
    assert (counts(folder), stored_counts(mongo_url, database)) == (["2", "3"], 2)
    monkeypatch.setattr(Cluster, "run", lambda _self, _requests: iter(()))  # asked to end before it begins any
    ended = run(folder, "--on", url, "--store", database)
    assert told(ended) == [], ended.stderr
    assert (counts(folder), stored_counts(mongo_url, database)) == (["2", "3"], 2)


@pytest.mark.parametrize("begun", [False, True])
def test_an_earlier_result_of_a_job_that_a_cluster_lost_is_not_taken_for_its_own(
    folder: Path, url: str, database: str, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    write(folder, MEASURE.replace("scans'", "no such folder'"))
    run(folder, "--on", url, "--store", database)
    for one in (folder / "w").rglob("count.txt"):
        one.with_name("of-a-reader.txt").touch()
    lost = ProcessEnd(0, [], "the cluster lost this subject", cancelled=False, begun=begun)
    monkeypatch.setattr(Cluster, "run", lambda _self, requests: iter([lost] if requests else []))
    ran = run(folder, "--on", url, "--store", database)
    assert ran.code == 1, ran.stderr
    assert len(counts(folder)) == (1 if begun else 2)
    assert len([*(folder / "w").rglob("of-a-reader.txt")]) == 2


def test_a_job_behind_one_that_a_cluster_lost_keeps_its_earlier_result(
    tmp_path: Path, url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job("first", "measure"), job("second", "measure", dependsOn=["first"])]
    folder = write_service(tmp_path / "service", jobs, {"module/__init__.py": MODULE})
    save(make_series(2, slices=2), folder / "scans")
    arguments = ("run", ".", "--dicom", "scans", "--json", "--workspace", "w", "--on", url, "--store", database)
    ran = run_here(*arguments, folder=folder)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert counts(folder) == ["2", "2"]
    lost = ProcessEnd(0, [], "the cluster lost this subject", cancelled=False)
    monkeypatch.setattr(Cluster, "run", lambda _self, requests: iter([lost] if requests else []))
    assert run_here(*arguments, folder=folder).code == 1
    (kept,) = (folder / "w").rglob("count.txt")
    assert "second" in kept.parts


def test_neither_workspace_nor_scans_are_asked_for_as_code_of_a_service(
    tmp_path: Path, url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_service(tmp_path / "service", [job("measure", "measure")], {"module/__init__.py": MODULE})
    before = code_checksum(folder, ".", None)
    save(make_series(2, slices=2), folder / "scans")
    (folder / "scans" / "sidecar.json").write_text("{}")
    asked: list[Sequence[str]] = []
    check = Cluster.check_store

    def check_too(self: Cluster, store: ChosenStore, **values: Any) -> None:
        asked.append(values["no_code"])
        check(self, store, **values)

    monkeypatch.setattr(Cluster, "check_store", check_too)
    ran = run_here("run", ".", "--dicom", "scans", "--json", "--on", url, "--store", database, folder=folder)
    assert ran.code == 0, ran.stdout + ran.stderr
    assert (folder / "dcm-workspace" / "run.json").exists()
    assert code_checksum(folder, ".", None, asked[0]) == before != code_checksum(folder, ".", None)


def test_the_database_that_the_platform_fills_is_refused_and_stays_as_it_is(
    folder: Path, database: str, mongo_url: str
) -> None:
    write(folder, MEASURE)
    with MongoClient[dict[str, Any]](mongo_url) as client:
        platform = client[database.rpartition("/")[2]]
        platform.settings.insert_one({"name": "port"})
        ran = run(folder, "--store", database)
        assert ran.code == 2
        assert "is not a workspace; name an empty database" in ran.stderr
        assert platform.list_collection_names() == ["settings"]


def test_a_worker_that_the_environment_gives_no_database_is_refused_before_anything_runs(
    folder: Path, url: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, MEASURE)
    server, _, name = database.rpartition("/")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_URL", server)
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_NAME", name)
    ran = run(folder, "--on", url, "--store", "mongodb")
    assert (ran.code, ran.stdout) == (2, "")
    assert "cannot open the workspace's database" in ran.stderr
    assert "DCM_PROCESSOR_SERVICE_DB_URL and DCM_PROCESSOR_SERVICE_DB_NAME is not set" in ran.stderr
    assert (folder / "scans").exists()


def test_workers_whose_environment_names_the_database_use_it(
    folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, MEASURE)
    server, _, name = database.rpartition("/")
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_URL", server)
    monkeypatch.setenv("DCM_PROCESSOR_SERVICE_DB_NAME", name)
    with running_cluster(1) as own:
        ran = run(folder, "--on", own, "--store", "mongodb")
    assert (ran.code, len(told(ran))) == (0, 2), ran.stderr


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("mongodb://user:secret@127.0.0.1/w", "shows a password"),
        ("mongodb://127.0.0.1:27017", "names no database"),
        ("postgres://127.0.0.1/w", "names no database"),
        ("mongodb://localhost:no/w", "--store is not a usable MongoDB connection string"),
        ("mongodb", "is not set, but must name the workspace's database"),
    ],
)
def test_what_names_no_database_is_refused(folder: Path, option: str, sentence: str) -> None:
    write(folder, MEASURE)
    ran = run(folder, "--store", option)
    assert ran.code == 2
    assert sentence in ran.stderr
    assert "secret" not in ran.stderr


def test_without_scans_a_database_is_refused(folder: Path) -> None:
    write(folder, MEASURE)
    ran = run_here("run", "callback.py", "--store", "mongodb://127.0.0.1:1/w", folder=folder)
    assert ran.code == 2
    assert "--store needs scans" in ran.stderr
