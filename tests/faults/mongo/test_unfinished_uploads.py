"""Unfinished uploads leave nothing: the next put of the name and the clean-up remove their chunks."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from dcm_processor_service.backends.mongo import files as module
from dcm_processor_service.errors import StoreUnavailableError
from dcm_processor_service.ports import JobKey, NewFile
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener, impatient_from_now_on
from tests.faults.mongo.proxy import proxied

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.mongo.servers import Mongod

MIB = 2**20
NEW = NewFile("a/b", {})
UPLOADER = """
import sys
from dcm_processor_service.ports.concurrency import run_inline
from dcm_processor_service.backends.mongo.driver.blocking import open_blocking
from dcm_processor_service.ports import JobKey, NewFile, StoreLocation, inline

url, database, session_id, job_id = sys.argv[1:]

class Endless:
    left = 20 * 2**20

    def read(self, size):
        if self.left <= 0:
            print("half of it is stored", flush=True)
            sys.stdin.read()
        self.left -= size
        return bytes(size)

with open_blocking(StoreLocation(url, database, 30.0, "blocking"), inline) as backend:
    run_inline(backend.files.put(JobKey(session_id, job_id), "mask.nii", Endless(), NewFile("a/b", {})))
"""


def kill_an_upload(url: str, database: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, url, database, KEY.session_id, KEY.job_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half of it is stored\n"
        process.kill()


class Torn(io.BytesIO):
    """A source that runs an action in the middle of a read."""

    def __init__(self, content: bytes, meanwhile: Callable[[], object]) -> None:
        super().__init__(content)
        self._meanwhile: Callable[[], object] | None = meanwhile

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= len(self.getvalue()) // 2 and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        return super().read(size)


def chunk_owners(database: Any) -> set[str]:
    return {str(file_id) for file_id in database["sessionfiles.chunks"].distinct("files_id")}


def test_the_next_put_of_the_name_removes_what_a_killed_one_left(standalone: Mongod, opener: Opener) -> None:
    kill_an_upload(standalone.url, opener.database)
    database = opener.seen(standalone.url)
    (dead,) = chunk_owners(database)
    files = opener(standalone.url).files
    other = run_inline(files.put(KEY, "other", io.BytesIO(b"x"), NEW))
    stored = run_inline(files.put(KEY, "mask.nii", io.BytesIO(b"new"), NEW))
    assert dead != stored.id
    assert chunk_owners(database) == {other.id, stored.id}
    assert [one.name for one in run_inline(files.list(KEY))] == ["mask.nii", "other"]


def test_the_clean_up_removes_and_counts_what_a_killed_put_left_and_nothing_of_another_session(
    standalone: Mongod, opener: Opener
) -> None:
    kill_an_upload(standalone.url, opener.database)
    backend = opener(standalone.url)
    run_inline(backend.files.put(KEY, "whole", io.BytesIO(b"x"), NEW))
    elsewhere = JobKey("e" * 24, KEY.job_id)
    kept = run_inline(backend.files.put(elsewhere, "mask.nii", io.BytesIO(b"x"), NEW))
    database = opener.seen(standalone.url)
    assert len(chunk_owners(database)) == 3
    assert run_inline(backend.sessions.remove(KEY.session_id, "files")) == 2
    assert chunk_owners(database) == {kept.id}
    assert run_inline(backend.sessions.remove(KEY.session_id, "files")) == 0


def test_an_upload_that_lives_on_after_it_was_retired_never_shows_a_damaged_file(
    standalone: Mongod, opener: Opener
) -> None:
    slow, quick = opener(standalone.url).files, opener(standalone.url).files
    source = Torn(b"s" * 20 * MIB, lambda: run_inline(quick.put(KEY, "mask.nii", io.BytesIO(b"quick"), NEW)))
    run_inline(slow.put(KEY, "mask.nii", source, NEW))
    database = opener.seen(standalone.url)
    sink = io.BytesIO()
    stored = run_inline(quick.fetch(KEY, "mask.nii", sink))
    assert stored is not None
    assert sink.getvalue() == b"quick"
    assert chunk_owners(database) == {stored.id}
    assert run_inline(opener(standalone.url).sessions.remove(KEY.session_id, "files")) == 2
    assert database["sessionfiles.files"].count_documents({}) == 0


def test_a_put_in_a_session_that_is_cleaned_up_meanwhile_goes_with_it_and_leaves_nothing(
    standalone: Mongod, opener: Opener
) -> None:
    """The result is as if the put had ended just before: no error, and no file without its beginning."""
    backend = opener(standalone.url)
    source = Torn(b"s" * 40 * MIB, lambda: run_inline(backend.sessions.remove(KEY.session_id, "files")))
    run_inline(opener(standalone.url).files.put(KEY, "mask.nii", source, NEW))
    assert run_inline(backend.files.list(KEY)) == []
    database = opener.seen(standalone.url)
    assert chunk_owners(database) == set()
    assert database["sessionfiles.files"].count_documents({}) == 0


def test_a_put_that_ends_while_the_clean_up_waits_for_it_goes_whole(standalone: Mongod, opener: Opener) -> None:
    backend, slow = opener(standalone.url), opener(standalone.url).files
    half, on = threading.Event(), threading.Event()

    def wait() -> None:
        half.set()
        on.wait(60)

    putting = threading.Thread(target=lambda: run_inline(slow.put(KEY, "a", Torn(b"s" * 40 * MIB, wait), NEW)))
    putting.start()
    assert half.wait(60)
    threading.Timer(0.5, on.set).start()
    assert run_inline(backend.sessions.remove(KEY.session_id, "files")) == 1
    putting.join(60)
    database = opener.seen(standalone.url)
    assert chunk_owners(database) == set()
    assert database["sessionfiles.files"].count_documents({}) == 0


def test_a_put_whose_answer_is_lost_retires_no_upload_of_who_has_read_its_version(
    standalone: Mongod, opener: Opener
) -> None:
    with proxied(standalone.port) as line:
        slow, other = opener(line.url).files, opener(standalone.url).files
        run_inline(slow.put(KEY, "mask.nii", io.BytesIO(b"first"), NEW))
        line.lose_the_answer_to("remove", 1000)  # the field by which a findAndModify removes
        putting = threading.Thread(target=lambda: run_inline(slow.put(KEY, "mask.nii", io.BytesIO(b"second"), NEW)))
        putting.start()
        assert line.lost.wait(30)
        sink = io.BytesIO()
        run_inline(other.fetch(KEY, "mask.nii", sink))
        assert sink.getvalue() == b"second"

        def let_it_end() -> None:
            line.answers_to_lose = 0
            putting.join(60)

        stored = run_inline(other.put(KEY, "mask.nii", Torn(b"t" * 20 * MIB, let_it_end), NEW))
        assert run_inline(other.find(KEY, "mask.nii")) == stored
        last = run_inline(slow.put(KEY, "mask.nii", io.BytesIO(b"last"), NEW))
    assert chunk_owners(opener.seen(standalone.url)) == {last.id}


@pytest.mark.parametrize("step", ["_has_content", "_retire", "find"])
def test_a_put_that_fails_after_its_version_is_visible_says_that_it_may_be_stored(
    standalone: Mongod, opener: Opener, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    kill_an_upload(standalone.url, opener.database)
    monkeypatch.setattr(module, "QUICK_S", -1.0)
    with proxied(standalone.port) as line:
        backend = opener(line.url)
        files: Any = backend.files
        owner = files._files if step == "find" else files
        original = getattr(owner, step)

        async def without_server(*args: Any, **kwargs: Any) -> Any:
            if step != "find" or "_id" in args[0]:
                standalone.freeze()
                impatient_from_now_on(backend, 1.0)
            return await original(*args, **kwargs)

        monkeypatch.setattr(owner, step, without_server)
        if step == "find":
            line.lose_the_answer_to("findAndModify")
        with pytest.raises(StoreUnavailableError) as caught:
            run_inline(files.put(KEY, "mask.nii", io.BytesIO(b"x"), NEW))
        assert caught.value.maybe_applied
    standalone.thaw()
    assert [one.name for one in run_inline(opener(standalone.url).files.list(KEY))] == ["mask.nii"]


def test_a_put_that_loses_its_server_leaves_nothing_after_the_next_put(standalone: Mongod, opener: Opener) -> None:
    with proxied(standalone.port) as line:
        backend = opener(line.url)

        def lose_the_server() -> None:
            standalone.freeze()
            impatient_from_now_on(backend, 1.0)

        with pytest.raises(StoreUnavailableError):
            run_inline(backend.files.put(KEY, "mask.nii", Torn(b"s" * 20 * MIB, lose_the_server), NEW))
    standalone.thaw()
    standalone.let_go(line.ports_to_the_server)  # chunks that it had received come before the next put
    stored = run_inline(opener(standalone.url).files.put(KEY, "mask.nii", io.BytesIO(b"x"), NEW))
    assert chunk_owners(opener.seen(standalone.url)) == {stored.id}
    assert ObjectId.is_valid(stored.id)
