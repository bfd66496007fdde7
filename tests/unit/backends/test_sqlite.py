"""The embedded store, besides the contracts: its folder, sessions, lost content, other processes, other versions."""

from __future__ import annotations

import errno
import io
import os
import re
import sqlite3
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service.backends.sqlite import open_sqlite
from dcm_processor_service.backends.sqlite.contents import Claim, Contents
from dcm_processor_service.backends.sqlite.database import DATABASE_NAME, SCHEMA_VERSION
from dcm_processor_service.backends.sqlite.encoding import load
from dcm_processor_service.backends.sqlite.failures import translated
from dcm_processor_service.backends.sqlite.store import folder_of
from dcm_processor_service.disk import claim_file
from dcm_processor_service.errors import (
    JobNotFoundError,
    StoredFileNotFoundError,
    StoredValueError,
    StoreError,
    StoreUnavailableError,
    UnsupportedValueError,
)
from dcm_processor_service.models import Instance, Job, Patient, Peer, SeriesRecord, SubjectLevel
from dcm_processor_service.ports import JobKey, NewFile, StoreLocation
from dcm_processor_service.ports.concurrency import inline, run_inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dcm_processor_service.ports import Backend

OWN, OTHER = JobKey("5" * 24, "1" * 24), JobKey("6" * 24, "2" * 24)
START = datetime(2024, 2, 29, tzinfo=timezone.utc)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "workspace"


@pytest.fixture
def open_store(folder: Path) -> Iterator[Callable[[], Backend]]:
    """Opens the folder anew, as another process would, without waiting for locks."""
    with ExitStack() as stack:
        location = StoreLocation(url=f"sqlite://{folder}", database="", timeout_s=0, mode="blocking")
        yield lambda: stack.enter_context(open_sqlite(location, inline))


@pytest.fixture
def store(open_store: Callable[[], Backend]) -> Backend:
    return open_store()


def put(store: Backend, name: str, content: bytes, key: JobKey = OWN) -> str:
    return run_inline(store.files.put(key, name, io.BytesIO(content), NewFile("text/plain", {}))).id


def read(store: Backend, name: str) -> bytes:
    sink = io.BytesIO()
    assert run_inline(store.files.fetch(OWN, name, sink)) is not None
    return sink.getvalue()


def contents(folder: Path) -> set[str]:
    return {entry.name for entry in (folder / "files").iterdir()}


def test_a_folder_is_named_by_a_url_or_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert folder_of("sqlite:///data/workspace") == folder_of("/data/workspace") == Path("/data/workspace")
    assert folder_of("sqlite://here") == Path("here")
    assert folder_of("~/workspace") == Path("/home/somebody/workspace")


def test_nothing_is_made_before_the_first_write(folder: Path, open_store: Callable[[], Backend]) -> None:
    store = open_store()
    assert run_inline(store.data.find(OWN, "a")) is None
    assert run_inline(store.files.find(OWN, "a")) is None
    assert not run_inline(store.jobs.list(OWN.session_id))
    assert not run_inline(store.peers.list())
    assert store.warnings is not None
    with pytest.raises(StoreError, match="no such folder"):
        run_inline(store.warnings())
    assert not folder.exists()
    folder.mkdir(parents=True)
    with pytest.raises(StoreError, match="the folder has none"):
        run_inline(store.warnings())
    run_inline(store.data.put(OWN, "a", 1))
    assert run_inline(store.warnings()) == []
    assert run_inline(store.data.find(OWN, "a")) is not None
    assert (folder / DATABASE_NAME).is_file()
    assert contents(folder) == set()


def test_another_process_reads_a_stored_value(open_store: Callable[[], Backend]) -> None:
    first = open_store()
    run_inline(first.data.put(OWN, "a", [1]))
    put(first, "f", b"content")
    second = open_store()
    found = run_inline(second.data.find(OWN, "a"))
    assert found is not None
    assert found.value == [1]
    assert read(second, "f") == b"content"


