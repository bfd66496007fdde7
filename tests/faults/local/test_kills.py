"""A process killed at any line of a write leaves the old or the new state, and the next process removes the rest.

Each child is killed some lines later than the one before it, until one gets to the end: at 50 lines or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.local.kinds import python

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """
import json, os, signal, sys
from pathlib import Path
from dcm_processor_service import Container, RuntimeSettings, opened
from dcm_processor_service.ports.concurrency import run_inline

work, scratch = Path(sys.argv[1], "work"), Path(sys.argv[1], "scratch")
scratch.mkdir(exist_ok=True)
SQLITE = tuple(f"backends/sqlite/{name}.py" for name in ("contents", "database", "files", "sessions", "store"))
OLD, NEW = b"old" * 100_000, b"new" * 700_000

def container():
    return opened(Container(settings=RuntimeSettings.without_environment(
        db_provider="sqlite", db_url=str(work), scratch=scratch, session_id="5" * 24, job_id="1" * 24)))

def child_that_counts_lines(rooms, body, at_line):
    '''Runs the body in a child, which is killed at a line of these rooms; the child's exit code, and its lines.'''
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        lines = 0
        def trace(frame, event, argument):
            nonlocal lines
            if event == "call":
                return trace if frame.f_code.co_filename.endswith(rooms) else None
            if event == "line":
                lines += 1
                if lines == at_line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace
        sys.settrace(trace)
        try:
            body()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        sys.settrace(None)
        os.write(writing, str(lines).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(text or 0)

def killed_at_many_lines(rooms, body):
    '''Yields after each child that was killed.'''
    body()  # loads what it needs, once for all children
    code, lines = child_that_counts_lines(rooms, body, 0)
    assert code == 0 and lines > 50, lines
    step = max(1, lines // 60)
    killed = 0
    for at_line in range(1, lines, step):
        code, _lines = child_that_counts_lines(rooms, body, at_line)
        if code == 0:  # it had less to do than the one that counted
            break
        assert code == -signal.SIGKILL, (code, at_line, lines)
        killed += 1
        yield
    print("killed", killed)

def only_what_is_listed():
    with container() as opened_again:
        rows = opened_again.file_repository()._store.rows("SELECT content FROM files", ())
    assert sorted(os.listdir(work / "files")) == sorted(content for (content,) in rows)
    assert os.listdir(work / "claims") == []
"""

REPLACED = (
    COMMON
    + """
def replace():
    with container() as child:
        child.session().files.put("a", NEW, content_type="text/plain")

with container() as first:
    first.session().files.put("a", OLD, content_type="text/plain")
seen = []
for _ in killed_at_many_lines((*SQLITE, "disk.py"), replace):
    with container() as parent:
        files = parent.session().files
        seen.append(files.read("a"))
        assert seen[-1] in (OLD, NEW)
        assert files.info("a").size_bytes == len(seen[-1])
        assert [stored.name for stored in files.list()] == ["a"]
        files.put("a", OLD, content_type="text/plain")
    only_what_is_listed()
assert OLD in seen and NEW in seen
"""
)

DELETED = (
    COMMON
    + """
def delete():
    with container() as child:
        child.session().files.delete("a")

with container() as first:
    first.session().files.put("a", OLD)
def store_and_delete():
    with container() as child:
        child.session().files.put("a", OLD)
    delete()

for _ in killed_at_many_lines((*SQLITE, "disk.py"), store_and_delete):
    with container() as parent:
        files = parent.session().files
        if files.has("a"):
            assert files.read("a") == OLD
        files.put("a", OLD)
    only_what_is_listed()
"""
)

CLEANED_UP = (
    COMMON
    + """
def clean_up():
    with container() as child:
        for name in "ab":
            child.session().files.put(name, OLD)
        run_inline(child.session_repository().remove("5" * 24, "files"))

def fill():
    with container() as parent:
        for name in "ab":
            parent.session().files.put(name, OLD)

fill()
for _ in killed_at_many_lines((*SQLITE, "disk.py"), clean_up):
    with container() as parent:
        run_inline(parent.session_repository().remove("5" * 24, "files"))
    assert os.listdir(work / "files") == os.listdir(work / "claims") == []
    fill()
"""
)

UPLOAD_CLEANED_UP = (
    COMMON
    + """
def put():
    with container() as child:
        child.session().files.put("a", NEW)

for _ in killed_at_many_lines((*SQLITE, "disk.py"), put):
    with container() as parent:
        run_inline(parent.session_repository().remove("5" * 24, "files"))
    assert not work.exists() or os.listdir(work / "files") == os.listdir(work / "claims") == []
"""
)

SCRATCH = (
    COMMON
    + """
def use():
    with container() as child:
        session = child.session()
        session.files.save("a.json", {"value": 1})
        assert session.files.load("a.json") == {"value": 1}
        with session.files.open("a.json") as file:
            file.read()
        child.scratch().folder("series").joinpath("patient.dcm").write_bytes(b"patient")

for _ in killed_at_many_lines(("session/scratch.py", "session/files.py", "disk.py"), use):
    with container() as parent:
        parent.scratch().folder("own")
        assert len(os.listdir(scratch)) == 1, os.listdir(scratch)
    assert os.listdir(scratch) == []
"""
)


@pytest.mark.parametrize(
    "code",
    [REPLACED, DELETED, CLEANED_UP, UPLOAD_CLEANED_UP, SCRATCH],
    ids=["replaced", "deleted", "cleaned up", "upload cleaned up", "scratch"],
)
def test_what_a_killed_process_leaves_is_whole_and_the_next_one_removes_the_rest(code: str, tmp_path: Path) -> None:
    ran = python("-c", code, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout.removeprefix("killed ")) >= 50
