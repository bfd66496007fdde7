"""A writer that is killed at any of its commands leaves the old file or the new one, whole."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bson import ObjectId

from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import run_inline
from tests.integration.mongo.uploads import file_ids, upload_as_the_predecessor

if TYPE_CHECKING:
    from tests.integration.mongo.conftest import Store

MIB = 2**20
OLD, NEW = b"o" * (3 * MIB), b"n" * (10 * MIB)

WRITER = """
import io, sys
from pymongo.monitoring import CommandListener
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.backends.mongo.driver.blocking import open_with_options
from dcm_processor_service.ports import JobKey, NewFile, StoreLocation, inline

url, database, session_id, job_id, stop_at = sys.argv[1:]

class Announcer(CommandListener):
    points = 0

    def point(self, event, when):
        Announcer.points += 1
        if Announcer.points == int(stop_at):
            print(when, event.command_name, flush=True)
            sys.stdin.read()  # for ever: the parent kills us here

    def started(self, event):
        self.point(event, "before")

    def succeeded(self, event):
        self.point(event, "after")

    def failed(self, event):
        print("failed", event.command_name, flush=True)

location = StoreLocation(url, database, 30.0, "blocking")
with open_with_options(location, inline, event_listeners=[Announcer()]) as backend:
    source = io.BytesIO(b"n" * (10 * 2**20))
    run_inline(backend.files.put(JobKey(session_id, job_id), "mask.nii", source, NewFile("a/b", {})))
"""

PHASES = [
    *("before createIndexes", "after createIndexes"),
    *("before aggregate", "after aggregate"),  # uploads that were never finished
    *("before find", "after find"),  # files of another program
    *("before insert", "after insert", "before insert", "after insert"),  # two batches of chunks
    *("before findAndModify", "after findAndModify"),  # the new document appears
    *("before findAndModify", "after findAndModify"),  # the old document goes
    *("before delete", "after delete"),  # the old chunks go
    "before endSessions",  # the client is closed
]
VISIBLE_FROM = 12


def kill_a_writer(store: Store, stop_at: int) -> str:
    """Kills a process that stores the new file, at its command of that number; returns which that is."""
    arguments = [store.url, store.database.name, store.key.session_id, store.key.job_id, str(stop_at)]
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        assert process.stdout is not None
        reached = process.stdout.readline().strip()
        process.kill()
    return reached


@pytest.mark.parametrize("store", ["pymongo"], indirect=True)
@pytest.mark.parametrize("stop_at", range(1, len(PHASES) + 1))
def test_a_killed_writer_leaves_one_whole_version(store: Store, stop_at: int) -> None:
    files = store.backend.files
    run_inline(files.put(store.key, "mask.nii", io.BytesIO(OLD), NewFile("a/b", {})))
    assert kill_a_writer(store, stop_at) == PHASES[stop_at - 1]

    sink = io.BytesIO()
    stored = run_inline(files.fetch(store.key, "mask.nii", sink))
    assert stored is not None
    assert sink.getvalue() == (NEW if stop_at >= VISIBLE_FROM else OLD)
    assert [file.id for file in run_inline(files.list(store.key))] == [stored.id]

    files = store.another().files
    again = run_inline(files.put(store.key, "mask.nii", io.BytesIO(b"again"), NewFile("a/b", {})))
    sink = io.BytesIO()
    assert run_inline(files.fetch(store.key, "mask.nii", sink)) == again
    assert sink.getvalue() == b"again"
    assert file_ids(store, "chunks", "files_id") == {ObjectId(again.id)}
    assert run_inline(files.delete(store.key, "mask.nii"))
    assert run_inline(files.find(store.key, "mask.nii")) is None


FOREIGN_PHASES = [
    *("after findAndModify", "before update", "after update"),  # the file of another program gets no readers any more
    *("before delete", "after delete", "before delete", "after delete"),  # its chunks go, then its document
    *("before findAndModify", "after findAndModify"),  # there is no older version of ours
]


@pytest.mark.parametrize("store", ["pymongo"], indirect=True)
@pytest.mark.parametrize("step", range(len(FOREIGN_PHASES)))
def test_a_killed_writer_leaves_nothing_of_another_programs_file_that_the_clean_up_does_not_find(
    store: Store, step: int
) -> None:
    owner = {"session_id": ObjectId(store.key.session_id), "job_id": ObjectId(store.key.job_id)}
    upload_as_the_predecessor(store.database, owner, "mask.nii", OLD)
    assert kill_a_writer(store, VISIBLE_FROM + step) == FOREIGN_PHASES[step]
    backend = store.another()
    sink = io.BytesIO()
    assert run_inline(backend.files.fetch(store.key, "mask.nii", sink)) is not None
    assert sink.getvalue() == NEW
    assert [file.name for file in run_inline(backend.files.list(store.key))] == ["mask.nii"]
    run_inline(backend.sessions.remove(store.key.session_id, "files"))
    assert file_ids(store, "chunks", "files_id") == file_ids(store, "files", "_id") == set()


@pytest.mark.parametrize("store", ["pymongo"], indirect=True)
def test_another_programs_file_is_deleted_with_its_chunks(store: Store) -> None:
    owner = {"session_id": store.key.session_id, "job_id": store.key.job_id}
    upload_as_the_predecessor(store.database, owner, "mask.nii", OLD)
    kept = upload_as_the_predecessor(store.database, owner, "other.nii", OLD)
    assert run_inline(store.backend.files.delete(store.key, "mask.nii"))
    assert not run_inline(store.backend.files.delete(store.key, "mask.nii"))
    assert file_ids(store, "chunks", "files_id") == file_ids(store, "files", "_id") == {kept}