def test_a_session_is_as_old_as_its_first_job(store: Backend) -> None:
    workspace = store.fillable()
    assert run_inline(store.sessions.find(OWN.session_id)) is None
    for number, created in enumerate((START + timedelta(days=1), START, None)):
        run_inline(workspace.add_job(Job(id=f"{number}" * 24, session_id=OWN.session_id, created_at=created)))
    run_inline(workspace.add_job(Job(id="9" * 24, session_id=OTHER.session_id)))
    own, other = (run_inline(store.sessions.find(key.session_id)) for key in (OWN, OTHER))
    assert own is not None
    assert other is not None
    assert (own.id, own.created_at) == (OWN.session_id, START + timedelta(days=1))
    assert other.created_at == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert run_inline(store.sessions.of_patient("4" * 24)) == []
    assert run_inline(store.sessions.ensure_indexes()) == []


def test_removing_a_session_takes_its_data_and_its_files_with_their_content(store: Backend, folder: Path) -> None:
    for key in (OWN, OTHER):
        run_inline(store.data.put(key, "a", 1))
        run_inline(store.data.put(key, "b", 2))
    put(store, "f", b"x")
    kept = put(store, "f", b"x", OTHER)
    assert run_inline(store.sessions.remove(OWN.session_id, "data")) == 2
    assert len(contents(folder)) == 2
    assert run_inline(store.sessions.remove(OWN.session_id, "files")) == 1
    assert contents(folder) == {kept}
    assert run_inline(store.sessions.remove(OWN.session_id, "session")) == 0
    assert run_inline(store.data.scan(OWN, values=False)) == []
    assert run_inline(store.files.list(OWN)) == []
    assert [name for name, _value in run_inline(store.data.scan(OTHER, values=False))] == ["a", "b"]
    assert run_inline(store.sessions.remove(OWN.session_id, "files")) == 0
    gone = run_inline(store.sessions.remove_images("4" * 24, None, START))
    assert (gone.instances, gone.patients) == (0, 0)


def test_replacing_or_deleting_a_file_takes_the_old_content_away(store: Backend, folder: Path) -> None:
    first = put(store, "f", b"old")
    second = put(store, "f", b"new")
    assert first != second
    assert contents(folder) == {second}
    assert run_inline(store.files.delete(OWN, "f"))
    assert contents(folder) == set()
    assert not run_inline(store.files.delete(OWN, "f"))


def test_content_that_is_lost_or_damaged_is_reported(store: Backend, folder: Path) -> None:
    content = folder / "files" / put(store, "f", b"content")
    content.write_bytes(b"contend")
    with pytest.raises(StoredValueError, match="'f' is not what was stored"):
        read(store, "f")
    content.unlink()
    with pytest.raises(StoredValueError, match="'f' is missing from the workspace") as caught:
        read(store, "f")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert run_inline(store.files.delete(OWN, "f"))  # and the rest can go
    assert list((folder / "claims").iterdir()) == []


def test_a_file_whose_checksum_nobody_wrote_is_read_as_it_is(store: Backend) -> None:
    put(store, "f", b"content")
    workspace: Any = store.fillable()
    forget = "UPDATE files SET document = json_set(document, '$.sha256', NULL)"
    run_inline(workspace._store.run(lambda connection: connection.execute(forget)))
    assert read(store, "f") == b"content"
    found = run_inline(store.files.find(OWN, "f"))
    assert found is not None
    assert found.sha256 is None


def test_a_database_that_another_process_holds_is_unavailable_and_nothing_is_written(
    folder: Path, store: Backend
) -> None:
    run_inline(store.data.put(OWN, "a", 1))
    holder = sqlite3.connect(folder / DATABASE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="database is locked"):
        run_inline(store.data.put(OWN, "a", 2))
    holder.execute("COMMIT")
    holder.close()
    found = run_inline(store.data.find(OWN, "a"))
    assert found is not None
    assert found.value == 1
    assert run_inline(store.data.put(OWN, "a", 2))


def test_a_transaction_that_is_refused_leaves_the_store_usable(store: Backend) -> None:
    run_inline(store.data.put(OWN, "a", 2**63 - 1))
    with pytest.raises(UnsupportedValueError, match="beyond 64 bits"):
        run_inline(store.data.increment(OWN, "a", 1))
    assert run_inline(store.data.increment(OWN, "a", -1)) == 2**63 - 2


