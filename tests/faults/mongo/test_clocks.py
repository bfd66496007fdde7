"""A read returns the version that was acknowledged last, even if the primary's clock is wrong."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dcm_processor_service.ports import NewFile
from dcm_processor_service.ports.concurrency import run_inline
from tests.faults.mongo.conftest import KEY, Opener
from tests.faults.mongo.servers import running_set
from tests.missing import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.mongo.servers import ReplicaSet

BEHIND_S = 120


@pytest.fixture
def one_clock_ahead(tmp_path: Path) -> Iterator[ReplicaSet]:
    """Three members, of which the first, the primary, is two minutes ahead of the others."""
    compiler = shutil.which("cc")
    if compiler is None:
        reason = "there is no C compiler, with which a server's clock is set off"
        missing(reason)
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    ahead = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_S": str(BEHIND_S)}
    with running_set(environments=(ahead, {}, {})) as members:
        yield members


def test_after_a_failover_to_a_member_two_minutes_behind_the_acknowledged_put_is_read(
    one_clock_ahead: ReplicaSet, opener: Opener
) -> None:
    backend = opener(one_clock_ahead.url, operation_timeout_s=60.0)
    new = NewFile("a/b", {})
    before = run_inline(backend.files.put(KEY, "a", io.BytesIO(b"before"), new))
    # what a process leaves that is killed between making a version visible and removing the one before
    files = opener.seen(one_clock_ahead.url)["sessionfiles.files"]
    left = files.find_one()
    one_clock_ahead.members[0].kill()
    after = run_inline(backend.files.put(KEY, "a", io.BytesIO(b"after"), new))
    assert before.uploaded_at is not None
    assert after.uploaded_at is not None
    assert before.uploaded_at > after.uploaded_at  # or the clocks were not off
    assert left is not None
    files.insert_one(left)
    sink = io.BytesIO()
    assert run_inline(backend.files.fetch(KEY, "a", sink)) == after
    assert sink.getvalue() == b"after"
    assert [stored.id for stored in run_inline(backend.files.list(KEY))] == [after.id]
    run_inline(backend.files.put(KEY, "a", io.BytesIO(b"last"), new))
    assert [row["filename"] for row in files.find()] != [left["filename"]]
    assert files.count_documents({"_id": left["_id"]}) == 0
