"""A process killed at any point of a replacement leaves a file that can be read."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dcm_processor_service import Container, RuntimeSettings, opened

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"old" * 100_000, b"new" * 700_000
JOB: dict[str, Any] = {"session_id": "5" * 24, "job_id": "1" * 24}

WRITER = """
import io, os, sqlite3, sys
from dcm_processor_service import Container, RuntimeSettings, opened

moment, folder = sys.argv[1], sys.argv[2]

def die(when):
    if when == moment:
        os.kill(os.getpid(), 9)

class Source(io.BytesIO):
    def read(self, size=-1):
        block = super().read(size)
        if not block:
            die("content written")
        elif self.tell() > 1_000_000:
            die("half of the content written")
        return block

replace = os.replace
def watched(event, arguments):
    if event == "os.rename":
        die("before the content has its name")
    elif event == "os.remove" and str(arguments[0]).find("files") >= 0:
        die("before the old content goes")
    elif event == "sqlite3.connect":
        pass
sys.addaudithook(watched)

settings = RuntimeSettings.without_environment(
    db_provider="sqlite", db_url=folder, session_id="5" * 24, job_id="1" * 24)
with opened(Container(settings=settings)) as container:
    session = container.session()
    session.files.has("a")
    class Connection:
        def __init__(self, inner):
            self.inner = inner
        def execute(self, statement, *values):
            if statement == "COMMIT":
                die("before the row is switched")
            result = self.inner.execute(statement, *values)
            if statement == "COMMIT":
                die("after the row is switched")
            return result
        def close(self):
            self.inner.close()
    store = container.file_repository()._store
    store._connection = Connection(store._connection)
    session.files.put("a", Source(b"new" * 700_000), content_type="text/plain")
    die("after all")
"""

MOMENTS = {
    "half of the content written": OLD,
    "content written": OLD,
    "before the content has its name": OLD,
    "before the row is switched": OLD,
    "after the row is switched": NEW,
    "before the old content goes": NEW,
    "after all": NEW,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_a_replacement(moment: str, tmp_path: Path) -> None:
    settings = RuntimeSettings.without_environment(db_provider="sqlite", db_url=str(tmp_path), **JOB)
    with opened(Container(settings=settings)) as container:
        container.session().files.put("a", OLD)
    ran = subprocess.run([sys.executable, "-c", WRITER, moment, tmp_path], capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, f"not killed at {moment!r}: {ran.stderr}"
    with opened(Container(settings=settings)) as container:
        files = container.session().files
        assert files.read("a") == MOMENTS[moment]
        assert files.info("a").size_bytes == len(MOMENTS[moment])
        files.put("a", b"again")
        assert files.read("a") == b"again"
        assert [stored.name for stored in files.list()] == ["a"]