def test_a_workspace_of_a_newer_version_or_no_database_at_all_is_refused(
    folder: Path, open_store: Callable[[], Backend]
) -> None:
    folder.mkdir(parents=True)
    connection = sqlite3.connect(folder / DATABASE_NAME, isolation_level=None)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoredValueError, match=r"newer version .*schema 2, this one reads up to 1"):
        run_inline(open_store().data.find(OWN, "a"))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")  # says that its tables are there, which they are not
    connection.close()
    with pytest.raises(StoreUnavailableError, match="no such table"):
        run_inline(open_store().data.find(OWN, "a"))
    (folder / DATABASE_NAME).write_bytes(b"no database, but longer than the header of one" * 10)
    with pytest.raises(StoredValueError, match="is damaged: file is not a database"):
        run_inline(open_store().data.find(OWN, "a"))


def test_a_folder_that_cannot_be_made_is_unavailable(folder: Path, store: Backend) -> None:
    folder.parent.write_bytes(b"a file")
    with pytest.raises(StoreUnavailableError, match="cannot be used: Not a directory") as caught:
        run_inline(store.data.put(OWN, "a", 1))
    assert isinstance(caught.value.__cause__, OSError)


def test_a_folder_that_the_system_does_not_tell_of_is_not_read_as_an_empty_workspace(
    folder: Path, store: Backend
) -> None:
    folder.parent.mkdir()
    folder.symlink_to(folder)
    assert store.warnings is not None
    for read in (lambda: store.data.find(OWN, "a"), store.peers.list, store.warnings):
        with pytest.raises(StoreUnavailableError, match="cannot be used: Too many levels of symbolic links"):
            run_inline(read())


def test_filing_again_replaces_and_keeps_the_place_in_the_order(store: Backend) -> None:
    workspace = store.fillable()
    first, second = (Job(id=f"{number}" * 24, session_id=OWN.session_id, name="a") for number in (2, 1))
    for job in (first, second, first.model_copy(update={"name": "b"})):
        run_inline(workspace.add_job(job))
    assert [(job.id, job.name) for job in run_inline(store.jobs.list(OWN.session_id))] == [
        (first.id, "b"),
        (second.id, "a"),
    ]
    assert [output.job.id for output in run_inline(store.jobs.collect(OWN.session_id, "b", "x"))] == [first.id]
    peer = Peer(id="7" * 24, name="PACS", ae_title="A", host="h", port=104)
    for known in (peer, peer.model_copy(update={"id": "8" * 24, "port": 105})):
        run_inline(workspace.add_peer(known))
    assert [known.port for known in run_inline(store.peers.list())] == [105]
    assert run_inline(store.peers.get("7" * 24)) is None
    assert run_inline(store.peers.get("8" * 24)) == run_inline(store.peers.find("PACS"))
    patient = Patient(id="4" * 24, study_ids=("s1",))
    for subject in (patient, patient.model_copy(update={"study_ids": ("s1", "s2")})):
        run_inline(workspace.add_subject(subject))
    found: Any = run_inline(store.dicom.find(SubjectLevel.PATIENT, patient.id))
    assert found.study_ids == ("s1", "s2")


def test_the_files_of_a_series_are_paths_in_the_order_in_which_they_were_filed(
    store: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace, series = store.fillable(), SeriesRecord(id="3" * 24)
    instances = [Instance(id=f"{number}" * 24, sop_instance_uid=f"1.{number}") for number in (3, 1, 2)]
    for instance in instances:
        Path(f"{instance.id}.dcm").write_bytes(b"x")
        run_inline(workspace.add_instance(series.id, instance, Path(f"{instance.id}.dcm")))
    (tmp_path / "moved.dcm").write_bytes(b"x")
    run_inline(workspace.add_instance(series.id, instances[0], tmp_path / "moved.dcm"))
    assert run_inline(store.dicom.instances(series)) == instances
    assert run_inline(store.dicom.instances(SeriesRecord(id="8" * 24))) == []

    async def paths(wanted: list[Instance]) -> list[object]:
        return [(instance.id, path) async for instance, path in store.dicom.fetch(wanted)]

    monkeypatch.chdir("/")
    expected = [tmp_path / "moved.dcm", *(tmp_path / f"{instance.id}.dcm" for instance in instances[1:])]
    assert run_inline(paths(instances)) == [(one.id, path) for one, path in zip(instances, expected, strict=True)]
    with pytest.raises(StoredFileNotFoundError, match=r"no longer knows the instance 1\.9"):
        run_inline(paths([instances[0], Instance(id="9" * 24, sop_instance_uid="1.9")]))
    expected[1].unlink()
    with pytest.raises(StoredFileNotFoundError):
        run_inline(paths(instances))
    with pytest.raises(UnsupportedValueError, match="by path; write the bytes to a file first"):
        run_inline(workspace.add_instance(series.id, instances[0], b"bytes"))


def paths_of(store: Backend, *instances: Instance) -> list[object]:
    async def paths() -> list[object]:
        return [path async for _instance, path in store.dicom.fetch(instances)]

    return run_inline(paths())


def test_a_workspace_is_moved_with_the_scans_in_it_and_without_those_beside_it(
    folder: Path, open_store: Callable[[], Backend]
) -> None:
    inside, beside = Instance(id="1" * 24, sop_instance_uid="1.1"), Instance(id="2" * 24, sop_instance_uid="1.2")
    places = {inside: folder / "scans" / "a.dcm", beside: folder.with_name("workspace of another") / "b.dcm"}
    workspace = open_store().fillable()
    for instance, place in places.items():
        place.parent.mkdir(parents=True)
        place.write_bytes(b"x")
        run_inline(workspace.add_instance("3" * 24, instance, place))
    folder.rename(folder.parents[1] / "moved")
    location = StoreLocation(url=str(folder.parents[1] / "moved"), database="", timeout_s=0, mode="blocking")
    with open_sqlite(location, inline) as moved:
        assert paths_of(moved, inside, beside) == [
            folder.parents[1] / "moved" / "scans" / "a.dcm",
            folder.with_name("workspace of another") / "b.dcm",
        ]


def test_the_first_write_of_a_process_removes_what_a_dead_one_left_and_no_more(
    folder: Path, open_store: Callable[[], Backend]
) -> None:
    kept = put(open_store(), "kept", b"x")
    for name in ("without-a-claim", "of-the-dead", "of-the-living"):
        (folder / "files" / name).write_bytes(b"x")
    (folder / "claims" / "dead").write_text(f"of-the-dead\n{kept}\n", encoding="utf-8")
    living = claim_file(folder / "claims" / "living", new=True)
    assert living is not None
    with living:
        living.write(b"of-the-living\n")
        living.flush()
        store = open_store()
        added = put(store, "added", b"y")
        assert contents(folder) == {kept, added, "of-the-living"}
        assert [path.name for path in (folder / "claims").iterdir()] == ["living"]
        (folder / "files" / "stray").write_bytes(b"x")
        put(store, "added", b"z")  # a process looks through the whole folder once
        assert "stray" in contents(folder)
        run_inline(store.sessions.remove(OTHER.session_id, "files"))  # and when a session goes
        assert "stray" not in contents(folder)
        assert "of-the-living" in contents(folder)
    assert read(store, "kept") == b"x"
    assert read(store, "added") == b"z"


@pytest.mark.parametrize("denied", ["the folder", "the database"])
def test_a_reader_without_write_permission_reads_the_newest_value(
    denied: str, folder: Path, open_store: Callable[[], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = open_store()
    run_inline(writer.data.put(OWN, "a", 1))
    put(writer, "f", b"x")
    place = folder if denied == "the folder" else folder / DATABASE_NAME
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == place and mode == os.W_OK))
    reader = open_store()
    for value in (2, 3):
        found = run_inline(reader.data.find(OWN, "a"))
        assert found is not None
        assert found.value == value - 1
        run_inline(writer.data.put(OWN, "a", value))
    assert read(reader, "f") == b"x"
    for write in (lambda: run_inline(reader.data.put(OWN, "a", 4)), lambda: put(reader, "f", b"y")):
        with pytest.raises(StoreError, match="is read-only"):
            write()
    assert run_inline(reader.data.find(OWN, "a")) == run_inline(writer.data.find(OWN, "a"))
    assert read(writer, "f") == b"x"


def test_what_a_workspace_holds_is_its_owners_alone_whatever_the_umask(folder: Path, store: Backend) -> None:
    before = os.umask(0)
    try:
        put(store, "f", b"x")
        run_inline(store.data.put(OWN, "a", 1))
        every = [folder, *folder.rglob("*")]
        assert len(every) >= 5
        assert [path.name for path in every if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


def test_a_file_that_could_not_be_read_to_its_end_leaves_nothing(folder: Path, store: Backend) -> None:
    kept = put(store, "f", b"old")

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise JobNotFoundError("ours")
            return super().read(2 if size else size)

    with pytest.raises(JobNotFoundError, match="ours"):
        run_inline(store.files.put(OWN, "f", Broken(b"new content"), NewFile("text/plain", {})))
    assert contents(folder) == {kept}
    assert list((folder / "claims").iterdir()) == []
    assert read(store, "f") == b"old"


def test_a_file_replaced_between_reading_row_and_content_is_read_anew(
    store: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "f", b"old")
    path_of, replaced = Contents.path, list[str]()

    def path(self: Contents, content: str) -> Path:
        if len(replaced) < 2 and content not in replaced:
            replaced.append(content)
            if len(replaced) == 1:
                put(store, "f", b"new")
        return path_of(self, content)

    monkeypatch.setattr(Contents, "path", path)
    assert read(store, "f") == b"new"


@pytest.mark.parametrize("second", [OSError("the disk is gone"), StoreError("the disk is gone")])
def test_a_failure_is_raised_and_not_the_failed_removal_after_it(
    store: Backend, monkeypatch: pytest.MonkeyPatch, second: Exception
) -> None:
    put(store, "f", b"old")

    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise JobNotFoundError("ours")

    def fail(_self: Contents, _claim: Path) -> None:
        raise second

    monkeypatch.setattr(Contents, "_settle", fail)
    with pytest.raises(JobNotFoundError, match="ours"):
        run_inline(store.files.put(OWN, "f", Broken(), NewFile("text/plain", {})))


FULL = (
    r"the workspace '.*' cannot be written: {}; 7 bytes are needed, \d+ bytes are free on its disk; free space, or .*"
)
NOT_OURS = r"the workspace '.*' cannot be used: {}; choose a folder that you may write to"
UNUSABLE = r"the workspace{} '.*' cannot be used: {}; check the folder, its permissions and its disk"
FAULTS: list[tuple[Exception, type[Exception], str]] = [
    (
        sqlite3.OperationalError("database or disk is full"),
        StoreUnavailableError,
        FULL.format("database or disk is full"),
    ),
    *(
        (OSError(number, "no room"), StoreUnavailableError, FULL.format("no room"))
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    ),
    *(
        (OSError(number, "denied"), StoreError, NOT_OURS.format("denied"))
        for number in (errno.EROFS, errno.EACCES, errno.EPERM)
    ),
    (OSError(errno.EIO, "broken"), StoreUnavailableError, UNUSABLE.format("", "broken")),
    (OSError("no number"), StoreUnavailableError, UNUSABLE.format("", "no number")),
    (
        sqlite3.OperationalError("unable to open"),
        StoreUnavailableError,
        UNUSABLE.format(r" database in", "unable to open"),
    ),
    (
        sqlite3.OperationalError("database is locked"),
        StoreUnavailableError,
        r"another process is writing to the workspace '.*' and has not ended in time \(database is locked\); .*",
    ),
    (
        sqlite3.OperationalError("attempt to write a readonly database"),
        StoreError,
        r"the workspace '.*' is read-only: .*",
    ),
    (
        sqlite3.OperationalError("malformed JSON"),
        StoredValueError,
        r"the workspace database in '.*' holds a damaged document: malformed JSON; .*",
    ),
    (
        sqlite3.DatabaseError("not a database"),
        StoredValueError,
        r"the workspace database in '.*' is damaged: not a database; .*",
    ),
    (OverflowError("too large"), UnsupportedValueError, r"a name or an id holds .* which SQLite cannot store"),
    (
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogate"),
        UnsupportedValueError,
        r"a name or an id holds .* which SQLite cannot store",
    ),
    (JobNotFoundError("ours"), JobNotFoundError, "ours"),
]


@pytest.mark.parametrize(("fault", "kind", "said"), FAULTS, ids=[f"{type(one).__name__} {one}" for one, _, _ in FAULTS])
def test_errors_of_sqlite_and_the_system_name_the_workspace_and_the_remedy(
    tmp_path: Path, fault: Exception, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught, translated(tmp_path, lambda: 7):
        raise fault
    assert type(caught.value) is kind
    assert re.fullmatch(said.replace("'.*'", re.escape(repr(str(tmp_path)))), str(caught.value))
    assert caught.value is fault or caught.value.__cause__ is fault


def test_what_does_not_fit_says_how_much_is_needed_and_leaves_the_workspace_as_it_was(store: Backend) -> None:
    text = "x" * 100_000
    run_inline(store.data.put(OWN, "a", 1))
    workspace: Any = store.fillable()
    job = Job(id=OWN.job_id, session_id=OWN.session_id, name=text)
    writes: dict[str, tuple[Callable[[], Any], int]] = {
        "value": (lambda: store.data.put(OWN, "a", text), len(text) + 2),
        "job": (lambda: workspace.add_job(job), len(text)),
        "file": (lambda: store.files.put(OWN, "f", io.BytesIO(), NewFile("text/plain", {"x": text})), len(text)),
    }
    for write, least in writes.values():
        # what it may grow by is gone with the connection, which a full disk closes
        run_inline(workspace._store.run(lambda connection: connection.execute("PRAGMA max_page_count = 20")))
        with pytest.raises(StoreUnavailableError, match=r"disk is full; \d+ bytes are needed, \d+ bytes") as caught:
            run_inline(write())
        needed = int(re.findall(r"(\d+) bytes are needed", str(caught.value))[0])
        assert least <= needed <= 2 * least + 1000
    found = run_inline(store.data.find(OWN, "a"))
    assert found is not None
    assert found.value == 1
    assert run_inline(store.files.find(OWN, "f")) is None
    for write, _ in writes.values():
        run_inline(write())


def test_an_unknown_need_of_bytes_is_not_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"no room; \d+ bytes are free on its disk"), translated(tmp_path):
        raise OSError(errno.ENOSPC, "no room")


class FullDisk(io.BytesIO):
    """A file on a disk without room."""

    def write(self, _content: object, /) -> int:
        raise OSError(errno.ENOSPC, "no room")


def test_a_disk_without_room_for_the_name_of_a_content_says_what_the_content_needs(tmp_path: Path) -> None:
    store: Any = SimpleNamespace(folder=tmp_path, durability="fast")
    with pytest.raises(StoreUnavailableError, match="no room; 7 bytes are needed"):
        Contents(store).write(Claim(FullDisk(), tmp_path), "name", io.BytesIO(b"1234567"))
    assert not Contents(store).path("name").exists()


def test_a_document_that_is_no_model_says_what_it_should_be() -> None:
    with pytest.raises(StoredValueError, match="a Patient of the workspace"):
        load(Patient, '{"id": 5}')


def test_a_workspace_that_another_process_is_making_is_waited_for_no_longer_than_said(
    folder: Path, open_store: Callable[[], Backend]
) -> None:
    folder.mkdir(parents=True)
    other = sqlite3.connect(folder / DATABASE_NAME, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="another process is writing"):
            put(open_store(), "a", b"1")
        other.execute("ROLLBACK")
    finally:
        other.close()
    store = open_store()
    put(store, "a", b"1")
    assert read(store, "a") == b"1"
